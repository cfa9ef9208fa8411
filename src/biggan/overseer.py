"""What a run keeps an eye on, and what it keeps of that: looks, verdicts, remedies, incidents, the best model so far.

`incidents.jsonl` has a line for each time a run went back, with two pictures in `incidents/`, and `best/` is the model
whose pictures were nearest to the real images. All that later verdicts depend on is in the saved states. Runs on
process 0 alone, but for what a saved state puts back. Not here: how a run goes back (`rescue.py`), and the judgement
itself (`training/guard.py`).
"""

import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from biggan import atomic
from biggan.data.packed import Packed
from biggan.errors import ModelError
from biggan.evaluation.distances import kernel_distance, own_kernel_means
from biggan.evaluation.eyes import RANDOM, Eyes, random_eyes, trained_eyes
from biggan.models.bundle import Bundle, load_bundle, save_bundle
from biggan.models.network import Generator
from biggan.models.statistics import Statistics
from biggan.sampling.grids import sheet, to_images
from biggan.sampling.sampler import to_bytes
from biggan.training.course import Course, Leader
from biggan.training.figures import Means, largest_singular_values, spectrum_tail
from biggan.training.guard import Guard, Past, Verdict
from biggan.training.loop import Training
from biggan.training.probe import LEAST_SPREAD, PICTURES, Distance, Probe

BEST, INCIDENTS = "best", "incidents"
LOOK_IMAGES = 1_250  # images between looks, at least: at 1,000 they took more than 3 % of the time of small networks
LOOK_ITERATIONS = 15  # iterations, at least: no more than 1,000 images of a batch of 32 with two D steps
AVERAGE_PICTURES = 640  # drawn to compare averages by, as many as there are real ones
TRAINED_PIXELS = 96  # at which a trained network looks; at 64 it orders averages otherwise than the judges
LEAST_DRAWN = 30  # images of a class between looks, from which its mean output says something
AVERAGE_LOOKS, SELDOM_LOOKS = 8, 32  # looks between those at the averaged G, and at spectra and by a trained network
LEADERS: dict[str, Leader] = {"ahead": "D", "beaten": "G"}  # by the rule that says so, who has outrun the other


class Unhealthy(Exception):
    """Leaves the loop of a run that has to go back; all processes raise it alike.

    Args:
        verdict: What is wrong.
    """

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class Overseer:
    """Looks at a run and remembers.

    Args:
        run: The networks.
        out: The run folder.
        packed: The data.
        held_out: Images of the same classes that D never sees, if there are any.
    """

    def __init__(self, run: Training, out: Path, packed: Packed, held_out: Packed | None = None) -> None:
        self.run, self.out, self.packed, self.held_out = run, out, packed, held_out
        self.means, self.guard = Means(), self._new_guard()
        self._probe: Probe | None = None
        self._chooser: tuple[str, Probe] | None = None

    def _new_guard(self) -> Guard:
        config = self.run.config
        return Guard(config.optim.loss, config.augment.hold_g or 0)

    @property
    def probe(self) -> Probe:
        """Made when first needed."""
        if self._probe is None:
            self._probe = self._make_probe(random_eyes(self.packed.channels), PICTURES)
        return self._probe

    @property
    def chooser(self) -> tuple[str, Probe]:
        """What chooses between models, and the name of its network; made when first needed.

        A trained network where the extra `metrics` is there: it orders good generators better than the random one,
        which the guard's thresholds are made for.
        """
        if self._chooser is None:
            eyes = trained_eyes(self.packed.channels, TRAINED_PIXELS, self.run.device)
            self._chooser = eyes.name, self._make_probe(eyes, AVERAGE_PICTURES)
        return self._chooser

    def _make_probe(self, eyes: Eyes, pictures: int) -> Probe:
        distance = _distance_to_the_same()
        return Probe(self.packed, self.held_out, eyes.see, distance, self.run.device, pictures, eyes.standardise)

    @property
    def look_images(self) -> int:
        """Images between looks: `LOOK_IMAGES`, or those of `LOOK_ITERATIONS` where these are more."""
        return max(LOOK_IMAGES, LOOK_ITERATIONS * self.run.images_per_iteration)

    @property
    def is_due(self) -> bool:
        """Whether the iteration that just ended passed a multiple of `look_images`."""
        before = self.run.images - self.run.images_per_iteration
        return self.run.images // self.look_images > before // self.look_images

    def look(self) -> dict[str, float]:
        """Means of the iterations' figures since the last look, D's outputs by class among them, and what is seen now:
        the raw G's pictures, the largest singular value.

        Every eighth look adds the averaged G's distance, D's sense for labels and whether D knows images by heart;
        every 32nd the tails of both spectra, and both distances as a trained network sees them, if one is there.
        """
        run, probe = self.run, self.probe
        x, number = probe.draw(run.G), run.images // self.look_images
        figures = self.means.take() | probe.figures(x)
        outputs = run.tally.take(LEAST_DRAWN)
        figures |= {f"fake {label}": outputs[label] for label in probe.classes if label in outputs}
        values = [*largest_singular_values(run.G).values(), *largest_singular_values(run.D).values()]
        if values:
            figures["singular_value"] = float(torch.stack(values).max())
        if number % AVERAGE_LOOKS == 0:
            x_ema = probe.draw(run.G_ema, averaged=True)
            figures |= {"distance_ema": probe.distance(x_ema), "label_sense": probe.label_sense(run.D)}
            figures |= probe.by_heart(run.D)
            if number % SELDOM_LOOKS == 0:
                for name, network in (("g", run.G), ("d", run.D)):
                    figures[f"rank_{name}"] = min(spectrum_tail(network).values(), default=1.0)
                if self.chooser[0] != RANDOM:
                    trained = self.chooser[1].distance
                    figures |= {"trained_distance": trained(x), "trained_distance_ema": trained(x_ema)}
        return figures

    @property
    def healthy(self) -> int:
        """Images of the state that the run would go back to at the least; one not after it has to be kept."""
        return self.guard.healthy(self.run.images)

    def compare_averages(self) -> dict[float, float]:
        """Distances of the pictures of each averaged G, more of them than at a look, by the share it keeps.

        The same latents for all, so that they differ by the average alone.
        """
        _, probe = self.chooser
        return {decay: probe.distance(probe.draw(G, averaged=True)) for decay, G in self.run.averages.items()}

    def record(self) -> dict[str, Any]:
        """What a saved state keeps."""
        run = self.run
        of_steps = {"means": self.means.to_json(), "tally": run.tally.to_json()}
        return {"guard": self.guard.to_json(), "course": asdict(run.course), **of_steps}

    def recall(self, record: dict[str, Any]) -> None:
        """Puts back what `record` gave; begins anew where a state has none, as of before there was a guard.

        Without guard nothing is remembered but incidents, as no look is judged: a guard later trusts what was saved.

        Raises:
            KeyError, TypeError, ValueError: The record is damaged.
        """
        self.guard, self.means, self.run.course = self._new_guard(), Means(), Course()
        if "guard" in record:
            self.guard.from_json(record["guard"])
            if not self.run.config.train.guard:
                self.guard.past = Past()
            self.means.from_json(record["means"])
            self.run.course = Course(**record["course"])
        if "tally" in record:  # not in states from before there was one
            self.run.tally.from_json(record["tally"])

    def rewind(self) -> None:
        """Drops incidents that the run has not met yet, and a partial line."""
        place = self.out / f"{INCIDENTS}.jsonl"
        if place.exists():
            lines = place.read_bytes().splitlines(keepends=True)[: self.guard.incidents]
            atomic.write_bytes(place, b"".join(lines))

    @property
    def best(self) -> Bundle | None:
        """The model in `best/`, if an undamaged one is there."""
        try:
            bundle = load_bundle(self.out / BEST)
            int(bundle.training["images"]), float(bundle.training.get("distance", 0))
        except (ModelError, KeyError, TypeError, ValueError):
            return None
        return bundle

    @property
    def best_images(self) -> int | None:
        """Images that the model in `best/` had been shown, if one is there."""
        best = self.best
        return None if best is None else int(best.training["images"])

    @property
    def unfinished(self) -> Bundle | None:
        """The model in `best/`, if it has not all its tables, as one that was saved before the end."""
        best = self.best
        return None if best is None or best.statistics.has(truncation=1.0) else best

    def put_best_into(self, G: Generator) -> None:
        """Gives `G` the weights of the unfinished model in `best/`."""
        if best := self.unfinished:
            G.load_state_dict(best.G.state_dict())

    def finish_best(self, statistics: Statistics) -> None:
        """Writes the unfinished model in `best/` with all its tables."""
        if best := self.unfinished:
            save_bundle(self.out / BEST, replace(best, statistics=statistics), None)

    def keep_best(self, bundle: Bundle, sheet: Callable[[], Image], draw: Callable[[Bundle], Tensor]) -> None:
        """Writes `best/` if the averaged G's pictures are nearer to the real images than those of `best/` are.

        The first model is the best without being measured. After a kill that left half of a new best, the same is
        written again.

        Args:
            bundle: The model as it is.
            sheet: Draws the page that goes with it.
            draw: Draws pictures of the same seeds of any model, (N, C, R, R) in [-1, 1] on the CPU.
        """
        best = self.best
        if best is None:
            if self.run.images:
                save_bundle(self.out / BEST, bundle, sheet())
            return
        name, chooser = self.chooser
        name += f", spreads from {LEAST_SPREAD:g}" if name == RANDOM else ""  # all that a distance hangs on
        if best.training.get("distance_by") != name:
            best = replace(best, G=best.G.to(self.run.device))
            best = replace(best, training=self._measured(best, name, chooser.distance(draw(best))))
            save_bundle(self.out / BEST, best, None)
        distance, least = chooser.distance(draw(bundle)), float(best.training["distance"])
        if distance <= least or math.isnan(least):
            save_bundle(self.out / BEST, replace(bundle, training=self._measured(bundle, name, distance)), sheet())

    @staticmethod
    def _measured(bundle: Bundle, name: str, distance: float) -> dict[str, Any]:
        return {**bundle.training, "distance": distance, "distance_by": name}

    def picture(self, name: str) -> str:
        """Writes the raw G's pictures as `incidents/<name>.png`; returns that path within the run."""
        x = torch.nan_to_num(self.probe.draw(self.run.G), nan=-1.0)
        columns = self.probe.num_groups
        names = [self.packed.class_names[k] for k in self.probe.classes] if self.packed.class_names else []
        page, png = sheet(to_images(to_bytes(x)), columns, column_labels=names), io.BytesIO()
        page.save(png, "PNG")
        atomic.write_bytes(self.out / INCIDENTS / f"{name}.png", png.getvalue())
        return f"{INCIDENTS}/{name}.png"

    def note(self, incident: dict[str, Any]) -> None:
        """Adds a line to `incidents.jsonl`."""
        place = self.out / f"{INCIDENTS}.jsonl"
        before = place.read_bytes() if place.exists() else b""
        atomic.write_bytes(place, before + (json.dumps(incident) + "\n").encode())


def nearest_average(distances: Mapping[float, float]) -> float:
    """The share kept by the average whose pictures are nearest; the first of equals, and of those not finite."""
    return min(distances, key=lambda decay: distances[decay] if math.isfinite(distances[decay]) else math.inf)


def _distance_to_the_same() -> Distance:
    """The kernel distance to real images that stay the same."""
    own_means = lru_cache(maxsize=1)(own_kernel_means)
    return lambda real, drawn: kernel_distance(real, drawn, own_means(real)).value
