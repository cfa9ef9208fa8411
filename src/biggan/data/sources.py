"""A path or a bundled name -> a source of images, recognised by what is in it.

```
folder   dataset.json, labels.csv, IDX files, CIFAR files, class folders, or just pictures
zip      the same; npz is a zip of arrays
tar      pictures with labels (WebDataset), class folders; a folder of tars
tar.gz   CIFAR's archives
file     an IDX image file with its labels beside it
name     fashion-mnist (10,000 images), fashion-mnist-test (2,000)
```

What is not here: packs, which `packed.py` opens before it asks here.
"""

import contextlib
import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from biggan.data import arrays, bundled, listing, tars
from biggan.data.records import Source, clean
from biggan.data.trees import Tree, cifar_tree, folder_tree, is_picture, zip_tree
from biggan.errors import DataError, nearest

MOST_CIFAR = 2**29  # bytes of a tar that might be CIFAR's


@contextlib.contextmanager
def find(source: str) -> Iterator[Source]:
    """Opens what a `--data` means; reading ends with the context.

    Raises:
        DataError: Nothing of that name, nothing that is read, a run's folder, or a damaged list or archive.
    """
    if source in bundled.NAMES:
        found = arrays.idx(folder_tree(bundled.FOLDER), bundled.NAMES[source])
        yield replace(found, place=None, kind=f"bundled ({source})", notes=[])
        return
    path = existing(source)
    if path.is_dir():
        if (path / "run.json").is_file() and (path / "log.txt").is_file():
            raise DataError(
                f"--data {clean(source)!r} is a run, and its pictures are drawn; give the images it was of."
            )
        yield _of_tree(folder_tree(path))
    elif _starts(path, b"PK") or zipfile.is_zipfile(path):
        with _zip(path) as archive:
            yield _of_zip(path, archive)
    else:
        yield _of_file(path)


def existing(source: str) -> Path:
    """The path of a source.

    Raises:
        DataError: It is not there, or is neither a file nor a folder.
    """
    path = Path(source)
    try:
        if source and (path.is_dir() or path.is_file()):
            return path
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    except (OSError, ValueError, RuntimeError):
        beside = []
    choices = [*bundled.NAMES, *(str(path.parent / name) for name in beside[:10_000])]
    hint = nearest(source[:200], choices) or "."
    raise DataError(f"--data {clean(source)!r} is no file, folder or bundled set ({', '.join(bundled.NAMES)}){hint}")


def _starts(path: Path, magic: bytes, at: int = 0) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(at)
            return file.read(len(magic)) == magic
    except OSError as error:
        raise DataError(f"--data {clean(str(path))} cannot be read ({error.strerror}).") from error


@contextlib.contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(
            f"{path} is a zip that is damaged or cut short ({clean(str(error))}); make it again."
        ) from error
    with archive:
        yield archive


def _of_zip(path: Path, archive: zipfile.ZipFile) -> Source:
    names = archive.namelist()
    if names and all(name.endswith(".npy") for name in names):
        return arrays.npz(path)
    return _of_tree(zip_tree(path, archive))


def _of_tree(tree: Tree) -> Source:
    listed = {"labels.csv", "dataset.json"} & {name.lower() for name in tree.files}
    if not listed and arrays.idx_files(tree):
        return arrays.idx(tree)
    if not listed and arrays.is_cifar(tree):
        return arrays.cifar(tree)
    shards = [name for name in tree.files if name.endswith(".tar")]
    if shards and not listed and tree.kind == "folder" and not any(map(is_picture, tree.files)):
        return tars.tars(tree.place, [tree.place / name for name in shards], tree.stamp, tree.skipped)
    return listing.pictures(tree)


def _of_file(path: Path) -> Source:
    if arrays.IDX_IMAGES.fullmatch(path.name):
        return replace(arrays.idx_file(folder_tree(path.parent), path.name), place=path)
    status = path.stat()
    is_tar = _starts(path, b"ustar", 257)
    tree = None if is_tar and status.st_size > MOST_CIFAR else cifar_tree(path)
    if tree is not None and arrays.is_cifar(tree):
        return arrays.cifar(tree)
    if is_tar:
        stamp = hashlib.sha256(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()
        return tars.tars(path, [path], stamp, [])
    allowed = "a folder, a zip, a tar, an npz, an IDX image file, or a tar.gz of CIFAR"
    raise DataError(f"--data {clean(str(path))} is none of what is read: {allowed}.")
