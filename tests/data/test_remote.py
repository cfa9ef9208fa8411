"""Data at an address are fetched once, whole, and then are what they would be here."""

import io
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from biggan.config import Data
from biggan.data.packed import Packed, local, prepare
from biggan.data.remote import is_address
from biggan.errors import ConfigError, DataError

fsspec = pytest.importorskip("fsspec")

MakePicture = Callable[..., bytes]
Load = Callable[..., Packed]


@pytest.fixture
def memory(picture: MakePicture) -> Iterator[object]:
    """Three shards of two samples in fsspec's own memory, with something else beside them."""
    fs = fsspec.filesystem("memory")
    for shard in range(3):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as file:
            for name, content in (
                ("a.png", picture(seed=shard)),
                ("a.cls", b"0"),
                ("b.png", picture(seed=9 + shard)),
                ("b.cls", b"1"),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
        fs.pipe_file(f"/bucket/train-{shard:03}.tar", out.getvalue())
    fs.pipe_file("/bucket/readme.txt", b"hello")
    yield fs
    fs.rm("/bucket", recursive=True)


def test_addresses_are_told_from_paths() -> None:
    assert all(map(is_address, ("s3://a/b", "https://a/b.tar", "memory://a", "simplecache::s3://a")))
    assert not any(map(is_address, ("a/b", "/a://b", "C:\\a", "", "./s3://a", "fashion-mnist")))


def test_a_folder_a_file_and_braces_are_fetched(tmp_path: Path, memory: object, load: Load) -> None:
    assert load("memory://bucket").num_images == 6
    assert load("memory://bucket/").class_counts == [3, 3]
    assert load("memory://bucket/train-001.tar").num_images == 2
    assert load("memory://bucket/train-{001..002}.tar").num_images == 4
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".lock", ".tmp") or path.name == "readme.txt"]


def test_an_address_is_read_once(tmp_path: Path, memory: object, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load("memory://bucket")
    monkeypatch.setattr(memory, "get_file", None)
    assert load("memory://bucket").place == first.place
    assert prepare("memory://bucket", 64, Data(), cache=tmp_path / "cache").num_images == 6


def test_changed_files_are_fetched_again(memory: object, load: Load, picture: MakePicture) -> None:
    first = load("memory://bucket")
    memory.pipe_file("/bucket/train-003.tar", memory.cat_file("/bucket/train-000.tar"))  # type: ignore[attr-defined]
    assert (first.num_images, load("memory://bucket").num_images) == (6, 8)


def test_an_interrupted_fetch_goes_on_with_the_files_that_are_missing(
    tmp_path: Path, memory: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    get = memory.get_file  # type: ignore[attr-defined]

    def get_file(path: str, place: str) -> None:
        fetched.append(path)
        get(path, place)
        if len(fetched) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(memory, "get_file", get_file)
    with pytest.raises(KeyboardInterrupt):
        local("memory://bucket", tmp_path)
    seen: list[tuple[int, int]] = []
    place = Path(local("memory://bucket", tmp_path, lambda *said: seen.append(said)))
    assert [path[-7:] for path in fetched] == ["000.tar", "001.tar", "001.tar", "002.tar"]
    assert seen[-1] == (3, 3)
    assert sorted(path.name for path in place.iterdir()) == [f"train-{i:03}.tar" for i in range(3)]


def test_a_file_that_comes_cut_is_refused(tmp_path: Path, memory: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "get_file", lambda path, place: Path(place).write_bytes(b"half"))
    with pytest.raises(DataError, match="came with 4 bytes"):
        local("memory://bucket", tmp_path)
    assert not list(tmp_path.rglob("*.tar*"))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://nowhere", "cannot be read"),
        ("memory://bucket/train-{002..001}.tar", "stands for 0 files"),
        ("memory://bucket/train-{000..999999}.tar", "allowed is 1 to 100,000"),
        ("nosuch://bucket", "cannot be read"),
    ],
)
def test_addresses_where_nothing_is_are_one_sentence(tmp_path: Path, memory: object, address: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        local(address, tmp_path)


def test_an_address_without_tars_is_one_sentence(tmp_path: Path, memory: object) -> None:
    memory.pipe_file("/other/readme.txt", b"hello")  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"has no \.tar files"):
        local("memory://other", tmp_path)


def test_without_fsspec_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ConfigError, match=r'pip install "torch-biggan\[remote\]"'):
        local("s3://bucket", tmp_path)
