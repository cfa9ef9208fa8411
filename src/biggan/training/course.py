"""What incidents have changed of a run: the remedies in force, a part of the run's state.

Each incident goes a rung up. Whatever the collapse was, the same images with the same latents at the same rates would
lead there again, so every rung draws others and lowers both learning rates; where one network had outrun the other,
that one's falls twice as far. Not here: when (`guard.py`).
"""

from dataclasses import dataclass
from typing import Literal

RATES = (0.5, 0.125, 0.03)  # of the settings' learning rates, after one incident, two, and more
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

    def after(self, number: int, leader: Leader) -> "Course":
        """The course after the incident of this number, from 1, in which `leader` had outrun the other network."""
        now, before = (1.0, *RATES)[min(number, len(RATES))], (1.0, *RATES)[min(number - 1, len(RATES))]
        factor_g, factor_d = (AHEAD if leader == network else 1.0 for network in ("G", "D"))
        lower = now / before
        return Course(self.lr_g * lower * factor_g, self.lr_d * lower * factor_d, self.shift + SHIFT)

    def words(self) -> str:
        """What is changed, for people."""
        return (
            f"learning rates x {self.lr_g:.2g} for G and x {self.lr_d:.2g} for D, other latents and another order of "
            f"images"
        )
