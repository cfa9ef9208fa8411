"""From time and data to settings: more time never narrows, what is fixed stays, and rules meet what they come from."""

import itertools
import math

import pytest

from biggan.config import Config
from biggan.errors import ConfigError
from biggan.models.build import count_parameters, skeleton
from biggan.training.budget import (
    HALF_LIVES,
    LADDER,
    LONG,
    RATE_LONG,
    RATE_SHORT,
    SHORT,
    Facts,
    choose,
    in_words,
    learning_rate,
    parse_seconds,
)

CLOTHES = Facts(num_images=60_000, num_classes=10, channels=1, side=28)
PHOTOS = Facts(num_images=50_000, num_classes=10, channels=3, side=32)
LARGE = Facts(num_images=9_000, num_classes=0, channels=3, side=300)
GREY = Facts(num_images=9_000, num_classes=0, channels=1, side=300)


def speed(config: Config) -> float:
    """Images per second of a machine that counts channels and pixels."""
    model = config.model
    sides = [model.resolution >> i for i in range(model.num_doublings)]
    return 4e9 / sum(side**2 * width**2 * 25 for side, width in zip(sides, model.g_widths[::-1], strict=False))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1h30m", 5_400), ("1d", 86_400), ("1m5s", 65)]
)
def test_a_time_is_read_and_told_alike(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds
    assert parse_seconds(in_words(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "30 m", "1.5h", "30m1h", "-3m", "2s", "99d", "9" * 30 + "s", "٣m\n"])
def test_what_is_no_time_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--budget is .*; allowed is .*\.$"):
        parse_seconds(text)


@pytest.mark.parametrize("facts", [CLOTHES, PHOTOS, LARGE, GREY], ids=["clothes", "photos", "large", "grey"])
def test_more_time_never_narrows_networks_nor_raises_the_rates_of_the_same_ones(facts: Facts) -> None:
    chosen = [choose(facts, 60.0 * 2**k, speed).config for k in range(15)]
    places = [[rung.g_widths for rung in LADDER].index(config.model.g_widths) for config in chosen]
    assert places == sorted(places)
    assert places[-1] > places[0]
    for one, other in itertools.pairwise(chosen):
        assert other.optim.lr_g <= one.optim.lr_g or other.model.g_widths != one.model.g_widths


def test_networks_that_pay_with_fewer_images_are_tried_though_others_before_them_do_not() -> None:
    assert choose(GREY, 8 * 3600.0, speed).config.model.resolution == 64
    assert choose(CLOTHES, 8 * 3600.0, speed).config.model.resolution == 32


def test_an_iteration_that_is_longer_than_the_time_is_said() -> None:
    told = "One iteration takes about 51,200 s, longer than the time"
    assert any(told in text for text in choose(CLOTHES, 60.0, lambda config: 0.01, {"batch_size": 256}).reasons)
    few = "Only 11 iterations fit, too few to learn from"
    assert any(few in text for text in choose(CLOTHES, 60.0, lambda config: 100.0, {"batch_size": 256}).reasons)
    usual = choose(CLOTHES, 60.0, lambda config: 100.0).reasons
    assert not any("longer than the time" in text or "too few" in text for text in usual)


def test_pictures_are_never_drawn_larger_than_they_are() -> None:
    assert {choose(facts, 2e6, speed).config.model.resolution for facts in (CLOTHES, PHOTOS)} == {32}
    assert choose(LARGE, 2e6, speed).config.model.resolution == 128


def test_each_set_of_networks_costs_more_than_the_one_before() -> None:
    assert [speed(choose(LARGE, 60.0, speed, {"resolution": size}).config) for size in (32, 64, 128)] == sorted(
        (speed(choose(LARGE, 60.0, speed, {"resolution": size}).config) for size in (32, 64, 128)), reverse=True
    )


def test_what_is_fixed_stays_and_the_rest_is_chosen() -> None:
    fixed = {"seed": 7, "batch_size": 16, "lr_d": 5e-4, "mirror": True, "g_widths": (8, 8, 8, 8)}
    config = choose(CLOTHES, 600.0, speed, fixed).config
    assert (config.train.seed, config.train.batch_size, config.data.mirror) == (7, 16, True)
    assert (config.optim.lr_d, config.model.g_widths) == (5e-4, (8, 8, 8, 8))
    assert config.optim.d_steps == choose(CLOTHES, 600.0, speed).config.optim.d_steps
    half_life = math.log(0.5) / math.log(config.optim.ema_decay)
    iterations = config.train.total_images / (config.optim.d_steps * 16)
    assert half_life == pytest.approx(HALF_LIVES[0] * iterations, rel=0.01)


@pytest.mark.parametrize(
    ("fixed", "sentence"),
    [
        ({"resolution": 256}, "--resolution is 256; with --budget allowed is 32, 64, 128"),
        ({"total_images": 5}, "--total-images is given; leave it out with --budget"),
        ({"num_classes": 5}, "--num-classes is given; leave it out"),
        ({"lr": 5}, "There is no setting 'lr'"),
        ({"d_steps": 0}, "--d-steps is 0; allowed is"),
    ],
)
def test_what_cannot_be_fixed_is_one_sentence(fixed: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        choose(CLOTHES, 600.0, speed, fixed)


def test_rates_meet_the_two_that_they_lie_between() -> None:
    assert learning_rate(SHORT, 64) == RATE_SHORT
    assert learning_rate(LONG, 64) == pytest.approx(RATE_LONG, rel=0.01)
    assert learning_rate(SHORT, 192) < RATE_SHORT


def test_the_longest_run_has_averages_that_are_allowed() -> None:
    optim = choose(CLOTHES, 30 * 86_400.0, lambda config: 5_000.0).config.optim
    assert max(optim.ema_decay, *optim.ema_more, 0) < 1


def test_the_reasons_say_what_was_seen_chosen_and_expected() -> None:
    choice = choose(CLOTHES, 300.0, speed)
    text = "\n".join(choice.reasons)
    widths = "-".join(map(str, choice.config.model.g_widths))
    for part in ("60,000 grey pictures", "10 classes", "5m", widths, f"{choice.config.train.total_images:,} images"):
        assert part in text
    assert text.count("; ") >= 10
    assert "outlines" in text


def test_every_choice_can_be_built() -> None:
    for facts in (CLOTHES, PHOTOS, LARGE):
        for seconds in (30.0, 3e3, 3e6):
            config = choose(facts, seconds, speed).config
            assert min(map(count_parameters, skeleton(config.model))) > 10_000


def test_a_rung_that_fixed_values_do_not_fit_is_passed_over_and_the_sentence_comes_where_none_fits() -> None:
    facts = Facts(num_images=60_000, num_classes=10, channels=3, side=64)
    found = choose(facts, 86_400.0, lambda config: 1e4, {"g_widths": (96, 96, 48, 24)})
    assert (found.config.model.resolution, found.config.model.g_widths) == (32, (96, 96, 48, 24))
    with pytest.raises(ConfigError, match="--g-widths"):
        choose(facts, 86_400.0, lambda config: 1e4, {"g_widths": (96, 48)})
