"""What watching a run costs: the figures of each step and the looks at its pictures, as a share of training time.

`python benchmarks/monitor.py [PRESET ...]` times, in turn and several times each, the iterations between two looks, the
figures that are taken in them, an ordinary look, and those of the eighth and the 32nd that cost more; it prints
medians and shares, a JSON line for machines, and writes a report to benchmarks/reports/.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from _report import Report, in_turn, table
from _training import CPU

from biggan import beginning, presets
from biggan.data.loader import Loader
from biggan.data.packed import prepare
from biggan.overseer import AVERAGE_LOOKS, LOOK_IMAGES, SELDOM_LOOKS, Overseer
from biggan.training.figures import Means, d_figures, gradient_norm
from biggan.training.hardware import compute_dtype, pick_precision
from biggan.training.loop import Training, iterate
from biggan.training.memory import keep_freed

PRECISION = pick_precision("auto", CPU)
ROUNDS = 5
FEW = 4  # iterations timed at once


def figures_of(iterations: int, run: Training, means: Means) -> None:
    """What iterations do for their figures alone."""
    on_real, on_fake = torch.randn(2, run.config.train.batch_size, 1)
    y = torch.arange(run.config.train.batch_size) % max(run.config.model.num_classes, 1)
    for _ in range(iterations):
        for _ in range(run.config.optim.d_steps):
            d_figures(on_real.mean(), on_fake.mean(), on_real, on_fake)
            run.tally.add(on_fake, y)
        gradient_norm(run.D.parameters())
        means.add({str(i): on_real[0, 0] for i in range(10)} | {"gradient_g": gradient_norm(run.G.parameters())})


def measure(name: str, out: Path) -> dict[str, float]:
    """Median seconds for `LOOK_IMAGES` images, and of what is done to watch them."""
    base = presets.preset(name)
    packed = prepare("fashion-mnist", base.model.resolution, base.data)
    config = beginning.resolve(base, packed, PRECISION)
    keep_freed(config, CPU)
    run, data = Training(config, CPU, compute_dtype(PRECISION)), Loader(packed, 0)
    watching, means = Overseer(run, out, packed), Means()
    iterations = LOOK_IMAGES / run.images_per_iteration
    iterate(run, data)

    def look_after(images: int) -> Callable[[], None]:
        def look() -> None:
            run.images = images
            watching.look()

        return look

    forms: dict[str, Callable[[], object]] = {
        "training": lambda: [iterate(run, data) for _ in range(FEW)],
        "figures": lambda: figures_of(round(iterations), run, means),
        "look": look_after(LOOK_IMAGES),
        "eighth look": look_after(LOOK_IMAGES * AVERAGE_LOOKS),
        "32nd look": look_after(LOOK_IMAGES * SELDOM_LOOKS),
    }
    medians = in_turn(forms, ROUNDS)
    return {**medians, "training": medians["training"] / FEW * iterations}


def share(medians: dict[str, float]) -> float:
    """Time for watching, per time of training without it."""
    seldom, averages = 1, SELDOM_LOOKS // AVERAGE_LOOKS - 1
    counts = {"look": SELDOM_LOOKS - averages - seldom, "eighth look": averages, "32nd look": seldom}
    looks = sum(count * medians[name] for name, count in counts.items()) / SELDOM_LOOKS
    return (medians["figures"] + looks) / (medians["training"] - medians["figures"])


def main() -> None:
    report = Report("monitor", "What watching a run costs")
    rows: list[list[str]] = []
    figures: dict[str, object] = {}
    for name in sys.argv[1:] or ["cpu-small", "cpu-medium"]:
        with tempfile.TemporaryDirectory() as folder:
            medians = measure(name, Path(folder))
        part = share(medians)
        rows.append([name, *(f"{value:.3f} s" for value in medians.values()), f"{part:.1%}"])
        figures[name] = {"seconds": medians, "share": part}
    head = ["preset", f"{LOOK_IMAGES:,} images", "their figures", "a look", "every eighth", "every 32nd", "share"]
    report.write(f"{PRECISION}, medians of {ROUNDS} rounds, in turn. Allowed is 3 %.", [table(head, rows)], figures)


if __name__ == "__main__":
    main()
