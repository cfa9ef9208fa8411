"""Ten ways to bring a run down, and thirty healthy runs: what the guard catches, how soon, and what it makes good.

`python proofs/collapse.py [FOLDER [RUN ...]]` does one run after the other in FOLDER (runs/collapse unless given), the
provoked ones first, and adds a line for each to FOLDER/collapse.jsonl; stopped or killed at any time, the same command
goes on in the middle of the run. Started again beside itself, it shares the runs with the first. RUNs are folders of
other runs that were healthy, of which the guard is tried on the looks too; with them fewer of our own are made, so that
all are thirty. Runs that are the same up to the provocation share that part. A healthy run is without guard and leaves
its looks, on which the guard of today is tried whenever the table is written: so after a change of its rules no healthy
run is needed again. They are of Fashion-MNIST, the same without labels, and each archive FOLDER/<set>-train.npz. The
page is written anew after each run. Two to four hours of one
core.
"""

import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _provocations import LOST, ONSET, PROVOCATIONS, Provoked
from _report import write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from judge import bundled_images, fashion_judge, kernel_distance, recognised

import biggan
from biggan import atomic, presets, workflow
from biggan.config import PLAIN, Config
from biggan.errors import Collapsed, Interrupted, RunInUse
from biggan.models import statistics
from biggan.training.course import SHIFT
from biggan.training.guard import Guard
from biggan.training.loop import Batches, Figures, Hook, Training, every, fit
from biggan.training.runlock import RunLock

LENGTH, SAVED = 2 * ONSET, ONSET // 5  # images of a run, and between its saved states
SOON = LENGTH // 20  # images within which harm has to be noticed
HEALTHY, UNSEEN = 30, 5  # healthy runs; the guard's rules were chosen by seeds below
JUDGED = 1_000  # images between the judge's looks
TOGETHER = 4  # of the judge's looks in a row that are averaged
WORSE = 2.0  # times the lowest distance at which a judge calls a run harmed
EACH = 20  # pictures of each class that a judge sees at a look
FASHION = "fashion-mnist"
TRAIN = "-train.npz"  # at the end of other sets' names
BEGUN = "begun"  # the part before the provocation, which runs share


class Task(NamedTuple):
    """One run."""

    name: str
    provocation: str | None
    source: str
    seed: int
    labels: bool = True

    @property
    def onset(self) -> int:
        """Images after which it is provoked, if at all."""
        return PROVOCATIONS[self.provocation].onset if self.provocation else ONSET

    @property
    def shares(self) -> bool:
        """Whether it is up to `ONSET` what others are."""
        return self[2:] == (FASHION, 0, True) and self.onset == ONSET


def settings(task: Task) -> Config:
    """The CPU preset at the proof's length."""
    base = presets.preset("cpu-small")
    lengths: dict[str, Any] = {"total_images": LENGTH, "save_images": SAVED, "sheet_images": LENGTH, "seed": task.seed}
    data, train = replace(base.data, labels=task.labels), replace(base.train, **lengths)
    return replace(base, data=data, augment=PLAIN, train=train)


def tasks(folder: Path) -> Iterator[Task]:
    """The provoked runs, then the healthy ones, a seed of each set in turn."""
    for name, provocation in PROVOCATIONS.items():
        source = FASHION if provocation.images is None else str(few_images(folder, provocation.images))
        yield Task(name, name, source, 0)
    archives = sorted(folder.glob(f"*{TRAIN}"))
    for seed in range(UNSEEN, UNSEEN + HEALTHY):
        yield Task(f"healthy-{FASHION}-{seed}", None, FASHION, seed)
        yield Task(f"healthy-unlabelled-{seed}", None, FASHION, seed, labels=False)
        for archive in archives:
            yield Task(f"healthy-{archive.name.removesuffix(TRAIN)}-{seed}", None, str(archive), seed)


def few_images(folder: Path, count: int) -> Path:
    """An archive of `count` images of Fashion-MNIST, the same number of each class."""
    place = folder / f"fashion-{count}.npz"
    if not place.exists():
        x, y = bundled_images()
        chosen = np.concatenate([np.flatnonzero(y.numpy() == k)[: count // 10] for k in range(10)])
        images = ((x.permute(0, 2, 3, 1).numpy()[chosen] + 1) * 127.5).round().astype(np.uint8)
        np.savez(place, x=images, y=y.numpy()[chosen])
    return place


class Judged:
    """A hook that has a judge look at the raw G: the first harm that it sees dates a slow collapse.

    Looks are kept in a file, each with the incidents before it, and those that a resumed run makes again are dropped.
    """

    def __init__(self, task: Task, place: Path) -> None:
        self.name, self.from_start, self.place, self.judge = task.name, task.onset == 0, place, fashion_judge()
        self.real = bundled_images("fashion-mnist-test")[0][:1000]
        self.looks: list[tuple[int, int, float]] = lines(place)

    @torch.no_grad()
    def __call__(self, run: Training, figures: Figures) -> None:
        G, y = deepcopy(run.G).train(), torch.arange(10).repeat(EACH)
        z = torch.randn(len(y), G.dim_z, generator=torch.Generator().manual_seed(0))
        x = torch.nan_to_num(G(z, G.embed(y)))
        if self.from_start:
            value = kernel_distance(self.judge, x, self.real)
        else:
            shares = recognised(self.judge, x, y)
            value = -shares[LOST] if self.name == "class" else -sum(shares) / len(shares)
        now = run.course.shift // SHIFT, run.images
        self.looks = [look for look in self.looks if tuple(look[:2]) < now] + [(*now, value)]
        atomic.write_bytes(self.place, "".join(json.dumps(look) + "\n" for look in self.looks).encode())

    def harm(self) -> int | None:
        """Images at the last of the first looks in a row whose mean is harmed; one look has much noise.

        Looks after an incident play no part, as it was noticed then.
        """
        lowest, looks = float("inf"), [(images, value) for shift, images, value in self.looks if shift == 0]
        for end in range(TOGETHER, len(looks) + 1):
            images, mean = looks[end - 1][0], sum(value for _, value in looks[end - TOGETHER : end]) / TOGETHER
            harmed = mean > WORSE * lowest if self.from_start else mean > -0.5 and images > ONSET
            if harmed:
                return images
            lowest = min(lowest, mean)
        return None


def stop_at_onset(run: Training, figures: Figures) -> None:
    """Hook: ends the shared part where its state has just been saved."""
    if run.images >= ONSET:
        raise Interrupted("the shared part is done", 0)


@contextmanager
def trained(task: Task, *hooks: Hook, last: Iterable[Hook] = ()) -> Iterator[None]:
    """Runs begun within meet the task's provocation, with more hooks before and after the usual ones."""
    cause = PROVOCATIONS[task.provocation].cause() if task.provocation else None

    def begin(run: Training, data: Batches, usual: Iterable[Hook]) -> None:
        fit(run, Provoked(data, run, cause, task.onset) if cause else data, [*hooks, *usual, *last])

    begins: Any = workflow
    begins.fit = begin
    try:
        yield
    finally:
        begins.fit = fit


def begun(folder: Path) -> Path:
    """The run of seed 0 up to the onset, in a folder that stays as it is."""
    out, task = folder / BEGUN, Task(BEGUN, None, FASHION, 0)
    if not (out / "states" / f"{ONSET:012}").exists():
        with trained(task, last=[stop_at_onset]):
            try:
                workflow.train(task.source, out, settings(task))
            except Interrupted as stopped:
                if stopped.exit_code:
                    raise
    return out


def copied(source: Path, out: Path) -> None:
    """Makes a run's folder from another's, whole or not at all."""
    half = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(source, half)
    half.rename(out)


def distance(model: Path) -> float | None:
    """A judge's distance of a model's pictures from held-out real images; None if there is no model."""
    if not (model / "model.safetensors").exists():
        return None
    x = biggan.load(model)(num_images=50).x
    return round(kernel_distance(fashion_judge(), x, bundled_images("fashion-mnist-test")[0]), 2)


def do(task: Task, folder: Path) -> dict[str, Any]:
    """One run, or the rest of it, as a line of results."""
    out, said, base = folder / task.name, "", settings(task)
    config = replace(base, train=replace(base.train, guard=task.provocation is not None))
    if task.shares and not out.exists():
        with RunLock(folder / "held" / BEGUN):
            copied(begun(folder), out)
    slow = task.provocation is not None and PROVOCATIONS[task.provocation].slow
    judged = Judged(task, out / "judged.jsonl") if slow else None
    with trained(task, *([every(JUDGED, judged)] if judged else [])):
        try:
            workflow.train(task.source, out, config)
        except Collapsed as error:
            said = str(error)
    result: dict[str, Any] = {**task._asdict(), "length": LENGTH, "stopped": said}
    result["seconds"] = json.loads((out / "stats.jsonl").read_text().splitlines()[-1])["seconds"]
    if task.provocation:
        result["incidents"] = lines(out / "incidents.jsonl")
        result["harm"] = (judged.harm() if judged else ONSET) or None
        result["distance_best"], result["distance_last"] = distance(out / "best"), distance(out)
    shutil.rmtree(out / "states", ignore_errors=True)  # the looks in stats.jsonl stay
    return result


def lines(place: Path) -> list[Any]:
    """The values of a file of JSON lines; none if it is not there."""
    return [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []


def alarms(stats: Path) -> list[str]:
    """What the guard of today says of the looks that a run without guard left, each with the images it is said at.

    Until the first alarm a guarded run is the same, bit for bit; after it the guard begins anew, as after a rollback.
    """
    guard, found = Guard(), []
    for look in (line for line in lines(stats) if "distance" in line):
        figures = {name: float("nan") if value is None else value for name, value in look.items()}
        verdict = guard.judge(look["images"], figures)
        if verdict:
            found.append(f"{verdict.rule} at {look['images']:,}: {verdict.reason}")
            guard = Guard()
    return found


def caught(result: dict[str, Any]) -> tuple[bool, str]:
    """Whether harm was noticed soon enough, and how that went."""
    onset = PROVOCATIONS[result["provocation"]].onset
    first = next((i for i in result["incidents"] if i["images"] > onset), None)
    if first is None:
        return False, "not noticed"
    if result["harm"] is None:
        return True, f"noticed ({first['rule']}) at {first['images']:,}, before a judge saw harm"
    delay = first["images"] - result["harm"]
    when = (
        f"noticed {delay:,} images ({delay / LENGTH:.1%}) after" if delay >= 0 else f"noticed {-delay:,} images before"
    )
    return delay <= SOON, f"{when} harm ({first['rule']})"


def ended(result: dict[str, Any]) -> str:
    """How a provoked run ended."""
    count = len(result["incidents"])
    ways = f"stopped after {count} incidents" if result["stopped"] else f"finished with {count} incidents"
    return f"{ways}; judge's distance of best/ {result['distance_best']}, of the last {result['distance_last']}"


def told(run: Path) -> str:
    """What a run elsewhere was."""
    record = json.loads((run / "run.json").read_text())
    train, images = record["config"]["train"], max(look["images"] for look in lines(run / "stats.jsonl"))
    source, ways = Path(record["data"]["source"]).stem, f"batch {train['batch_size']}, {train['precision']}"
    if train["microbatch"]:
        ways += f" in parts of {train['microbatch']}"
    return f"{source}, {images:,} images, {ways}, seed {train['seed']}"


def table(folder: Path, results: dict[str, dict[str, Any]], others: list[Path]) -> dict[str, object]:
    """The figures of the page, of each run's line by its name."""
    figures: dict[str, object] = {}
    provoked_runs = [results[name] for name in PROVOCATIONS if name in results]
    for result in provoked_runs:
        figures[PROVOCATIONS[result["provocation"]].title] = f"{caught(result)[1]}; {ended(result)}"
    healthy = sorted(name for name, result in results.items() if result["provocation"] is None)
    good = sum(caught(r)[0] for r in provoked_runs)
    saved = sum(r["distance_best"] is not None for r in provoked_runs)
    places = [(name, folder / name) for name in healthy] + [(told(run), run) for run in others]
    false = [(name, found) for name, run in places if (found := alarms(run / "stats.jsonl"))]
    words = "".join(f"; {name}: {', '.join(found)}" for name, found in false)
    figures[f"caught within {SOON:,} images of harm, or before a judge saw any"] = f"{good} of {len(provoked_runs)}"
    figures["ended with the best model kept"] = f"{saved} of {len(provoked_runs)}"
    figures["healthy runs with a false alarm"] = f"{len(false)} of {len(places)}{words}"
    figures["the healthy runs"] = "; ".join(name.removeprefix("healthy-") for name, _ in places)
    return figures


WHAT = f"""Each run shows {LENGTH:,} images to the preset `cpu-small`, with a state every {SAVED:,}. Ten runs on
Fashion-MNIST are provoked from image {ONSET:,} on (the tiny set and the one without spectral norm from the start), by
hooks in the script; lasting causes are there again after every rollback. Where harm comes slowly its beginning is told
by a classifier that the guard does not know: half of a class, or of all images, no longer recognised, or, where the
cause is there from the start, {WORSE:g} times the lowest distance, on average over {TOGETHER} looks. Healthy runs
differ in seed and set: Fashion-MNIST, the same without labels, other archives, and runs made elsewhere, which are
described. They run without guard, or had it and no incident, and the guard of today is tried on the looks that they
left, which are those of a guarded run up to its first alarm."""


def page(folder: Path, others: list[Path]) -> None:
    """Writes down what is there so far."""
    results = {result["name"]: result for result in lines(folder / "collapse.jsonl")}
    write("collapse", "Collapse is noticed and undone", WHAT, table(folder, results, others))


def main() -> None:
    torch.set_num_threads(1)
    tables: Any = statistics
    tables.TRUNCATIONS = tables.THRESHOLDS = (1.0,)  # of finished models; they play no part
    folder, others = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/collapse"), [Path(run) for run in sys.argv[2:]]
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "collapse.jsonl"
    for task in list(tasks(folder))[: len(PROVOCATIONS) + HEALTHY - len(others)]:
        with suppress(RunInUse), RunLock(folder / "held" / task.name):
            if task.name not in {result["name"] for result in lines(place)}:
                result = do(task, folder)
                with place.open("a") as file:
                    file.write(json.dumps(result) + "\n")
                page(folder, others)
    page(folder, others)


if __name__ == "__main__":
    main()
