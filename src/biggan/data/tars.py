"""Tar files -> pictures with labels: shards in the WebDataset layout, or tars of class folders, or one tar a class.

```
0001.jpg + 0001.cls or .json    a picture and its label: names are equal up to the first dot
cat/0001.jpg                    class folders, where nothing has a label
n01440764.tar: n01440764_1.JPEG one tar a class, as ImageNet comes: every picture's name begins with its tar's
```

Each tar's headers are read once, and pictures from then on by their place in it, in the order in which they lie.
Nothing is unpacked. What is not here: CIFAR's archives (`trees.py`), tars elsewhere than on a disk (`remote.py`).
"""

import io
import json
import sys
import tarfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from biggan.data.listing import LABEL_COLUMNS
from biggan.data.records import LONGEST_NAME, Labels, Source, check_labels, clean, escape, natural, number_classes
from biggan.data.trees import SUFFIXES, WHOLE, Cautious, is_junk, top_folder
from biggan.errors import DataError

MOST_HEADER = 2**20  # bytes of one header, which may claim any size
MOST_LABEL = 2**16  # bytes of a .cls or .json
KEYS = ("cls", *LABEL_COLUMNS)
NAMES = "classes.txt"


class _Window(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        self.file, self.start, self.size, self.at = path.open("rb"), start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self.at = max(0, offset + (0, self.at, self.size)[whence])
        return self.at

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]
        self.file.seek(self.start + self.at)
        content = self.file.read(max(0, min(len(buffer), self.size - self.at)))
        buffer[: len(content)] = content
        self.at += len(content)
        return len(content)

    def close(self) -> None:
        self.file.close()
        super().close()


class _Index:
    """Where each picture lies in the tars, and the label of each sample."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.names: list[str] = []
        self.tars, self.offsets, self.sizes = array("I"), array("Q"), array("Q")
        self.words: dict[tuple[int, str], str] = {}
        self.skipped: list[tuple[str, str]] = []
        for number, path in enumerate(files):
            self._read(number, path)

    def _read(self, number: int, path: Path) -> None:
        """Adds one tar; what cannot be read of it is counted, and the rest of it left out."""
        count, size = 0, path.stat().st_size
        try:
            for member, file in _members(path):
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("a member is cut short")
                self._take(number, member, file)
                count += 1
        except (tarfile.TarError, OSError, ValueError, OverflowError, EOFError) as error:
            self.skipped.append((clean(path.name), f"is damaged after {count:,} members ({clean(str(error))})"))

    def _take(self, number: int, member: tarfile.TarInfo, file: tarfile.TarFile) -> None:
        name, shown = member.name.removeprefix("./"), clean(f"{self.files[number].name}/{member.name}")
        if member.isdir():
            return
        stem, ending = _split(name)
        is_picture = "." + ending.rsplit(".", 1)[-1] in SUFFIXES
        if reason := escape(name) or (None if member.isreg() and not member.issparse() else "is a link or no file"):
            self.skipped.append((shown, reason))
        elif any(map(is_junk, name.split("/"))):
            return
        elif is_picture:
            self.names.append(name)
            self.tars.append(number)
            self.offsets.append(member.offset_data)
            self.sizes.append(member.size)
        elif ending == "cls" or (ending == "json" and (number, stem) not in self.words):
            content = file.extractfile(member)
            word = _label(content.read(MOST_LABEL), ending) if content and member.size <= MOST_LABEL else None
            if word is not None:
                self.words[number, stem] = sys.intern(word)

    def open(self, i: int) -> BinaryIO:
        """Picture i as an open file."""
        path = self.files[self.tars[i]]
        if self.sizes[i] > WHOLE:
            return io.BufferedReader(_Window(path, self.offsets[i], self.sizes[i]))  # type: ignore[type-var]
        with path.open("rb") as file:
            file.seek(self.offsets[i])
            return io.BytesIO(file.read(self.sizes[i]))

    def shown(self, i: int) -> str:
        """Name of picture i with that of its tar."""
        return clean(f"{self.files[self.tars[i]].name}/{self.names[i]}")

    def sample_words(self) -> Iterator[tuple[int, str | None]]:
        """Each picture with its sample's label; None where it has none or is not the first of its sample."""
        seen: set[tuple[int, str]] = set()
        for i, name in enumerate(self.names):
            sample = (self.tars[i], _split(name)[0])
            yield i, None if sample in seen else self.words.get(sample)
            seen.add(sample)


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    with Cautious(path, MOST_HEADER) as raw, tarfile.open(fileobj=raw, mode="r:") as file:
        while (member := file.next()) is not None:
            yield member, file
            file.members = []  # type: ignore[attr-defined]  # else all of them are held


def _split(name: str) -> tuple[str, str]:
    """A member's sample and its ending: all of the name up to the first dot of its last part, and the rest."""
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _label(content: bytes, ending: str) -> str | None:
    """The label in a .cls (a number or a word) or a .json (under one of the usual names)."""
    try:
        value = content.decode().strip() if ending == "cls" else json.loads(content)
        if isinstance(value, dict):
            value = next((value[key] for key in KEYS if key in value), None)
    except (ValueError, RecursionError):
        return None
    usable = isinstance(value, str | int) and not isinstance(value, bool) and 0 < len(str(value)) <= LONGEST_NAME
    return str(value) if usable else None


def tars(place: Path, files: list[Path], stamp: str, skipped: list[tuple[str, str]]) -> Source:
    """The pictures of tar files, which lie in `place` or are it.

    Raises:
        DataError: There is no picture in any of them.
    """
    index = _Index(sorted(files, key=lambda path: natural(path.name)))
    skipped = [*skipped, *index.skipped]
    if not index.names:
        first = f"; {skipped[0][0]} {skipped[0][1]}" if skipped else ""
        raise DataError(f"{place} holds no pictures (JPEG, PNG, WebP, BMP, GIF, TIFF) in its tars{first}.")
    chosen, notes = list(range(len(index.names))), []
    labels: Labels | None
    if index.words:
        layout, words = "tar shards", []
        chosen = []
        for i, word in index.sample_words():
            if word is None:
                skipped.append((index.shown(i), "has no .cls or .json with a label, or is not the first of its sample"))
            else:
                chosen.append(i)
                words.append(word)
        labels, class_names = _numbered(words, place)
    elif (classes := _by_tar(index)) or (classes := _by_folder(index)):
        layout = "tars of classes"
        labels, class_names = number_classes(classes, str(place))
    else:
        layout, labels, class_names = "tars", None, []
        notes = ["There are no labels (.cls, .json, class folders) in the tars: the images have none."]
    return Source(
        kind=layout,
        place=place,
        num_images=len(chosen),
        name=lambda i: index.shown(chosen[i]),
        read=lambda i: index.open(chosen[i]),
        labels=labels,
        class_names=class_names,
        stamp=stamp,
        skipped=skipped,
        notes=notes,
    )


def _numbered(words: list[str], place: Path) -> tuple[Labels, list[str]]:
    """Labels as numbers; numbers keep their order and get their names from `classes.txt`, if it is there."""
    if not all(word.isdecimal() and len(word) < 10 for word in words):
        return number_classes(words, str(place))
    names = place / NAMES if place.is_dir() else place.with_name(NAMES)
    listed = None
    if names.is_file():
        with names.open("rb") as file:
            listed = [line.strip() for line in file.read(2**20).decode("utf-8", "replace").splitlines() if line.strip()]
    return check_labels(np.array(words, np.int64), listed, str(place))


def _by_tar(index: _Index) -> list[str] | None:
    """The tars' names as classes, where the name of each picture begins with its tar's."""
    stems = [path.stem for path in index.files]
    if len(stems) < 2:
        return None
    classes = [stems[number] for number in index.tars]
    pairs = zip(index.names, classes, strict=True)
    return classes if all(name.rsplit("/", 1)[-1].startswith(f"{stem}_") for name, stem in pairs) else None


def _by_folder(index: _Index) -> list[str] | None:
    """The first folder of each picture's name as its class, below one that all are in."""
    top = len(top_folder(index.names))
    inside = [name[top:] for name in index.names]
    return [name.split("/", 1)[0] for name in inside] if all("/" in name for name in inside) else None
