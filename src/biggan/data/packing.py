"""A source -> one uint8 file of squares at training size, streamed, by several threads.

What is not here: where the file lies and when it is made (`packed.py`).
"""

import hashlib
import io
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from biggan.config import Data
from biggan.data.decode import Decoded, Square, Unreadable, decode, square
from biggan.data.records import Labels, Source, clean
from biggan.errors import DataError

MOST_SKIPPED = 5_000  # skipped files that are listed one by one
FEW_IMAGES = 100
THREADS = min(8, os.cpu_count() or 1)
CHUNK = 2**20  # bytes of squares that one task makes
SQUEEZE = 2**20  # pixels that are rewritten at once

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

Squares = list[Decoded | str]
"""Squares, or the reasons why there are none."""

Out = io.BufferedRandom | io.BytesIO


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was found out while packing."""

    channels: int
    all_grey: bool
    cropped: int = 0
    enlarged: int = 0
    kept: list[int] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What belongs to a written file of squares (N, R, R, C)."""

    channels: int
    labels: Labels | None
    class_names: list[str]
    cropped: int
    skipped: list[tuple[str, str]]
    notes: list[str]
    sha256: str


def pack(source: Source, resolution: int, data: Data, out: Out, progress: Progress | None = None) -> Made:
    """Writes the squares of a source, in its order, to an empty file open for reading and writing.

    Raises:
        ConfigError: The background is not a colour.
        DataError: No image, or less than half of them, can be read.
    """
    want = square(resolution, data)
    tally = Tally(channels=want.channels, all_grey=data.channels is None, skipped=list(source.skipped))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is skipped or does not matter
        _write(source, want, out, tally, progress or (lambda done, total: None))
    _check(source, tally)
    if tally.all_grey:
        _squeeze(out, resolution * resolution * len(tally.kept))
        tally.channels = 1
    labels, class_names, notes = _classes(source, tally.kept)
    more = len(tally.skipped) - MOST_SKIPPED
    return Made(
        channels=tally.channels,
        labels=labels,
        class_names=class_names,
        cropped=tally.cropped,
        skipped=tally.skipped[:MOST_SKIPPED],
        notes=[*source.notes, *notes, *_remarks(tally, data, resolution, more)],
        sha256=identity(out, (len(tally.kept), resolution, resolution, tally.channels), labels),
    )


def identity(images: Out | io.BufferedReader, shape: tuple[int, ...], labels: Labels | None) -> str:
    """SHA-256 of shape, labels and pixels, which says that two packs are the same data."""
    images.seek(0)
    pixels = hashlib.file_digest(images, "sha256").hexdigest()
    numbers = b"none" if labels is None else labels.astype("<i8").tobytes()
    return hashlib.sha256(f"{shape} {pixels} ".encode() + numbers).hexdigest()


def _write(source: Source, want: Square, out: Out, tally: Tally, progress: Progress) -> None:
    each = max(1, min(64, CHUNK // (want.resolution**2 * want.channels)))
    chunks = (range(i, min(i + each, source.num_images)) for i in range(0, source.num_images, each))
    for indices, results in _in_order(source, want, chunks):
        for i, result in zip(indices, results, strict=True):
            if isinstance(result, str):
                tally.skipped.append((source.name(i), result))
            else:
                _keep(i, result, out, tally)
        progress(indices.stop, source.num_images)


def _keep(i: int, result: Decoded, out: Out, tally: Tally) -> None:
    pixels = result.pixels
    out.write(pixels.tobytes())
    tally.kept.append(i)
    tally.cropped += result.cropped
    tally.enlarged += result.enlarged
    if tally.all_grey:
        tally.all_grey = bool((pixels == pixels[..., :1]).all())


def _decode_all(source: Source, want: Square, indices: range) -> Squares:
    return [_decode_one(source, want, i) for i in indices]


def _decode_one(source: Source, want: Square, i: int) -> Decoded | str:
    try:
        return decode(source.read(i), want)
    except Unreadable as error:
        return str(error)
    except Exception as error:  # a file that has gone, or any of the ways in which a zip member can be damaged
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return clean(reason or type(error).__name__)


def _in_order(source: Source, want: Square, chunks: Iterable[range]) -> Iterator[tuple[range, Squares]]:
    """Each chunk with its squares, in order, with a few under way at any time."""
    waiting: deque[tuple[range, Future[Squares]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for chunk in chunks:
            waiting.append((chunk, pool.submit(_decode_all, source, want, chunk)))
            if len(waiting) > 2 * THREADS:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def _squeeze(out: Out, pixels: int) -> None:
    """Leaves the first of three equal channels, in place."""
    for start in range(0, pixels, SQUEEZE):
        out.seek(3 * start)
        block = out.read(3 * min(SQUEEZE, pixels - start))
        out.seek(start)
        out.write(block[::3])
    out.truncate(pixels)


def _check(source: Source, tally: Tally) -> None:
    what = source.place or source.kind
    kept, lost = len(tally.kept), len(tally.skipped)
    if not kept or lost > kept:
        first = f"; the first, {tally.skipped[0][0]}, {tally.skipped[0][1]}" if tally.skipped else ""
        raise DataError(f"{lost:,} of the {lost + kept:,} images of --data {what} cannot be used{first}.")


def _classes(source: Source, kept: list[int]) -> tuple[Labels | None, list[str], list[str]]:
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


def _remarks(tally: Tally, data: Data, resolution: int, unlisted: int) -> list[str]:
    """What was done to the images."""
    total, notes = len(tally.kept), []
    if tally.cropped:
        done = "padded to a square" if data.crop == "pad" else "cut to their central square"
        notes.append(f"{tally.cropped:,} of {total:,} images are not square and were {done}.")
    if tally.enlarged:
        notes.append(f"{tally.enlarged:,} of {total:,} images are smaller than {resolution} px and were enlarged.")
    if tally.all_grey:
        notes.append("Every image is grey: one channel is kept.")
    if total < FEW_IMAGES:
        notes.append(f"There are only {total} images; a GAN needs thousands, and will repeat these.")
    if tally.skipped:
        notes.append(f"{len(tally.skipped):,} files were skipped.")
    return notes + ([f"Of the skipped files {unlisted:,} more are not listed."] if unlisted > 0 else [])
