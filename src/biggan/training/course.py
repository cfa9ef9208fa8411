"""What incidents have changed of a run: the remedies in force, a part of the run's state.

Each incident goes a rung up. Whatever the collapse was, the same images with the same latents at the same rates would
lead there again, so every rung draws others and lowers both learning rates; where one network had outrun the other,
that one's falls twice as far. A D that had outrun G is held back besides: by LeCam at once, by augmentation of all
images when it comes again; any other collapse that comes again gets LeCam. Both are in force whatever a share that
adapts is (`adaptive.py`). Not here: when (`guard.py`).
"""

from dataclasses import dataclass, replace
from typing import Literal

from biggan.config import Augment
from biggan.training.little import POLICY

RATES = (0.5, 0.125, 0.03)  # of the settings' learning rates, after one incident, two, and more
LECAM = 0.3  # its strength, the paper's
AHEAD = 0.5  # what the network that outran the other keeps besides
SHIFT = 2**40  # images further in the streams of draws, for each incident

Leader = Literal["G", "D"] | None


@dataclass(frozen=True, slots=True)
class Course:
    """The remedies in force; the default changes nothing, to the last bit."""

    lr_g: float = 1.0
    """Multiplier of G's learning rate."""
    lr_d: float = 1.0
    """Multiplier of D's learning rate."""
    shift: int = 0
    """Images by which the places in all streams of draws are moved on."""
    lecam: bool = False
    """Regularise D by LeCam of `LECAM` at least."""
    augment: bool = False
    """Augment all that D sees: by the settings' kinds, or by `POLICY` where they have none."""

    def after(self, number: int, leader: Leader) -> "Course":
        """The course after the incident of this number, from 1, in which `leader` had outrun the other network."""
        now, before = (1.0, *RATES)[min(number, len(RATES))], (1.0, *RATES)[min(number - 1, len(RATES))]
        factor_g, factor_d = (AHEAD if leader == network else 1.0 for network in ("G", "D"))
        lower = now / before
        return Course(
            self.lr_g * lower * factor_g,
            self.lr_d * lower * factor_d,
            self.shift + SHIFT,
            lecam=self.lecam or leader == "D" or number > 1,
            augment=self.augment or (leader == "D" and number > 1),
        )

    def least_lecam(self, loss: str) -> float:
        """Strength of LeCam at the least; it is for losses with a bound, not for `wasserstein`."""
        return LECAM if self.lecam and loss != "wasserstein" else 0.0

    @property
    def least_share(self) -> float:
        """Share of images that are augmented at the least."""
        return 1.0 if self.augment else 0.0

    def settings(self, augment: Augment) -> Augment:
        """A run's settings with the kinds of augmentation that are added."""
        return replace(augment, augment=POLICY) if self.augment and not augment.augment else augment

    def words(self, augment: Augment, loss: str) -> str:
        """What is changed of a run with these settings, for people."""
        parts = [
            f"learning rates x {self.lr_g:.2g} for G and x {self.lr_d:.2g} for D",
            "other latents and another order of images",
        ]
        if self.least_lecam(loss) > (0.0 if augment.adapts else augment.lecam or 0.0):
            parts.append(f"LeCam of {LECAM:g}")
        if self.least_share > (0.0 if augment.adapts or not augment.augment else augment.augment_share):
            parts.append(f"augmentation of all images ({' '.join(self.settings(augment).augment or ())})")
        return f"{', '.join(parts[:-1])} and {parts[-1]}"
