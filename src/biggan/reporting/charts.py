"""Curves as numbers in a frame: where lines, bands, error bars and ticks go. `templates/parts.html` makes them visible.

The page's style sheet gives them their colours, in light and in dark, which pictures made by a plotting library would
not follow; and all that is needed is two axes. Not here: which figures are drawn (`panels.py`).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

WIDTH, HEIGHT = 440, 236  # of a chart, in units of which a letter has 12
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 10, 26  # margins for the axes' numbers
MOST_POINTS = 250  # of a line; more are averaged
FIRST = 0.03  # share of a line's points that may run off the scale: the first steps of a run are far from all others
COLOURS = 4  # of lines
ROOM = 26, 14  # of a text beside a value, across and up, in which no other begins
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class Point(NamedTuple):
    """A value with the half-width of its spread, if it has one, in both directions, and text beside it."""

    x: float
    y: float
    dy: float = 0.0
    dx: float = 0.0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """A line."""

    name: str
    """Empty for a line that stays in the background."""
    points: Sequence[Point]
    dots: bool = False
    """Few values, each with a dot and error bars, rather than many in a band."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What a chart shows."""

    title: str
    reading: str
    """A sentence on how to read it."""
    series: Sequence[Series]
    x_label: str = "images shown to D"
    log: bool = False
    """A logarithmic scale of y; a line leaves the frame where it is not above 0, and is left out if it never is."""
    marks: Sequence[tuple[float, str]] = ()
    """Places on x of which something is said."""
    y_label: str = ""
    note: str = ""
    """A name that says more exactly what is shown."""


class Tick(NamedTuple):
    """A place on an axis, and its number."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A series in the chart's units."""

    name: str
    line: str
    """A path through the values, empty where it would have no length."""
    band: str
    """A path around the spread, empty where there is none."""
    bars: str
    """Error bars as one path."""
    dots: list[tuple[float, float, str]]
    """Single values: where, and what is said of them."""
    labels: list[tuple[float, float, str]] = field(default_factory=list)
    """Text beside values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A chart in its units, ready to be written down."""

    chart: Chart
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    marks: list[Tick]
    said: str
    """The chart in words, for those who do not see it."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM

    def colour(self, line: Line) -> str:
        """Which of the page's colours a line has: a number by its place, or `faint`."""
        named = [each for each in self.lines if each.name]
        return str(named.index(line) % COLOURS) if line.name else "faint"


def framed(chart: Chart) -> Frame | None:
    """Puts a chart into its frame; None where it has no values."""
    kept = [Series(s.name, usable, s.dots) for s in chart.series if (usable := _usable(s.points, chart.log))]
    if not kept:
        return None
    x_low, x_high = _range((p.x + side for s in kept for p in s.points for side in (-p.dx, p.dx)), False)
    y_low, y_high = _range((y for s in kept for y in _extent(s)), chart.log)
    x_at = _scale(x_low, x_high, LEFT, WIDTH - RIGHT, False)
    y_at = _scale(y_low, y_high, HEIGHT - BOTTOM, TOP, chart.log)
    return Frame(
        chart=chart,
        lines=[_line(series, x_at, y_at) for series in kept],
        x_ticks=_numbered(ticks(x_low, x_high, 5), x_at),
        y_ticks=_numbered((_decades if chart.log else ticks)(y_low, y_high, 5), y_at),
        marks=[Tick(x_at(x), text) for x, text in chart.marks if x_low <= x <= x_high],
        said=_said(chart, kept),
    )


def _usable(points: Sequence[Point], log: bool) -> list[Point]:
    """Finite points as they can be drawn, at most `MOST_POINTS` by averaging neighbours."""
    finite = [p for p in points if all(map(math.isfinite, p[:4]))]
    if log and not any(p.y > 0 for p in finite):
        return []
    size = -(-len(finite) // MOST_POINTS)
    if size <= 1:
        return finite
    groups = [finite[i : i + size] for i in range(0, len(finite), size)]
    return [_mean(group) for group in groups]


def _mean(points: Sequence[Point]) -> Point:
    x, y, dy, dx = (fmean(values) for values in zip(*(p[:4] for p in points), strict=True))
    return Point(x, y, dy, dx)


def _extent(series: Series) -> list[float]:
    """Values that have to be on the scale."""
    late = series.points[0 if series.dots else int(FIRST * len(series.points) + 0.5) :]
    return [y for p in late for y in (p.y - p.dy, p.y + p.dy)]


def _range(values: Iterable[float], log: bool) -> tuple[float, float]:
    """From the least to the greatest with some air; from 0 where that is near."""
    found = [value for value in values if value > 0 or not log]
    low, high = min(found), max(found)
    if log:
        return low / 1.15, high * 1.15
    room = 0.06 * ((high - low) or abs(high) or 1.0)
    return (0.0 if 0 <= low <= 0.4 * high else low - room), high + room


def _scale(low: float, high: float, start: float, end: float, log: bool) -> Callable[[float], float]:
    """From values to units of the chart."""
    bend: Callable[[float], float] = math.log if log else float
    a, b = bend(low), bend(high)
    return lambda value: round(start + (bend(max(value, low / 10) if log else value) - a) / (b - a) * (end - start), 1)


def _line(series: Series, x_at: Callable[[float], float], y_at: Callable[[float], float]) -> Line:
    middle = [(x_at(p.x), y_at(p.y)) for p in series.points]
    upper = [(x_at(p.x), y_at(p.y + p.dy)) for p in series.points]
    lower = [(x_at(p.x), y_at(p.y - p.dy)) for p in series.points]
    with_band = not series.dots and any(p.dy for p in series.points)
    bars = [f"M{x} {a}V{b}" for (x, a), (_, b), p in zip(upper, lower, series.points, strict=True) if p.dy]
    bars += [
        f"M{x_at(p.x - p.dx)} {y}H{x_at(p.x + p.dx)}" for (_, y), p in zip(middle, series.points, strict=True) if p.dx
    ]
    said = [f"{p.label or short(p.x)}: {short(p.y)}" + (f" ± {short(p.dy)}" if p.dy else "") for p in series.points]
    single = series.dots or len(middle) == 1
    return Line(
        name=series.name,
        line=_path(middle) if len(middle) > 1 else "",
        band=_path([*upper, *reversed(lower)]) + "Z" if with_band else "",
        bars="".join(bars) if series.dots else "",
        dots=[(x, y, text) for (x, y), text in zip(middle, said, strict=True)] if single else [],
        labels=_apart([(x, y, p.label) for (x, y), p in zip(middle, series.points, strict=True) if p.label]),
    )


def _apart(labels: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Texts that do not cover one another, those at the ends of a line first; dots say the others when pointed at."""
    kept: list[tuple[float, float, str]] = []
    for x, y, text in [*labels[:1], *labels[:0:-1]]:
        if all(abs(x - there[0]) >= ROOM[0] or abs(y - there[1]) >= ROOM[1] for there in kept):
            kept.append((x, y, text))
    return kept


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in points)


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from low to high, about so many."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * step for step in STEPS if power * step >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _numbered(values: Sequence[float], at: Callable[[float], float]) -> list[Tick]:
    """Ticks with as many digits as all of them have."""
    digits = next((d for d in range(2, 9) if all(math.isclose(float(f"{v:.{d}g}"), v) for v in values)), 9)
    return [Tick(at(value), short(value, digits)) for value in values]


def _decades(low: float, high: float, about: int) -> list[float]:
    """The same for a logarithmic scale: powers of ten, with their multiples by 2 and 5 where there is room."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    few = (1.0, 2.0, 5.0) if len(powers) <= 4 else (1.0,)
    found = [m * 10.0**p for p in powers for m in few if low <= m * 10.0**p <= high]
    return found if len(found) > 1 else ticks(low, high, about)


def short(value: float, digits: int = 3) -> str:
    """A number as short as an axis wants it: 50k, 1.2M, 0.25."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{_plain(value / size, digits)}{unit}"
    return _plain(value, digits) if abs(value) >= 1e-3 or value == 0 else f"{value:.0e}".replace("e-0", "e-")


def _plain(value: float, digits: int) -> str:
    """So many digits, without noughts at the end of a fraction."""
    text = f"{value:.{max(0, digits - 1 - (math.floor(math.log10(abs(value))) if value else 0))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _said(chart: Chart, series: Sequence[Series]) -> str:
    """A chart in words: where each line begins, ends, and its least and greatest value."""
    parts = []
    for each in series[:6]:
        ys = [p.y for p in each.points]
        ends = f"{each.name}: from {short(ys[0])} to {short(ys[-1])}, least {short(min(ys))}, greatest {short(max(ys))}"
        parts.append(ends if len(ys) > 1 else f"{each.name}: {short(ys[0])}")
    more = [f"{len(series) - 6} more lines"] if len(series) > 6 else []
    return f"{chart.title}. {'; '.join([*parts, *more])}."
