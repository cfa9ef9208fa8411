"""The guard lets healthy runs go on, and says of each kind of collapse what it is, when it began and what follows."""

import json
import math
import random

import pytest

from biggan.training.guard import HISTORY, PATIENCE, WARM_UP, Guard

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
    "jump": {"distance": 5.0},
    "poor": {"diversity": 0.1},
    "unreal": {"fake 2": -1.4},
    "mute": {"d_real_std": 0.01, "d_fake_std": 0.01},
    "beaten": {"d_fake": 0.5},
    "blended": {"recognised": 0.3},
    "ahead": {"flat_real": 1.0, "flat_fake": 0.97},
    "rise": {"distance": 0.95},
}


def healthy(images: int) -> dict[str, float]:
    """A look at a run that learns, with noise."""
    noise = random.Random(images)
    figures = {name: value * noise.uniform(0.8, 1.2) for name, value in HEALTHY.items()}
    return figures | {"distance": figures["distance"] * (1 + 2_000 / images)}


def after_healthy(looks: int = 30, loss: str = "hinge") -> Guard:
    guard = Guard(loss)
    for i in range(1, looks + 1):
        assert guard.judge(i * STEP, healthy(i * STEP)) is None
    return guard


def test_a_healthy_run_goes_on() -> None:
    after_healthy(200)


def test_a_class_that_strays_for_a_while_is_no_collapse() -> None:
    guard = after_healthy()
    for i in range(31, 41):
        assert guard.judge(i * STEP, HEALTHY | {"apart 2": 0.8}) is None


@pytest.mark.parametrize("rule", COLLAPSES)
def test_each_collapse_is_told_after_its_patience_and_traced_to_its_beginning(rule: str) -> None:
    guard = after_healthy()
    verdicts = [guard.judge((31 + i) * STEP, HEALTHY | COLLAPSES[rule]) for i in range(PATIENCE[rule])]
    assert verdicts[:-1] == [None] * (PATIENCE[rule] - 1)
    last = verdicts[-1]
    assert last is not None
    assert last.rule == rule
    assert last.good == (guard.past.lowest_images if rule == "rise" else 30 * STEP)
    assert last.good <= 30 * STEP
    assert len(last.reason.split()) > 4


@pytest.mark.parametrize("rule", [rule for rule in COLLAPSES if PATIENCE[rule] > 1])
def test_what_lasts_less_than_the_patience_is_noise(rule: str) -> None:
    guard = after_healthy()
    for i in range(40):
        figures = HEALTHY | (COLLAPSES[rule] if i % PATIENCE[rule] else {})
        assert guard.judge((31 + i) * STEP, figures) is None


def test_only_nan_counts_at_first() -> None:
    for rule in COLLAPSES:
        guard = Guard()
        verdicts = [guard.judge((i + 1) * STEP, HEALTHY | COLLAPSES[rule]) for i in range(WARM_UP)]
        assert {verdict is None for verdict in verdicts} == {rule != "finite"}


def test_before_the_first_look_all_that_was_saved_is_good() -> None:
    guard = Guard()
    assert guard.healthy(700) == 700
    verdict = guard.judge(STEP, HEALTHY | COLLAPSES["finite"])
    assert verdict is not None
    assert verdict.good == STEP


@pytest.mark.parametrize("rule", [rule for rule in COLLAPSES if PATIENCE[rule] > 1])
def test_no_state_is_given_up_that_a_run_may_have_to_go_back_to(rule: str) -> None:
    guard, kept = after_healthy(HISTORY), 0
    for i in range(HISTORY + 1, 40):
        verdict = guard.judge(i * STEP, HEALTHY | COLLAPSES[rule])
        kept = max(kept, guard.healthy(i * STEP))
        if verdict:
            assert kept <= verdict.good
            return
    assert rule in ("rise", "unreal")  # for which a longer history is needed


@pytest.mark.parametrize("loss", ["nonsaturating", "wasserstein"])
def test_d_is_ahead_by_the_measure_of_the_hinge_alone(loss: str) -> None:
    for figures in (COLLAPSES["ahead"], {"d_real": 2.0, "d_fake": -1.5}):
        guards = after_healthy(), after_healthy(loss=loss)
        hinge, other = ([guard.judge((31 + i) * STEP, HEALTHY | figures) for i in range(8)] for guard in guards)
        assert {verdict.rule for verdict in hinge if verdict} == {"ahead"}
        assert other == [None] * 8
    for rule in COLLAPSES.keys() - {"ahead"}:
        guard = after_healthy(loss=loss)
        verdicts = [guard.judge((31 + i) * STEP, HEALTHY | COLLAPSES[rule]) for i in range(PATIENCE[rule])]
        assert [verdict.rule for verdict in verdicts if verdict] == [rule]


def test_while_g_is_held_and_then_in_the_warm_up_only_nan_counts() -> None:
    hold = 10
    for rule in COLLAPSES:
        guard, looks = Guard(hold=hold * STEP), hold + WARM_UP
        verdicts = [guard.judge((i + 1) * STEP, HEALTHY | COLLAPSES[rule]) for i in range(looks)]
        assert {verdict is None for verdict in verdicts} == {rule != "finite"}


def test_after_a_hold_the_guard_is_what_it_is_at_the_beginning_of_a_run() -> None:
    held, fresh = Guard(hold=10 * STEP), Guard()
    for i in range(1, 11):
        assert held.judge(i * STEP, HEALTHY | {"d_real": 0.001, "d_fake": 0.002, "distance": 0.01}) is None
    looks = [healthy(i * STEP) for i in range(1, 12)] + [HEALTHY | COLLAPSES["burst"]] * 2
    for i, figures in enumerate(looks, 11):
        assert held.judge(i * STEP, figures) == fresh.judge(i * STEP, figures)
    assert held.to_json() == fresh.to_json()


def test_a_slow_collapse_is_traced_to_the_lowest_distance() -> None:
    guard = after_healthy(10)
    distances = [0.2] * HISTORY + [0.2 * 1.1**i for i in range(1, 40)]
    verdicts = []
    for i, distance in enumerate(distances):
        verdicts.append(guard.judge((11 + i) * STEP, HEALTHY | {"distance": distance}))
        if verdicts[-1]:
            break
    assert verdicts[-1] is not None
    assert verdicts[-1].rule == "rise"
    assert verdicts[-1].good == guard.past.lowest_images <= (10 + HISTORY) * STEP


@pytest.mark.parametrize(
    ("distances", "told"),
    [
        ((80, 7), 32),
        ((7, 80), 32),
        ((80, 5, 0.4, 0.4, 0.4), None),  # half of the way back
        ((80, 3, 3), 33),
        ((80, 5, 60), 33),
        ((3, 3, 0.4), None),  # small
        ((3, 3, 3), 33),
        ((4, 1.1, 1.1, 1.1), 34),  # both
    ],
)
def test_a_jump_that_is_small_or_half_of_the_way_back_has_one_look_more(
    distances: tuple[float, ...], told: int | None
) -> None:
    guard = after_healthy()
    verdicts = [guard.judge(i * STEP, HEALTHY | {"distance": d}) for i, d in enumerate(distances, 31)]
    assert verdicts[:-1] == [None] * (len(distances) - 1)
    found = verdicts[-1] and (verdicts[-1].rule, verdicts[-1].good, 30 + len(distances))
    assert found == (told and ("jump", 30 * STEP, told))


def test_a_guard_resumes_in_the_middle_of_anything() -> None:
    looks = [healthy(i * STEP) for i in range(1, 12)]
    looks += [HEALTHY | COLLAPSES["jump"], HEALTHY, HEALTHY | COLLAPSES["ahead"]] + [HEALTHY | COLLAPSES["beaten"]] * 3
    whole, parts = Guard(), Guard()
    for i, figures in enumerate(looks, 1):
        resumed = Guard()
        resumed.from_json(json.loads(json.dumps(parts.to_json())))
        parts = resumed
        assert parts.judge(i * STEP, figures) == whole.judge(i * STEP, figures)
        assert parts.to_json() == whole.to_json()


def test_a_d_that_has_the_same_to_say_of_real_and_drawn_images_within_its_noise_is_not_beaten() -> None:
    spread = HEALTHY["d_real_std"] + HEALTHY["d_fake_std"]
    guard, beaten = after_healthy(), after_healthy()
    for i in range(31, 51):
        assert guard.judge(i * STEP, HEALTHY | {"d_real": -0.39, "d_fake": -0.39 + 0.19 * spread}) is None
    verdicts = [beaten.judge(i * STEP, HEALTHY | {"d_real": -0.39, "d_fake": -0.39 + 0.21 * spread}) for i in (31, 32)]
    assert [verdict and verdict.rule for verdict in verdicts] == [None, "beaten"]


def test_figures_that_are_missing_are_no_complaint() -> None:
    guard = Guard()
    for i in range(1, 40):
        assert guard.judge(i * STEP, {"d_real": 0.1, "d_fake": -0.1}) is None


def test_a_run_that_came_back_from_a_distance_may_swing_as_far_again_and_no_further() -> None:
    swings = [0.17, 1.71, 0.13, 0.17, 3.2, 0.6, 0.11, 0.46]  # of a run of batches of 16 that learned
    looks = [HEALTHY | {"distance": distance} for distance in [0.14] * 20 + swings]
    guard = Guard()
    assert [guard.judge(STEP * i, look) for i, look in enumerate(looks, 1)] == [None] * len(looks)
    away = HEALTHY | {"distance": 4.0}
    assert guard.judge(40 * STEP, away) is None
    verdict = guard.judge(41 * STEP, away)
    assert verdict is not None
    assert verdict.rule == "jump"


def test_a_run_goes_back_to_before_the_distances_that_were_let_pass() -> None:
    guard, verdicts = Guard(), []
    for i, distance in enumerate([0.14] * 20 + [3.2, 0.14, 2.0, 3.0, 3.0], 1):
        verdicts.append(guard.judge(STEP * i, HEALTHY | {"distance": distance}))
    assert verdicts[:-1] == [None] * 24
    assert verdicts[-1] is not None
    assert verdicts[-1].good == 22 * STEP


def test_one_wild_look_does_not_blind_the_guard() -> None:
    looks = [0.11] * 20 + [1476.0] + [0.11] * 13 + [13.1, 4.3]  # of a run on 200 images
    guard = Guard()
    verdicts = [guard.judge(STEP * i, HEALTHY | {"distance": distance}) for i, distance in enumerate(looks, 1)]
    assert verdicts[:-1] == [None] * 35
    assert verdicts[-1] is not None
    assert verdicts[-1].rule == "jump"


def test_two_looks_at_bearable_pictures_are_no_jump_however_good_is_usual() -> None:
    guard = Guard()
    for i, distance in enumerate([0.08] * 30 + [0.95, 0.56] + [0.08] * 10, 1):  # a demo was sent back at 0.56
        assert guard.judge(STEP * i, HEALTHY | {"distance": distance}) is None


def test_what_a_run_came_back_from_is_forgotten() -> None:
    guard = Guard()
    for i, distance in enumerate([0.14] * 20 + [3.2] + [0.14] * 20 + [1.5], 1):
        assert guard.judge(STEP * i, HEALTHY | {"distance": distance}) is None
    verdict = guard.judge(60 * STEP, HEALTHY | {"distance": 1.5})
    assert verdict is not None
    assert verdict.rule == "jump"


def test_good_pictures_may_jump_as_in_a_healthy_demo() -> None:
    guard = Guard()
    looks = [HEALTHY | {"distance": distance} for distance in [0.06] * 20 + [0.31] * 6]
    assert [guard.judge(1000 * i, look) for i, look in enumerate(looks, 1)] == [None] * len(looks)
