"""Data at an address, such as `s3://bucket/train/` or `https://host/train-{0000..0146}.tar`: fetched once, then local.

Files come over whole, each into its place when it is complete, so that an interrupted fetch goes on with the next.
They are kept in the cache folder: whoever packs at another size or again pays for the way once. fsspec
(`torch-biggan[remote]`) knows the addresses; it asks for a further package for some (s3fs, gcsfs, aiohttp) and finds
credentials in its own way. What is not here: what the files mean (`tars.py`, `sources.py`).
"""

import errno
import hashlib
import itertools
import json
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from biggan import atomic
from biggan.data.making import lock
from biggan.data.packing import Progress
from biggan.data.records import clean, escape
from biggan.errors import ConfigError, DataError, DiskFailed

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::.+)?://")
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
MOST_FILES = 100_000
VERSIONS = ("ETag", "etag", "LastModified", "updated", "mtime", "created")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_address(source: str) -> bool:
    """Whether a `--data` is an address rather than a path."""
    return ADDRESS.match(source) is not None


def fetch(source: str, cache: Path, progress: Progress | None = None) -> Path:
    """The local copy of an address: the file, or the folder of its tars.

    Args:
        source: An address of a file, of a folder of .tar files, or of several files as `{000..123}`.
        cache: The folder that holds local copies.
        progress: Called with the files fetched and all.

    Raises:
        ConfigError: fsspec, or what it needs for this kind of address, is not installed.
        DataError: Nothing is there, or it cannot be read.
        DiskFailed: There is no room for the copy.
    """
    try:
        fs, files = _listed(source)
        folder = cache / "remote" / hashlib.sha256(json.dumps([source, files]).encode()).hexdigest()[:24]
        with lock(folder, lambda: None):
            for number, (path, size, _) in enumerate(files):
                _copy(fs, path, size, folder / posixpath.basename(path))
                if progress:
                    progress(number + 1, len(files))
    except (ConfigError, DataError, DiskFailed):
        raise
    except ImportError as error:
        raise ConfigError(
            f'--data {clean(source)} needs a package: pip install "torch-biggan[remote]", and for this kind of '
            f"address perhaps one more ({clean(str(error))})."
        ) from error
    except Exception as error:  # each kind of address fails in ways of its own
        if isinstance(error, OSError) and error.errno in FULL:
            raise DiskFailed(f"Could not copy {clean(source)} to {cache}: {error.strerror}; make room.") from error
        raise DataError(f"--data {clean(source)} cannot be read ({clean(str(error) or repr(error))}).") from error
    return folder / posixpath.basename(files[0][0]) if len(files) == 1 else folder


def _listed(source: str) -> tuple[Any, list[tuple[str, int | None, str]]]:
    """The file system with path, size in bytes and version of each file."""
    import fsspec  # type: ignore[import-untyped]

    fs, _ = fsspec.core.url_to_fs(BRACES.sub(r"\1", source))
    paths = [fs._strip_protocol(each) for each in _expanded(source)]
    infos = [fs.info(path) for path in paths]
    if len(infos) == 1 and infos[0]["type"] == "directory":
        infos = [info for info in fs.ls(paths[0], detail=True) if str(info["name"]).endswith(".tar")]
        if not infos:
            raise DataError(f"--data {clean(source)} has no .tar files in it.")
    files = []
    for info in infos:
        path = str(info["name"]).rstrip("/")
        if reason := escape(posixpath.basename(path)):
            raise DataError(f"--data {clean(source)}: {clean(path)} {reason}.")
        version = next((str(info[key]) for key in VERSIONS if info.get(key)), "")
        files.append((path, info.get("size"), version))
    return fs, sorted(files)


def _expanded(source: str) -> Iterator[str]:
    """`a-{08..11}.tar` as a-08.tar, a-09.tar, a-10.tar, a-11.tar."""
    spans = BRACES.findall(source)
    total = 1
    for first, last in spans:
        total *= max(0, int(last) - int(first) + 1)
    if not 1 <= total <= MOST_FILES:
        raise DataError(f"--data {clean(source)} stands for {total:,} files; allowed is 1 to {MOST_FILES:,}.")
    texts = BRACES.split(source)[::3]
    counts = [[f"{n:0{len(first)}}" for n in range(int(first), int(last) + 1)] for first, last in spans]
    for numbers in itertools.product(*counts):
        yield "".join(itertools.chain.from_iterable(itertools.zip_longest(texts, numbers, fillvalue="")))


def _copy(fs: Any, path: str, size: int | None, place: Path) -> None:
    """Fetches one file, unless it is there."""
    if place.exists():
        return
    with atomic.disk_errors(str(place.parent)):
        place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    atomic.recover(place.parent, place.name)
    try:
        fs.get_file(path, str(temporary))
        if size is not None and temporary.stat().st_size != size:
            raise DataError(f"{clean(path)} came with {temporary.stat().st_size:,} bytes of {size:,}; try again.")
        temporary.replace(place)
    finally:
        atomic.remove(temporary)
