"""Whether training in bfloat16 learns as well as in float32: both on the same seeds, with as many images.

`python proofs/precision.py [FOLDER]`: runs are kept in FOLDER and taken up again where the script was stopped. An hour
of one core. Without bfloat16 instructions their arithmetic is done by `tests/bfloat16_arithmetic.py`.
"""

import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, get_args

import torch
from _report import write

from biggan import assess, presets, workflow
from biggan.config import PLAIN, Config

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bfloat16_arithmetic import bfloat16_arithmetic

METRICS = "kid1k_test@efficientnet_lite0_96px,acc1k_test@efficientnet_lite0_96px"
IMAGES, SEEDS = 61_440, 3
Precision = Literal["float32", "bfloat16"]


def settings(precision: Precision, seed: int) -> Config:
    """`cpu-small`."""
    base = presets.preset("cpu-small")
    lengths: dict[str, Any] = {"total_images": IMAGES, "save_images": IMAGES // 10, "sheet_images": IMAGES}
    return replace(base, augment=PLAIN, train=replace(base.train, precision=precision, seed=seed, **lengths))


def measured(run: Path) -> tuple[float, float]:
    """Kernel distance to the held-out images, and the share of drawn images named as asked."""
    kid, acc = assess.evaluate(run, "fashion-mnist", "fashion-mnist-test", METRICS)
    return next(iter(kid["values"].values())), next(iter(acc["values"].values()))


def main() -> None:
    """Trains, measures, reports."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/precision")
    rows: dict[str, object] = {}
    means, worst = dict[str, float](), dict[str, float]()
    for precision in get_args(Precision):
        found = []
        for seed in range(SEEDS):
            run = folder / f"{precision}-{seed}"
            with bfloat16_arithmetic():
                workflow.train("fashion-mnist", run, settings(precision, seed))
            found.append(measured(run))
            print(f"{precision}, seed {seed}: distance {found[-1][0]:.3f}, recognised {found[-1][1]:.3f}", flush=True)
        kids, shares = zip(*found, strict=True)
        means[precision], worst[precision] = fmean(kids), max(kids)
        rows[precision] = (
            f"distance {fmean(kids):.3f} ({', '.join(f'{kid:.3f}' for kid in kids)}), "
            f"recognised {fmean(shares):.3f} ({', '.join(f'{share:.3f}' for share in shares)})"
        )
    what = (
        f"The preset `cpu-small` on Fashion-MNIST, {IMAGES:,} images, {SEEDS} seeds of each precision, one thread. "
        f"Measured are {METRICS} of the averaged generator, which draws in float32. Without bfloat16 instructions, "
        "sums of bfloat16 products were taken in float32 and rounded once, which is what these do."
    )
    write("precision", "Learning in bfloat16 and in float32", what, rows)
    sys.exit(means["bfloat16"] > worst["float32"])


if __name__ == "__main__":
    main()
