"""A pack in the making: a folder of finished shards, kept whatever happens, until they are all there.

```
.NAME.KEY.making/images-00007.u8     the squares of one range of the source, renamed when they are whole
.NAME.KEY.making/images-00007.json   what was seen while making them; written last, so it says that they are there
.NAME.lock                           held while one process makes the pack; the others wait for it
```

The shards are made by this process or by several (`workers.py`), in any order; the pack is the same bytes. What is
not here: the squares (`packing.py`) and the pack's other files (`packfile.py`).
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from biggan import atomic
from biggan.config import Data
from biggan.data.packing import Part, Progress, pack
from biggan.data.records import Source
from biggan.errors import ModelError

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = min(8, CORES)
FEW = 4  # shards that one process makes, where it is not said how many should
FEW_CORES = 2  # up to which one process, which decodes in threads, is faster than several (docs/large-data.md)
PAUSE = 0.2  # seconds between looks at a lock that another process holds


def shard_name(k: int) -> str:
    """File name of shard k."""
    return f"images-{k:05}.u8"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What is made and where, as every process needs to know it."""

    folder: Path
    source: str
    """The `--data`, which each process opens for itself."""
    stamp: str
    ranges: list[range]
    """What of the source becomes which shard."""
    resolution: int
    data: Data
    threads: int = dataclasses.field(default_factory=lambda: THREADS)

    @property
    def num_images(self) -> int:
        """Number of images of the source."""
        return sum(map(len, self.ranges))

    def make(self, found: Source, k: int, done: Callable[[int], None]) -> None:
        """Makes shard k from the open source."""
        path = self.folder / shard_name(k)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("w+b") as out:
                part = pack(found, self.ranges[k], self.resolution, self.data, out, self.threads, done)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(path)
        finally:
            atomic.remove(temporary)
        self.record(k, part)

    def record(self, k: int, part: Part) -> None:
        """Says that shard k is there."""
        values = json.dumps(dataclasses.asdict(part)).encode()
        atomic.write_bytes(self._record(k), values)

    def _record(self, k: int) -> Path:
        return (self.folder / shard_name(k)).with_suffix(".json")

    def part(self, k: int) -> Part | None:
        """What is said of shard k, if it is there."""
        try:
            values = atomic.read_json(self._record(k))
            part = Part(**{**values, "skipped": [(int(i), str(reason)) for i, reason in values["skipped"]]})
        except (ModelError, TypeError, ValueError, KeyError):
            return None
        return part if range(part.start, part.stop) == self.ranges[k] else None

    def images_done(self) -> int:
        """Images of the source in shards that are there, whoever makes them."""
        return sum(len(indices) for k, indices in enumerate(self.ranges) if self._record(k).exists())

    def kept(self) -> list[int]:
        """The shards that an interrupted packing left whole; anything else that it left is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        whole = [k for k in range(len(self.ranges)) if self._is_whole(k)]
        mine = {path for k in whole for path in (self.folder / shard_name(k), self._record(k))}
        for path in self.folder.iterdir():
            if path not in mine:
                atomic.remove(path)
        return whole

    def forget(self, names: set[str]) -> None:
        """Removes all that is not one of the finished pack's files; a kill after this costs the shards."""
        for path in self.folder.iterdir():
            if path.name not in names:
                atomic.remove(path)

    def _is_whole(self, k: int) -> bool:
        part, path = self.part(k), self.folder / shard_name(k)
        return part is not None and path.is_file() and atomic.sha256(path) == part.sha256


def make_shards(making: Making, found: Source, workers: int | None, progress: Progress | None) -> list[Part]:
    """Makes all shards that are not there yet.

    Args:
        making: What and where.
        found: The open source.
        workers: Processes at once; none: this one alone for a few shards or cores, else one for every core.
        progress: Called with the images done and all.
    """
    count = 0

    def done(images: int) -> None:
        nonlocal count
        count += images
        if progress:
            progress(count, making.num_images)

    try:
        kept = set(making.kept())
        done(sum(len(making.ranges[k]) for k in kept))
        _make_all(making, found, [k for k in range(len(making.ranges)) if k not in kept], workers, done)
    except BaseException:
        with contextlib.suppress(OSError):
            making.folder.rmdir()  # if no shard is whole, nothing is left
        raise
    return [part for k in range(len(making.ranges)) if (part := making.part(k))]


def _make_all(
    making: Making, found: Source, waiting: list[int], workers: int | None, done: Callable[[int], None]
) -> None:
    processes = min(workers or (CORES if len(waiting) > FEW and CORES > FEW_CORES else 1), len(waiting))
    if processes > 1:
        from biggan.data.workers import run

        run(dataclasses.replace(making, threads=max(1, THREADS // processes)), waiting, processes, done)
    else:
        for k in waiting:
            making.make(found, k, done)


def equalise(making: Making, parts: list[Part], channels: int) -> None:
    """Gives three equal channels to the shards that are grey where others are not; changes `parts`."""
    for k, part in enumerate(parts):
        if part.channels < channels and part.kept:
            path = making.folder / shard_name(k)
            grey = np.memmap(path, np.uint8, "r")
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            np.repeat(grey, channels).tofile(temporary)
            temporary.replace(path)
            parts[k] = dataclasses.replace(part, channels=channels, sha256=atomic.sha256(path))
            making.record(k, parts[k])


@contextlib.contextmanager
def lock(place: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the right to make a pack at a place, among all processes that ask.

    Args:
        place: Where the pack will be.
        waiting: Called about five times a second while another process holds it.

    Raises:
        DiskFailed: Nothing can be written beside the place.
    """
    path = place.with_name(f".{place.name}.lock")
    with contextlib.ExitStack() as stack:
        with atomic.disk_errors(str(place)):
            path.parent.mkdir(parents=True, exist_ok=True)
            while not _locked(path, stack):
                waiting()
                time.sleep(PAUSE)
        yield


def _locked(path: Path, stack: contextlib.ExitStack) -> bool:
    """Whether the lock could be had; leaving the stack then gives it back."""
    with contextlib.ExitStack() as own:
        file = own.enter_context(path.open("a"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.path.samestat(os.fstat(file.fileno()), path.stat())
        except (BlockingIOError, FileNotFoundError):
            return False
        if is_there:  # else its holder has removed it between the opening and the lock
            own.callback(atomic.remove, path)
            stack.push(own.pop_all())
        return is_there
