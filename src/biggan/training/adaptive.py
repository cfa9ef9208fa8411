"""What little-data training remembers from step to step: LeCam's anchors, and how far D is held back.

All follows from means over whole steps, so that it is the same on every process and however a batch is split, and is
part of a run's state. A level that adapts is exactly 0 until D, on average over some thousand images, tells real from
drawn ones more surely than was asked for; until then a run is the one without augmentation, to the last bit. Up to 1 it
is the share of images that are augmented, and of LeCam's strength, if that is asked for. Where all are augmented and D
is still too sure, as it is after some hundred looks at each of a few images, LeCam grows tenfold with each 1 more, up
to `STRONGEST`. What the guard adds (`course.py`) is in force whatever the level.
Not here: the penalty (`regularizers.py`) and the augmentation (`augment.py`).
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from biggan.config import Augment
from biggan.distributed.collective import mean_figures
from biggan.distributed.processes import world_size
from biggan.training.augment import adapted
from biggan.training.course import Course

SIGN_IMAGES = 4_000
"""Real images over which `d_sign` is averaged, from 0 (256 in ADA, Section 2.3 there), lest a share begin by chance."""

STRONGEST = 1.0
"""Strength of LeCam to which one that adapts may grow; 0.3 in its paper."""

MOVED_BY = "d_real", "d_fake", "d_sign"
"""Figures of a D step that are taken in."""


class Adaptive:
    """Moves with every step of D.

    Args:
        settings: Where the share begins, and how all moves.
        device: Where the numbers are kept; with one process, reading them there makes no step wait.

    Attributes:
        settings: The same, with what a run's course adds.
        anchors: Moving averages of D's mean output on real and on drawn images, (2,).
        sign: Moving average of `d_sign`, () in [-1, 1].
        level: How far D is held back by the settings: the share of images to augment, () in [0, 1], and beyond.
    """

    def __init__(self, settings: Augment, device: torch.device) -> None:
        self.settings, self._asked = settings, settings
        self._least_lecam = self._least_share = 0.0
        self.anchors = torch.zeros(2, device=device)
        self.sign = torch.zeros((), device=device)
        self.level = torch.tensor(0.0 if settings.ada_target else settings.augment_share, device=device)
        lecam = settings.lecam or STRONGEST
        self._most = 1 + math.log10(max(STRONGEST / lecam, 1))

    def heed(self, course: Course, loss: str) -> None:
        """Takes on the remedies of a run's course.

        Args:
            course: What incidents have changed.
            loss: The adversarial loss.
        """
        self.settings = course.settings(self._asked)
        self._least_lecam, self._least_share = course.least_lecam(loss), course.least_share

    def move(self, figures: Mapping[str, Tensor], images: int) -> None:
        """Takes in a step.

        Args:
            figures: `MOVED_BY`: D's mean outputs on real and on drawn images, and how surely their signs tell them.
            images: Real images that the step showed in this process.
        """
        settings = self.settings
        if not self.lecam_may_be and not settings.ada_target:
            return
        figures = mean_figures({name: figures[name] for name in MOVED_BY})
        means = torch.stack([figures["d_real"], figures["d_fake"]]).to(self.anchors)
        self.anchors = torch.lerp(means, self.anchors, settings.lecam_decay)
        if settings.ada_target and settings.ada_images:
            shown = images * world_size()
            self.sign = torch.lerp(self.sign, figures["d_sign"].to(self.sign), min(1.0, shown / SIGN_IMAGES))
            pace = shown / settings.ada_images
            self.level = adapted(self.level, self.sign, settings.ada_target, pace, self._most)

    @property
    def lecam_may_be(self) -> bool:
        """Whether LeCam may have any strength, now or later."""
        return bool(self._least_lecam or self._asked.lecam)

    @property
    def lecam_in_force(self) -> Tensor | float:
        """Strength of LeCam now, ()."""
        strength = self._asked.lecam or 0.0
        if not self._asked.adapts:
            return max(strength, self._least_lecam)
        grown = torch.where(self.level <= 1, self.level, 10 ** (self.level - 1))
        return (strength * grown).clamp_min(self._least_lecam)

    @property
    def share_in_force(self) -> Tensor:
        """Share of images that each kind of augmentation applies to now, () in [0, 1]."""
        return self.level.clamp_max(1).clamp_min(self._least_share)

    def figures(self) -> dict[str, Tensor]:
        """What is in force now, as 0-dim tensors: `augmented`, the share of images, and `lecam` where it adapts."""
        found = {"augmented": self.share_in_force} if self.settings.augment else {}
        if self._asked.adapts and self.lecam_may_be:
            found["lecam"] = torch.as_tensor(self.lecam_in_force)
        return found

    @property
    def augments_none(self) -> bool:
        """Whether no image is augmented; False, too, on devices that would have to be waited for to know."""
        return self.level.device.type == "cpu" and not self.share_in_force

    def tensors(self) -> dict[str, Tensor]:
        """What a state keeps."""
        return {"anchors": self.anchors, "level": self.level, "sign": self.sign}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what `tensors` gave.

        Raises:
            KeyError: Something is missing.
        """
        name = "level" if "level" in tensors else "share"  # as it was called when 1 was the most
        self.anchors, self.level = tensors["anchors"].to(self.anchors.device), tensors[name].to(self.anchors.device)
        if "sign" in tensors:  # not in states from before it was averaged
            self.sign = tensors["sign"].to(self.anchors.device)
