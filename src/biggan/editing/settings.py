"""The settings of text guidance.

Not here: what is asked for (`goal.py`), and how long it goes on (`imagine.py`).
"""

import math
from dataclasses import dataclass

from biggan.editing.cutouts import RESIZES, Resize
from biggan.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """How pictures are optimised.

    Raises:
        ConfigError: A number outside what is allowed.
    """

    lr: float = 0.07
    """Adam's learning rate."""
    cutouts: int = 8
    """Cut-outs of each picture at each step."""
    resize: Resize = "bilinear"
    """How cut-outs are brought to the scorer's size."""
    center_bias: bool = False
    """Cut about the centre rather than anywhere."""
    max_classes: int | None = None
    """At most so many classes mixed in a picture; none: each class has its own sigmoid."""
    class_temperature: float = 2.0
    """Temperature of the mix that --max-classes makes."""
    ema_decay: float = 0.9
    """Share of the averaged latents kept at each step."""
    layers_together: bool | None = None
    """One z and one class mix for all layers, rather than each layer's own; none: each its own in BigGAN-deep, where
    every layer is given all of z, and one for all in BigGAN, whose layers are given parts of z."""
    search: int = 128
    """Pictures drawn to find the class to begin with; 0: begin between all classes, as BigSleep does."""

    def __post_init__(self) -> None:
        self._check("cutouts", 1 <= self.cutouts <= 1024, "1 to 1024")
        self._check("search", 0 <= self.search <= 100_000, "0 to 100,000")
        self._check("lr", 0 < self.lr <= 10, "above 0 and up to 10")
        self._check("ema_decay", 0 <= self.ema_decay < 1, "from 0 to below 1")
        self._check("class_temperature", 0 < self.class_temperature < math.inf, "above 0")
        self._check("max_classes", self.max_classes is None or self.max_classes >= 1, "1 or more")
        self._check("resize", self.resize in RESIZES, ", ".join(RESIZES))

    def _check(self, name: str, ok: bool, allowed: str) -> None:
        if not ok:
            raise ConfigError(f"--{name.replace('_', '-')} is {getattr(self, name)}; allowed is {allowed}.")
