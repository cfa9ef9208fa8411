"""Little data at equal CPU time: what is chosen for few images against none, and a start from another model.

`python proofs/little_data.py FOLDER`, a new one with cifar10-train.npz and cifar10-test.npz in it
(`examples/fetch_cifar10.py`), makes the runs of `RUNS` that FOLDER lacks, one after another; it can be stopped at any
time, and begins again at the last distance that was measured. At the end it writes `docs/proofs/little_data.md`.
Started again beside itself, it shares the runs with the first: CPU seconds of different hours do not compare, and with
two processes what is compared runs at about the same time. `python proofs/little_data.py FOLDER ARM ...` makes the runs
of some arms alone, `python proofs/little_data.py FOLDER show` prints, and writes, what is there so far. About five
hours of one core, of one without AMX.
"""

import copy
import json
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from _report import write
from torch import Tensor

from biggan import latents, presets
from biggan.config import PLAIN, Augment, Config, Data
from biggan.data.loader import Loader
from biggan.data.packed import Packed, prepare
from biggan.errors import RunInUse
from biggan.evaluation.distances import Estimate, kernel_distance
from biggan.evaluation.features import efficientnet_lite
from biggan.evaluation.leaks import leaks
from biggan.models.bundle import Bundle, load_bundle, save_bundle
from biggan.models.network import Generator
from biggan.models.statistics import Statistics, Table, standing_row
from biggan.sampling.classes import same
from biggan.training import state, transfer
from biggan.training.hardware import compute_dtype, pick_precision
from biggan.training.little import ADA_IMAGES, ADA_TARGET, GENTLE_LECAM, HOLD, POLICY
from biggan.training.loop import Training, iterate
from biggan.training.runlock import RunLock

PRECISION = pick_precision("auto", torch.device("cpu"))
PIXELS, DRAWN = 64, 1_000  # at which the judging network looks; pictures drawn for a distance
SOME = 50  # images of a class that are little data
LITTLE = replace(PLAIN, augment=POLICY, ada_target=ADA_TARGET, ada_images=ADA_IMAGES, lecam=GENTLE_LECAM)
MOST, MOST_TIME, MOST_FULL = 0.4, 0.5, 1.05  # what is claimed


@dataclass(frozen=True)
class Arm:
    """One way to train."""

    augment: Augment
    each: int | None = SOME  # images of a class; None for all
    classes: tuple[int, ...] = tuple(range(10))
    seconds: float = 0.0  # CPU seconds of training, where no images are given
    points: int = 12  # distances on the way
    init: bool = False  # from the model of the other five classes
    photographs: bool = True  # CIFAR-10, else Fashion-MNIST
    images: int | None = None  # length instead, over which the rates fall as the preset has it; else they are constant

    def reached(self, seconds: float, images: int, point: int) -> bool:
        """Whether a point, from 1, is reached after these CPU seconds and images."""
        share = point / self.points
        return seconds >= self.seconds * share if self.images is None else images >= self.images * share

    @property
    def step(self) -> str:
        """What lies between two points, in words."""
        return (
            f"{self.seconds / self.points:.0f} s" if self.images is None else f"{self.images // self.points:,} images"
        )


FULL = 96_000  # images of runs on all data
LONG, COST = 240_000, 1.05  # images of runs on few, in which these are learned by heart; CPU time of an image as little
WHOLE = presets.preset("cpu-small").train.total_images
FIRST, LAST = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
ARMS = {
    "none": Arm(PLAIN, images=LONG),
    "little": Arm(LITTLE, images=round(LONG / COST)),
    "none, all data": Arm(PLAIN, None, images=FULL, points=3),
    "little, all data": Arm(LITTLE, None, images=FULL, points=3),
    "five classes": Arm(PLAIN, None, FIRST, points=4, photographs=False, images=WHOLE),
    "scratch": Arm(LITTLE, SOME, LAST, 300.0, 15, photographs=False),
    "init": Arm(replace(LITTLE, hold_g=HOLD["both"]), SOME, LAST, 300.0, 15, init=True, photographs=False),
}
RUNS = [
    ("five classes", 0),  # the first, as others need it
    *((arm, seed) for seed in (0, 1, 2) for arm in ("none", "little")),
    *((arm, seed) for seed in range(20, 25) for arm in ("scratch", "init")),  # the rule was chosen by others
    *((arm, seed) for seed in (0, 1, 2) for arm in ("none, all data", "little, all data")),
]


def settings(seed: int, arm: Arm) -> Config:
    """`cpu-small`; runs of so many seconds have constant learning rates, so that they have no planned end."""
    base = presets.preset("cpu-small")
    model = replace(base.model, image_channels=3 if arm.photographs else 1, num_classes=len(arm.classes))
    train = replace(base.train, seed=seed, precision=PRECISION, total_images=arm.images or 10**9)
    optim = base.optim if arm.images else replace(base.optim, lr_schedule="constant")
    return replace(base, model=model, optim=optim, train=train, augment=arm.augment)


def data(source: str | Path, classes: tuple[int, ...], each: int | None) -> Packed:
    """The first `each` images of some classes of a set."""
    packed = prepare(source, 32, Data())
    chosen = [np.flatnonzero(packed.labels == k)[:each] for k in classes]
    labels = np.repeat(np.arange(len(classes)), [len(part) for part in chosen])
    images = np.array(packed.images)[np.concatenate(chosen)]
    return replace(packed, images=images, labels=labels, class_names=[packed.class_names[k] for k in classes])


def pictures(packed: Packed) -> Tensor:
    """All images, (N, C, 32, 32) in [-1, 1]."""
    return torch.from_numpy(packed.images).permute(0, 3, 1, 2) / 127.5 - 1


@torch.no_grad()
def drawn(G: Generator) -> Tensor:
    """DRAWN pictures of an averaged G, the same seeds each time, every class as often."""
    G = copy.deepcopy(G).eval()
    G.use_statistics(standing_row(G))
    z, y = latents.draw(range(DRAWN), G.dim_z), torch.arange(DRAWN) % G.num_classes
    return torch.cat([G(part, G.embed(of)).float() for part, of in zip(z.split(100), y.split(100), strict=True)])


class Judge:
    """Kernel distance to the held-out images of some classes of a set."""

    def __init__(self, source: str | Path, classes: tuple[int, ...]) -> None:
        self.network = efficientnet_lite(0, PIXELS)
        self.held = pictures(data(source, classes, None))
        self.real = self.features(self.held)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """(N, C, 32, 32) in [-1, 1] → (N, 1280)."""
        return torch.cat([self.network.features(part) for part in x.split(100)])

    def __call__(self, x: Tensor) -> Estimate:
        """Of drawn pictures."""
        return kernel_distance(self.real, self.features(x))


class Run:
    """One arm with one seed, in a folder of its own."""

    def __init__(self, folder: Path, name: str, seed: int) -> None:
        self.name, self.seed, self.arm = name, seed, ARMS[name]
        self.points, self.place = folder / "points.jsonl", folder / f"{name}-{seed}"
        self.model = folder / "five classes.model"
        if self.arm.init and not self.model.exists():
            sys.exit("init starts from the model that five classes makes, which is not there yet; make that first.")
        self.seen: str | Path = "fashion-mnist"
        self.held: str | Path = "fashion-mnist-test"
        if self.arm.photographs:
            self.seen, self.held = folder / "cifar10-train.npz", folder / "cifar10-test.npz"

    def go(self) -> None:
        """Trains to the end, from where it was."""
        arm = self.arm
        packed, judge = data(self.seen, arm.classes, arm.each), Judge(self.held, arm.classes)
        run = Training(settings(self.seed, arm), torch.device("cpu"), compute_dtype(PRECISION))
        loader = Loader(packed, self.seed)
        used, done = self.restore(run, packed)
        while done < arm.points:
            began = time.process_time()
            figures = iterate(run, loader)
            used += time.process_time() - began
            if arm.reached(used, run.images, done + 1):
                done += 1
                x = drawn(run.G_ema)
                values = {key: round(float(figure), 4) for key, figure in figures.items()}
                values["level"] = round(float(run.adaptive.level), 4)
                if done == arm.points and arm.augment.augment:
                    values |= {f"leak of {kind}": leak for kind, leak in leaks(judge.held, x, POLICY).items()}
                if done == arm.points and self.name == "five classes":
                    self.save(run, packed.class_names)
                self.keep(run, used, done, {**judge(x)._asdict(), **values})

    def save(self, run: Training, class_names: list[str]) -> None:
        """Saves the model from which others start."""
        G, row = copy.deepcopy(run.G_ema), standing_row(run.G_ema)
        G.use_statistics(row)
        statistics = Statistics({"none": Table(torch.zeros(1), {name: row[name][None] for name in row})})
        save_bundle(self.model, Bundle(G, run.D, class_names, statistics), None)

    def restore(self, run: Training, packed: Packed) -> tuple[float, int]:
        """Seconds used and distances measured before."""
        saved = state.load_latest(self.place, print)
        if saved is None:
            if self.arm.init:
                bundle = load_bundle(self.model)
                known = same(packed.class_names, bundle.class_names)
                print(transfer.load(run.G, run.D, bundle, packed, known, self.seed), flush=True)
                run.G_ema.load_state_dict(run.G.state_dict())
            return 0.0, 0
        for part in ("G", "D", "G_ema"):
            getattr(run, part).load_state_dict(saved.tensors[part])
        for part in ("optim_g", "optim_d"):
            getattr(run, part).load(saved.tensors[part])
        run.adaptive.load(saved.tensors["adaptive"])
        run.images = saved.images
        return saved.record["used"], saved.record["done"]

    def keep(self, run: Training, used: float, done: int, values: dict[str, Any]) -> None:
        """Adds a line to the points and saves a state; a line without its state is measured, and added, again."""
        about = {"arm": self.name, "seed": self.seed, "point": done, "seconds": round(used, 1), "images": run.images}
        with self.points.open("a") as lines:
            lines.write(json.dumps(about | values) + "\n")
        tensors = {part: dict(getattr(run, part).state_dict()) for part in ("G", "D", "G_ema")}
        tensors |= {part: getattr(run, part).tensors() for part in ("optim_g", "optim_d")}
        record = {"used": used, "done": done}
        state.save_state(self.place, run.images, tensors | {"adaptive": run.adaptive.tensors()}, record)
        state.prune(self.place, run.images, 1)


Curves = dict[tuple[str, int], dict[int, dict[str, Any]]]


def curves(folder: Path) -> Curves:
    """(Arm, seed) -> number of a point -> its line."""
    found: Curves = {}
    file = folder / "points.jsonl"
    for text in file.read_text().splitlines() if file.exists() else ():
        line = json.loads(text)
        if (line["arm"], line["seed"]) in RUNS:
            found.setdefault((line["arm"], line["seed"]), {})[line["point"]] = line
    return found


def is_done(found: Curves, run: tuple[str, int]) -> bool:
    """Whether a run has all its points."""
    return len(found.get(run, {})) == ARMS[run[0]].points


def table(found: Curves) -> dict[str, object]:
    """A row for each run: distance at each point."""
    rows: dict[str, object] = {}
    for arm, seed in (run for run in RUNS if run in found):
        values = ", ".join(f"{line['value']:.2f}" for _, line in sorted(found[arm, seed].items()))
        rows[f"{arm}, seed {seed}, every {ARMS[arm].step}"] = values
    return rows


def last_and_best(found: Curves, arm: str) -> tuple[float, float]:
    """Means over seeds of an arm's last and best distance."""
    runs = distances(found, arm)
    return mean(values[-1] for values in runs), mean(min(values) for values in runs)


def images_a_second(found: Curves, arm: str) -> float:
    """Images that an arm's runs showed in a CPU second."""
    ends = ends_of(found, arm)
    return sum(float(line["images"]) for line in ends) / sum(float(line["seconds"]) for line in ends)


def ends_of(found: Curves, arm: str) -> list[dict[str, Any]]:
    """The last lines of an arm's runs."""
    return [points[max(points)] for (name, _), points in found.items() if name == arm]


def distances(found: Curves, arm: str) -> list[list[float]]:
    """The distances of each seed of an arm, by points."""
    runs = [points for (name, _), points in sorted(found.items()) if name == arm]
    return [[points[i]["value"] for i in sorted(points)] for points in runs]


def first(curve: list[float], distance: float) -> float:
    """The number of the first point, from 1, that is as near; infinity if none is."""
    return next((i for i, value in enumerate(curve, 1) if value <= distance), math.inf)


def shares_of_time(found: Curves) -> tuple[list[float], list[float]]:
    """CPU time in which a start from the model is as near as scratch is on average over its seeds, as a share of that.

    Returns:
        On average over the seeds of the start, for each distance that scratch is the first time as near as; and of each
        seed to the last of these, scratch's best.
    """
    scratch, init = (
        [mean(values) for values in zip(*distances(found, arm), strict=True)] for arm in ("scratch", "init")
    )
    steps = [i for i, value in enumerate(scratch, 1) if value == min(scratch[:i])]
    passed = [first(init, scratch[i - 1]) / i for i in steps]
    return passed, [first(curve, min(scratch)) / steps[-1] for curve in distances(found, "init")]


def report(found: Curves) -> bool:
    """Writes down what is there of the runs; whether all is, and as claimed."""
    whole = {arm for arm in ARMS if all(is_done(found, run) for run in RUNS if run[0] == arm)}
    ends = {arm: last_and_best(found, arm) for arm in ARMS if arm in whole}
    figures: dict[str, object] = {}
    held = len(whole) == len(ARMS)
    for arm, plain, most in (
        ("little", "none", MOST),
        ("little, all data", "none, all data", MOST_FULL),
    ):
        if whole >= {arm, plain}:
            last, best = (ours / theirs for ours, theirs in zip(ends[arm], ends[plain], strict=True))
            times = [sum(line["seconds"] for line in ends_of(found, name)) for name in (arm, plain)]
            asked = f"last {last:.2f} (at most {most:g} is asked), best {best:.2f}"
            figures[f"{arm} over {plain}"] = f"{asked}; CPU time {times[0] / times[1]:.2f}"
            held &= last <= most
    if whole >= {"scratch", "init"}:
        passed, of_seeds = shares_of_time(found)
        pace = images_a_second(found, "init") / images_a_second(found, "scratch")
        asked = f"{passed[-1]:.2f} (at most {MOST_TIME:g} is asked)"
        figures["init, share of scratch's time to its best, means of seeds"] = asked
        figures["the same, each seed of init"] = ", ".join(f"{share:.2f}" for share in of_seeds)
        figures["the same, means, to each distance that scratch passes"] = ", ".join(f"{share:.2f}" for share in passed)
        figures["the same, images a CPU second over scratch's"] = f"{pace:.2f}"
        held &= passed[-1] <= MOST_TIME
    leaked = [v for points in found.values() for line in points.values() for k, v in line.items() if "leak of" in k]
    if told := [leak for leak in leaked if not math.isnan(leak)]:  # one does not show on these images
        figures["largest leak of an augmentation"] = f"{max(told):.2f}"
    figures |= {f"mean of {arm}": f"last {last:.2f}, best {best:.2f}" for arm, (last, best) in ends.items()}
    what = (
        f"`cpu-small`, one thread, {PRECISION}. Kernel distances of EfficientNet-Lite0's features at {PIXELS} px "
        f"between {DRAWN:,} pictures of the averaged generator and the held-out images; seconds are CPU seconds of "
        f"training. none and little: {SOME} images a class of CIFAR-10, rates that fall as the preset's do, over "
        f"{LONG:,} images, by when plain training has them by heart; {COST:g} times fewer for little, whose images "
        f"take as much longer. little is what is chosen for few images: --augment {' '.join(POLICY)} --ada-target "
        f"{ADA_TARGET:g} --ada-images {ADA_IMAGES} --lecam {GENTLE_LECAM:g}; it is forced on all images too, on "
        f"which nothing of it is chosen, to be compared after as many images. scratch and init, whose rates are "
        f"constant, so that they have no planned end: {SOME} images of each of the last five classes of "
        f"Fashion-MNIST, both as little; init starts from a model of the first five (all their images, trained as "
        f"`cpu-small` is, to {WHOLE:,} with rates that fall), whose G is held for the first {HOLD['both']:,} images, "
        f"and is compared by the time in which scratch is as near on average over its seeds."
    )
    write("little_data", "Little data goes further", what, figures | table(found))
    return held


def main(folder: Path, asked: list[str]) -> None:
    if unknown := [arm for arm in asked if arm not in (*ARMS, "show")]:
        sys.exit(f"{', '.join(unknown)} is no arm; there are {', '.join(ARMS)}.")
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    others = []  # runs that another process makes
    for run in (run for run in RUNS if run[0] in (asked or ARMS)):
        try:
            with RunLock(folder / "held" / "-".join(map(str, run))):
                if not is_done(curves(folder), run):
                    Run(folder, *run).go()
        except RunInUse:
            others.append(run)
    found = curves(folder)
    for name, values in table(found).items():
        print(f"{name}: {values}")
    held = report(found)
    if others:
        print(f"Of these {len(others)} were made, or are, by another process.")
    sys.exit(not held and not asked and not others)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
