"""Pictures that a run has left of itself: its sheets over time, and what was drawn before and after an incident."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biggan.reporting.history import History, Incident
from biggan.reporting.pictures import Picture, arranged, found, opened
from biggan.run_model import SHEET_CLASSES, SHEET_COLUMNS
from biggan.sampling.grids import cut

MOST_FRAMES = 24
MOST_BYTES = 2_400_000  # of all frames in the page; fewer frames are shown where they would take more


@dataclass(frozen=True, slots=True)
class Frame:
    """What was drawn at a moment."""

    images: int
    """Shown to D until then."""
    picture: Picture


@dataclass(frozen=True, slots=True)
class Moments:
    """Frames in the order of time, all of the same seeds and classes."""

    frames: list[Frame]
    labels: list[str]
    """Of each row of a frame; none where rows have none, or the frames show their own."""
    sheets: int
    """How many there were to choose from."""


@dataclass(frozen=True, slots=True)
class Told:
    """An incident with its pictures."""

    incident: Incident
    before: Picture | None
    after: Picture | None


def moments(history: History, class_names: Sequence[str]) -> Moments:
    """The run's sheets, evenly chosen over time, the first and last among them."""
    names, count = [*class_names][:SHEET_CLASSES], min(len(history.sheets), MOST_FRAMES)
    size = history.settings("model").get("resolution")
    frame = _Framer(size if isinstance(size, int) and 0 < size <= 4096 else 0, max(1, len(names)))
    while True:
        chosen = [history.sheets[i] for i in _spread(len(history.sheets), count)]
        frames = [Frame(images, picture) for images, path in chosen if (picture := frame(path, images))]
        total = sum(len(each.picture.uri) for each in frames)
        if total <= MOST_BYTES or count <= 2:
            return Moments(frames, names if frame.cuts else [], len(history.sheets))
        count = max(2, int(count * MOST_BYTES / total))


def _spread(length: int, count: int) -> list[int]:
    """So many of the places from 0 to `length` - 1, evenly, with both ends."""
    return sorted({round(i * (length - 1) / max(count - 1, 1)) for i in range(count)})


class _Framer:
    """Makes pictures of sheets: of their tiles alone, if the first one can be cut, else of whole sheets."""

    def __init__(self, size: int, rows: int) -> None:
        self.size, self.rows = size, rows
        self.cuts: bool | None = None

    def __call__(self, path: Path, images: int) -> Picture | None:
        page, words = opened(path), f"Sheet of pictures of the same seeds after {images:,} images"
        if page is None:
            return None
        tiles = cut(page, self.size, SHEET_COLUMNS, self.rows) if self.size and self.cuts is not False else []
        if self.cuts is None:
            self.cuts = bool(tiles)
        if not self.cuts:
            return found(path, words)
        return arranged(tiles, SHEET_COLUMNS, words, exact=False) if tiles else None


def told(incidents: Sequence[Incident]) -> list[Told]:
    """Incidents with their pictures, where they can be read."""
    return [
        Told(
            each,
            _picture(each.before, f"What was drawn when incident {each.number} was noticed"),
            _picture(each.after, f"What the older state drew, after incident {each.number}"),
        )
        for each in incidents
    ]


def _picture(path: Path | None, words: str) -> Picture | None:
    return None if path is None else found(path, words)
