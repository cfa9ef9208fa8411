"""What little-data training remembers from step to step: LeCam's anchors, and how many images are augmented.

All follows from means over whole steps, so that it is the same on every process and however a batch is split, and is
part of a run's state. A share that adapts is exactly 0 until D, on average over some thousand images, tells real from
drawn ones more surely than was asked for; until then a run is the one without augmentation, to the last bit. LeCam that
is asked for beside it has as much of its strength; what the guard adds (`course.py`) has all. Not here: the penalty
(`regularizers.py`) and the augmentation (`augment.py`).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from biggan.config import Augment
from biggan.distributed.collective import mean_figures
from biggan.distributed.processes import world_size
from biggan.training.augment import adapted

SIGN_IMAGES = 4_000
"""Real images over which `d_sign` is averaged, from 0 (256 in ADA, Section 2.3 there), lest a share begin by chance."""


class Adaptive:
    """Moves with every step of D.

    Args:
        settings: Where the share begins, and how all moves; replaced where a run's course adds to it.
        device: Where the numbers are kept; reading them there makes no step wait.

    Attributes:
        anchors: Moving averages of D's mean output on real and on drawn images, (2,).
        sign: Moving average of `d_sign`, ().
        share: Share of images that each kind of augmentation applies to, ().
    """

    def __init__(self, settings: Augment, device: torch.device) -> None:
        self.settings = settings
        self.follows = settings.lecam if settings.augment and settings.ada_target else None  # strength times the share
        self.anchors = torch.zeros(2, device=device)
        self.sign = torch.zeros((), device=device)
        self.share = torch.tensor(0.0 if settings.ada_target else settings.augment_share, device=device)

    def move(self, figures: Mapping[str, Tensor], images: int) -> None:
        """Takes in a step.

        Args:
            figures: `d_real` and `d_fake`, D's mean outputs, and `d_sign`, how surely their signs tell both apart.
            images: Real images that the step showed in this process.
        """
        settings = self.settings
        if not settings.lecam and not settings.ada_target:
            return
        figures = mean_figures(figures)
        means = torch.stack([figures["d_real"], figures["d_fake"]]).to(self.anchors)
        self.anchors = torch.lerp(means, self.anchors, settings.lecam_decay)
        if settings.ada_target and settings.ada_images:
            shown = images * world_size()
            self.sign = torch.lerp(self.sign, figures["d_sign"].to(self.sign), min(1.0, shown / SIGN_IMAGES))
            self.share = adapted(self.share, self.sign, settings.ada_target, shown, settings.ada_images)

    @property
    def lecam_in_force(self) -> Tensor | float:
        """Strength of LeCam now."""
        strength = self.settings.lecam or 0.0
        return strength * (self.share if strength == self.follows else 1.0)

    @property
    def augments_none(self) -> bool:
        """Whether no image is augmented; False, too, on devices that would have to be waited for to know."""
        return self.share.device.type == "cpu" and not self.share

    def tensors(self) -> dict[str, Tensor]:
        """What a state keeps."""
        return {"anchors": self.anchors, "share": self.share, "sign": self.sign}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what `tensors` gave.

        Raises:
            KeyError: Something is missing.
        """
        self.anchors, self.share = (tensors[name].to(self.anchors.device) for name in ("anchors", "share"))
        if "sign" in tensors:  # not in states from before it was averaged
            self.sign = tensors["sign"].to(self.anchors.device)
