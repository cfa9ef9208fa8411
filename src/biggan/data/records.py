"""What a source of images is to the rest of the package, and how names from outside are treated.

What is not here: finding out what a path holds (`sources.py`) and decoding (`decode.py`).
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from biggan.errors import DataError

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

MOST_CLASSES = 50_000
LONGEST_NAME = 200  # characters of a name that are stored and shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Images before decoding.

    `read(i)` gives a picture as an open file, or as an array (H, W) or (H, W, C) of uint8; it may be called from
    several threads. `place` is the folder or file they come from, None where that is this package.
    """

    kind: str
    place: Path | None
    num_images: int
    name: Callable[[int], str]
    read: Callable[[int], BinaryIO | Pixels]
    labels: Labels | None
    class_names: list[str]
    stamp: str
    """Changes when the files do."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def clean(name: str) -> str:
    """A name fit for a terminal and for JSON: composed (NFC), printable, at most 200 characters."""
    composed = unicodedata.normalize("NFC", name[: LONGEST_NAME + 1])
    printable = "".join(char if char.isprintable() else "?" for char in composed)
    return printable if len(printable) <= LONGEST_NAME else printable[: LONGEST_NAME - 1] + "…"


def natural(name: str) -> tuple[list[Any], str]:
    """Sorting key under which `class2` comes before `class10`."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [int(part) if i % 2 else part.casefold() for i, part in enumerate(parts)], name


def escape(name: str) -> str | None:
    """Why a file name from an archive or a list may not be used, or None."""
    if len(name) > 1000:
        return "has a name of more than 1,000 characters"
    if "\0" in name:
        return "has a NUL character in its name"
    parts = re.split(r"[/\\]", name)
    if ".." in parts or name.startswith(("/", "\\", "~")) or re.match(r"[A-Za-z]:", name):
        return "has a name that leads outside of the data"
    return None


def number_classes(words: Sequence[str], what: str) -> tuple[Labels, list[str]]:
    """Class words of each image as numbers (N,) and the class names in natural order.

    Raises:
        DataError: More than 50,000 classes.
    """
    names = sorted(set(words), key=natural)
    if len(names) > MOST_CLASSES:
        raise DataError(f"{what} has {len(names):,} different labels; at most {MOST_CLASSES:,} classes are possible.")
    index = {name: i for i, name in enumerate(names)}
    return np.array([index[word] for word in words], np.int64), [clean(name) for name in names]


def check_labels(labels: Labels, class_names: list[str] | None, what: str) -> tuple[Labels, list[str]]:
    """Numbered labels with their names; without given names a class is called by its number.

    Args:
        labels: (N,) whole numbers.
        class_names: One name for each number from 0, or None.
        what: Name of the file, for messages.

    Raises:
        DataError: A label is negative or has no name, two classes share a name, or there are too many classes.
    """
    if class_names is None:
        numbers, compact = np.unique(labels, return_inverse=True)
        if len(numbers) > MOST_CLASSES or (len(numbers) and numbers[0] < 0):
            raise DataError(f"{what} has labels that are negative or of more than {MOST_CLASSES:,} kinds.")
        return compact.astype(np.int64).reshape(-1), [str(number) for number in numbers]
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(class_names):
        worst = labels.max() if labels.min() >= 0 else labels.min()
        raise DataError(f"{what} has the label {worst}, and names for 0 to {len(class_names) - 1} only.")
    names = [clean(name) for name in class_names]
    if len(set(names)) < len(names) or len(names) > MOST_CLASSES:
        raise DataError(f"{what} has class names that repeat or are more than {MOST_CLASSES:,}.")
    return labels.astype(np.int64), names
