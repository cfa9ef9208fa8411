"""A folder, a zip or a CIFAR archive as files by name.

A name from a list or an archive is only ever looked up among the files that are there, never joined to a path, so
it cannot lead outside. Zips are read in place. What is not here: what the files mean (`listing.py`, `arrays.py`).
"""

import gzip
import hashlib
import io
import os
import posixpath
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from biggan.data.records import clean, escape, natural
from biggan.errors import DataError

JUNK = frozenset({"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "@eadir", "lost+found"})
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
LISTS = frozenset({"dataset.json", "labels.csv"})
CIFAR = re.compile(r"data_batch_\d+(\.bin)?|train(\.bin)?|meta|batches\.meta(\.txt)?|fine_label_names\.txt")

MOST_MEMBER = 160 * 2**20  # bytes of one member of a tar; CIFAR-100's largest has 154 MB
WHOLE = 2**20  # bytes up to which a zip member is read at once
MOST_RATIO = 200  # unpacked to packed size; deflate reaches 1,032 on zeros, real images hardly 20
MOST_PLAIN = 64 * 2**20  # bytes that may be unpacked whatever the ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Files below one place: `files` maps names with `/` to sizes in bytes, `folders` are all folder names."""

    place: Path
    kind: str
    files: dict[str, int]
    folders: frozenset[str]
    stamp: str
    open: Callable[[str], BinaryIO]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def pictures(self) -> list[str]:
        """Names of all files that end like a picture, in natural order."""
        return sorted((name for name in self.files if is_picture(name)), key=natural)

    def read(self, name: str, most: int) -> bytes:
        """All bytes of a file.

        Raises:
            DataError: The file cannot be read, or has more than `most` bytes.
        """
        if self.files[name] > most:
            raise DataError(f"{clean(name)} in {self.place} is larger than {most >> 20} MiB, the most that is read.")
        try:
            with self.open(name) as file:
                return file.read(most)
        except DataError:
            raise
        except Exception as error:  # zipfile has a dozen ways to fail on a damaged member
            raise DataError(f"{clean(name)} in {self.place} cannot be read ({clean(str(error))}).") from error


def is_picture(name: str) -> bool:
    """Whether the ending is that of a format that is read."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def is_junk(part: str) -> bool:
    """Whether a file or folder is hidden, a pack's place, or one that systems leave behind."""
    return part.startswith(".") or part.endswith(".biggan") or part.lower() in JUNK


def check_ratio(what: object, packed: int, unpacked: int) -> None:
    """Refuses data that unpack to far more than real images would.

    Raises:
        DataError: More than 64 MiB, and more than 200 times the packed size.
    """
    if unpacked > MOST_PLAIN and unpacked > MOST_RATIO * packed:
        times = unpacked // max(packed, 1)
        raise DataError(f"{what} would unpack to {times:,} times its size; at most {MOST_RATIO} times is read.")


def _walk(root: Path, skipped: list[tuple[str, str]]) -> Iterator[tuple[str, os.stat_result | None]]:
    """Files and folders below root by name, each folder once whatever the links; None for a link to nothing."""
    waiting, seen = [("", root)], {(root.stat().st_dev, root.stat().st_ino)}
    while waiting:
        prefix, folder = waiting.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            skipped.append((clean(prefix), str(error.strerror)))
            continue
        for entry in entries:
            if is_junk(entry.name):
                continue
            try:
                status = entry.stat()
            except OSError:
                yield prefix + entry.name, None
                continue
            yield prefix + entry.name, status
            if stat.S_ISDIR(status.st_mode) and (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                waiting.append((f"{prefix}{entry.name}/", Path(entry.path)))


def folder_tree(root: Path) -> Tree:
    """The files below a folder; links are followed, loops are not.

    Raises:
        DataError: The folder cannot be listed.
    """
    files: dict[str, int] = {}
    folders: set[str] = set()
    skipped: list[tuple[str, str]] = []
    lines = []
    for name, status in _walk(root, skipped):
        if status is None or stat.S_ISREG(status.st_mode):
            files[name] = status.st_size if status else 0
            lines.append(f"{name}\0{files[name]}\0{status.st_mtime_ns if status else 0}")
        elif stat.S_ISDIR(status.st_mode):
            folders.add(name)
    if skipped and not skipped[0][0]:
        raise DataError(f"{root} cannot be listed ({skipped[0][1]}); make it readable.")
    stamp = hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()
    return Tree(
        place=root,
        kind="folder",
        files=files,
        folders=frozenset(folders),
        stamp=stamp,
        open=lambda name: (root / name).open("rb"),
        skipped=skipped,
    )


def zip_tree(path: Path, archive: zipfile.ZipFile) -> Tree:
    """The files in a zip; a folder that everything lies in is taken off the names."""
    members: dict[str, zipfile.ZipInfo] = {}
    skipped: list[tuple[str, str]] = []
    for info in archive.infolist():
        reason = escape(info.filename)
        if stat.S_ISLNK(info.external_attr >> 16):
            reason = "is a link"
        if reason:
            skipped.append((clean(info.filename), reason))
        elif not any(map(is_junk, info.filename.rstrip("/").split("/"))):
            members[info.filename] = info
    top = top_folder([name for name in members if not name.endswith("/")])
    inside = {name[len(top) :]: info for name, info in members.items() if name.startswith(top) and name != top}
    folders = {name.rstrip("/") for name in inside if name.endswith("/")}
    files = {name: info for name, info in inside.items() if not name.endswith("/")}
    lines = [f"{name}\0{info.CRC}\0{info.file_size}" for name, info in sorted(files.items())]

    def open_member(name: str) -> BinaryIO:
        info = files[name]
        check_ratio(clean(name), info.compress_size, info.file_size)
        return io.BytesIO(archive.read(info)) if info.file_size <= WHOLE else archive.open(info)  # type: ignore[return-value]

    return Tree(
        place=path,
        kind="zip",
        files={name: info.file_size for name, info in files.items()},
        folders=frozenset(folders),
        stamp=hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest(),
        open=open_member,
        skipped=skipped,
        notes=[f"All is inside {clean(top)!r}, which is taken as the top."] if top else [],
    )


def top_folder(names: list[str]) -> str:
    """The folders that all pictures and lists (else all files) lie in, with the last slash."""
    named = [name for name in names if is_picture(name) or name.rsplit("/", 1)[-1].lower() in LISTS] or names
    shared = posixpath.commonpath([posixpath.dirname(name) for name in named]) if named else ""
    return f"{shared}/" if shared else ""


class _Limited(gzip.GzipFile):
    """Gzip of which no single piece may be larger than a CIFAR file (tar headers can ask for any size)."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MOST_MEMBER:
            raise tarfile.ReadError("a header asks for too much")
        return super().read(size)


class Cautious(io.FileIO):
    """A file of which no more than `most` bytes are read at once."""

    def __init__(self, path: Path, most: int = MOST_MEMBER) -> None:
        super().__init__(path)
        self.most = most

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= self.most:
            raise tarfile.ReadError("a header asks for too much")
        return super().read(size) or b""


def cifar_tree(path: Path) -> Tree | None:
    """The CIFAR files in a tar or tar.gz, read into memory in one pass; None if it is not a tar.

    Raises:
        DataError: The tar is damaged or unpacks to more than CIFAR's files can have.
    """
    members: dict[str, bytes] = {}
    packed = path.stat().st_size
    with Cautious(path) as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            with tarfile.open(fileobj=_Limited(fileobj=raw) if zipped else raw, mode="r:") as tar:
                _read_members(tar, members, path, packed)
        except DataError:
            raise
        except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
            if members:
                raise DataError(f"{path} is damaged ({clean(str(error))}); fetch it again.") from error
            return None
    files = {name: len(content) for name, content in members.items()}
    stamp = hashlib.sha256(b"".join(hashlib.sha256(members[name]).digest() for name in sorted(members))).hexdigest()
    open_member = lambda name: io.BytesIO(members[name])  # noqa: E731
    return Tree(place=path, kind="tar", files=files, folders=frozenset(), stamp=stamp, open=open_member)


def _read_members(tar: tarfile.TarFile, members: dict[str, bytes], path: Path, packed: int) -> None:
    for member in tar:
        name = member.name.rsplit("/", 1)[-1]
        file = tar.extractfile(member) if member.isreg() and CIFAR.fullmatch(name) else None
        if file is not None:
            check_ratio(path, packed, member.size + sum(map(len, members.values())))
            if member.size > MOST_MEMBER:
                raise DataError(f"{clean(name)} in {path} is larger than any file of CIFAR.")
            members[name] = file.read(member.size)
