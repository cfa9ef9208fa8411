"""From an amount of time to settings: a few rules, each with where it comes from. Pure but for the speed it asks for.

"Notes" are docs/lab-notes.md. Not here: reading the data and timing iterations (`budgeting.py`), and keeping to the
time (`pace.py`).
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import NamedTuple

from biggan import presets
from biggan.config import Config, Model, Train
from biggan.errors import ConfigError, OutOfMemory, nearest
from biggan.training import expected

NOT_FIXED = ("total_images", *presets.FROM_DATA)
LEAST_SECONDS = 30.0
MOST_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is seen of the data."""

    num_images: int
    num_classes: int
    channels: int
    side: int
    """Pixels of the pictures' shorter side, the median."""


class Rung(NamedTuple):
    """Networks, and the least images for which they are better than narrower ones."""

    resolution: int
    g_widths: tuple[int, ...]
    d_widths: tuple[int, ...]
    least_grey: int
    least_colour: int

    def least(self, facts: Facts) -> int:
        """Images that the run must show for these networks to pay."""
        return self.least_grey if facts.channels == 1 else self.least_colour


LADDER = (
    # Little time: a 32 px block of 16 channels costs a third of one of 48 (notes: at equal processor time).
    Rung(32, (64, 64, 32, 16), (16, 32, 64, 64), 0, 0),
    # `cpu-small` (notes: 0.89 of drawn clothes named rightly after 65,000 images).
    Rung(32, (64, 64, 48, 32), (32, 48, 64, 64), 30_000, 30_000),
    # Between that and the next (notes: in the time of 90,000 images better than `cpu-small` on Fashion-MNIST).
    Rung(32, (128, 96, 64, 32), (32, 64, 96, 128), 60_000, 60_000),
    # `cpu-medium` (notes: CIFAR-10 in the time of 55,000 images, as good as the rung before).
    Rung(32, (192, 128, 96, 48), (48, 96, 128, 192), 1_000_000, 90_000),
    # 64 px: not measured; half of `cpu-large`, then `cpu-large` itself.
    Rung(64, (128, 96, 64, 48, 24), (24, 48, 64, 96, 128), 150_000, 200_000),
    Rung(64, (256, 192, 128, 64, 32), (32, 64, 128, 192, 256), 1_000_000, 600_000),
    # 128 px: not measured.
    Rung(128, (256, 192, 128, 96, 48, 24), (24, 48, 96, 128, 192, 256), 1_000_000, 1_000_000),
)

SIZES = sorted({rung.resolution for rung in LADDER})

RATE_SHORT, SHORT = 1e-3, 150_000  # both learning rates of the best run of 150,000 images (notes)
RATE_LONG, LONG = 2e-4, 25_000_000  # those published for CIFAR-10, 500 epochs of 50,000 images
WIDE, RATE_WIDE = 96, 8e-4  # a D as wide died at 1e-3 that was held for 140,000 images (notes)
WIDE_SHORT = 128  # the same up to SHORT images: five runs of 70,000 to 90,000 were healthy (notes)
OF_RATE = 0.7, 1.4  # of G and of D: better on Fashion-MNIST (notes); D has 1 above SHORT images, where 1.4 is untried
CLASS_LOSS = 1.0  # where pictures have colours: on CIFAR-10 more are named rightly; clothes are better without (notes)
D_STEPS = 2  # as the paper; better than 1 and 4 at equal time (notes)
# By images. In short runs 16 is better than 8, 32 and 64 (notes); 50 and 64 are published.
BATCHES = ((0, 16), (300_000, 32), (1_000_000, 64))
MINUTE = 15_000  # images below which a longer high rate was better (notes, ten seeds of a minute)
# Of the averages, as shares of the run; clothes like long ones, photos short (notes). The warm-up bounds them by 0.16.
HALF_LIVES = (0.02, 0.006, 0.2)
LEAST_ITERATIONS = 50  # below which nothing is learned worth looking at
LONGEST = 0.999999  # share kept by the longest average
SHEET = 10_000  # images between sheets at the least, as one costs about as much as two hundred images


class Choice(NamedTuple):
    """What a time was turned into."""

    config: Config
    images_per_second: float
    """In the trial."""
    reasons: list[str]
    """What was chosen and why, a sentence a line."""


def parse_seconds(text: str) -> float:
    """`90s`, `30m`, `2h`, `1h30m` → seconds.

    Raises:
        ConfigError: Another text, or a time out of range.
    """
    found = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text) if len(text) < 20 else None
    if not found or not any(found.groups()):
        raise ConfigError(f"--budget is {text[:40]!r}; allowed is a time such as 90s, 30m, 2h or 1h30m.")
    seconds = float(sum(int(n or 0) * unit for n, unit in zip(found.groups(), (86_400, 3_600, 60, 1), strict=True)))
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise ConfigError(f"--budget is {text}; allowed is {LEAST_SECONDS:.0f}s to {MOST_SECONDS / 86_400:.0f}d.")
    return seconds


def in_words(seconds: float) -> str:
    """Seconds as `1h30m`, `2m5s`."""
    left, parts = round(seconds), []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"


def choose(
    facts: Facts,
    seconds: float,
    speed: Callable[[Config], float],
    fixed: Mapping[str, object] = MappingProxyType({}),
) -> Choice:
    """Settings for a time.

    Args:
        facts: What is seen of the data.
        seconds: Of training.
        speed: Images per second of a run with some settings; asked for the networks from narrow to wide until they are
            too slow.
        fixed: Name of a setting -> the value that the user has fixed. Without a resolution it is at most the data's.

    Raises:
        ConfigError: There are no rules for that resolution, or a fixed value is allowed by none.
        OutOfMemory: Not even the narrowest networks fit.
    """
    resolution = fixed.get("resolution")
    allowed = [rung for rung in LADDER if resolution in (None, rung.resolution)]
    if not allowed:
        raise ConfigError(f"--resolution is {resolution}; with --budget allowed is {', '.join(map(str, SIZES))}.")
    if resolution is None:
        allowed = [rung for rung in allowed if rung.resolution <= max(facts.side, 32)]
    chosen: tuple[Rung, Config, float] | None = None
    refused, unfit = "", None
    for i, rung in enumerate(allowed):
        try:
            config = with_fixed(settings(rung, facts, 100_000), fixed)
        except ConfigError as error:  # what the user fixed may suit another rung
            unfit = unfit or error
            continue
        if chosen and config.model == chosen[1].model:  # what the user fixed leaves nothing to choose
            break
        try:
            pace = speed(config)
        except OutOfMemory:
            if chosen is None:
                raise
            break
        if chosen and pace * seconds < rung.least(facts):
            refused = refused or _refused(rung, chosen[0], int(pace * seconds), rung.least(facts))
            if min(later.least(facts) for later in allowed[i:]) == rung.least(facts):
                break  # none that follows pays with fewer images
            continue
        chosen = rung, config, pace
    if chosen is None:
        assert unfit is not None  # the first rung is for everyone
        raise unfit
    rung, config, pace = chosen
    images = max(int(pace * seconds), 1)
    config = with_fixed(settings(rung, facts, images), fixed)
    step = config.optim.d_steps * config.train.batch_size
    config = with_fixed(settings(rung, facts, max(images // step, 1) * step, step), fixed)
    return Choice(config, pace, _reasons(facts, config, seconds, pace, refused))


def with_fixed(config: Config, fixed: Mapping[str, object]) -> Config:
    """Settings with some values replaced, by the names of their fields.

    Raises:
        ConfigError: There is no such field, it is the length or comes from the data, or its value is not allowed.
    """
    parts = {part.name: getattr(config, part.name) for part in fields(Config)}
    homes = {field.name: name for name, part in parts.items() for field in fields(part)}
    for name in fixed:
        if name not in homes:
            raise ConfigError(f"There is no setting {name!r}{nearest(name, list(homes))}.")
        if name in NOT_FIXED:
            raise ConfigError(f"--{name.replace('_', '-')} is given; leave it out with --budget, which finds it.")
    changes = {part: {name: value for name, value in fixed.items() if homes[name] == part} for part in parts}
    return replace(config, **{name: replace(part, **changes[name]) for name, part in parts.items()})


def settings(rung: Rung, facts: Facts, images: int, step: int | None = None) -> Config:
    """Settings for a number of images; `step` of them an iteration, if that is fixed."""
    base, widest = presets.cpu_small(), max(rung.d_widths)
    batch = [size for least, size in BATCHES if images >= least][-1]
    iterations = images / (step or D_STEPS * batch)
    first, *more = (min(round(0.5 ** (1 / max(share * iterations, 1.0)), 6), LONGEST) for share in HALF_LIVES)
    shares = OF_RATE if images <= SHORT else (OF_RATE[0], 1.0)
    rate_g, rate_d = (float(f"{share * learning_rate(images, widest):.2g}") for share in shares)
    return Config(
        model=_networks(base.model, rung),
        optim=replace(
            base.optim,
            class_loss=CLASS_LOSS if facts.num_classes > 1 and facts.channels > 1 else 0.0,
            d_steps=D_STEPS,
            lr_g=rate_g,
            lr_d=rate_d,
            decay_start=0.5 if images < MINUTE else 0.25,
            ema_decay=first,
            ema_more=tuple(dict.fromkeys(decay for decay in more if decay != first)),
        ),
        train=_lengths(base.train, images, batch),
    )


def learning_rate(images: int, widest: int) -> float:
    """What both learning rates are shares of: between two that are known, a line in logarithms of rate and length."""
    exponent = math.log(RATE_LONG / RATE_SHORT) / math.log(LONG / SHORT)
    rate: float = RATE_SHORT * max(images / SHORT, 1.0) ** exponent
    return min(rate, RATE_WIDE if widest > (WIDE_SHORT if images <= SHORT else WIDE) else rate)


def _networks(base: Model, rung: Rung) -> Model:
    slots = rung.resolution.bit_length() - 2
    size, dim_z = rung.resolution, 16 * slots
    return replace(base, resolution=size, dim_z=dim_z, g_widths=rung.g_widths, d_widths=rung.d_widths)


def _lengths(base: Train, images: int, batch: int) -> Train:
    sheet = max(SHEET, images // 10)
    report = max(1_000, min(images // 50, 50_000))
    return replace(
        base, batch_size=batch, total_images=images, save_images=sheet, sheet_images=sheet, report_images=report
    )


def _refused(rung: Rung, chosen: Rung, images: int, least: int) -> str:
    what = f"{rung.resolution} px" if rung.resolution != chosen.resolution else "wider networks"
    return f"{what} would see {images:,} images in this time and need {least:,}"


def _reasons(facts: Facts, config: Config, seconds: float, pace: float, refused: str) -> list[str]:
    """What was chosen and why, and what to expect: a few lines."""
    model, optim, train = config.model, config.optim, config.train
    colours = "grey" if facts.channels == 1 else "coloured"
    classes = f", {facts.num_classes} classes" if facts.num_classes else ", no classes"
    seen = train.total_images / facts.num_images
    widths = f"G {'-'.join(map(str, model.g_widths))}, D {'-'.join(map(str, model.d_widths))}"
    steps = f"{optim.d_steps} D steps, batch {train.batch_size}, learning rates {optim.lr_g:g} and {optim.lr_d:g}"
    told = f", class loss {optim.class_loss:g}" if optim.class_loss else ""
    fall = f"falling from {optim.decay_start:.0%} of the way on" if optim.decay_start else "falling from the start"
    averages = ", ".join(f"{decay:g}" for decay in (optim.ema_decay, *optim.ema_more))
    step = optim.d_steps * train.batch_size
    late = f"One iteration takes about {step / pace:,.0f} s, longer than the time, and is done; lower --batch-size."
    count = train.total_images // step
    few = f"Only {count} iterations fit, too few to learn from; lower --batch-size, or give more time."
    warning = late if step > pace * seconds else few if count < LEAST_ITERATIONS else ""
    return [
        f"Seen: {facts.num_images:,} {colours} pictures of about {facts.side} px{classes}; "
        f"{pace:,.0f} images a second on this machine.",
        f"Chosen for {in_words(seconds)}: {model.resolution} px, {widths}"
        f"{f' ({refused})' if refused else ''}; about {train.total_images:,} images, each {seen:,.1f} times.",
        f"{steps}, {fall}{told}; averages of G at {averages}, the best of which is taken at the end.",
        *([warning] if warning else []),
        "Expected: " + "; ".join(expectations(facts, seconds, train.total_images)) + ".",
        "The time is that of training, with looks, saves and sheets; packing, this trial and the tables for "
        "truncation at the end come on top.",
    ]


def expectations(facts: Facts, seconds: float, images: int) -> list[str]:
    """What should be seen at each tenth of the way: time, distance of the looks, and words where they change."""
    said, before = [], ""
    for tenth in range(1, 11):
        shown = images * tenth // 10
        words = expected.words(shown, facts.channels, facts.num_classes)
        far = expected.distance(shown, facts.channels, facts.num_classes)
        said.append(f"{in_words(seconds * tenth / 10)} {far:.2g}{f' ({words})' if words != before else ''}")
        before = words
    return said
