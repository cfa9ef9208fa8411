"""Ten ways to bring a run down, and thirty healthy runs: what the guard catches, how soon, and what it makes good.

`python proofs/collapse.py [FOLDER]` does one run after the other and adds a line for each to FOLDER/collapse.jsonl
(runs/collapse unless given); stopped at any time, the same command goes on with what is missing. A CIFAR-10 archive at
FOLDER/cifar10-train.npz is a third of the healthy runs' sets, if it is there. The table is written anew after each
run. Hours to days, on one thread.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
from biggan import presets, workflow
from biggan.config import Config
from biggan.errors import Collapsed
from biggan.training.loop import Batches, Figures, Hook, Training, every, fit

LENGTH, SAVED = 60_000, 6_000  # images of a run, and between its saved states
SOON = LENGTH // 20  # images within which harm has to be noticed
SEEDS = 10  # of the healthy runs, on each of the sets
JUDGED = 1_000  # images between the judge's looks
WORSE = 1.5  # times the lowest distance at which a judge calls a run harmed
EACH = 20  # pictures of each class that a judge sees at a look


class Task(NamedTuple):
    """One run."""

    name: str
    provocation: str | None
    source: str
    seed: int
    labels: bool = True


def settings(task: Task) -> Config:
    """The CPU preset at the proof's length."""
    base = presets.preset("cpu-small")
    lengths = {"total_images": LENGTH, "save_images": SAVED, "sheet_images": LENGTH, "seed": task.seed}
    return replace(base, data=replace(base.data, labels=task.labels), train=replace(base.train, **lengths))


def tasks(folder: Path) -> Iterator[Task]:
    """The provoked runs, then the healthy ones, a seed of each set in turn."""
    for name, provocation in PROVOCATIONS.items():
        source = "fashion-mnist" if provocation.images is None else str(few_images(folder, provocation.images))
        yield Task(name, name, source, 0)
    cifar = folder / "cifar10-train.npz"
    for seed in range(SEEDS):
        yield Task(f"healthy-fashion-{seed}", None, "fashion-mnist", seed)
        yield Task(f"healthy-unlabelled-{seed}", None, "fashion-mnist", seed, labels=False)
        if cifar.exists():
            yield Task(f"healthy-cifar-{seed}", None, str(cifar), seed)


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
    """A hook that has a judge look at the raw G: the first harm that it sees dates a slow collapse."""

    def __init__(self, name: str) -> None:
        self.name, self.judge = name, fashion_judge()
        self.real = bundled_images("fashion-mnist-test")[0][:1000]
        self.looks: list[tuple[int, float]] = []

    @torch.no_grad()
    def __call__(self, run: Training, figures: Figures) -> None:
        G, y = deepcopy(run.G).train(), torch.arange(10).repeat(EACH)
        z = torch.randn(len(y), G.dim_z, generator=torch.Generator().manual_seed(0))
        x = torch.nan_to_num(G(z, G.embed(y)))
        value = (
            -recognised(self.judge, x, y)[LOST] if self.name == "class" else kernel_distance(self.judge, x, self.real)
        )
        self.looks.append((run.images, value))

    def harm(self) -> int | None:
        """Images at the first of two looks in a row that are harmed."""
        lowest, before = float("inf"), None
        for images, value in self.looks:
            usual = -0.5 if self.name == "class" else WORSE * lowest
            bad = images > (ONSET if self.name == "class" else 0) and value > usual
            if bad and before is not None:
                return before
            before, lowest = images if bad else None, min(lowest, value)
        return None


@contextmanager
def provoked(task: Task, judged: Judged | None) -> Iterator[None]:
    """Runs begun within meet the task's provocation."""
    cause = PROVOCATIONS[task.provocation].cause() if task.provocation else None

    def provoked_fit(run: Training, data: Batches, hooks: Iterable[Hook]) -> None:
        more = [every(JUDGED, judged)] if judged else []
        fit(run, Provoked(data, run, cause) if cause else data, [*more, *hooks])

    workflow.fit = provoked_fit
    try:
        yield
    finally:
        workflow.fit = fit


def distance(model: Path) -> float | None:
    """A judge's distance of a model's pictures from held-out real images; None if there is no model."""
    if not (model / "model.safetensors").exists():
        return None
    x = biggan.load(model)(num_images=50).x
    return round(kernel_distance(fashion_judge(), x, bundled_images("fashion-mnist-test")[0]), 2)


def do(task: Task, folder: Path) -> dict[str, Any]:
    """One run, as a line of results."""
    out, began, said = folder / task.name, time.time(), ""
    shutil.rmtree(out, ignore_errors=True)
    slow = task.provocation is not None and PROVOCATIONS[task.provocation].slow
    judged = Judged(task.name) if slow else None
    with provoked(task, judged):
        try:
            workflow.train(task.source, out, settings(task))
        except Collapsed as error:
            said = str(error)
    place = out / "incidents.jsonl"
    incidents = [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []
    result: dict[str, Any] = {**task._asdict(), "length": LENGTH, "stopped": said, "incidents": incidents}
    if task.provocation:
        result["harm"] = (judged.harm() if judged else ONSET) or None
        result["judged"] = judged.looks if judged else []
        result["distance_best"], result["distance_last"] = distance(out / "best"), distance(out)
    shutil.rmtree(out / "states", ignore_errors=True)  # the looks in stats.jsonl stay
    return result | {"minutes": round((time.time() - began) / 60, 1)}


def caught(result: dict[str, Any]) -> tuple[bool, str]:
    """Whether harm was noticed soon enough, and how that went."""
    first = next((i for i in result["incidents"] if result["provocation"] == "tiny" or i["images"] > ONSET), None)
    if first is None:
        return False, "not noticed"
    if result["harm"] is None:
        return True, f"noticed ({first['rule']}) before a judge saw harm"
    delay = first["images"] - result["harm"]
    when = (
        f"noticed {delay:,} images ({delay / LENGTH:.1%}) after" if delay >= 0 else f"noticed {-delay:,} images before"
    )
    return delay <= SOON, f"{when} harm ({first['rule']})"


def ended(result: dict[str, Any]) -> str:
    """How a provoked run ended."""
    ways = f"stopped after {len(result['incidents'])} incidents" if result["stopped"] else "finished"
    return f"{ways}; judge's distance best {result['distance_best']}, last {result['distance_last']}"


def table(results: list[dict[str, Any]]) -> dict[str, object]:
    """The figures of the page."""
    figures: dict[str, object] = {}
    provoked_runs = [r for r in results if r["provocation"]]
    for result in provoked_runs:
        figures[PROVOCATIONS[result["provocation"]].title] = f"{caught(result)[1]}; {ended(result)}"
    healthy = [r for r in results if not r["provocation"]]
    good = sum(caught(r)[0] for r in provoked_runs)
    saved = sum(not r["stopped"] or r["distance_best"] is not None for r in provoked_runs)
    alarms = [f"{r['name']}: {r['incidents'][0]['reason']}" for r in healthy if r["incidents"]]
    figures[f"caught within {SOON:,} images of harm"] = f"{good} of {len(provoked_runs)}"
    figures["recovered, or stopped with the best model kept"] = f"{saved} of {len(provoked_runs)}"
    figures["healthy runs with a false alarm"] = f"{len(alarms)} of {len(healthy)}{''.join(f'; {a}' for a in alarms)}"
    return figures


WHAT = f"""Each run shows {LENGTH:,} images to the preset `cpu-small`, with a state every {SAVED:,}. Ten runs on
Fashion-MNIST are provoked from image {ONSET:,} on (the tiny set from the start), by hooks in the script; lasting causes
are there again after every rollback. Where harm comes slowly its beginning is told by a classifier that the guard does
not know: half of a class no longer recognised, or {WORSE} times the lowest distance, twice in a row. Healthy runs
differ in seed and set (Fashion-MNIST, the same without labels, CIFAR-10)."""


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/collapse")
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "collapse.jsonl"
    results = [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []
    for task in tasks(folder):
        if task.name not in {result["name"] for result in results}:
            results.append(do(task, folder))
            with place.open("a") as file:
                file.write(json.dumps(results[-1]) + "\n")
        write("collapse", "Collapse is noticed and undone", WHAT, table(results))


if __name__ == "__main__":
    main()
