"""A run's length by the clock: it ends with its time on a machine that drifts, and repeats bit for bit in between."""

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from cases import assert_all_close

from biggan.config import Config
from biggan.presets import preset
from biggan.training.loop import Training, iterate
from biggan.training.pace import Pace, Timekeeper
from biggan.training.trial import Noise

STEP = 64


def ended(speed: Callable[[float], float], budget: float, trial: float) -> tuple[float, int]:
    """Seconds that a run takes whose speed, in images per second, depends on them; and how often it settled."""
    seconds, images, settled = 0.0, 0, 0
    pace = Pace(total_images=round(budget * trial / STEP) * STEP, images_per_second=trial)
    while images < pace.total_images:
        seconds += STEP / speed(seconds)
        images += STEP
        if images >= pace.next_images and images < pace.total_images:
            pace, settled = pace.settled(images, seconds, budget, STEP), settled + 1
    return seconds, settled


@pytest.mark.parametrize(
    "speed",
    [
        lambda t: 200.0,
        lambda t: 100.0,
        lambda t: 390.0,
        lambda t: 200.0 * (1 - 0.4 * t / 300),
        lambda t: 120.0 * (1 + t / 300),
        lambda t: 200.0 if t < 150 else 120.0,
        lambda t: 150 + 50 * math.sin(t / 20),
    ],
    ids=["as tried", "half", "double", "falling", "rising", "halved midway", "swinging"],
)
@pytest.mark.parametrize("budget", [120.0, 300.0, 3_600.0])
def test_a_run_ends_with_its_time_though_the_machine_is_not_as_fast_as_in_the_trial(
    speed: Callable[[float], float], budget: float
) -> None:
    seconds, settled = ended(lambda t: speed(t * 300 / budget), budget, trial=200.0)
    assert seconds == pytest.approx(budget, rel=0.02)
    assert settled < 20


def test_the_last_stretches_are_halves_of_what_is_left() -> None:
    pace = Pace(total_images=100_000, images_per_second=1.0, images=90_000)
    places = []
    while pace.next_images < math.inf:
        places.append(int(pace.next_images))
        pace = replace(pace, images=places[-1])
    assert places == [95_000, 97_500, 98_750]


def test_no_time_left_is_the_end_and_more_time_is_more_images() -> None:
    pace = Pace(total_images=1_000, images_per_second=10.0, images=640, seconds=64.0)
    assert pace.settled(704, 80.0, budget=80.0, step=STEP).total_images == 704
    assert pace.settled(640, 64.0, budget=128.0, step=STEP).total_images == 640 + 640


def timed(config: Config) -> tuple[Training, Timekeeper]:
    run = Training(config, torch.device("cpu"))
    return run, Timekeeper(run, budget=10.0, images_per_second=16.0)


def go(run: Training, keeper: Timekeeper, data: Noise, until: int) -> list[int]:
    """Trains on a machine on which `images` have taken `images ** 1.1 / 20` seconds; the totals settled on the way."""
    totals = []
    while run.images < until and not run.done:
        iterate(run, data)
        if keeper.is_due:
            keeper.settle(run.images**1.1 / 20)
            totals.append(run.config.train.total_images)
    return totals


def test_a_resumed_run_has_the_same_lengths_rates_and_weights() -> None:
    base = preset("tiny")
    config = replace(base, train=replace(base.train, total_images=160))
    data = Noise(config)
    whole, keeper = timed(config)
    totals = go(whole, keeper, data, 10**9)
    assert len({160, *totals}) > 2

    first, keeper = timed(config)
    go(first, keeper, data, 64)
    record = copy.deepcopy(keeper.record())
    second, keeper = timed(config)
    for name in ("G", "D", "G_ema"):
        getattr(second, name).load_state_dict(copy.deepcopy(getattr(first, name).state_dict()))
    for name in ("optim_g", "optim_d"):
        getattr(second, name).load(getattr(first, name).tensors())
    second.images = first.images
    keeper.recall(record, 0.0)
    later = go(second, keeper, data, 10**9)
    assert 0 < len(later) < len(totals)
    assert later == totals[-len(later) :]
    assert second.images == whole.images
    assert_all_close(second.G.state_dict(), whole.G.state_dict(), atol=0)
    assert_all_close(second.D.state_dict(), whole.D.state_dict(), atol=0)


def test_another_budget_settles_at_once_and_the_same_does_not() -> None:
    base = preset("tiny")
    run, keeper = timed(replace(base, train=replace(base.train, total_images=160)))
    run.images = 64
    keeper.settle(4.0)
    same, longer = (Timekeeper(run, budget, 1.0) for budget in (10.0, 20.0))
    same.recall(keeper.record(), 4.0)
    assert same.pace == keeper.pace
    longer.recall(keeper.record(), 4.0)
    assert run.config.train.total_images == 64 + 16 * 16


def test_a_run_that_goes_back_keeps_its_speed_and_not_its_time() -> None:
    base = preset("tiny")
    run, keeper = timed(replace(base, train=replace(base.train, total_images=160)))
    run.images = 96
    keeper.settle(6.0)
    run.images = 32
    keeper.go_back(8.0, keeper.pace.images_per_second)
    assert run.config.train.total_images == 32 + 32
    assert keeper.pace.images_per_second == 16.0


def test_a_damaged_record_is_refused() -> None:
    _, keeper = timed(preset("tiny"))
    for record in ({"pace": {}}, {"other": 1}, {"pace": {"budget": "x"}}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            keeper.recall(record, 0.0)


def test_settlings_come_in_order() -> None:
    pace, places = Pace(total_images=64_000, images_per_second=100.0), [0.0]
    while pace.next_images < math.inf:
        places.append(pace.next_images)
        images = math.ceil(pace.next_images / STEP) * STEP
        pace = pace.settled(images, images / 100, 640.0, STEP)
    assert all(a < b for a, b in itertools.pairwise(places))
    assert len(places) - 1 <= 16
