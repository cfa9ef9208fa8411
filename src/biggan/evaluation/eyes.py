"""What quick looks at images are taken with, for no record: a trained network if there is one, or a random one.

Not here: the networks (`features.py`, `training/random_features.py`), and measurements with a name (`measure.py`).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from biggan.errors import ConfigError, ModelError
from biggan.evaluation.features import efficientnet_lite
from biggan.evaluation.images import opaque
from biggan.training.random_features import RandomFeatures

AT_ONCE = 64  # images that go through the network together
RANDOM = "the fixed random network"


class Eyes(NamedTuple):
    """What images are seen with."""

    name: str
    see: Callable[[Tensor], Tensor]
    """Images (N, C, H, W) in [-1, 1] → features (N, D), float32 on the CPU."""
    standardise: bool
    """Whether features want mean 0 and spread 1 over the real images first: the random network's do. Of the trained
    one's many are near 0 on all real images, and the least of them would outweigh the rest."""


def trained_eyes(channels: int, size: int | None, device: torch.device) -> Eyes:
    """EfficientNet-Lite0 at `size` px (None for its own 224) where its package is there and whole, or `random_eyes`."""
    try:
        network = efficientnet_lite(0, size).to(device)
    except (ConfigError, ModelError):
        return random_eyes(channels)

    @torch.no_grad()
    def see(x: Tensor) -> Tensor:
        return torch.cat([network.features(opaque(part).to(device)).float().cpu() for part in x.split(AT_ONCE)])

    return Eyes(f"EfficientNet-Lite0 at {network.size} px", see, standardise=False)


def random_eyes(channels: int) -> Eyes:
    """The fixed random network that a run watches itself with; needs no package, and is fast."""
    return Eyes(RANDOM, RandomFeatures(channels), standardise=True)
