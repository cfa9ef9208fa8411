"""What was measured of a model: `metrics.jsonl` in its folder, a record a line, and the rows for its card.

What a record holds is `evaluation/measure.py`'s affair; here it has a name, values, errors and the weights' SHA-256.
A run's weights change, so its file holds records of several; the card shows those of the weights beside it.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biggan.atomic import disk_errors

METRICS = "metrics.jsonl"
MOST = 16 * 2**20  # bytes of the file that are read

Record = Mapping[str, Any]


def append(folder: Path, record: Record) -> None:
    """Adds a record to a folder's file.

    Raises:
        DiskFailed: The write failed.
    """
    path, line = folder / METRICS, json.dumps(record, ensure_ascii=False) + "\n"
    with disk_errors(str(path)), path.open("ab+") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        half = file.read() not in (b"", b"\n")  # a line that a full disk or a kill left
        file.write(b"\n" * half + line.encode())


def read(folder: Path, weights: str | None = None) -> list[dict[str, Any]]:
    """The records in a folder, oldest first; only those of some weights if asked. Lines that are no records are passed
    over, as a killed process may leave half of one."""
    path = folder / METRICS
    try:
        with path.open("rb") as file:
            lines = file.read(MOST).split(b"\n")
    except OSError:
        return []
    records = [_record(line) for line in lines]
    return [each for each in records if each and weights in (None, each["weights"]["sha256"])]


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
        whole = isinstance(value["name"], str) and isinstance(value["weights"]["sha256"], str)
        numbers = all(isinstance(x, int | float) for part in ("values", "errors") for x in value[part].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return value if whole and numbers else None


def latest(records: Sequence[Record]) -> list[Record]:
    """The newest record of each name, truncation and set of real images, in the order of their first."""
    by = ("truncation", "threshold")
    return list(
        {(each["name"], sets_of(each), *(str(each.get(part)) for part in by)): each for each in records}.values()
    )


def sets_of(record: Record) -> str:
    """The real images that a record is of, by the first digits of their SHA-256: `train 9e0622e0, test 8e3310c5`."""
    packs = record.get("real_sha256")
    return (
        ", ".join(f"{split} {str(sha256)[:8]}" for split, sha256 in packs.items()) if isinstance(packs, Mapping) else ""
    )


def compared_with(record: Record) -> list[str]:
    """How many images were drawn, and with how many real ones of which set they were compared, where it says so."""
    drawn, real, images = record.get("drawn_images"), record.get("real_images"), sets_of(record)
    return [
        *([f"{drawn:,} drawn"] if isinstance(drawn, int) else []),
        *([f"{real:,} real images{f' ({images})' if images else ''}"] if isinstance(real, int) and real else []),
    ]


def told(record: Record) -> str:
    """The figures of a record in a line: `distance 12.3 ± 0.4, of infinitely many 11.9`."""
    errors = record["errors"]
    return ", ".join(
        f"{name} {figure(value)}" + (f" ± {figure(errors[name], 2)}" if name in errors else "")
        for name, value in record["values"].items()
    )


def figure(value: float, digits: int = 4) -> str:
    """A number with so many digits, never as a power of ten."""
    if value != value or value == 0 or abs(value) >= 10**digits:
        return f"{value:.0f}"
    return f"{value:.{max(0, digits - 1 - _exponent(value))}f}"


def _exponent(value: float) -> int:
    return int(f"{abs(value):e}".partition("e")[2])
