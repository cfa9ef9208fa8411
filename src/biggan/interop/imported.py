"""What every reader of foreign checkpoints takes and gives.

Not here: the formats (`brock/`, `huggingface/`, `tfhub/`), and telling them apart (`recognise.py`).
"""

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from biggan.errors import ConfigError
from biggan.models.bundle import Bundle, check_class_names
from biggan.sampling import imagenet


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

    def names_of(self, num_classes: int) -> list[str]:
        """The names given; else ImageNet's for its thousand classes, else numbers.

        Raises:
            ConfigError: The names given are not as many as the classes.
            ModelError: One of them cannot be stored.
        """
        if self.class_names is None:
            is_imagenet = num_classes == imagenet.NUM_CLASSES
            return imagenet.class_names() if is_imagenet else [f"class {number}" for number in range(num_classes)]
        if len(self.class_names) != num_classes:
            count = len(self.class_names)
            raise ConfigError(f"{count} class names are given for {num_classes} classes; give {num_classes}.")
        check_class_names(list(self.class_names))
        return list(self.class_names)


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
