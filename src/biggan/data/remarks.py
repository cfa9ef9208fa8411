"""The parts of a packed source together: labels, classes, what was skipped, and what is odd.

What is not here: making the parts (`packing.py`), and what is odd about files before they are decoded (`listing.py`).
"""

from dataclasses import dataclass

import numpy as np

from biggan.config import Data
from biggan.data.packing import Part
from biggan.data.records import Labels, Source
from biggan.errors import DataError

MOST_SKIPPED = 5_000  # skipped files that are listed one by one
FEW_IMAGES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What belongs to the squares (N, R, R, C) of a source."""

    num_images: int
    channels: int
    labels: Labels | None
    class_names: list[str]
    cropped: int
    skipped: list[tuple[str, str]]
    notes: list[str]


def gather(source: Source, parts: list[Part], resolution: int, data: Data) -> Made:
    """All parts of a source, in order, as one.

    Raises:
        DataError: No image, or less than half of them, can be read.
    """
    skipped = [*source.skipped, *((source.name(i), reason) for part in parts for i, reason in part.skipped)]
    kept = np.ones(source.num_images, bool)
    kept[[i for part in parts for i, _ in part.skipped]] = False
    total = int(kept.sum())
    _check(source, total, skipped)
    channels = max(part.channels for part in parts if part.kept)
    labels, class_names, notes = _classes(source, np.flatnonzero(kept))
    cropped, enlarged = sum(part.cropped for part in parts), sum(part.enlarged for part in parts)
    return Made(
        num_images=total,
        channels=channels,
        labels=labels,
        class_names=class_names,
        cropped=cropped,
        skipped=skipped[:MOST_SKIPPED],
        notes=[
            *source.notes,
            *notes,
            *_shapes(total, cropped, enlarged, resolution, data),
            *_counts(total, channels == 1 and data.channels is None, len(skipped)),
        ],
    )


def _check(source: Source, kept: int, skipped: list[tuple[str, str]]) -> None:
    what, lost = source.place or source.kind, len(skipped)
    if not kept or lost > kept:
        first = f"; the first, {skipped[0][0]}, {skipped[0][1]}" if skipped else ""
        raise DataError(f"{lost:,} of the {lost + kept:,} images of --data {what} cannot be used{first}.")


def _classes(source: Source, kept: Labels) -> tuple[Labels | None, list[str], list[str]]:
    """Labels of the kept images, with classes that have none left out; their names; what is odd about them."""
    if source.labels is None:
        return None, [], []
    labels = source.labels[kept]
    counts = np.bincount(labels, minlength=len(source.class_names))
    present = np.flatnonzero(counts)
    empty = [name for name, count in zip(source.class_names, counts, strict=True) if not count]
    names = [source.class_names[i] for i in present]
    notes = [f"No image of class {name!r} can be read: it is left out." for name in empty[:10]]
    if len(empty) > 10:
        notes.append(f"{len(empty) - 10:,} more classes without images are left out.")
    if len(names) == 1:
        notes.append(f"All images are of one class, {names[0]!r}.")
    few = [
        f"{names[k]!r} ({count:,})" for k, count in enumerate(counts[present]) if 10 * count * len(names) < len(kept)
    ]
    if few:
        notes.append(
            f"Classes with less than a tenth of an equal share: {', '.join(few[:10])}{', …' * (len(few) > 10)}."
        )
    return np.searchsorted(present, labels).astype(np.int64), names, notes


def _shapes(total: int, cropped: int, enlarged: int, resolution: int, data: Data) -> list[str]:
    """What was done to the images."""
    notes = []
    if cropped:
        done = "padded to a square" if data.crop == "pad" else "cut to their central square"
        notes.append(f"{cropped:,} of {total:,} images are not square and were {done}.")
    if enlarged:
        notes.append(f"{enlarged:,} of {total:,} images are smaller than {resolution} px and were enlarged.")
    return notes


def _counts(total: int, grey: bool, skipped: int) -> list[str]:
    """What the images are in all."""
    notes = ["Every image is grey: one channel is kept."] if grey else []
    if total < FEW_IMAGES:
        notes.append(f"There are only {total} images; a GAN needs thousands, and will repeat these.")
    if skipped:
        notes.append(f"Files skipped, which `biggan data inspect` lists: {skipped:,}.")
    if skipped > MOST_SKIPPED:
        notes.append(f"Of the skipped files {skipped - MOST_SKIPPED:,} more are not listed.")
    return notes
