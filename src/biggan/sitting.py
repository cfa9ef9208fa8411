"""One sitting of a run: the folder it belongs to, and the hooks that report, draw, save and stop.

A run is one or more sittings of the same command; each goes on, bit for bit, where the last one stopped. What it
writes: `run.json` (settings, data, versions), `log.txt`, `stats.jsonl`, `sheets/`, `states/`, and the files of a
model, so that the run folder can be drawn from. Nothing here prints; what is worth saying goes to a `Watch`.

Every process has its sitting and calls the same hooks. Process 0 alone speaks, reads states and writes; what it meets
is every process's answer, so that all go on, or stop, together.
"""

import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from biggan import atomic
from biggan.data.packed import Packed
from biggan.distributed.collective import broadcast, highest, lead, mean_figures
from biggan.distributed.processes import rank
from biggan.errors import Diverged, Interrupted, ModelError, out_of_memory
from biggan.models.bundle import Bundle, load_bundle, save_bundle
from biggan.models.network import Discriminator, Generator
from biggan.overseer import Overseer, Unhealthy
from biggan.run_model import RunModel
from biggan.sampling.classes import same
from biggan.training import state, transfer
from biggan.training.interrupt import StopRequest
from biggan.training.loop import Figures, Training
from biggan.training.monitor import Monitor
from biggan.training.pace import Timekeeper
from biggan.training.trackers import Track, Tracker
from biggan.training.transfer import Origin

SHEETS = "sheets"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is."""

    images: int
    total_images: int
    images_per_second: float
    seconds_left: float
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Watch:
    """Who follows a run: all do nothing by default."""

    say: Callable[[str], None] = lambda text: None
    """Takes a sentence worth knowing."""
    packing: Callable[[int, int], None] = lambda done, total: None
    """Takes images packed so far, and all of them."""
    progress: Callable[[Progress], None] = lambda progress: None
    """Takes the figures of a report."""
    measuring: Callable[[int, int], None] = lambda done, total: None
    """Takes rows of a finished model's statistics measured so far, and all of them."""


class Sitting:
    """What the hooks of one sitting share.

    Args:
        run: The networks, freshly made.
        out: The run folder, locked.
        packed: The data.
        source: What the data was asked for as.
        stop: Signals.
        watch: Who follows.
        max_seconds: Length of this sitting, if limited.
        track: Whether to hand figures on to TensorBoard.
        origin: The model to start from, if there is one.
        keeper: Who keeps the run's length by the clock, if anyone.
        held_out: Images of the same classes that D never sees, if there are any.
    """

    def __init__(
        self,
        run: Training,
        out: Path,
        packed: Packed,
        source: str,
        stop: StopRequest,
        watch: Watch,
        max_seconds: float | None,
        track: Track = "none",
        origin: Origin | None = None,
        keeper: Timekeeper | None = None,
        held_out: Packed | None = None,
    ) -> None:
        self.run, self.out, self.packed, self.stop, self.watch = run, out, packed, stop, watch
        self.monitor, self.origin, self.keeper = Monitor(out), origin, keeper
        self.began = time.monotonic()
        self.until = math.inf if max_seconds is None else self.began + max_seconds
        self.seconds_before, self.ended = 0.0, False
        self.overseer = Overseer(run, out, packed, held_out)
        started = origin.source if origin else None
        self.model = RunModel(
            run, packed, source, started, self.overseer, self.say, self._measuring, lambda: self.seconds
        )
        self.tracker = Tracker(out, self.say) if track == "tensorboard" and rank() == 0 else None
        self.looked: int | None = None  # images at the last look
        self.seen: dict[str, float] = {}  # what it saw, for who follows

    def say(self, text: str) -> None:
        """A sentence for the watcher and for `log.txt`."""
        if rank() == 0:
            self.monitor.note(text)
            self.watch.say(text)

    def restore(self, most: int | None = None) -> None:
        """Puts the run where the newest undamaged state left it.

        Args:
            most: Images of the newest state to look at, if not all.

        Raises:
            ModelError: All its states are damaged, or they are another run's.
        """
        saved = state.load_shared(self.out, self.say, most)
        if saved:
            try:
                for name, network in self.networks.items():
                    network.load_state_dict(saved.tensors[name])
                self.run.images, self.seconds_before = saved.images, float(saved.record["seconds"])
                self.run.optim_g.load(saved.tensors["optim_g"])
                self.run.optim_d.load(saved.tensors["optim_d"])
                self.overseer.recall(saved.record)
                if "adaptive" in saved.tensors:  # not in states from before there was one
                    self.run.adaptive.load(saved.tensors["adaptive"])
                if self.keeper:
                    self.keeper.recall(saved.record, self.seconds_before)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                if out_of_memory(error):
                    raise
                raise ModelError(f"The states in {self.out} are another run's; give another --out.") from error
            self.say(f"Going on from {saved.images:,} images.")
        else:
            self.overseer.recall({})
            if self.keeper:
                self.keeper.recall({}, 0.0)
            self._start()
            for network in self.networks.values():
                broadcast(network.state_dict())  # orthogonal starts differ in their last digits between processors
        lead(lambda: self.monitor.rewind(self.run.images))
        self.first_images, self.began, self.ended = self.run.images, time.monotonic(), self.run.done

    @property
    def networks(self) -> dict[str, Generator | Discriminator]:
        """What a state keeps the weights of, by name."""
        run = self.run
        more = {f"G_more{i}": G for i, G in enumerate(run.G_more)}
        return {"G": run.G, "D": run.D, "G_ema": run.G_ema, **more}

    def _start(self) -> None:
        """Puts the weights of the model to start from, if there is one, into fresh networks."""
        if self.origin:
            run = self.run
            bundle, seed = self.origin.bundle, run.config.train.seed
            known = same(self.packed.class_names, bundle.class_names)
            self.say(transfer.load(run.G, run.D, bundle, self.packed, known, seed))
            for G in run.averages.values():
                G.load_state_dict(run.G.state_dict())

    @property
    def seconds(self) -> float:
        """Seconds of training over all sittings, up to the last iteration."""
        return self.seconds_before if self.ended else self.seconds_before + time.monotonic() - self.began

    def note_end(self, run: Training, figures: Figures) -> None:
        """Hook, the first: training ends with its last iteration, whatever is then measured and written."""
        if run.done:
            self.seconds_before, self.ended = self.seconds, True

    def report(self, run: Training, figures: Figures) -> None:
        """Hook: writes the figures down and shows them.

        Raises:
            Unhealthy: A figure is NaN or Inf, in a guarded run.
            Diverged: The same in another.
        """
        values = {name: float(figure) for name, figure in mean_figures(figures).items()}
        lead(lambda: self._report(run, values))
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            self._diverged(f"{bad[0]} is NaN or Inf after {run.images:,} images")

    def _diverged(self, words: str) -> None:
        if self.run.config.train.guard:
            raise Unhealthy(lead(lambda: self.overseer.guard.incident(self.run.images, "finite", words)))
        raise Diverged(f"{words}; {state.AFTER_NAN}.")

    def _report(self, run: Training, values: dict[str, float]) -> None:
        if self.looked != run.images:  # a look writes all figures down itself
            self.write_figures(values)
        speed = (run.images - self.first_images) / max(time.monotonic() - self.began, 1e-9)
        left = max(run.config.train.total_images - run.images, 0) / max(speed, 1e-9)
        if self.keeper:
            left = max(self.keeper.budget - self.seconds, 0.0)
        self.watch.progress(Progress(run.images, run.config.train.total_images, speed, left, self.seen | values))

    def write_figures(self, values: dict[str, float]) -> None:
        """Adds a line to `stats.jsonl`, and points to the tracker's curves."""
        self.monitor.figures(self.run.images, self.seconds, values)
        if self.tracker:
            self.tracker.figures(self.run.images, values)

    def sheet(self, run: Training, figures: Figures) -> None:
        """Hook: draws the same seeds as always from the averaged generator; at the end `save` does.

        Raises:
            Unhealthy: A weight is NaN or Inf, in a guarded run.
            Diverged: The same in another.
        """
        if not run.done:
            self._require_finite()
            self._sheet()

    def _sheet(self) -> None:
        bundle, run = self.model.bundle(), self.run
        lead(lambda: self._write_sheet(run.images, bundle))

    def _write_sheet(self, images: int, bundle: Bundle) -> None:
        png = io.BytesIO()
        self.model.picture(bundle).sheet().save(png, "PNG")
        atomic.write_bytes(self.out / SHEETS / f"{images:012}.png", png.getvalue())

    def save(self, run: Training, figures: Figures) -> None:
        """Hook: saves a state and the model as it is, and that as the best if it is.

        The best goes first: after a kill in between, the run comes here again and finds it. At the end it has a state
        to come from, as its tables take long.

        Raises:
            Unhealthy: A weight is NaN or Inf, in a guarded run; nothing was written.
            Diverged: The same in another.
            DiskFailed: A write failed; earlier states are as they were.
        """
        self._require_finite()
        if run.done:
            lead(self._save_state)
        bundle, model = self.model.bundle(), self.model
        lead(lambda: self.overseer.keep_best(bundle, lambda: model.picture(bundle).sheet(), model.to_choose_by))
        if run.done:
            self._sheet()
        self.save_here()

    def save_state(self) -> None:
        """Saves a state where the run happens to be, without the model; raises as `save`."""
        self._require_finite()
        lead(self._save_state)

    def save_here(self) -> None:
        """Saves a state and the model where the run happens to be; raises as `save`."""
        self.save_state()
        bundle = self.model.bundle()  # slow, so after the state; `complete` makes up for a kill in between
        lead(lambda: save_bundle(self.out, bundle, self.model.picture(bundle).sheet()))

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        run = self.run
        networks = {name: dict(network.state_dict()) for name, network in self.networks.items()}
        optimizers = {name: getattr(run, name).tensors() for name in ("optim_g", "optim_d")}
        return networks | optimizers | {"adaptive": run.adaptive.tensors()}

    def _require_finite(self) -> None:
        broken = lead(self._broken)
        if broken:
            self._diverged(broken)

    def _broken(self) -> str | None:
        """What is said of a run with NaN or Inf in it, which is not saved."""
        try:
            state.require_finite(self._tensors())
        except Diverged as error:
            return str(error).partition(";")[0]
        return None

    def _save_state(self) -> None:
        record = {"seconds": self.seconds, **self.overseer.record(), **(self.keeper.record() if self.keeper else {})}
        state.save_state(self.out, self.run.images, self._tensors(), record)
        self._prune()

    def _prune(self) -> None:
        train = self.run.config.train
        state.prune(self.out, self.run.images, train.keep, self.overseer.healthy if train.guard else None)

    def complete(self) -> None:
        """Saves the model of a run that is done, and the best on the way, unless they are there with all tables."""
        if not lead(self._is_complete):
            self.save(self.run, {})
        self.model.finish_best()
        if self.run.images != self.first_images:  # else the same command said so before
            lead(lambda: self.monitor.note("Done."))

    def _measuring(self, done: int, total: int) -> None:
        """Shows how far tables are measured, and stops where asked to; a state is always saved before."""
        if rank() == 0:
            self.watch.measuring(done, total)
        if exit_code := highest(self.stop.exit_code):
            text = f"Stopped while measuring statistics, with the training saved in {self.out}"
            raise Interrupted(f"{text}; the same command goes on from there.", exit_code)

    def _is_complete(self) -> bool:
        self._prune()
        try:
            bundle = load_bundle(self.out)
        except ModelError:
            return False
        return bundle.statistics.has(truncation=1.0) and bundle.training.get("images") == self.run.images

    def obey(self, run: Training, figures: Figures) -> None:
        """Hook: stops when asked to by a signal or the clock, with everything saved.

        Raises:
            Interrupted: It was time.
        """
        if time.monotonic() > self.until:
            self.stop.ask()
        exit_code = highest(self.stop.exit_code)
        if exit_code and not run.done:
            self.save_here()
            lead(lambda: self._stopped(run.images, exit_code))

    def _stopped(self, images: int, exit_code: int) -> None:
        text = f"Stopped after {images:,} images with everything saved in {self.out}"
        self.monitor.note(text)
        raise Interrupted(f"{text}; the same command goes on from there.", exit_code)
