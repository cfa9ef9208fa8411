"""Writing files and folders so that a reader finds the old or the new, never half of one.

Everything is written beside its place, flushed to the disk, and renamed; what a killed process left beside a place is
found by `recover`. A new folder's `manifest.json` holds the SHA-256 of each file, so that a later cut or flipped bit
is found (`verify`). Failed writes become `DiskFailed`.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError

from biggan.errors import DiskFailed, ModelError

MANIFEST = "manifest.json"
MOST_JSON = 16 * 2**20  # bytes; no JSON file of ours comes near
LEFTOVER = re.compile(r"\.(?P<name>.+)\.\d+\.(?P<kind>tmp|old)")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(place: Path, kind: str) -> Path:
    """Where this process keeps what is being written to ('tmp') or replaced at ('old') a place."""
    return place.with_name(f".{place.name}.{os.getpid()}.{kind}")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Removes a file or a folder with all in it; one that is gone or cannot be removed is let be."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turns a failed write within into `DiskFailed` with one sentence that names `what`."""
    try:
        yield
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk as an error of its own
        reason = getattr(error, "strerror", None) or error
        advice = "make room or allow writing there, or choose another --out"
        raise DiskFailed(f"Could not write {what}: {reason}; {advice}.") from error


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Gives a file to write, and on success puts it at `path` in one step.

    Raises:
        DiskFailed: A write failed; a file that was there is unchanged.
    """
    temporary = _beside(path, "tmp")
    with disk_errors(str(path)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                yield file
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
        finally:
            remove(temporary)


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces a file by `content` in one step; raises as `new_file`."""
    with new_file(path) as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """Replaces a file by `value` as indented JSON in one step (see `write_bytes`)."""
    write_bytes(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path, most: int = MOST_JSON) -> Any:
    """The value in a JSON file of ours.

    Raises:
        ModelError: The file is missing, not a regular file, larger than `most` bytes, or not JSON.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing; give an undamaged folder.")
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        value = json.loads(content) if len(content) <= most else None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON ({error}); give an undamaged folder.") from error
    if len(content) > most:
        raise ModelError(f"{path} is larger than any such file; give an undamaged folder.")
    return value


@contextlib.contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """Gives a temporary folder to fill, and on success puts it at `place` with a manifest.

    What stood at `place` is replaced only when the new folder is complete on the disk.

    Raises:
        DiskFailed: A write failed; `place` is as it was and nothing half-written remains.
    """
    temporary = _beside(place, "tmp")
    with disk_errors(str(place)):
        remove(temporary)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            paths = sorted(temporary.rglob("*"))
            sums = {str(path.relative_to(temporary)): sha256(path) for path in paths if path.is_file()}
            settle(temporary, place, sums)
        finally:
            remove(temporary)


def settle(folder: Path, place: Path, sums: dict[str, str]) -> None:
    """Puts a folder that is filled at `place`, with a manifest of the SHA-256 of each file in it by name."""
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps(sums, indent=2))  # no last newline: every cut makes it invalid
    for path in (*folder.rglob("*"), folder):
        _flush(path)
    _swap(folder, place)


@contextlib.contextmanager
def whole_or_empty(folder: Path) -> Iterator[None]:
    """Empties a folder that was new or empty if what is written into it within does not come to its end."""
    stood = folder.is_dir()
    try:
        yield
    except BaseException:  # Ctrl-C too
        for path in folder.iterdir() if folder.is_dir() else ():
            remove(path)
        if not stood:
            remove(folder)
        raise


def _swap(new: Path, place: Path) -> None:
    """Renames `new` to `place`, setting what stood there aside first and putting it back if that fails."""
    aside = _beside(place, "old")
    remove(aside)
    stood = place.exists()
    if stood:
        place.rename(aside)
    try:
        new.rename(place)
    except BaseException:  # Ctrl-C too
        if stood and not place.exists():
            aside.rename(place)
        raise
    _flush(place.parent)
    remove(aside)


def discard(folder: Path) -> None:
    """Removes a folder such that a process killed meanwhile leaves no half of it under its name."""
    aside = _beside(folder, "tmp")
    with disk_errors(str(folder)):
        remove(aside)
        folder.rename(aside)
        remove(aside)


def recover(parent: Path, name: str | None = None) -> None:
    """Clears a folder of what killed processes left: half-written things go, those being replaced go back.

    Only for a folder in which no other process writes; with a name, only for what has it, where no other writes that.
    """
    with disk_errors(str(parent)):
        for path in sorted(parent.iterdir()) if parent.is_dir() else ():
            found = LEFTOVER.fullmatch(path.name)
            if found and name not in (None, found["name"]):
                continue
            if found and found["kind"] == "old" and not (parent / found["name"]).exists():
                path.rename(parent / found["name"])
            elif found:
                remove(path)


def verify(folder: Path) -> None:
    """Checks a folder against its manifest; reads nothing outside the folder.

    Raises:
        ModelError: The manifest is missing or unreadable, or a file that it names is missing, outside or changed.
    """
    sums = read_json(folder / MANIFEST)
    if not isinstance(sums, dict) or not sums:
        raise ModelError(f"{folder / MANIFEST} is damaged; give an undamaged folder.")
    for name, digest in sums.items():
        if not is_intact(folder, name, digest):
            raise ModelError(f"{folder} is damaged: {name[:80]!r} is not as it was written; give an undamaged folder.")


def is_intact(folder: Path, name: str, digest: object) -> bool:
    """Whether a manifest's entry names a regular file inside `folder` with that SHA-256."""
    try:
        root = folder.resolve()
        path = (root / name).resolve()
        return path.is_relative_to(root) and path.is_file() and sha256(path) == digest
    except (OSError, ValueError, RuntimeError):  # unreadable, a NUL in the name, a loop of links
        return False
