"""What little-data training remembers from step to step: LeCam's anchors, and how many images are augmented.

Both follow from means over whole steps, so that they are the same on every process and however a batch is split. They
are part of a run's state. Not here: the penalty (`regularizers.py`) and the augmentation (`augment.py`).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from biggan.config import Augment
from biggan.distributed.collective import mean_figures
from biggan.distributed.processes import world_size
from biggan.training.augment import adapted


class Adaptive:
    """Moves with every step of D.

    Args:
        settings: Where the share begins, and how both move.
        device: Where the numbers are kept; reading them there makes no step wait.

    Attributes:
        anchors: Moving averages of D's mean output on real and on drawn images, (2,).
        share: Share of images that each kind of augmentation applies to, ().
    """

    def __init__(self, settings: Augment, device: torch.device) -> None:
        self.settings = settings
        self.anchors = torch.zeros(2, device=device)
        self.share = torch.tensor(0.0 if settings.ada_target else settings.augment_share, device=device)

    def move(self, figures: Mapping[str, Tensor], images: int) -> None:
        """Takes in a step.

        Args:
            figures: `d_real` and `d_fake`, D's mean outputs, and `d_sign`, the mean sign on real images.
            images: Real images that the step showed in this process.
        """
        settings = self.settings
        if not settings.lecam and not settings.ada_target:
            return
        figures = mean_figures(figures)
        means = torch.stack([figures["d_real"], figures["d_fake"]]).to(self.anchors)
        self.anchors = torch.lerp(means, self.anchors, settings.lecam_decay)
        if settings.ada_target and settings.ada_images:
            sign, shown = figures["d_sign"].to(self.share), images * world_size()
            self.share = adapted(self.share, sign, settings.ada_target, shown, settings.ada_images)

    def tensors(self) -> dict[str, Tensor]:
        """What a state keeps."""
        return {"anchors": self.anchors, "share": self.share}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what `tensors` gave.

        Raises:
            KeyError: Something is missing.
        """
        self.anchors, self.share = (tensors[name].to(self.anchors.device) for name in ("anchors", "share"))
