"""A pack: a folder of `images-00000.u8`, ... (n, R, R, C), `labels.npy`, `pack.json`, `manifest.json`; or in memory.

`pack.json` lists the files of squares, called shards, with the number of images in each. Packs of format 1 have
a single one, `images.u8`; its squares are the same, so it serves as it is. What is not here: where packs lie
(`packed.py`), how shards are made (`making.py`), and decoding (`packing.py`).
"""

import hashlib
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biggan import atomic
from biggan.config import RESOLUTIONS, Data
from biggan.data.making import THREADS, Making, equalise, make_shards, shard_name
from biggan.data.packing import Progress, pack
from biggan.data.records import Labels, Pixels, Source, clean
from biggan.data.remarks import Made, gather
from biggan.data.shards import Shards
from biggan.data.sheet import draw_sheet
from biggan.errors import DataError, ModelError

FORMAT = 2
IMAGES, LABELS, FACTS = "images.u8", "labels.npy", "pack.json"
CHECKED = 256 * 2**20  # bytes of images up to which the checksum is taken at each opening
SAMPLE = 10_000  # images that channel statistics look at
AGAIN = "remove it and pack the images again"
BLOCK = 2**22  # bytes that are read at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Images (N, R, R, C) of uint8 with labels (N,) or None, and all that was said when they were packed."""

    images: Pixels | Shards
    labels: Labels | None
    class_names: list[str]
    sha256: str
    """Identity of shape, labels and pixels."""
    cropped: int
    skipped: list[tuple[str, str]]
    """Name and reason of each file left out."""
    notes: list[str]
    """What is odd about the data or was done to them, a sentence each."""
    place: Path | None
    """The pack's folder, None in memory."""

    @property
    def resolution(self) -> int:
        """Height and width in pixels."""
        return int(self.images.shape[1])

    @property
    def channels(self) -> int:
        """1 grey, 3 RGB, 4 RGBA."""
        return int(self.images.shape[3])

    @property
    def num_files(self) -> int:
        """Number of files that the images are in."""
        return len(self.images.files) if isinstance(self.images, Shards) else 1

    @property
    def num_images(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 without labels."""
        return len(self.class_names)

    @property
    def class_counts(self) -> list[int]:
        """Number of images of each class."""
        return [] if self.labels is None else np.bincount(self.labels, minlength=self.num_classes).tolist()

    def statistics(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each channel (C,) on [0, 1], over at most 10,000 images spread evenly."""
        chosen = np.unique(np.linspace(0, self.num_images - 1, min(SAMPLE, self.num_images)).astype(np.int64))
        counts = np.zeros((self.channels, 256))
        for i in chosen:
            for channel in range(self.channels):
                counts[channel] += np.bincount(self.images[i, ..., channel].reshape(-1), minlength=256)
        levels = np.arange(256) / 255
        mean = counts @ levels / counts.sum(1)
        return mean, np.sqrt(np.maximum(counts @ levels**2 / counts.sum(1) - mean**2, 0))

    def contact_sheet(self, rows: int = 10) -> Image.Image:
        """Images of the first `rows` classes, a row each with its name; without labels, rows of any."""
        return draw_sheet(self.images, self.labels, self.class_names, rows)


def is_pack(folder: Path) -> bool:
    """Whether a folder looks like a pack."""
    try:
        return (folder / FACTS).is_file() and (folder / atomic.MANIFEST).is_file()
    except (OSError, ValueError):
        return False


def write_pack(found: Source, place: Path, making: Making, workers: int | None, progress: Progress | None) -> Packed:
    """Makes a pack on disk, whole or not at all; finished shards outlive an interruption (see `making.py`).

    Raises:
        DataError: Too few images can be read.
        DiskFailed: A write failed; `place` is as it was.
        OutOfMemory: One of several processes was killed.
    """
    with atomic.disk_errors(f"{place} ({making.folder} keeps what is finished)"):
        parts = make_shards(making, found, workers, progress)
        try:
            made = gather(found, parts, making.resolution, making.data)
        except DataError:
            atomic.remove(making.folder)  # the same files will be as bad the next time
            raise
        equalise(making, parts, made.channels)
        sums = {shard_name(k): part.sha256 for k, part in enumerate(parts) if part.kept}
        facts = _facts(found, made, making) | {
            "shards": {shard_name(k): part.kept for k, part in enumerate(parts) if part.kept},
            "sha256": _identity([making.folder / name for name in sums], making.resolution, made),
        }
        if made.labels is not None:
            np.save(making.folder / LABELS, made.labels, allow_pickle=False)
            sums[LABELS] = atomic.sha256(making.folder / LABELS)
        (making.folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
        sums[FACTS] = atomic.sha256(making.folder / FACTS)
        making.forget(set(sums))
        atomic.settle(making.folder, place, sums)
    return open_pack(place)


def _identity(files: list[Path], resolution: int, made: Made) -> str:
    """SHA-256 of shape, labels and pixels, which says that two packs are the same data."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    return identity(digest.hexdigest(), (made.num_images, resolution, resolution, made.channels), made.labels)


def identity(pixels: str, shape: tuple[int, ...], labels: Labels | None) -> str:
    """The same from the SHA-256 of all pixels."""
    numbers = b"none" if labels is None else labels.astype("<i8").tobytes()
    return hashlib.sha256(f"{shape} {pixels} ".encode() + numbers).hexdigest()


def _facts(found: Source, made: Made, making: Making) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "source": clean(str(found.place)),
        "kind": found.kind,
        "fingerprint": found.stamp,
        "resolution": making.resolution,
        "channels": made.channels,
        "crop": making.data.crop,
        "background": making.data.background,
        "class_names": made.class_names,
        "counts": [] if made.labels is None else np.bincount(made.labels, minlength=len(made.class_names)).tolist(),
        "cropped": made.cropped,
        "skipped": made.skipped,
        "notes": made.notes,
    }


def in_memory(found: Source, resolution: int, data: Data, progress: Progress | None) -> Packed:
    """Makes a pack that is on no disk; raises as `write_pack`."""
    out, count = io.BytesIO(), 0

    def done(images: int) -> None:
        nonlocal count
        count += images
        if progress:
            progress(count, found.num_images)

    part = pack(found, range(found.num_images), resolution, data, out, THREADS, done)
    made = gather(found, [part], resolution, data)
    images = np.frombuffer(out.getvalue(), np.uint8).reshape(-1, resolution, resolution, made.channels)
    return Packed(
        images=images,
        labels=made.labels,
        class_names=made.class_names,
        sha256=identity(part.sha256, images.shape, made.labels),
        cropped=made.cropped,
        skipped=made.skipped,
        notes=made.notes,
        place=None,
    )


def open_pack(folder: Path) -> Packed:
    """Opens a pack; its images are mapped, not read.

    Raises:
        DataError: A file is missing, damaged, or from another version.
    """
    try:
        return _opened(folder)
    except (ModelError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = clean(str(error)) if isinstance(error, DataError) else clean(repr(error))
        raise DataError(f"The pack {folder} is damaged ({reason}); {AGAIN}.") from error


def verify(folder: Path, progress: Progress | None = None) -> Packed:
    """Reads every file of a pack and compares it with its checksum; gives the pack if all is well.

    Args:
        folder: The pack.
        progress: Called with the files read and all.

    Raises:
        DataError: A file is missing or differs, if only by a bit; the message names it.
    """
    try:
        sums = dict(atomic.read_json(folder / atomic.MANIFEST))
    except (ModelError, TypeError, ValueError) as error:
        raise DataError(f"The pack {folder} is damaged ({atomic.MANIFEST} cannot be read); {AGAIN}.") from error
    with ThreadPoolExecutor(THREADS) as pool:
        intact = pool.map(lambda name: atomic.is_intact(folder, name, sums[name]), sums)
        bad = []
        for done, (name, good) in enumerate(zip(sums, intact, strict=True), 1):
            if not good:
                bad.append(clean(name))
            if progress:
                progress(done, len(sums))
    if bad:
        what = f"{', '.join(bad[:10])}{' and more' * (len(bad) > 10)} of its {len(sums):,} files"
        raise DataError(f"The pack {folder} is damaged: {what} not as they were written; {AGAIN}.")
    return open_pack(folder)


def _labels(path: Path, count: int, num_classes: int) -> Labels:
    """The labels (N,); mapped first, so that a header cannot ask for memory."""
    labels = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    if labels.dtype != np.int64 or labels.shape != (count,) or not 0 <= labels.min() <= labels.max() < num_classes:
        raise DataError("its labels do not fit its images and class names")
    return labels


def _opened(folder: Path) -> Packed:
    facts = atomic.read_json(folder / FACTS)
    sums = atomic.read_json(folder / atomic.MANIFEST)
    small = [name for name in (FACTS, LABELS) if name in sums]
    if facts["format"] not in (1, FORMAT) or any(atomic.sha256(folder / name) != sums[name] for name in small):
        raise DataError("a file differs from its checksum")
    side, channels, names = facts["resolution"], facts["channels"], list(facts["class_names"])
    if side not in RESOLUTIONS or channels not in (1, 3, 4) or not all(isinstance(name, str) for name in names):
        raise DataError("its size, channels or class names are not possible")
    shards = _shards(folder, facts, side * side * channels)
    labels = _labels(folder / LABELS, sum(shards.values()), len(names)) if LABELS in sums else None
    size = sum(shards.values()) * side * side * channels
    if size <= CHECKED and any(atomic.sha256(folder / name) != sums[name] for name in shards):
        raise DataError("its images differ from their checksum")
    return Packed(
        images=_mapped(folder, shards, (side, side, channels)),
        labels=labels,
        class_names=names,
        sha256=str(facts["sha256"]),
        cropped=int(facts["cropped"]),
        skipped=[(str(name), str(reason)) for name, reason in facts["skipped"]],
        notes=list(facts["notes"]),
        place=folder,
    )


def _shards(folder: Path, facts: dict[str, Any], each: int) -> dict[str, int]:
    """File names and numbers of images, by the sizes of the files."""
    shards = dict(facts["shards"]) if facts["format"] > 1 else {IMAGES: (folder / IMAGES).stat().st_size // each}
    for name, count in shards.items():
        if not re.fullmatch(r"images(-\d{5,})?\.u8", name) or type(count) is not int or count < 1:
            raise DataError("its list of images is not possible")
        if (folder / name).stat().st_size != count * each:
            raise DataError(f"{name} is cut short")
    if not shards:
        raise DataError("it has no images")
    return shards


def _mapped(folder: Path, shards: dict[str, int], shape: tuple[int, int, int]) -> Pixels | Shards:
    if len(shards) > 1:
        return Shards([folder / name for name in shards], list(shards.values()), shape)
    [(name, count)] = shards.items()
    return np.memmap(folder / name, np.uint8, "r", shape=(count, *shape))
