"""What every reader of foreign checkpoints takes and gives.

Not here: the formats (`brock.py`, `huggingface.py`, `tfhub.py`), and telling them apart (`recognise.py`).
"""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from biggan.models.bundle import Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What a foreign file may leave unsaid; None for what the file says or its signature implies."""

    norm_eps: float | None = None
    """Epsilon of the conditional batch norms."""
    output_norm_eps: float | None = None
    """Epsilon of G's last batch norm."""
    sn_eps: float | None = None
    """Epsilon of spectral norm."""
    condition: Literal["yz", "zy"] | None = None
    """BigGAN-deep: order of class embedding and z."""
    class_names: tuple[str, ...] | None = None
    """A name for each class."""


@dataclass
class Imported:
    """A foreign checkpoint as ours."""

    bundle: Bundle
    """The generator to draw from (the averaged one where there is one), D if there is one, names, statistics."""
    notes: list[str]
    """One sentence for each thing that was assumed or left out."""
    trained: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    """What training can go on from: 'G', 'D', 'G_ema', 'optim_g', 'optim_d' as a training state has them; or empty."""
    config: dict[str, object] = field(default_factory=dict)
    """Settings of training that the checkpoint records, by our field names (`lr_g`, `batch_size`, `d_steps`, …)."""
    iterations: int = 0
    """Iterations of that training."""
