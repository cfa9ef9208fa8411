"""Finds the pack of a source, or makes it.

A pack is made once and lies beside the data, in `.biggan/` of a folder or `FILE.biggan/`, or where that cannot be
written in the user's cache folder; its name follows from the files' names, sizes and times and from the settings, so
that changed data get a new pack. The bundled set is packed in memory. What is not here: what a pack is
(`packfile.py`), how it is made (`packing.py`), and batches (`loader.py`).
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from biggan import atomic
from biggan.config import RESOLUTIONS, Data
from biggan.data import sources
from biggan.data.making import Making, lock
from biggan.data.packfile import Packed, in_memory, is_pack, open_pack, write_pack
from biggan.data.packing import Progress, ranges
from biggan.data.records import Source
from biggan.data.remote import fetch, is_address
from biggan.errors import ConfigError, DataError

__all__ = ["Packed", "default_cache", "make", "prepare"]

RULES = 1  # of how squares are made; under other rules a pack is another one
IN_MEMORY = 512 * 2**20  # bytes up to which the bundled set, which has no place of its own, is packed in memory
MOST_WORKERS = 256


def prepare(
    source: str | Path,
    resolution: int,
    data: Data,
    progress: Progress | None = None,
    cache: Path | None = None,
    flag: str = "--data",
) -> Packed:
    """Finds the pack of a source, or makes it.

    Args:
        source: A path, a pack's folder, or a bundled name (see `sources.py`).
        resolution: Height and width in pixels.
        data: How images become training data; `mirror` plays no part.
        progress: Called with the images done and all.
        cache: Where packs go that cannot lie beside their data; none: `$XDG_CACHE_HOME/biggan`.
        flag: The flag that the source was given by, which errors name.

    Raises:
        DataError: The source is missing, damaged, or has too few readable images.
        ConfigError: A setting is not allowed.
        DiskFailed: The pack could not be written; nothing half-written remains.
    """
    check_resolution(resolution)
    with _given_by(flag):
        source = local(source, cache)
        given = Path(source)
        if is_pack(given):
            return _fitting(open_pack(given), given, resolution, data)
        with sources.find(source) as found:
            if found.place is None and found.num_images * resolution**2 * (data.channels or 3) <= IN_MEMORY:
                packed = in_memory(found, resolution, data, progress)
            else:
                packed = _cached(found, source, resolution, data, progress, cache or default_cache())
    return packed if data.labels else replace(packed, labels=None, class_names=[])


@contextlib.contextmanager
def _given_by(flag: str) -> Iterator[None]:
    """Has errors name the flag that the images were given by."""
    try:
        yield
    except DataError as error:
        raise DataError(str(error).replace("--data", flag)) from error


def make(
    source: str,
    place: Path,
    resolution: int,
    data: Data,
    progress: Progress | None = None,
    workers: int | None = 1,
) -> Packed:
    """Makes a pack at a place of its own, replacing only a pack that is there.

    Args:
        source: As for `prepare`.
        place: The folder to make.
        resolution: Height and width in pixels.
        data: How images become training data; `mirror` plays no part.
        progress: Called with the images done and all.
        workers: Processes that decode at once, with the same result; none: one for every core, if there are more
            than two and work for them. A script that asks for several needs `if __name__ == "__main__":` around it.

    Raises:
        DataError: As `prepare`, or there is something else at `place`.
        ConfigError: A setting is not allowed.
        DiskFailed: The pack could not be written; `place` is as it was.
        OutOfMemory: One of several processes was killed.
    """
    check_resolution(resolution)
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise ConfigError(f"--workers is {workers}; allowed is 1 to {MOST_WORKERS}.")
    with atomic.disk_errors(str(place)):
        if place.is_file() or (place.is_dir() and not is_pack(place) and any(place.iterdir())):
            raise DataError(f"--out {place} is there already and is no pack; give a new folder.")
    source = local(source)
    with sources.find(source) as found:
        wanted = found if data.labels else replace(found, labels=None, class_names=[])
        making = _making(wanted, source, place, resolution, data)
        with lock(place, _watch(making, progress)):
            return _written(wanted, place, making, workers, progress)


def local(source: str | Path, cache: Path | None = None, progress: Progress | None = None) -> str:
    """A source as it is on this machine, after fetching it if it is an address (see `remote.py`).

    Raises:
        ConfigError: A package is missing that knows the address.
        DataError: The address cannot be read.
        DiskFailed: The local copy could not be written.
    """
    if not is_address(str(source)):
        return str(source)
    return str(fetch(str(source), cache or default_cache(), progress))


def packs(source: str) -> list[Path]:
    """The pack that a path is, or the packs that lie beside the data at it.

    Raises:
        DataError: There is none.
    """
    source = local(source)
    if is_pack(Path(source)):
        return [Path(source)]
    beside = _beside(sources.existing(source))
    found = sorted(path for path in beside.iterdir() if is_pack(path)) if beside.is_dir() else []
    if not found:
        raise DataError(f"There is no pack at {source} nor beside it; biggan data pack makes one.")
    return found


def check_resolution(resolution: int) -> None:
    """Raises ConfigError for a size at which no network works."""
    if resolution not in RESOLUTIONS:
        raise ConfigError(f"--resolution is {resolution}; allowed is {', '.join(map(str, RESOLUTIONS))}.")


def default_cache() -> Path:
    """The user's cache folder: `$XDG_CACHE_HOME/biggan`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "biggan"


def _key(found: Source, resolution: int, data: Data) -> str:
    settings = [RULES, found.stamp, resolution, data.channels, data.crop, data.background]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:24]


def _making(found: Source, source: str, place: Path, resolution: int, data: Data) -> Making:
    folder = place.with_name(f".{place.name}.{_key(found, resolution, data)[:8]}.making")
    return Making(
        folder=folder,
        source=source,
        stamp=found.stamp,
        ranges=ranges(found.num_images, resolution, data),
        resolution=resolution,
        data=data,
    )


def _watch(making: Making, progress: Progress | None) -> Callable[[], None]:
    """Shows how far another process has come that makes the same pack."""
    return lambda: progress(making.images_done(), making.num_images) if progress else None


def _written(found: Source, place: Path, making: Making, workers: int | None, progress: Progress | None) -> Packed:
    """The new pack at a place of which this process holds the lock; what others left unfinished there goes."""
    atomic.recover(place.parent, place.name)
    packed = write_pack(found, place, making, workers, progress)
    for path in place.parent.iterdir():
        if path.name.startswith(f".{place.name}.") and path.name.endswith(".making"):
            atomic.remove(path)
    return packed


def _cached(found: Source, source: str, resolution: int, data: Data, progress: Progress | None, cache: Path) -> Packed:
    """The pack beside the data or in the cache, made where neither is there."""
    key = _key(found, resolution, data)
    places = [cache / "packs" / key]
    if found.place is not None:
        places.insert(0, _beside(found.place) / key)
    for place in places:
        if packed := _sound(place):
            return _placed(packed, found, place == places[0])
    place = places[0] if _writable(places[0].parent) else places[-1]
    making = _making(found, source, place, resolution, data)
    with lock(place, _watch(making, progress)):
        atomic.recover(place.parent, place.name)
        packed = _sound(place)  # if another process has made it meanwhile
        if packed is None:
            notes = [f"The pack at {bad} was damaged and has been made again." for bad in places if bad.exists()]
            packed = _written(found, place, making, 1, progress)
            packed = replace(packed, notes=[*notes, *packed.notes])
    return _placed(packed, found, place == places[0])


def _sound(place: Path) -> Packed | None:
    """The pack at a place, if there is one and it is not damaged."""
    try:
        return open_pack(place) if place.exists() else None
    except DataError:
        return None


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
