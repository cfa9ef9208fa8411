"""A pack: a folder of `images.u8` (N, R, R, C), `labels.npy`, `pack.json` and `manifest.json`; or the same in memory.

What is not here: where packs lie (`packed.py`), and decoding (`packing.py`).
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from biggan import atomic
from biggan.config import RESOLUTIONS, Data
from biggan.data.packing import Made, Progress, identity, pack
from biggan.data.records import Labels, Pixels, Source, clean
from biggan.data.sheet import draw_sheet
from biggan.errors import DataError, ModelError

FORMAT = 1
IMAGES, LABELS, FACTS = "images.u8", "labels.npy", "pack.json"
CHECKED = 256 * 2**20  # bytes of images up to which the checksum is taken at each opening
SAMPLE = 10_000  # images that channel statistics look at


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Images (N, R, R, C) of uint8 with labels (N,) or None, and all that was said when they were packed."""

    images: Pixels
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
        return (folder / FACTS).is_file() and (folder / IMAGES).is_file()
    except (OSError, ValueError):
        return False


def write_pack(found: Source, place: Path, resolution: int, data: Data, progress: Progress | None) -> Packed:
    """Makes a pack on disk, whole or not at all.

    Raises:
        DataError: Too few images can be read.
        DiskFailed: A write failed; `place` is as it was.
    """
    atomic.clear_dead(place.parent)
    with atomic.new_folder(place) as folder:
        with (folder / IMAGES).open("w+b") as out:
            made = pack(found, resolution, data, out, progress)
        if made.labels is not None:
            np.save(folder / LABELS, made.labels, allow_pickle=False)
        facts = _facts(found, made, resolution, data)
        (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
    return open_pack(place)


def _facts(found: Source, made: Made, resolution: int, data: Data) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "source": clean(str(found.place)),
        "kind": found.kind,
        "fingerprint": found.stamp,
        "resolution": resolution,
        "channels": made.channels,
        "crop": data.crop,
        "background": data.background,
        "class_names": made.class_names,
        "counts": [] if made.labels is None else np.bincount(made.labels, minlength=len(made.class_names)).tolist(),
        "cropped": made.cropped,
        "skipped": made.skipped,
        "notes": made.notes,
        "sha256": made.sha256,
    }


def in_memory(found: Source, resolution: int, data: Data, progress: Progress | None) -> Packed:
    """Makes a pack that is on no disk; raises as `write_pack`."""
    out = io.BytesIO()
    made = pack(found, resolution, data, out, progress)
    images = np.frombuffer(out.getvalue(), np.uint8).reshape(-1, resolution, resolution, made.channels)
    return Packed(
        images=images,
        labels=made.labels,
        class_names=made.class_names,
        sha256=made.sha256,
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
        raise DataError(f"The pack {folder} is damaged ({reason}); pack the images again.") from error


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
    if facts["format"] != FORMAT or any(atomic.sha256(folder / name) != sums[name] for name in small):
        raise DataError("a file differs from its checksum")
    side, channels, names = facts["resolution"], facts["channels"], list(facts["class_names"])
    if side not in RESOLUTIONS or channels not in (1, 3, 4) or not all(isinstance(name, str) for name in names):
        raise DataError("its size, channels or class names are not possible")
    size = (folder / IMAGES).stat().st_size
    count = size // (side * side * channels)
    if not count or count * side * side * channels != size:
        raise DataError("its images are cut short")
    labels = _labels(folder / LABELS, count, len(names)) if LABELS in sums else None
    shape = (count, side, side, channels)
    with (folder / IMAGES).open("rb") as file:
        if size <= CHECKED and identity(file, shape, labels) != facts["sha256"]:
            raise DataError("its images differ from their checksum")
    return Packed(
        images=np.memmap(folder / IMAGES, np.uint8, "r", shape=shape),
        labels=labels,
        class_names=names,
        sha256=str(facts["sha256"]),
        cropped=int(facts["cropped"]),
        skipped=[(str(name), str(reason)) for name, reason in facts["skipped"]],
        notes=list(facts["notes"]),
        place=folder,
    )
