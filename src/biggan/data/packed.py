"""Finds the pack of a source, or makes it.

A pack is made once and lies beside the data, in `.biggan/` of a folder or `FILE.biggan/`, or where that cannot be
written in the user's cache folder; its name follows from the files' names, sizes and times and from the settings, so
that changed data get a new pack. The bundled set is packed in memory. What is not here: what a pack is
(`packfile.py`), how it is made (`packing.py`), and batches (`loader.py`).
"""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

from biggan import atomic
from biggan.config import RESOLUTIONS, Data
from biggan.data import sources
from biggan.data.packfile import FORMAT, Packed, in_memory, is_pack, open_pack, write_pack
from biggan.data.packing import Progress
from biggan.data.records import Source
from biggan.errors import ConfigError, DataError

__all__ = ["Packed", "make", "prepare"]

IN_MEMORY = 512 * 2**20  # bytes up to which the bundled set, which has no place of its own, is packed in memory


def prepare(
    source: str | Path, resolution: int, data: Data, progress: Progress | None = None, cache: Path | None = None
) -> Packed:
    """Finds the pack of a source, or makes it.

    Args:
        source: A path, a pack's folder, or a bundled name (see `sources.py`).
        resolution: Height and width in pixels.
        data: How images become training data; `mirror` plays no part.
        progress: Called with the images done and all.
        cache: Where packs go that cannot lie beside their data; none: `$XDG_CACHE_HOME/biggan`.

    Raises:
        DataError: The source is missing, damaged, or has too few readable images.
        ConfigError: A setting is not allowed.
        DiskFailed: The pack could not be written; nothing half-written remains.
    """
    _check_resolution(resolution)
    given = Path(source)
    if is_pack(given):
        return _fitting(open_pack(given), given, resolution, data)
    with sources.find(str(source)) as found:
        if found.place is None and found.num_images * resolution**2 * (data.channels or 3) <= IN_MEMORY:
            packed = in_memory(found, resolution, data, progress)
        else:
            packed = _cached(found, resolution, data, progress, cache or _default_cache())
    return packed if data.labels else replace(packed, labels=None, class_names=[])


def make(source: str, place: Path, resolution: int, data: Data, progress: Progress | None = None) -> Packed:
    """Makes a pack at a place of its own, replacing only a pack that is there.

    Raises:
        DataError: As `prepare`, or there is something else at `place`.
        DiskFailed: The pack could not be written; `place` is as it was.
    """
    _check_resolution(resolution)
    with atomic.disk_errors(str(place)):
        if place.is_file() or (place.is_dir() and not is_pack(place) and any(place.iterdir())):
            raise DataError(f"--out {place} is there already and is no pack; give a new folder.")
    with sources.find(source) as found:
        wanted = found if data.labels else replace(found, labels=None, class_names=[])
        return write_pack(wanted, place, resolution, data, progress)


def _check_resolution(resolution: int) -> None:
    if resolution not in RESOLUTIONS:
        raise ConfigError(f"--resolution is {resolution}; allowed is {', '.join(map(str, RESOLUTIONS))}.")


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "biggan"


def _key(found: Source, resolution: int, data: Data) -> str:
    settings = [FORMAT, found.stamp, resolution, data.channels, data.crop, data.background]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:24]


def _cached(found: Source, resolution: int, data: Data, progress: Progress | None, cache: Path) -> Packed:
    """The pack beside the data or in the cache, made where neither is there."""
    key = _key(found, resolution, data)
    places = [cache / "packs" / key]
    if found.place is not None:
        places.insert(0, _beside(found.place) / key)
    notes = []
    for place in places:
        if place.exists():
            try:
                return _placed(open_pack(place), found, place == places[0])
            except DataError:
                notes.append(f"The pack at {place} was damaged and has been made again.")
    place = places[0] if _writable(places[0].parent) else places[-1]
    packed = _placed(write_pack(found, place, resolution, data, progress), found, place == places[0])
    return replace(packed, notes=[*notes, *packed.notes])


def _placed(packed: Packed, found: Source, is_first: bool) -> Packed:
    """The pack, with a note where it lies in the cache for want of a better place."""
    if is_first:
        return packed
    note = f"Nothing can be written beside {found.place}: the pack is in the cache, {packed.place}."
    return replace(packed, notes=[note, *packed.notes])


def _beside(place: Path) -> Path:
    return place / ".biggan" if place.is_dir() else place.with_name(place.name + ".biggan")


def _writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made for it."""
    probe = folder / f".{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError:
        return False
    return True


def _fitting(packed: Packed, folder: Path, resolution: int, data: Data) -> Packed:
    """A pack that the user gave, if it is what the settings ask for."""
    if packed.resolution != resolution:
        raise DataError(
            f"The pack {folder} is of {packed.resolution} px, not {resolution}; give the images themselves."
        )
    if data.channels not in (None, packed.channels):
        raise DataError(f"The pack {folder} has {packed.channels} channels, not {data.channels}; leave out --channels.")
    return packed if data.labels else replace(packed, labels=None, class_names=[])
