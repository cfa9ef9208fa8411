"""Seconds an image of drawing: the inference-ready generator beside our plain one, and beside the published package.

`python benchmarks/sampling.py [ROUNDS] [FOLDER]`. BigGAN 128 px (ch 96), 1 and 8 images at once: the plain form is the
network itself, unfused, float32, NCHW, as the reference computes it. BigGAN-deep-256, 1 and 4 at once: the package
pytorch-pretrained-biggan and ours opened from one folder of random weights (FOLDER, which is written if it is empty).
bfloat16 is measured where the processor has fast instructions for it. The forms take turns; what is told are medians.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from _report import LEAST_ROUNDS, Report, in_turn, table
from _training import BFLOAT16, NO_BFLOAT16, Contiguous
from pretrained import write
from torch import Tensor

from biggan import presets
from biggan.interop.pretrained import BigGAN, truncated_noise_sample
from biggan.models.build import build
from biggan.models.inference import Ready, own_row
from biggan.models.network import Generator

TRUNCATION, CLASS = 0.4, 207
COUNTS = {"biggan128": (1, 8), "deep256": (1, 4)}  # images at once
PRECISIONS: dict[str, torch.dtype | None] = {"float32": None} | ({"bfloat16": torch.bfloat16} if BFLOAT16 else {})

Figures = dict[str, dict[str, float]]


def plain(G: Generator, z: Tensor, c: Tensor) -> Tensor:
    """What `G(z, c)` is, with maps in torch's usual layout."""
    with Contiguous():
        x: Tensor = G(z, c)
    return x


def timed(forms: Mapping[str, Callable[[], Tensor]], count: int, rounds: int) -> dict[str, float]:
    """Seconds an image of each form, after a look whether they draw the same."""
    drawn = {name: draw() for name, draw in forms.items()}
    first = next(iter(drawn.values()))
    for name, x in drawn.items():
        apart = float((x - first).norm() / first.norm())
        if apart > (0.2 if "bfloat16" in name else 1e-3):
            raise SystemExit(f"{name} draws something else than {next(iter(drawn))}: {apart:.1e} apart.")
    return {name: value / count for name, value in in_turn(forms, rounds).items()}


def beside_plain(rounds: int) -> tuple[Figures, dict[str, float]]:
    """BigGAN at 128 px, and seconds to make it ready."""
    G = build(replace(presets.preset("biggan128").model, fused_resampling=False, init="N02"))[0].eval()
    row = own_row(G)
    making = {f"ready {name}": partial(ready, G, row, dtype) for name, dtype in PRECISIONS.items()}
    start = in_turn(making, rounds)
    made = {name: make() for name, make in making.items()}
    figures: Figures = {}
    for count in COUNTS["biggan128"]:
        z, c = torch.randn(count, G.dim_z), G.embed(torch.arange(count))
        forms: dict[str, Callable[[], Tensor]] = {"plain": partial(plain, G, z, c)}
        forms |= {name: partial(network, z, c) for name, network in made.items()}
        figures[f"{count} at once"] = timed(forms, count, rounds)
    return figures, start


def ready(G: Generator, row: Mapping[str, Tensor], dtype: torch.dtype | None) -> Generator:
    return Ready(G, dtype).at(row)


def beside_package(folder: Path, rounds: int) -> tuple[Figures, dict[str, float]]:
    """BigGAN-deep at 256 px, and seconds to make ours ready."""
    from pytorch_pretrained_biggan import BigGAN as Package  # type: ignore[import-untyped]

    if not (folder / "pytorch_model.bin").exists():
        write(str(folder))
    theirs, ours = Package.from_pretrained(str(folder)).eval(), BigGAN.from_pretrained(folder).eval().generator
    row = ours.statistics.row(TRUNCATION)
    making = {f"ready {name}": partial(ready, ours.G, row, dtype) for name, dtype in PRECISIONS.items()}
    start = in_turn(making, rounds)
    made = {name: make() for name, make in making.items()}
    figures: Figures = {}
    for count in COUNTS["deep256"]:
        z = torch.from_numpy(truncated_noise_sample(batch_size=count, truncation=TRUNCATION, seed=0))
        y = torch.zeros(count, 1000)
        y[:, CLASS] = 1
        c = y @ ours.G.shared.weight
        forms: dict[str, Callable[[], Tensor]] = {"package": partial(theirs, z, y, TRUNCATION)}
        forms |= {name: partial(network, z, c) for name, network in made.items()}
        figures[f"{count} at once"] = timed(forms, count, rounds)
    return figures, start


def rows(figures: Figures) -> list[Sequence[object]]:
    """A line for each form and count, with how many times as fast as the first form it is."""
    lines: list[Sequence[object]] = []
    for count, medians in figures.items():
        first = next(iter(medians.values()))
        lines += [[count, name, f"{value:.3f}", f"{first / value:.2f}"] for name, value in medians.items()]
    return lines


@torch.no_grad()
def main(rounds: int, folder: Path) -> None:
    report = Report("sampling", "Drawing")
    shallow, start = beside_plain(rounds)
    deep, start_deep = beside_package(folder, rounds)
    starts = [[name, f"{value:.3f}", f"{start_deep[name]:.3f}"] for name, value in start.items()]
    head = ["seconds an image", "times as fast"]
    what = (
        f"Random weights, medians of {rounds} rounds in turn.{NO_BFLOAT16} "
        "Plain is float32, unfused, NCHW and eager; the package is float32."
    )
    tables = [
        table(["BigGAN 128 px, ch 96", "form", *head], rows(shallow)),
        table(["BigGAN-deep-256", "form", *head], rows(deep)),
        table(["making ready, seconds", "BigGAN 128 px", "BigGAN-deep-256"], starts),
    ]
    figures = {"biggan128": shallow, "deep256": deep, "making": {"biggan128": start, "deep256": start_deep}}
    report.write(what, tables, {**figures, "rounds": rounds, "precisions": [*PRECISIONS]})


if __name__ == "__main__":
    given = sys.argv[1:]
    with tempfile.TemporaryDirectory() as temporary:
        main(int(given[0]) if given else LEAST_ROUNDS, Path((given[1:] or [temporary])[0]))
