"""Files by name -> pictures with labels: class folders, a flat folder, `labels.csv`, `dataset.json`.

What is not here: opening the pictures (`decode.py`); what is said after decoding (`packing.py`).
"""

import csv
import io
import itertools
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from biggan.data.records import LONGEST_NAME, Labels, Source, check_labels, clean, escape, natural, number_classes
from biggan.data.trees import LISTS, Tree, is_picture
from biggan.errors import DataError

MOST_LIST = 64 * 2**20  # bytes of dataset.json; ImageNet's has 51 MB
SPARE_ROWS = 200_000  # rows that a list may have beyond the files that are there
LONGEST_LINE = 2**16  # characters of a table's first line
FILE_COLUMNS = ("file", "filename", "file_name", "image", "name", "path", "id")
LABEL_COLUMNS = ("label", "class", "class_name", "category", "target", "y")
SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})


def pictures(tree: Tree) -> Source:
    """The pictures of a folder or zip with their labels.

    A `labels.csv` counts before a `dataset.json`, this before class folders, and without any of them and without
    sub-folders the pictures have no labels.

    Raises:
        DataError: The list is damaged, or there is no picture at all.
    """
    for name in tree.files:
        if name.lower() == "labels.csv":
            return _from_table(tree, name)
    if "dataset.json" in tree.files:
        return _from_json(tree)
    names = tree.pictures()
    if not names:
        raise DataError(f"{tree.place} holds no pictures (JPEG, PNG, WebP, BMP, GIF, TIFF){_found(tree)}.")
    if any("/" in name for name in names):
        return _from_folders(tree, names)
    return _source(tree, "flat", names, None, [], notes=["There are no class folders: the images have no labels."])


def _found(tree: Tree) -> str:
    """What else is there, as a clause for a message."""
    kinds = Counter(_ending(name) for name in tree.files)
    if not kinds:
        return ", and no other files either"
    return f"; it has {len(tree.files):,} other files ({', '.join(clean(kind) for kind, _ in kinds.most_common(3))})"


def _ending(name: str) -> str:
    last = name.rsplit("/", 1)[-1]
    return "." + last.rsplit(".", 1)[1].lower() if "." in last else "no ending"


def _source(
    tree: Tree,
    layout: str,
    names: list[str],
    labels: Labels | None,
    class_names: list[str],
    skipped: Iterable[tuple[str, str]] = (),
    notes: Iterable[str] = (),
) -> Source:
    listed = set(names)
    unknown = (name for name in tree.files if not is_picture(name) and name not in listed and name.lower() not in LISTS)
    kinds = [f"{clean(kind)} ({count:,})" for kind, count in Counter(map(_ending, unknown)).most_common(8)]
    ignored = [f"Files of other kinds are ignored: {', '.join(kinds)}."] if kinds else []
    return Source(
        kind=f"{tree.kind} ({layout})",
        place=tree.place,
        num_images=len(names),
        name=lambda i: clean(names[i]),
        read=lambda i: tree.open(names[i]),
        labels=labels,
        class_names=class_names,
        stamp=tree.stamp,
        skipped=[*tree.skipped, *skipped],
        notes=[*tree.notes, *notes, *ignored],
    )


def _from_folders(tree: Tree, names: list[str]) -> Source:
    """Class folders: the first part of a name is the class, whatever lies below it."""
    inside = [name for name in names if "/" in name]
    loose = [(clean(name), "is outside of every class folder") for name in names if "/" not in name]
    labels, class_names = number_classes([name.split("/", 1)[0] for name in inside], str(tree.place))
    tops = {name.split("/", 1)[0] for name in tree.folders} - {name.split("/", 1)[0] for name in inside}
    notes = [f"Class folder {clean(name)!r} has no images and is left out." for name in sorted(tops, key=natural)]
    notes += _suspicions(tree, inside, class_names)
    return _source(tree, "class folders", inside, labels, class_names, loose, notes)


def _suspicions(tree: Tree, names: list[str], class_names: list[str]) -> list[str]:
    """What is odd about the class folders."""
    if {name.lower() for name in class_names} <= SPLITS:
        where = "it" if len(class_names) == 1 else "one of them"
        return [
            f"The classes are called {', '.join(class_names)}: if these are splits, give {where} as --data instead."
        ]
    below = {name.split("/")[1] for name in names if name.count("/") >= 2}
    if len(class_names) == 1 and len(below) > 1:
        inner = f"{tree.place}/{class_names[0]}"
        return [f"There is one class folder with {len(below)} sub-folders: if these are the classes, give {inner}."]
    return []


def _from_table(tree: Tree, table: str) -> Source:
    """labels.csv: one row a picture, file and label; separated by commas, semicolons or tabs; a header is found."""
    where = f"{table} in {tree.place}"
    chosen = _Chosen(tree, where)
    words = []
    try:
        with io.TextIOWrapper(tree.open(table), "utf-8-sig", newline="") as file:
            for name, word in _rows(file, where):
                if chosen.take(name, None if 0 < len(word) <= LONGEST_NAME else "has no usable label"):
                    words.append(word)
    except (UnicodeDecodeError, csv.Error, OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{where} is not a table of file and label in UTF-8 ({clean(str(error))}).") from error
    labels, class_names = number_classes(words, where)
    return chosen.source("labels.csv", labels, class_names)


def _rows(file: io.TextIOWrapper, where: str) -> Iterator[tuple[str, str]]:
    """Pairs of file and label."""
    first = file.readline(LONGEST_LINE)
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(itertools.chain([first], file), delimiter=delimiter)
    head = next(rows, [])
    if len(head) < 2:
        raise DataError(f"{where} needs two columns, file and label.")
    words = [cell.strip().lower() for cell in head]
    file_at = next((words.index(word) for word in FILE_COLUMNS if word in words), None)
    label_at = next((words.index(word) for word in LABEL_COLUMNS if word in words), None)
    is_header = file_at is not None or label_at is not None
    if file_at is None or label_at is None:
        file_at, label_at = 0, 1
    for row in rows if is_header else itertools.chain([head], rows):
        if row:
            padded = [*row, *[""] * (max(file_at, label_at) + 1 - len(row))]
            yield padded[file_at].strip().removeprefix("./"), padded[label_at].strip()


class _Chosen:
    """The files of a tree that a list names; the memory it takes does not depend on the list."""

    def __init__(self, tree: Tree, where: str) -> None:
        self.tree, self.where = tree, where
        self.names: list[str] = []
        self.listed: set[str] = set()
        self.skipped: list[tuple[str, str]] = []
        self.left = SPARE_ROWS + 2 * len(tree.files)

    def take(self, name: str, reason: str | None = None) -> bool:
        """Whether a listed name is taken; it is not if there is a reason not to, which is kept.

        Raises:
            DataError: The list is far longer than there are files.
        """
        self.left -= 1
        if self.left < 0:
            raise DataError(f"{self.where} lists far more than the {len(self.tree.files):,} files that are there.")
        if name not in self.tree.files:
            reason = escape(name) or "is listed, but not there"
        elif name in self.listed:
            reason = "is listed twice"
        else:
            self.listed.add(name)
        if reason is None:
            self.names.append(name)
        else:
            self.skipped.append((clean(name), reason))
        return reason is None

    def source(self, table: str, labels: Labels | None, class_names: list[str]) -> Source:
        """The taken pictures."""
        count = sum(name not in self.listed for name in self.tree.pictures())
        notes = [f"{count:,} images that {table} does not list are left out."] if count else []
        return _source(self.tree, table, self.names, labels, class_names, self.skipped, notes)


def _from_json(tree: Tree) -> Source:
    """dataset.json of NVIDIA's tools: {"labels": [[name, number], ...]} or null, and optional "class_names"."""
    where = f"dataset.json in {tree.place}"
    content = tree.read("dataset.json", MOST_LIST)
    if sum(map(content.count, (b",", b"[", b"{"))) > SPARE_ROWS + 8 * len(tree.files):
        raise DataError(f"{where} lists far more than the {len(tree.files):,} files that are there.")
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({clean(str(error))}).") from error
    if not isinstance(values, dict) or "labels" not in values:
        raise DataError(f'{where} must be an object with "labels".')
    if values["labels"] is None:
        notes = ["dataset.json has no labels: the images have none."]
        return _source(tree, "dataset.json", tree.pictures(), None, [], notes=notes)
    chosen = _Chosen(tree, where)
    numbers = [number for name, number in _pairs(values["labels"], where) if chosen.take(name)]
    labels, class_names = check_labels(np.array(numbers, np.int64), _names(values, where), where)
    return chosen.source("dataset.json", labels, class_names)


def _pairs(labels: Any, where: str) -> Iterator[tuple[str, int]]:
    pairs = list(labels.items()) if isinstance(labels, dict) else labels
    if not isinstance(pairs, list):
        raise DataError(f'"labels" of {where} must be a list of [file, number].')
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            raise DataError(f'"labels" of {where} must be a list of [file, number]; one is {clean(repr(pair)[:99])}.')
        name, number = pair
        if type(number) is not int or not 0 <= number < 2**31:
            given = clean(repr(number)[:99])
            raise DataError(f"{where} has the label {given} for {clean(name)}; allowed are whole numbers from 0.")
        yield name, number


def _names(values: dict[str, Any], where: str) -> list[str] | None:
    names = values.get("class_names")
    if names is None or (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        return names
    raise DataError(f'"class_names" of {where} must be a list of names.')
