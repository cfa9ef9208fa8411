"""The guard lets healthy runs go on, and says of each kind of collapse what it is, when it began and what follows."""

import json
import math
import random

import pytest

from biggan.training.guard import HISTORY, PATIENCE, WARM_UP, Guard, Verdict

STEP = 1_000  # images between looks
HEALTHY = {
    "d_real": 0.2,
    "d_fake": -0.2,
    "d_real_std": 0.6,
    "d_fake_std": 0.4,
    "flat_real": 0.1,
    "flat_fake": 0.1,
    "distance": 0.4,
    "diversity": 0.8,
    "recognised": 0.7,
    "apart 0": 0.2,
    "apart 1": 0.3,
    "apart 2": 0.1,
    "apart 3": 0.2,
    "fake 0": -0.2,
    "fake 1": -0.3,
    "fake 2": -0.1,
    "fake 3": -0.2,
}
COLLAPSES = {
    "finite": {"gradient_g": math.nan},
    "burst": {"d_real": 40.0, "d_fake": -40.0},
    "jump": {"distance": 2.0},
    "poor": {"diversity": 0.1},
    "unreal": {"fake 2": -1.4},
    "mute": {"d_real_std": 0.01, "d_fake_std": 0.01},
    "beaten": {"d_fake": 0.3},
    "blended": {"recognised": 0.3},
    "ahead": {"flat_real": 1.0, "flat_fake": 0.97},
    "rise": {"distance": 0.95},
}


def healthy(images: int) -> dict[str, float]:
    """A look at a run that learns, with noise."""
    noise = random.Random(images)
    figures = {name: value * noise.uniform(0.8, 1.2) for name, value in HEALTHY.items()}
    return figures | {"distance": figures["distance"] * (1 + 2_000 / images)}


def after_healthy(looks: int = 30, allowed: int = 3) -> Guard:
    guard = Guard(allowed)
    for i in range(1, looks + 1):
        assert guard.judge(i * STEP, healthy(i * STEP)) == Verdict("go on")
    return guard


def test_a_healthy_run_goes_on() -> None:
    after_healthy(200)


def test_a_class_that_strays_for_a_while_is_no_collapse() -> None:
    guard = after_healthy()
    for i in range(31, 41):
        assert guard.judge(i * STEP, HEALTHY | {"apart 2": 0.8}) == Verdict("go on")


@pytest.mark.parametrize("rule", COLLAPSES)
def test_each_collapse_is_told_after_its_patience_and_traced_to_its_beginning(rule: str) -> None:
    guard = after_healthy()
    verdicts = [guard.judge((31 + i) * STEP, HEALTHY | COLLAPSES[rule]) for i in range(PATIENCE[rule])]
    assert [verdict.action for verdict in verdicts[:-1]] == ["go on"] * (PATIENCE[rule] - 1)
    last = verdicts[-1]
    assert (last.action, last.rule) == ("roll back", rule)
    assert last.good == (guard.past.lowest_images if rule == "rise" else 30 * STEP)
    assert last.good <= 30 * STEP
    assert len(last.reason.split()) > 4


@pytest.mark.parametrize("rule", [rule for rule in COLLAPSES if PATIENCE[rule] > 1])
def test_what_lasts_less_than_the_patience_is_noise(rule: str) -> None:
    guard = after_healthy()
    for i in range(40):
        figures = HEALTHY | (COLLAPSES[rule] if i % PATIENCE[rule] else {})
        assert guard.judge((31 + i) * STEP, figures).action == "go on"


def test_only_nan_counts_at_first() -> None:
    for rule in COLLAPSES:
        guard = Guard(3)
        verdicts = [guard.judge((i + 1) * STEP, HEALTHY | COLLAPSES[rule]) for i in range(WARM_UP)]
        assert {verdict.action for verdict in verdicts} == {"roll back" if rule == "finite" else "go on"}


def test_the_incident_after_those_allowed_stops() -> None:
    guard = after_healthy(allowed=2)
    for number in range(3):
        guard.incidents = number
        verdict = guard.judge(31 * STEP, HEALTHY | COLLAPSES["finite"])
        assert verdict.action == ("roll back" if number < 2 else "stop")


def test_a_slow_collapse_is_traced_to_the_lowest_distance() -> None:
    guard = after_healthy(10)
    distances = [0.2] * HISTORY + [0.2 * 1.1**i for i in range(1, 40)]
    verdicts = []
    for i, distance in enumerate(distances):
        verdicts.append(guard.judge((11 + i) * STEP, HEALTHY | {"distance": distance}))
        if verdicts[-1].action != "go on":
            break
    assert (verdicts[-1].action, verdicts[-1].rule) == ("roll back", "rise")
    assert verdicts[-1].good == guard.past.lowest_images <= (10 + HISTORY) * STEP


def test_a_guard_resumes_in_the_middle_of_anything() -> None:
    looks = [healthy(i * STEP) for i in range(1, 12)]
    looks += [HEALTHY | COLLAPSES["jump"], HEALTHY, HEALTHY | COLLAPSES["ahead"]] + [HEALTHY | COLLAPSES["beaten"]] * 3
    whole, parts = Guard(3), Guard(3)
    for i, figures in enumerate(looks, 1):
        resumed = Guard(3)
        resumed.from_json(json.loads(json.dumps(parts.to_json())))
        parts = resumed
        assert parts.judge(i * STEP, figures) == whole.judge(i * STEP, figures)
        assert parts.to_json() == whole.to_json()


def test_figures_that_are_missing_are_no_complaint() -> None:
    guard = Guard(3)
    for i in range(1, 40):
        assert guard.judge(i * STEP, {"d_real": 0.1, "d_fake": -0.1}) == Verdict("go on")
