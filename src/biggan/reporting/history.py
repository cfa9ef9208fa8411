"""What a run folder tells of its training: settings, figures, sheets, incidents, measurements.

Read as it is found, while the run may be going on: what is missing is empty, and lines or files that are damaged are
passed over, as a killed process may leave half of one, but for `run.json`, without which a run is none. A folder may
come from anyone, so nothing outside it is read.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biggan import atomic
from biggan.errors import ModelError
from biggan.models import measured
from biggan.overseer import BEST, INCIDENTS
from biggan.run_record import RUN
from biggan.sitting import SHEETS

STATS = "stats.jsonl"
MOST_STATS = 32 * 2**20  # bytes of figures that are taken in; of more, every second, third, … line
MOST_INCIDENTS = 50
LOOK = "distance"  # a figure that looks have and reports have not

Figures = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A time that a run went back."""

    number: int
    images: int
    """Images shown when it was noticed."""
    back_to: int
    """Images shown at the state that the run went back to."""
    reason: str
    remedy: str
    before: Path | None
    """A picture of what was drawn then."""
    after: Path | None
    """A picture of what the older state drew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is told; all but the folder is empty for a model that came without its run."""

    folder: Path | None
    run: dict[str, Any] = field(default_factory=dict)
    """`run.json`."""
    figures: list[Figures] = field(default_factory=list)
    """Lines of `stats.jsonl`; those of looks alone where there are any, which are means and not one step's values."""
    sheets: list[tuple[int, Path]] = field(default_factory=list)
    """Images shown, and a sheet drawn then."""
    incidents: list[Incident] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    """Lines of `metrics.jsonl`."""
    best: dict[str, Any] = field(default_factory=dict)
    """What the model in `best/` says of its training."""

    @property
    def is_run(self) -> bool:
        """Whether there was a training to tell of."""
        return bool(self.run)

    def part(self, name: str) -> dict[str, Any]:
        """A part of `run.json`, empty where it is missing: `data`, `versions`, `init`."""
        found = self.run.get(name)
        return found if isinstance(found, dict) else {}

    def settings(self, name: str) -> dict[str, Any]:
        """A part of the run's settings, empty where it is missing: `model`, `data`, `optim`, `train`."""
        found = self.part("config").get(name)
        return found if isinstance(found, dict) else {}

    @property
    def guarded(self) -> bool:
        """Whether the run had a guard; older runs had none."""
        return self.settings("train").get("guard") is True

    @property
    def class_names(self) -> list[str]:
        """The names of the run's classes; empty without classes, or without a run."""
        found = self.run.get("class_names")
        return [str(name) for name in found] if isinstance(found, list) else []


def read_history(folder: Path | None) -> History:
    """Reads what there is in a folder; None for a model that has none.

    Raises:
        ModelError: Its `run.json` is damaged.
    """
    if folder is None or not folder.is_dir():
        return History(folder=None)
    return History(
        folder=folder,
        run=_run(folder / RUN),
        figures=_figures(folder / STATS),
        sheets=_sheets(folder / SHEETS),
        incidents=_incidents(folder),
        records=measured.read(folder),
        best=_mapping(folder / BEST / "config.json").get("training") or {},
    )


def _run(path: Path) -> dict[str, Any]:
    found = atomic.read_json(path) if path.exists() else {}
    if not isinstance(found, dict):
        raise ModelError(f"{path} is damaged; put it back.")
    return found


def _mapping(path: Path) -> dict[str, Any]:
    """A JSON object in a file, empty where there is none."""
    try:
        value = atomic.read_json(path)
    except ModelError:
        return {}
    return value if isinstance(value, dict) else {}


def _lines(path: Path, most: int) -> list[dict[str, Any]]:
    """Lines of a file that are JSON objects; of a file of more bytes than `most` every second, third, … line."""
    found = []
    try:
        every = 1 + path.stat().st_size // most
        with path.open("rb") as file:
            for i, line in enumerate(file):
                if i % every == 0 and (value := _object(line)) is not None:
                    found.append(value)
    except OSError:
        return []
    return found


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _figures(path: Path) -> list[Figures]:
    rows = [
        {name: float(value) for name, value in line.items() if _is_finite(value)} for line in _lines(path, MOST_STATS)
    ]
    rows = [row for row in rows if "images" in row]
    looks = [row for row in rows if LOOK in row]
    return looks or rows


def _is_finite(value: object) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:  # a whole number beyond all floats
        return False


def _sheets(folder: Path) -> list[tuple[int, Path]]:
    found = sorted(folder.glob("*.png")) if folder.is_dir() else []
    return [(int(path.stem), path) for path in found if path.stem.isascii() and path.stem.isdigit()]


def _incidents(folder: Path) -> list[Incident]:
    lines = _lines(folder / f"{INCIDENTS}.jsonl", MOST_STATS)[:MOST_INCIDENTS]
    return [_incident(folder, number, line) for number, line in enumerate(lines, 1)]


def _incident(folder: Path, number: int, line: dict[str, Any]) -> Incident:
    told = line.get("pictures")
    pictures = [_inside(folder, name) for name in told] if isinstance(told, list) else []
    return Incident(
        number=number,
        images=_whole(line.get("images")),
        back_to=_whole(line.get("back_to")),
        reason=str(line.get("reason", "")),
        remedy=str(line.get("remedy", "")),
        before=pictures[0] if pictures else None,
        after=pictures[1] if len(pictures) > 1 else None,
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _inside(folder: Path, name: object) -> Path | None:
    """A file that is named within a folder, None if it is not there or elsewhere."""
    try:
        place = (folder / str(name)).resolve()
        return place if place.is_relative_to(folder.resolve()) and place.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None
