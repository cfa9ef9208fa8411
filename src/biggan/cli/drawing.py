"""What the commands that draw have in common: their flags, lists of numbers, and where they may write."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from biggan import opening
from biggan.errors import ConfigError
from biggan.sampling.pipeline import Pipeline
from biggan.sampling.recipe import check_replaceable
from biggan.training.hardware import keep_freed_memory

MOST_SEEDS = 100_000

ModelPlace = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
"""A run folder, a model's folder, a published checkpoint, or the name of a model that ships with the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncated:
    """How far from the average image a draw may go."""

    truncation: float | None = None
    """0 to 1: less varied, more typical images, in the published modules' convention."""
    threshold: float | None = None
    """Latents beyond it are drawn again, the paper's convention; instead of --truncation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where and how to compute."""

    device: str = "auto"
    """auto (the first GPU, or else the CPU), cpu, cuda, cuda:1 or mps."""
    batch_size: int | None = None
    """Images drawn at once; none: 16, fewer above 128 px, on a CPU above 32. Another number may round a byte
    differently."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of convolutions and matrix products."""


def load(model: str, machine: Machine) -> Pipeline:
    """The model, ready to draw; raises as `opening.load` and `Pipeline.to`."""
    keep_freed_memory()
    return opening.load(model).to(machine.device, precision=machine.precision, batch_size=machine.batch_size)


def parse_seeds(text: str) -> list[int]:
    """Seeds as "0,3,7-9", in that order.

    Raises:
        ConfigError: Not such a list, a range that falls, or more than 100,000 seeds.
    """
    ranges = parse_ranges(text)
    if sum(part.stop - part.start for part in ranges) > MOST_SEEDS:
        raise ConfigError(f"--seeds {text[:80]!r} are more than {MOST_SEEDS:,} seeds; ask for fewer at a time.")
    return [seed for part in ranges for seed in part]


def parse_ranges(text: str) -> list[range]:
    """Seeds as "0,3,7-9", in that order, a range for each part.

    Raises:
        ConfigError: Not such a list, or a range that falls.
    """
    ranges: list[range] = []
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        if not _is_whole(first) or (dash and not _is_whole(last)):
            raise ConfigError(f"--seeds {text[:80]!r} is not a list of whole numbers; write them as 0,3,7-9.")
        low, high = int(first), int(last or first)
        if not low <= high < 2**63:
            raise ConfigError(f"--seeds {part.strip()[:80]} is not allowed; ranges rise, up to 2^63 - 1, as 7-9.")
        ranges.append(range(low, high + 1))
    return ranges


def _is_whole(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 20


def parse_numbers(text: str, flag: str) -> list[float]:
    """Numbers as "0.1,0.5,1".

    Raises:
        ConfigError: Not such a list.
    """
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"{flag} {text[:80]!r} is not a list of numbers; write them as 0.1,0.5,1.") from None


def check_file(out: Path, endings: tuple[str, ...]) -> None:
    """Checks, before anything is drawn, that a file may be written: pictures of ours may be replaced, others not.

    Raises:
        ConfigError: A wrong ending, a folder, or a file that biggan did not draw.
    """
    if out.suffix.lower() not in endings:
        raise ConfigError(f"--out {out} ends in none of {', '.join(endings)}; rename it.")
    check_replaceable(out)


def say_where(what: str, path: Path) -> None:
    """Prints what was written where."""
    print(f"Wrote {what} to {path}")
