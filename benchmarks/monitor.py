"""What watching a run costs: the figures of each step and the looks at its pictures, as a share of training time.

`python benchmarks/monitor.py [PRESET ...]` times, in turn and several times each, the iterations between two looks, the
figures that are taken in them, an ordinary look, and one of the eighth that costs more; it prints medians and shares, a
JSON line for machines, and writes a report to benchmarks/reports/.
"""

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch

from biggan import overseer, presets, workflow
from biggan.data.loader import Loader
from biggan.data.packed import prepare
from biggan.overseer import AVERAGE_LOOKS, LOOK_IMAGES, Overseer
from biggan.training.figures import Means, d_figures, gradient_norm
from biggan.training.loop import Training, iterate

REPORTS = Path(__file__).parent / "reports"
ROUNDS = 5
FEW = 4  # iterations timed at once


def seconds(action: Callable[[], object]) -> float:
    """Of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def figures_of_an_iteration(run: Training, means: Means) -> None:
    """What an iteration does for its figures alone."""
    on_real, on_fake = torch.randn(2, run.config.train.batch_size, 1)
    for _ in range(run.config.optim.d_steps):
        d_figures(on_real.mean(), on_fake.mean(), on_real, on_fake)
        gradient_norm(run.D.parameters())
    means.add({str(i): on_real[0, 0] for i in range(10)} | {"gradient_g": gradient_norm(run.G.parameters())})


def measure(name: str, out: Path) -> dict[str, float]:
    """Median seconds for `LOOK_IMAGES` images, and of what is done to watch them."""
    base = presets.preset(name)
    packed = prepare("fashion-mnist", base.model.resolution, base.data)
    config = workflow.resolve(base, packed, "float32")
    run, data = Training(config, torch.device("cpu")), Loader(packed, 0)
    watching, means = Overseer(run, out, packed), Means()
    iterations = LOOK_IMAGES / run.images_per_iteration
    iterate(run, data)
    watching.look()
    times: dict[str, list[float]] = {kind: [] for kind in ("training", "figures", "look", "eighth look")}
    for _ in range(ROUNDS):
        times["training"].append(seconds(lambda: [iterate(run, data) for _ in range(FEW)]) / FEW * iterations)
        times["figures"].append(seconds(lambda: figures_of_an_iteration(run, means)) * iterations)
        run.images = LOOK_IMAGES
        times["look"].append(seconds(watching.look))
        run.images = LOOK_IMAGES * AVERAGE_LOOKS
        times["eighth look"].append(seconds(watching.look))
    return {kind: statistics.median(values) for kind, values in times.items()}


def share(medians: dict[str, float]) -> float:
    """Time for watching, per time of training without it."""
    looks = (medians["look"] * (overseer.AVERAGE_LOOKS - 1) + medians["eighth look"]) / overseer.AVERAGE_LOOKS
    return (medians["figures"] + looks) / (medians["training"] - medians["figures"])


def main() -> None:
    load = os.getloadavg()[0]
    rows = [
        f"| preset | {LOOK_IMAGES:,} images | their figures | a look | every eighth | share |",
        "|---|---|---|---|---|---|",
    ]
    for name in sys.argv[1:] or ["cpu-small", "cpu-medium"]:
        with tempfile.TemporaryDirectory() as folder:
            medians = measure(name, Path(folder))
        part = share(medians)
        rows.append(f"| {name} | {' | '.join(f'{value:.3f} s' for value in medians.values())} | {part:.1%} |")
        print(json.dumps({"benchmark": "monitor", "preset": name, "seconds": medians, "share": part}), flush=True)
    table = "\n".join(rows)
    loads = f"load {load:.2f} before and {os.getloadavg()[0]:.2f} after"
    machine = (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    text = f"# What watching a run costs\n\n{machine}, {loads}, {date.today()}. Allowed is 3 %.\n\n{table}\n"
    print(text)
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / f"monitor_{platform.machine()}-{torch.get_num_threads()}-threads_{date.today()}.md").write_text(text)


if __name__ == "__main__":
    main()
