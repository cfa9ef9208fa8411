"""Training learns: a short run on real pictures draws what it is asked for."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from judge import bundled_images, fashion_judge, kernel_distance, recognised

import biggan
from biggan import presets, workflow
from biggan.config import Config

# Of ten seeds the worst share was 0.40 and the largest distance 18.9; noise has 66.9 (docs/proofs/learning.md).
LEAST_SHARE = 0.35
MOST_DISTANCE = 25.0
EACH = 50  # pictures of each class that are judged


def short_run(seed: int) -> Config:
    """The preset `cpu-small` cut to 16,000 images, about 40 seconds of one core."""
    base = presets.cpu_small()
    train = replace(base.train, total_images=16_000, save_images=16_000, sheet_images=16_000, seed=seed)
    return replace(base, train=train)


def judged(run: Path) -> tuple[float, float, float]:
    """A run's recognised share, its kernel distance to real test images, and that of noise."""
    judge, (real, _) = fashion_judge(), bundled_images("fashion-mnist-test")
    x = biggan.load(run)(num_images=EACH).x
    y = torch.arange(10).repeat_interleave(EACH)
    noise = torch.rand(len(x), 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    share = sum(recognised(judge, x, y)) / 10
    return share, kernel_distance(judge, x, real), kernel_distance(judge, noise, real)


@pytest.mark.timeout(1200)  # minutes where there are no bfloat16 instructions
def test_a_minute_of_training_draws_what_is_asked(tmp_path: Path) -> None:
    share, distance, noise = judged(workflow.train("fashion-mnist", tmp_path / "run", short_run(0)))
    assert share >= LEAST_SHARE
    assert distance <= MOST_DISTANCE
    assert noise >= 2.5 * MOST_DISTANCE
