"""IDX, CIFAR and npz give the images and labels that were put in; damaged ones give one sentence."""

import contextlib
import gzip
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from biggan.data.packed import Packed
from biggan.errors import DataError

Load = Callable[..., Packed]

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (12, 28, 28), np.uint8)
COLOUR = RANDOM.integers(0, 256, (12, 32, 32, 3), np.uint8)
LABELS = np.array([3, 1, 0, 2, 1, 0, 3, 2, 1, 1, 0, 3], np.uint8)


def idx(array: NDArray[np.uint8]) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.tobytes()


def put(root: Path, files: dict[str, bytes]) -> Path:
    root.mkdir(exist_ok=True)
    for name, content in files.items():
        (root / name).write_bytes(content)
    return root


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", ["train-{}-idx{}-ubyte", "train-{}.idx{}-ubyte"])
def test_idx_files(tmp_path: Path, load: Load, name: str, zipped: bool) -> None:
    ending, pack = (".gz", gzip.compress) if zipped else ("", bytes)
    files = {
        name.format("images", 3) + ending: pack(idx(GREY)),
        name.format("labels", 1) + ending: pack(idx(LABELS)),
        "t10k-images-idx3-ubyte": idx(GREY[:1]),
    }
    root = put(tmp_path / "set", files)
    for source in (root, root / next(iter(files))):
        packed = load(source)
        assert (packed.images[:, 2:30, 2:30, 0] == GREY).all()
        assert packed.images.sum() == GREY.sum()
        assert packed.class_names == ["0", "1", "2", "3"]
        assert packed.labels is not None
        assert packed.labels.tolist() == LABELS.tolist()
        assert "t10k-images-idx3-ubyte is not used." in packed.notes


def test_idx_without_labels_and_with_class_names(tmp_path: Path, load: Load) -> None:
    root = put(tmp_path / "set", {"images-idx3-ubyte": idx(GREY)})
    assert load(root).labels is None
    put(root, {"labels-idx1-ubyte": idx(LABELS), "classes.txt": b"a\nb\nc\nd\n"})
    assert load(root).class_names == ["a", "b", "c", "d"]


def test_emnist_is_set_upright(tmp_path: Path, load: Load) -> None:
    packed = load(put(tmp_path / "set", {"emnist-letters-train-images-idx3-ubyte": idx(GREY)}))
    assert (packed.images[:, 2:30, 2:30, 0] == GREY.swapaxes(1, 2)).all()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08\x03",
        idx(GREY)[:-1],
        b"\0\0\x0d\x03" + idx(GREY)[4:],
        b"\x01" + idx(GREY)[1:],
        b"\0\0\x08\x03" + b"\xff" * 12,
        b"\0\0\x08\xff" + b"\x01" * 99,
    ],
)
def test_damaged_idx_files_are_one_sentence(tmp_path: Path, load: Load, content: bytes) -> None:
    for name, data in (
        ("train-images-idx3-ubyte", content),
        ("train-images-idx3-ubyte.gz", gzip.compress(content)[:-3]),
    ):
        with pytest.raises(DataError, match="train-images"):
            load(put(tmp_path / name, {name: data}))


def test_labels_that_do_not_fit_the_images_are_refused(tmp_path: Path, load: Load) -> None:
    root = put(tmp_path / "set", {"images-idx3-ubyte": idx(GREY), "labels-idx1-ubyte": idx(LABELS[:5])})
    with pytest.raises(DataError, match="12 images and 5 labels"):
        load(root)


def chw(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def cifar10_binary() -> dict[str, bytes]:
    rows = np.concatenate([LABELS[:, None], chw(COLOUR)], 1)
    names = b"ape\nbee\ncat\ndog\n\n"
    files = {"data_batch_1.bin": rows[:6].tobytes(), "data_batch_2.bin": rows[6:].tobytes(), "batches.meta.txt": names}
    return {**files, "test_batch.bin": rows[:2].tobytes()}


def cifar100_binary() -> dict[str, bytes]:
    rows = np.concatenate([LABELS[:, None] * 0 + 9, LABELS[:, None], chw(COLOUR)], 1)
    return {"train.bin": rows.tobytes(), "fine_label_names.txt": b"ape\nbee\ncat\ndog\n", "test.bin": b""}


def python2(value: Any) -> bytes:
    """Pickles dicts, lists, bytes, ints and uint8 matrices opcode by opcode, as Python 2 did."""
    if isinstance(value, bytes):
        return b"T" + len(value).to_bytes(4, "little") + value
    if isinstance(value, int):
        return b"J" + value.to_bytes(4, "little", signed=True)
    if isinstance(value, list):
        return b"](" + b"".join(map(python2, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(python2(key) + python2(item) for key, item in value.items()) + b"u"
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\x01btR"
    dtype = b"cnumpy\ndtype\n(U\x02u1K\0K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    shape = b"(" + b"".join(map(python2, value.shape)) + b"t"
    return made + b"(K\x01" + shape + dtype + b"I00\n" + python2(value.tobytes()) + b"tb"


def cifar10_python() -> dict[str, bytes]:
    def batch(part: slice) -> bytes:
        values = {b"data": chw(COLOUR[part]), b"labels": LABELS[part].tolist(), b"filenames": [b"x.png"]}
        return b"\x80\x02" + python2(values) + b"."

    meta = b"\x80\x02" + python2({b"label_names": [b"ape", b"bee", b"cat", b"dog"]}) + b"."
    return {"data_batch_1": batch(slice(6)), "data_batch_2": batch(slice(6, 12)), "batches.meta": meta}


def cifar100_python() -> dict[str, bytes]:
    values = {b"data": chw(COLOUR), b"fine_labels": LABELS.tolist(), b"coarse_labels": [0] * 12}
    meta = {b"fine_label_names": [b"ape", b"bee", b"cat", b"dog"]}
    return {"train": b"\x80\x02" + python2(values) + b".", "meta": b"\x80\x02" + python2(meta) + b"."}


CIFARS = [cifar10_binary, cifar100_binary, cifar10_python, cifar100_python]


def tarred(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("files", CIFARS)
def test_cifar_as_folder_and_as_archive(tmp_path: Path, load: Load, files: Callable[[], dict[str, bytes]]) -> None:
    folder = put(tmp_path / "set", files())
    for source in (folder, tarred(tmp_path / "a.tar.gz", files()), tarred(tmp_path / "a.tar", files(), "w")):
        packed = load(source)
        assert (packed.images == COLOUR).all()
        assert packed.class_names == ["ape", "bee", "cat", "dog"]
        assert packed.labels is not None
        assert packed.labels.tolist() == LABELS.tolist()


def test_numpy_of_today_pickles_the_same_arrays(tmp_path: Path, load: Load) -> None:
    values = {b"data": chw(COLOUR), b"labels": LABELS.astype(np.int64)}
    for protocol in (3, 4):
        folder = put(tmp_path / str(protocol), {"data_batch_1": pickle.dumps(values, protocol)})
        packed = load(folder)
        assert (packed.images == COLOUR).all()
        assert packed.labels is not None
        assert packed.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("files", CIFARS)
def test_damaged_cifar_files_are_one_sentence(
    tmp_path: Path, load: Load, files: Callable[[], dict[str, bytes]]
) -> None:
    name, content = next(iter(files().items()))
    for i, damaged in enumerate([b"", content[:-7], b"\xff" * 99, content[: len(content) // 2 + 1]]):
        with pytest.raises(DataError, match=name.partition(".")[0]) as error:
            load(put(tmp_path / str(i), {**files(), name: damaged}))
        assert len(str(error.value)) < 400


def test_a_tar_cut_short_or_of_something_else_is_refused(tmp_path: Path, load: Load) -> None:
    path = tarred(tmp_path / "a.tar.gz", cifar10_binary())
    path.write_bytes(path.read_bytes()[:-9_000])
    with pytest.raises(DataError, match="is damaged"):
        load(path)
    with pytest.raises(DataError, match="is none of what is read"):
        load(tarred(tmp_path / "b.tar.gz", {"a.png": b"x"}))


@pytest.mark.parametrize("keys", [("x", "y"), ("images", "labels")])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW", "NHW", "NHW1"])
def test_npz_in_every_layout(tmp_path: Path, load: Load, keys: tuple[str, str], layout: str) -> None:
    wide = np.pad(GREY, [(0, 0), (2, 2), (2, 2)])
    stored = {"NHWC": COLOUR, "NCHW": COLOUR.transpose(0, 3, 1, 2), "NHW": wide, "NHW1": wide[..., None]}[layout]
    expected = COLOUR if layout in ("NHWC", "NCHW") else wide[..., None]
    for save in (np.savez, np.savez_compressed):
        path = tmp_path / f"{save.__name__}.npz"
        save(path, **{keys[0]: stored, keys[1]: LABELS.astype(np.int32)})
        packed = load(path)
        assert (packed.images == expected).all()
        assert packed.labels is not None
        assert packed.labels.tolist() == LABELS.tolist()


def test_npz_class_names_and_text_labels(tmp_path: Path, load: Load) -> None:
    names = np.array(["dog", "cat", "bee", "ape"])
    np.savez(tmp_path / "named.npz", x=COLOUR, y=LABELS[:, None], class_names=names)
    assert load(tmp_path / "named.npz").class_names == names.tolist()
    np.savez(tmp_path / "texts.npz", x=COLOUR, y=names[LABELS])
    packed = load(tmp_path / "texts.npz")
    assert packed.class_names == sorted(names)
    assert packed.labels is not None
    assert [packed.class_names[label] for label in packed.labels] == names[LABELS].tolist()
    np.savez(tmp_path / "none.npz", x=COLOUR)
    assert load(tmp_path / "none.npz").labels is None


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"z": COLOUR}, "no array called x or images"),
        ({"x": COLOUR.astype(np.float32)}, "allowed is uint8"),
        ({"x": COLOUR[0, 0]}, "allowed is uint8"),
        ({"x": COLOUR[..., None]}, "allowed is uint8"),
        ({"x": COLOUR[:0]}, "allowed is uint8"),
        ({"x": RANDOM.integers(0, 9, (4, 8, 8, 8), np.uint8)}, "1 to 4 channels"),
        ({"x": COLOUR, "y": LABELS[:3]}, "12 images and 3 labels"),
        ({"x": COLOUR, "y": LABELS.astype(float)}, "whole numbers or texts"),
        ({"x": COLOUR, "y": LABELS.astype(np.int64) - 2}, "negative"),
        ({"x": COLOUR, "y": LABELS, "class_names": np.array(["a"])}, "names for 0 to 0"),
        ({"x": np.array([{}], object)}, "cannot be read as npz"),
    ],
)
def test_npz_of_other_things_is_one_sentence(tmp_path: Path, load: Load, arrays: dict[str, Any], words: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=words):
        load(tmp_path / "a.npz")


def test_mutated_archives_are_read_or_refused_and_nothing_else(tmp_path: Path, load: Load) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=GREY, y=LABELS)
    tarred(tmp_path / "a.tar.gz", cifar10_python())
    random = np.random.default_rng(1)
    for name in ("a.npz", "a.tar.gz"):
        content = (tmp_path / name).read_bytes()
        for i in range(60):
            mutant = bytearray(content)
            for place in random.integers(0, len(mutant), 2):
                mutant[place] = random.integers(256)
            path = tmp_path / f"{i}{name}"
            path.write_bytes(mutant)
            with contextlib.suppress(DataError):
                assert load(path).num_images
