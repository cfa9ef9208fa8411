"""A run that ends with its time: how many images it will show, settled anew on the way.

The course of a run is a function of images shown and of their total, never of the clock, so that what happens between
two saved states follows from the first alone, bit for bit. The clock has its say at certain images only, and a state is
saved there: the total becomes what the time that is left will do at the speed of the last stretch. That is a fiftieth
of the way in, as the trial before a run may have erred; at each tenth; then at half of what is left each time, down to
a fiftieth. A speed that changes by a third after the last of these makes the end half a percent early or late.
Not here: how fast this machine is before the run (`trial.py`).
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from biggan.training.loop import Training

STRETCHES = 10  # of a run, at whose ends its total is settled
FIRST = 1 / 50  # of the way: the first time, and what is left at the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The total as it was last settled."""

    total_images: int
    """Images that the run will show."""
    images_per_second: float
    """Speed of the last stretch, with looks, saves and sheets; before the first, of the trial."""
    images: int = 0
    """Shown when the total was settled."""
    seconds: float = 0.0
    """Of training then."""

    @property
    def next_images(self) -> float:
        """Images at which the total is to be settled again; none after the last time."""
        left = self.total_images - self.images
        if not self.images:
            return self.total_images * FIRST
        if left < self.total_images * FIRST:
            return float("inf")
        stretch = self.total_images / STRETCHES
        end = (self.images + stretch / 2) // stretch + 1  # the next that is not nearer than half a stretch
        return min(end * stretch, self.images + left / 2)

    def settled(self, images: int, seconds: float, budget: float, step: int) -> "Pace":
        """The pace after `images` and `seconds`.

        Args:
            images: Shown so far; fewer than before where the run went back.
            seconds: Of training so far.
            budget: Seconds that the run may take.
            step: Images of an iteration, of which the total is a multiple.
        """
        moved, took = images - self.images, seconds - self.seconds
        speed = moved / took if moved > 0 and took > 0 else self.images_per_second
        left = round(max(budget - seconds, 0.0) * speed / step) * step
        return Pace(total_images=images + left, images_per_second=speed, images=images, seconds=seconds)


class Timekeeper:
    """Keeps a run's total by its pace.

    Args:
        run: The run; its total is where it begins.
        budget: Seconds of training, over all sittings.
        images_per_second: Speed to begin with.
    """

    def __init__(self, run: Training, budget: float, images_per_second: float) -> None:
        self.run, self.budget = run, budget
        self._begin = Pace(total_images=run.config.train.total_images, images_per_second=images_per_second)
        self.pace = self._begin

    @property
    def is_due(self) -> bool:
        """Whether the total is to be settled now."""
        return self.run.images >= self.pace.next_images and not self.run.done

    def settle(self, seconds: float) -> None:
        """Settles the total after `seconds` of training."""
        run = self.run
        self._take(self.pace.settled(run.images, seconds, self.budget, run.images_per_iteration))

    def go_back(self, seconds: float, speed: float) -> None:
        """Settles the total of a run that was put back to earlier images, by the speed it had had.

        The time that was lost is not given back.
        """
        self.pace = replace(self.pace, images=self.run.images, seconds=seconds, images_per_second=speed)
        self.settle(seconds)

    def record(self) -> dict[str, Any]:
        """What a saved state keeps."""
        return {"pace": {"budget": self.budget, **asdict(self.pace)}}

    def recall(self, record: dict[str, Any], seconds: float) -> None:
        """Puts back what `record` gave, `{}` for the beginning; settles at once if there is another budget now.

        Raises:
            KeyError, TypeError, ValueError: The record is damaged.
        """
        if not record:
            return self._take(self._begin)
        values = dict(record["pace"])
        before = float(values.pop("budget"))
        self._take(Pace(**values))
        if before != self.budget:
            self.settle(seconds)

    def _take(self, pace: Pace) -> None:
        self.pace, config = pace, self.run.config
        self.run.config = replace(config, train=replace(config.train, total_images=max(pace.total_images, 1)))
