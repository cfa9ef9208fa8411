"""The model of a run as it is now: the averaged G with fresh statistics, its pictures, and a summary of its training.

Every process makes it alike, as statistics are shared work. Not here: when it is made and written (`sitting.py`).
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from biggan import __version__
from biggan.data.packed import Packed
from biggan.distributed.collective import broadcast, lead
from biggan.distributed.watchdog import patient
from biggan.models.bundle import Bundle
from biggan.models.network import Generator
from biggan.models.spectral import settle
from biggan.models.statistics import standing_statistics
from biggan.overseer import Overseer, nearest_average
from biggan.sampling.drawn import Drawn
from biggan.sampling.pipeline import Pipeline
from biggan.training.loop import Training
from biggan.training.probe import PICTURES

SHEET_CLASSES, SHEET_COLUMNS = 16, 10  # classes on a sheet at most, pictures of each


class RunModel:
    """Makes a run's model, once for as many images as the run has shown.

    Args:
        run: The networks.
        packed: The data.
        source: What the data was asked for as.
        started: What the model to start from was asked for as, if there was one.
        overseer: Who compares averages.
        say: Takes a sentence worth knowing.
        measuring: Takes rows of statistics measured so far, and all of them; raises where the process was to stop.
        seconds: Tells how long the run has trained.
    """

    def __init__(
        self,
        run: Training,
        packed: Packed,
        source: str,
        started: str | None,
        overseer: Overseer,
        say: Callable[[str], None],
        measuring: Callable[[int, int], None],
        seconds: Callable[[], float],
    ) -> None:
        self.run, self.packed, self.source, self.overseer = run, packed, source, overseer
        self._started = {"started from": started} if started else {}
        self._say, self._measuring, self._seconds = say, measuring, seconds
        self._made: tuple[int, Bundle] | None = None  # images shown, and the model then
        self._drawn: Drawn | None = None  # its pictures
        self._distances: dict[float, float] | None = None  # of the averages' pictures, at the end

    def forget(self) -> None:
        """Has the model made anew, as the run went back."""
        self._made = None

    def bundle(self) -> Bundle:
        """The model as it is, with fresh standing statistics (all tables at the end of a run)."""
        if self._made is None or self._made[0] != self.run.images:
            G = self._plain(self._average())
            settle(G)
            if self.run.done:
                self._say("Measuring the model's statistics for every truncation, which takes a while ...")
            with patient():
                statistics = standing_statistics(G, full=self.run.done, measured=self._measuring)
            G.use_statistics(statistics.row())
            bundle = Bundle(G, self.run.D, self.packed.class_names, statistics, self._summary())
            self._made, self._drawn = (self.run.images, bundle), None
        return self._made[1]

    def finish_best(self) -> None:
        """Gives the model in `best/` the tables that it lacks where it is not the last one."""
        if lead(lambda: self.overseer.unfinished is not None):
            self._say("Measuring the same for the best model on the way ...")
            G = self._plain(self.run.G_ema)
            lead(lambda: self.overseer.put_best_into(G))
            broadcast(G.state_dict())
            with patient():
                statistics = standing_statistics(G, full=True, measured=self._measuring)
            lead(lambda: self.overseer.finish_best(statistics))

    @staticmethod
    def _plain(G: Generator) -> Generator:
        """A copy that computes in float32."""
        G = deepcopy(G)
        G.compute_dtype = None
        return G

    def _average(self) -> Generator:
        """The averaged G that is the model: of several, the first until the end, and then the best by measurement."""
        run = self.run
        if not run.done or not run.G_more:
            return run.G_ema
        if self._distances is None:
            self._distances = lead(self.overseer.compare_averages)
        return run.averages[nearest_average(self._distances)]

    def picture(self, bundle: Bundle) -> Drawn:
        """Pictures of what `bundle` gave, drawn once."""
        if self._drawn is None:
            self._drawn = self._pictures(bundle, SHEET_COLUMNS)
        return self._drawn

    def to_choose_by(self, bundle: Bundle) -> Tensor:
        """Pictures of any model by which it is compared with others, (N, C, R, R) in [-1, 1]: of the same seeds."""
        each = -(-PICTURES // max(len(self._sheet_classes), 1))
        if each <= SHEET_COLUMNS and self._made and bundle is self._made[1]:
            return self.picture(bundle).x
        return self._pictures(bundle, max(each, SHEET_COLUMNS)).x

    def _pictures(self, bundle: Bundle, each: int) -> Drawn:
        return Pipeline(bundle)(self._sheet_classes or None, num_images=each)

    @property
    def _sheet_classes(self) -> list[int]:
        return list(range(min(len(self.packed.class_names), SHEET_CLASSES)))

    def _summary(self) -> dict[str, Any]:
        """What the model's config says of its training."""
        train = self.run.config.train
        return {
            "data": self.source,
            **self._started,
            "images": self.run.images,
            "iterations": self.run.iteration,
            "batch_size": train.batch_size,
            "seed": train.seed,
            "precision": train.precision,
            "seconds": round(self._seconds(), 1),
            **self._averages(),
            "versions": {"biggan": __version__, "torch": torch.__version__},
        }

    def _averages(self) -> dict[str, Any]:
        """Which average was taken and by what distances, where there was a choice."""
        found = self._distances
        if found is None:
            return {}
        each = {f"{decay:g}": round(value, 4) for decay, value in found.items()}
        return {"ema_decay": nearest_average(found), "distances_of_averages": each}
