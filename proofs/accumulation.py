"""What accumulation costs in quality: a batch of 64 as 1 x 64, 4 x 16 and 16 x 4, whose norms see 64, 16, 4 images.

Runs are kept in a folder and taken up again where the script was stopped.
"""

import argparse
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import _report

from biggan import assess, presets, workflow
from biggan.config import Config

METRICS = "kid1k_test@efficientnet_lite0_96px,acc1k_test@efficientnet_lite0_96px"
BATCH, SPLITS = 64, (64, 16, 4)


def settings(microbatch: int, seed: int, images: int) -> Config:
    """`cpu-small` at a batch of 64, so split."""
    base = presets.preset("cpu-small")
    length: dict[str, Any] = {"total_images": images, "save_images": images // 4, "sheet_images": images}
    train = replace(base.train, batch_size=BATCH, microbatch=microbatch, seed=seed, **length)
    return replace(base, train=train)


def measured(run: Path) -> tuple[float, float]:
    """Kernel distance to the held-out images, and the share of drawn images named as asked."""
    kid, acc = assess.evaluate(run, "fashion-mnist", "fashion-mnist-test", METRICS)
    return next(iter(kid["values"].values())), next(iter(acc["values"].values()))


def main() -> None:
    """Trains, measures, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/accumulation"))
    asked = parser.parse_args()
    found: dict[int, list[tuple[float, float]]] = {split: [] for split in SPLITS}
    for seed in range(asked.seeds):
        for split in SPLITS:
            run = asked.folder / f"{split}-{seed}"
            workflow.train("fashion-mnist", run, settings(split, seed, asked.images))
            found[split].append(measured(run))
            print(
                f"seed {seed}, {BATCH // split} x {split}: distance {found[split][-1][0]:.3f}, "
                f"recognised {found[split][-1][1]:.3f}",
                flush=True,
            )
    rows: dict[str, object] = {}
    for split, values in found.items():
        kids, shares = zip(*values, strict=True)
        rows[f"{BATCH // split} x {split}"] = (
            f"distance {statistics.mean(kids):.3f} ({', '.join(f'{kid:.3f}' for kid in kids)}), "
            f"recognised {statistics.mean(shares):.3f}"
        )
    _report.write(
        "accumulation",
        "What accumulation costs",
        f"The preset cpu-small on fashion-mnist, {asked.images:,} images, {asked.seeds} seeds, batch {BATCH} in one "
        f"piece and in microbatches, each of which has batch-norm statistics of its own. Measured are {METRICS}.",
        rows,
    )


if __name__ == "__main__":
    main()
