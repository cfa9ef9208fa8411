"""Pictures from prompts, in a folder: the run that goes on where it stopped, and all that it writes.

`imagine.json` says what was asked; for each seed there are `seed_<n>_best.png`, `seed_<n>_last.png` and
`seed_<n>.safetensors` with the latents of both; `preview.png` is how things stand, `strip.png` how the pictures formed,
`result.json` the figures; `state/` is what a resumed run needs, bit for bit the same on one machine.
Not here: the optimisation (`guidance.py`), and the files themselves (`imagined.py`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load, save_file
from torch import Tensor

from biggan import atomic
from biggan.editing.goal import Goal, Request, make_goal
from biggan.editing.guidance import Guide, Losses, made_ready
from biggan.editing.imagined import MOST_ROWS, Asked, Imagined, begin_folder, write_pictures, write_results
from biggan.editing.scorers import Scorer
from biggan.editing.search import begin
from biggan.editing.settings import Guidance
from biggan.errors import ConfigError, Interrupted, ModelError
from biggan.sampling.pipeline import Pipeline
from biggan.sampling.sampler import to_bytes
from biggan.training.interrupt import StopRequest
from biggan.training.runlock import RunLock

STATE = "state"
FORMAT = 1
MOST_FRAMES = 32  # kept for the strip; beyond, every other one goes
MOST_SEEDS, MOST_STEPS = 1000, 1_000_000


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is."""

    step: int
    steps: int
    seconds_left: float
    losses: dict[str, float]
    """Mean over the seeds of each loss."""
    best: list[float]
    """Score of the best measured picture of each seed."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who follows a run: all three do nothing by default."""

    say: Callable[[str], None] = lambda text: None
    """Takes a sentence worth knowing."""
    search: Callable[[int, int], None] = lambda done, total: None
    """Takes pictures searched so far, and all of them."""
    progress: Callable[[Progress], None] = lambda progress: None
    """Takes the figures of a step."""


def imagine(
    pipe: Pipeline,
    request: Request,
    out: Path | str,
    scorer: Scorer,
    *,
    seeds: Sequence[int] = (0,),
    steps: int = 60,
    save_every: int = 20,
    settings: Guidance | None = None,
    watch: Watch | None = None,
) -> Imagined:
    """Makes pictures that a scorer finds to be what the prompts say, or goes on with a run of the same request.

    Args:
        pipe: The model; its generator computes where it is, in float32, and is left as it was.
        request: The prompts.
        out: Folder of the run; new, empty, or this very run's.
        scorer: The text-image model, on the generator's device.
        seeds: A picture for each, 0 to 2^63 - 1.
        steps: Steps of optimisation; a finished run goes on when there are more.
        save_every: Steps between measurements, previews and saved states.
        settings: How to optimise.
        watch: Who follows.

    Raises:
        ConfigError: Something asked is not allowed, or the folder holds other things or a run of another request.
        ModelError: The saved state is damaged.
        RunInUse: Another process works in the folder.
        Interrupted: Stopped by a signal with everything saved.
        Diverged: The latents are no longer finite.
        DiskFailed: A write failed.
    """
    out, settings, watch = Path(out), settings or Guidance(), watch or Watch()
    _check_length(seeds, steps, save_every)
    asked = Asked.make(pipe, request, scorer.name, seeds, settings)
    goal = make_goal(scorer, request, pipe.generator.linear.weight.device)
    begin_folder(out, asked, check_only=True)
    with StopRequest() as stop, RunLock(out):
        atomic.recover(out)
        begin_folder(out, asked)
        run = Run(pipe, goal, out, asked, steps, save_every, watch)
        run.restore(stop)
        run.go(stop)
        return run.finish()


def _check_length(seeds: Sequence[int], steps: int, save_every: int) -> None:
    if not 1 <= len(seeds) <= MOST_SEEDS or len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds are {len(seeds)} seeds; give 1 to {MOST_SEEDS:,} different ones.")
    for seed in seeds:
        if not 0 <= seed < 2**63:
            raise ConfigError(f"Seed {seed} is not allowed; seeds are whole numbers from 0 to 2^63 - 1 (--seeds).")
    for flag, value in (("--steps", steps), ("--save-every", save_every)):
        if not 1 <= value <= MOST_STEPS:
            raise ConfigError(f"{flag} is {value}; allowed is 1 to {MOST_STEPS:,}.")


class Run:
    """One sitting of a run in its folder, locked."""

    def __init__(
        self, pipe: Pipeline, goal: Goal, out: Path, asked: Asked, steps: int, save_every: int, watch: Watch
    ) -> None:
        self.pipe, self.goal, self.out, self.asked = pipe, goal, out, asked
        self.steps, self.save_every, self.watch = steps, save_every, watch
        self.G = made_ready(pipe.generator, pipe.bundle.statistics)
        self.frames: list[tuple[int, Tensor]] = []  # step, uint8 (N, C, W, W)

    def restore(self, stop: StopRequest) -> None:
        """Goes on from the saved state, or begins with a search.

        Raises:
            ModelError: The saved state is damaged.
            Interrupted: Asked to stop while searching.
        """

        def searched(done: int, total: int) -> None:
            self.watch.search(done, total)
            if stop:
                raise Interrupted("Stopped while searching; the same command begins again.", stop.exit_code)

        G, asked = self.G, self.asked
        if (self.out / STATE).exists():
            done, tensors = read_state(self.out / STATE)
            frames, places = tensors.pop("frames", None), tensors.pop("frames.step", None)
            start = (tensors.get("now.z"), tensors.get("now.c"))
            if frames is None or places is None or start[0] is None or start[1] is None:
                raise ModelError(f"{self.out / STATE} lacks its latents or frames; give another --out.")
            self.guide = Guide(G, self.goal, asked.seeds, asked.settings, (start[0], start[1]))
            self.guide.load(tensors, done)
            self.frames = list(zip(places.tolist(), frames, strict=True))
            self.watch.say(f"Going on from step {done:,}.")
        else:
            start = begin(G, self.goal, asked.seeds, asked.settings, self.pipe.class_names, searched)
            self.guide = Guide(G, self.goal, asked.seeds, asked.settings, start)
            self.measure()
            self.save()

    def go(self, stop: StopRequest) -> None:
        """Optimises to the end.

        Raises:
            Interrupted: Asked to stop; everything is saved.
        """
        began, first = time.monotonic(), self.guide.done
        while self.guide.done < self.steps:
            if stop:
                self.save()
                told = f"Stopped after step {self.guide.done:,} of {self.steps:,} with everything saved"
                raise Interrupted(f"{told}; the same command goes on.", stop.exit_code)
            losses = self.guide.step()
            if self.guide.done % self.save_every == 0 or self.guide.done == self.steps:
                self.measure()
                self.save()
            each = (time.monotonic() - began) / (self.guide.done - first)
            self.watch.progress(self._progress(losses, each * (self.steps - self.guide.done)))

    def _progress(self, losses: Losses, seconds_left: float) -> Progress:
        parts = {"similarity": losses.similarity, "latent": losses.latent, "classes": losses.classes}
        means = {name: float(loss.mean()) for name, loss in parts.items()}
        return Progress(self.guide.done, self.steps, seconds_left, means, self.guide.best_score.tolist())

    def measure(self) -> None:
        """Scores the pictures as they are, keeps the best of each seed, and takes a frame for the strip."""
        x, _ = self.guide.measure()
        shown = to_bytes(x[:MOST_ROWS]).cpu().contiguous()  # the strip has no more rows
        self.frames = thinned([*self.frames, (self.guide.done, shown)])

    def save(self) -> None:
        """Writes the state, and the pictures as they are."""
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.guide.tensors().items()}
        tensors["frames"] = torch.stack([frame for _, frame in self.frames])
        tensors["frames.step"] = torch.tensor([step for step, _ in self.frames])
        with atomic.new_folder(self.out / STATE) as folder:
            save_file(tensors, folder / "state.safetensors")
            atomic.write_json(folder / "state.json", {"format": FORMAT, "step": self.guide.done})
        write_pictures(self.out, self.asked, self.frames)

    def finish(self) -> Imagined:
        """Writes the results, and gives them."""
        if self.guide.done > self.steps:
            self.watch.say(f"The run has done {self.guide.done:,} steps already; these are its results.")
        return write_results(self.out, self.asked, self.guide, self.frames, self.pipe.class_names)


def thinned(frames: list[tuple[int, Tensor]]) -> list[tuple[int, Tensor]]:
    """The frames, without every other one but the first and the last where there are too many."""
    return frames if len(frames) <= MOST_FRAMES else [*frames[:-1:2], frames[-1]]


def read_state(folder: Path) -> tuple[int, dict[str, Tensor]]:
    """The steps done and the tensors of a saved state.

    Raises:
        ModelError: It is damaged or of another format.
    """
    atomic.verify(folder)
    about = atomic.read_json(folder / "state.json")
    if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("step"), int):
        raise ModelError(f"{folder} is not a state of format {FORMAT}; give another --out.")
    try:
        return about["step"], load((folder / "state.safetensors").read_bytes())
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder} cannot be read ({str(error)[:200]}); give another --out.") from error
