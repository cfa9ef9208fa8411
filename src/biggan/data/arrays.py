"""Files by name -> arrays with labels: IDX (the MNIST family), CIFAR-10 and CIFAR-100, npz.

The arrays are held in memory. What is not here: resizing (`decode.py`).
"""

import gzip
import hashlib
import math
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from biggan.data import unpickle
from biggan.data.records import Labels, Pixels, Source, check_labels, clean, number_classes
from biggan.data.trees import MOST_MEMBER, Tree, check_ratio
from biggan.errors import DataError

IDX_IMAGES = re.compile(r"(.*)images[-.]idx[34]-ubyte(\.gz)?")
CIFAR_BINARY = re.compile(r"data_batch_\d+\.bin|train\.bin")
CIFAR_PYTHON = re.compile(r"data_batch_\d+")
CIFAR_PIXELS = 3 * 32 * 32
MOST_IDX = 4 * 2**30  # bytes of an IDX file, unpacked
MOST_TEXT = 2**20  # bytes of a list of class names
IMAGE_KEYS = ("x", "images", "image", "imgs", "x_train", "train_images", "data")
LABEL_KEYS = ("y", "labels", "label", "targets", "y_train", "train_labels")


def _source(tree: Tree, kind: str, images: Pixels, labels: Labels | None, names: list[str], notes: list[str]) -> Source:
    if labels is not None and len(labels) != len(images):
        raise DataError(f"{tree.place} has {len(images):,} images and {len(labels):,} labels.")
    return Source(
        kind=kind,
        place=tree.place,
        num_images=len(images),
        name=lambda i: f"image {i}",
        read=lambda i: images[i],
        labels=labels,
        class_names=names if labels is not None else [],
        stamp=tree.stamp,
        notes=[*tree.notes, *notes],
    )


def _lines(tree: Tree, name: str) -> list[str] | None:
    """Class names, one a line, if there is such a file."""
    if name not in tree.files:
        return None
    text = tree.read(name, MOST_TEXT).decode("utf-8", "replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


# IDX


def idx_files(tree: Tree) -> list[str]:
    """Names of the IDX image files at the top of a tree."""
    return sorted(name for name in tree.files if "/" not in name and IDX_IMAGES.fullmatch(name))


def idx(tree: Tree, split: Literal["train", "test"] = "train") -> Source:
    """IDX images with the labels beside them (`classes.txt` may name the classes, one a line).

    Without a `train` file the one that is there counts. EMNIST's images lie on their side and are set upright.

    Raises:
        DataError: Several files could be meant, or one is damaged.
    """
    found = idx_files(tree)
    wanted = [name for name in found if ("train" in name.lower()) == (split == "train")] or found
    if len(wanted) > 1:
        raise DataError(f"{tree.place} holds several sets ({', '.join(map(clean, wanted))}); give one of the files.")
    return idx_file(tree, wanted[0])


def idx_file(tree: Tree, name: str) -> Source:
    """One IDX image file of a tree with its labels (see `idx`)."""
    images = _idx_array(tree, name)
    notes = [f"{clean(other)} is not used." for other in idx_files(tree) if other != name]
    if "emnist" in name.lower():
        images = images.swapaxes(1, 2)
        notes.append("EMNIST's images are transposed to stand upright.")
    prefix = name[: name.rindex("images")]
    beside = [prefix + ending for ending in ("labels-idx1-ubyte", "labels.idx1-ubyte")]
    labels_file = next((file for stem in beside for file in (stem, f"{stem}.gz") if file in tree.files), None)
    if labels_file is None:
        return _source(tree, "IDX", images, None, [], [*notes, f"There are no labels beside {clean(name)}."])
    labels = _idx_array(tree, labels_file).astype(np.int64)
    labels, names = check_labels(labels, _lines(tree, "classes.txt"), f"{tree.place}/{labels_file}")
    return _source(tree, "IDX", images, labels, names, notes)


def _idx_array(tree: Tree, name: str) -> Pixels:
    """An IDX file: two zero bytes, 8 for uint8, the number of dimensions, each as big-endian uint32, then the bytes."""
    where = f"{tree.place}/{clean(name)}"
    try:
        with tree.open(name) as raw:
            file = gzip.GzipFile(fileobj=raw) if name.endswith(".gz") else raw
            head = file.read(4)
            if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 4:
                raise DataError(f"{where} is not an IDX file of bytes.")
            shape = tuple(int.from_bytes(file.read(4), "big") for _ in range(head[3]))
            total = math.prod(shape)
            check_ratio(where, tree.files[name], total)
            content = file.read(total) if total <= MOST_IDX else b""
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where} is damaged ({clean(str(error))}); fetch it again.") from error
    if len(content) != total:
        raise DataError(f"{where} is cut short or too large: it promises {total:,} bytes; fetch it again.")
    return np.frombuffer(content, np.uint8).reshape(shape)


# CIFAR


def is_cifar(tree: Tree) -> bool:
    """Whether the top of a tree holds CIFAR's binary or Python files."""
    return bool(_named(tree, CIFAR_BINARY) or _named(tree, CIFAR_PYTHON) or {"train", "meta"} <= tree.files.keys())


def _named(tree: Tree, pattern: re.Pattern[str]) -> list[str]:
    return sorted(name for name in tree.files if pattern.fullmatch(name))


def cifar(tree: Tree) -> Source:
    """CIFAR-10 or CIFAR-100 (its fine labels), training part, binary or Python files.

    Raises:
        DataError: A file is damaged, or a pickle asks for anything but arrays.
    """
    binary = _named(tree, CIFAR_BINARY)
    hundred = "train.bin" in binary if binary else "train" in tree.files
    files = binary or (["train"] if hundred else _named(tree, CIFAR_PYTHON))
    read: Callable[[Tree, str, bool], tuple[Pixels, Labels]] = _binary if binary else _pickled
    parts = [read(tree, name, hundred) for name in files]
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    labels, names = check_labels(labels, _cifar_names(tree, bool(binary), hundred), str(tree.place))
    kind = f"CIFAR-{100 if hundred else 10} ({'binary' if binary else 'Python'})"
    return _source(tree, kind, images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels, names, [])


def _binary(tree: Tree, name: str, hundred: bool) -> tuple[Pixels, Labels]:
    """Records of one label byte (CIFAR-100: coarse and fine) and 3 x 32 x 32 bytes."""
    content = np.frombuffer(tree.read(name, MOST_MEMBER), np.uint8)
    record = CIFAR_PIXELS + 1 + hundred
    if not len(content) or len(content) % record:
        raise DataError(f"{name} in {tree.place} is not a whole number of records of {record:,} bytes; fetch it again.")
    rows = content.reshape(-1, record)
    return rows[:, 1 + hundred :], rows[:, int(hundred)].astype(np.int64)


def _pickled(tree: Tree, name: str, hundred: bool) -> tuple[Pixels, Labels]:
    values = _unpickled(tree, name)
    try:
        images = values[b"data"]
        labels = np.array(values[b"fine_labels" if hundred else b"labels"], np.int64)
        if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != CIFAR_PIXELS or labels.ndim != 1:
            raise ValueError("it has arrays of another shape")
    except (KeyError, ValueError, TypeError, OverflowError, AttributeError) as error:
        raise DataError(f"{name} in {tree.place} is not a CIFAR file ({clean(str(error))}); fetch it again.") from error
    return images, labels


def _unpickled(tree: Tree, name: str) -> dict[bytes, Any]:
    content = tree.read(name, MOST_MEMBER)
    try:
        values = unpickle.load(content)
    except pickle.UnpicklingError as error:
        reason = clean(str(error))
        raise DataError(f"{name} in {tree.place} is not read ({reason}); only plain CIFAR pickles are.") from error
    if not isinstance(values, dict):
        raise DataError(f"{name} in {tree.place} is not a CIFAR file; fetch it again.")
    return values


def _cifar_names(tree: Tree, binary: bool, hundred: bool) -> list[str] | None:
    if binary:
        return _lines(tree, "fine_label_names.txt" if hundred else "batches.meta.txt")
    meta = "meta" if hundred else "batches.meta"
    if meta not in tree.files:
        return None
    names = _unpickled(tree, meta).get(b"fine_label_names" if hundred else b"label_names")
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise DataError(f"{meta} in {tree.place} has no class names; fetch it again.")
    return [name.decode("utf-8", "replace") for name in names]


# npz


def npz(path: Path) -> Source:
    """An `.npz` with `x` (or `images`) and, for classes, `y` (or `labels`) and `class_names`.

    Images are uint8 (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 to 4; labels whole numbers or texts (N,).

    Raises:
        DataError: An array is missing, of another type or shape, pickled, or made to explode.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            for info in file.zip.infolist():
                check_ratio(path, info.compress_size, info.file_size)
            images = _one_of(file, IMAGE_KEYS)
            words = _one_of(file, LABEL_KEYS)
            names = _one_of(file, ("class_names",))
    except DataError:
        raise
    except Exception as error:  # numpy and zipfile have many ways to fail on a damaged file
        raise DataError(f"{path} cannot be read as npz ({clean(str(error))}).") from error
    if images is None:
        raise DataError(f"{path} has no array called {' or '.join(IMAGE_KEYS[:2])}.")
    status = path.stat()
    stamp = hashlib.sha256(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()
    tree = Tree(place=path, kind="npz", files={}, folders=frozenset(), stamp=stamp, open=_none)
    labels, class_names = _npz_labels(words, names, path) if words is not None else (None, [])
    return _source(tree, "npz", _channels_last(images, path), labels, class_names, [])


def _none(name: str) -> Any:
    raise FileNotFoundError(name)


def _one_of(file: Any, keys: tuple[str, ...]) -> NDArray[Any] | None:
    return next((file[key] for key in keys if key in file), None)


def _channels_last(images: NDArray[Any], path: Path) -> Pixels:
    shape = images.shape
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in shape:
        given = f"{images.dtype} {shape}"
        raise DataError(f"Images in {path} are {given}; allowed is uint8 (N, H, W), (N, H, W, C) or (N, C, H, W).")
    if images.ndim == 3 or 1 <= shape[3] <= 4:
        return images
    if 1 <= shape[1] <= 4:
        return images.transpose(0, 2, 3, 1)
    raise DataError(f"Images in {path} are {shape}; allowed are 1 to 4 channels, in the last place or the second.")


def _npz_labels(words: NDArray[Any], names: NDArray[Any] | None, path: Path) -> tuple[Labels, list[str]]:
    flat = words.reshape(-1) if words.shape[1:] in ((), (1,)) else words
    if flat.ndim == 1 and flat.dtype.kind == "U":
        return number_classes([str(word) for word in flat], str(path))
    if flat.ndim != 1 or flat.dtype.kind not in "iu":
        raise DataError(f"Labels in {path} are {words.dtype} {words.shape}; allowed are whole numbers or texts (N,).")
    listed = None if names is None or names.dtype.kind != "U" else [str(name) for name in names.reshape(-1)]
    return check_labels(flat.astype(np.int64), listed, str(path))
