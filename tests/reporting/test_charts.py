"""Curves in a frame: every value lies where its axis says, and what cannot be drawn is left out."""

import itertools
import math

import pytest

from biggan.reporting.charts import HEIGHT, MOST_POINTS, WIDTH, Chart, Point, Series, framed, short, ticks


def chart(*series: Series, **more: object) -> Chart:
    return Chart(title="A title", reading="A sentence.", series=series, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 7.9), (0.071, 0.0713), (0, 150_000), (-2e9, -1e9)])
def test_ticks_are_round_rising_and_within(low: float, high: float) -> None:
    found = ticks(low, high, 5)
    assert 2 <= len(found) <= 7
    assert low - 1e-9 <= found[0]
    assert found[-1] <= high + abs(high) * 1e-9
    steps = {f"{b - a:.6g}" for a, b in itertools.pairwise(found)}
    assert len(steps) == 1
    step = float(steps.pop())
    assert round(step / 10 ** math.floor(math.log10(step)), 6) in (1, 2, 2.5, 5)


@pytest.mark.parametrize("log", [False, True])
def test_values_lie_between_the_ticks_that_enclose_them(log: bool) -> None:
    frame = framed(chart(Series("a", [Point(x, y) for x, y in ((0, 1), (50, 30), (100, 900))]), log=log))
    assert frame is not None
    heights = [float(place.split()[1]) for place in frame.lines[0].line.removeprefix("M").split("L")]
    assert heights == sorted(heights, reverse=True)  # y of a picture grows downwards
    by_text = {tick.text: tick.at for tick in frame.y_ticks}
    low, high = ("10", "100") if log else ("0", "200")
    assert by_text[high] < heights[1] < by_text[low]
    assert all(0 <= tick.at <= HEIGHT for tick in frame.y_ticks)
    assert all(0 <= tick.at <= WIDTH for tick in frame.x_ticks)


def test_what_is_not_finite_is_left_out_and_what_is_not_positive_lies_below_a_logarithmic_scale() -> None:
    points = [Point(1, math.nan), Point(2, -1.0), Point(3, 2.0), Point(4, math.inf), Point(5, 3.0)]
    plain, log = framed(chart(Series("a", points))), framed(chart(Series("a", points), log=True))
    assert plain is not None
    assert log is not None
    assert plain.lines[0].line.count("L") == 2
    below, low, high = (float(place.split()[1]) for place in log.lines[0].line[1:].split("L"))
    assert below > log.bottom > low > high
    assert "least -1" in log.said


def test_texts_beside_values_do_not_cover_one_another_and_the_ends_have_theirs() -> None:
    points = [Point(x, x, label=f"{x:g}") for x in (0.0, 0.01, 0.5, 0.98, 1.0)]
    frame = framed(chart(Series("a", points, dots=True)))
    assert frame is not None
    assert sorted(text for _, _, text in frame.lines[0].labels) == ["0", "0.5", "1"]
    assert len(frame.lines[0].dots) == 5


def test_without_values_there_is_no_frame() -> None:
    assert framed(chart()) is None
    assert framed(chart(Series("a", [Point(1, math.nan)]))) is None
    assert framed(chart(Series("a", [Point(1, -1.0)]), log=True)) is None


def test_one_value_and_equal_values_have_a_frame() -> None:
    for points in ([Point(3, 0.0)], [Point(1, 2.0), Point(2, 2.0)]):
        frame = framed(chart(Series("a", points)))
        assert frame is not None
        assert "nan" not in repr(frame)


def test_long_lines_are_averaged_and_keep_their_mean() -> None:
    frame = framed(chart(Series("a", [Point(i, i % 2) for i in range(10_000)])))
    assert frame is not None
    assert frame.lines[0].line.count("L") < MOST_POINTS
    assert "from 0.5 to 0.5" in frame.said


def test_the_first_steps_do_not_set_the_scale() -> None:
    frame = framed(chart(Series("a", [Point(i, 1000.0 if i == 0 else 1.0 + i / 100) for i in range(100)])))
    assert frame is not None
    assert max(float(tick.text) for tick in frame.y_ticks) <= 3


def test_spread_is_a_band_or_error_bars() -> None:
    points = [Point(1, 2.0, 0.5), Point(2, 3.0, 0.5)]
    line, dots = (framed(chart(Series("a", points, dots=dots))) for dots in (False, True))
    assert line is not None
    assert dots is not None
    assert line.lines[0].band
    assert not line.lines[0].bars
    assert dots.lines[0].bars.count("V") == 2
    assert not dots.lines[0].band


def test_marks_lie_on_the_axis_and_those_outside_are_left_out() -> None:
    series = Series("a", [Point(0, 1.0), Point(100, 2.0)])
    frame = framed(chart(series, marks=[(50.0, "incident 1"), (500.0, "incident 2")]))
    assert frame is not None
    assert [mark.text for mark in frame.marks] == ["incident 1"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (50_000, "50k"), (1.2e6, "1.2M"), (3e9, "3G"), (1e-5, "1e-5"), (-2, "-2")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text


def test_ticks_say_where_they_are() -> None:
    frame = framed(chart(Series("a", [Point(10_000, 1.0), Point(20_000, 2.0)])))
    assert frame is not None
    assert [tick.text for tick in frame.x_ticks] == ["10k", "12.5k", "15k", "17.5k", "20k"]


def test_a_chart_of_zeros_begins_at_zero() -> None:
    frame = framed(chart(Series("a", [Point(0, 0.0), Point(1, 0.0)])))
    assert frame is not None
    assert max(frame.y_ticks, key=lambda tick: tick.at).text == "0"
