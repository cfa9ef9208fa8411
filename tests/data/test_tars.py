"""Tars are read in place: samples with their labels, class folders, one tar a class; damage costs what it hit."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biggan.data import trees
from biggan.data.packed import Packed
from biggan.data.sources import find
from biggan.errors import DataError

Load = Callable[..., Packed]
MakePicture = Callable[..., bytes]


def tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    """Writes a tar of the given members, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def colour(picture: MakePicture) -> Callable[[int], bytes]:
    """A picture that can be told by its red."""
    return lambda red: picture("RGB", (32, 32), (red, 0, 9))


Colour = Callable[[int], bytes]


def reds(packed: Packed) -> list[int]:
    return [int(packed.images[i, 0, 0, 0]) for i in range(packed.num_images)]


def test_samples_of_several_shards_are_read_in_the_order_in_which_they_lie(
    tmp_path: Path, load: Load, colour: Colour
) -> None:
    for shard, keys in ((10, "ed"), (2, "cab")):
        members = []
        for k, key in enumerate(keys):
            members += [(f"{key}.cls", str(k + shard).encode()), (f"{key}.jpg", b""), (f"{key}.txt", b"a caption")]
            members[-2] = (f"{key}.png", colour(10 * shard + k))
        tar(tmp_path / "set" / f"train-{shard}.tar", members)
    packed = load(tmp_path / "set")
    assert reds(packed) == [20, 21, 22, 100, 101]
    assert packed.labels is not None
    assert [packed.class_names[k] for k in packed.labels] == ["2", "3", "4", "10", "11"]
    assert packed.skipped == []


def test_labels_are_numbers_or_words_in_cls_or_json(tmp_path: Path, load: Load, colour: Colour) -> None:
    members = [
        ("a.png", colour(1)),
        ("a.json", json.dumps({"label": "dog", "width": 9}).encode()),
        ("b.json", b'{"cls": 3, "label": null}'),
        ("b.png", colour(2)),
        ("c.png", colour(3)),
        ("c.cls", b" dog\n"),
        ("c.json", b'{"label": "not this"}'),
        ("d.png", colour(4)),
        ("e.png", colour(5)),
        ("e.json", b"no json"),
        ("f.png", colour(6)),
        ("f.cls", b"dog"),
        ("f.seg.png", colour(7)),
        ("deep/f.png", colour(8)),
        ("deep/f.cls", b"cat"),
    ]
    packed = load(tar(tmp_path / "set.tar", members))
    assert packed.labels is not None
    assert [packed.class_names[k] for k in packed.labels] == ["dog", "3", "dog", "dog", "cat"]
    assert reds(packed) == [1, 2, 3, 6, 8]
    assert [name for name, _ in packed.skipped] == ["set.tar/d.png", "set.tar/e.png", "set.tar/f.seg.png"]


def test_numbers_get_names_from_a_list_beside_the_tars(tmp_path: Path, load: Load, colour: Colour) -> None:
    tar(tmp_path / "set/0.tar", [("a.png", colour(1)), ("a.cls", b"1"), ("b.png", colour(2)), ("b.cls", b"0")])
    (tmp_path / "set/classes.txt").write_text("cat\ndog\n")
    packed = load(tmp_path / "set")
    assert packed.labels is not None
    assert [packed.class_names[k] for k in packed.labels] == ["dog", "cat"]


def test_without_labels_class_folders_or_the_names_of_the_tars_are_classes(
    tmp_path: Path, load: Load, colour: Colour
) -> None:
    folders = tar(tmp_path / "a.tar", [("./train/cat/1.png", colour(1)), ("./train/dog/1.x.png", colour(2))])
    assert load(folders).class_names == ["cat", "dog"]
    for wnid in ("n01", "n02"):
        tar(tmp_path / "in" / f"{wnid}.tar", [(f"{wnid}_{i}.JPEG", colour(i)) for i in range(2)])
    packed = load(tmp_path / "in")
    assert (packed.class_names, packed.class_counts) == (["n01", "n02"], [2, 2])
    flat = load(tar(tmp_path / "b.tar", [("1.png", colour(1)), ("2.png", colour(2))]))
    assert flat.labels is None
    assert any("no labels" in note for note in flat.notes)


def test_a_tar_gives_the_same_squares_as_the_files_in_it(tmp_path: Path, load: Load, picture: MakePicture) -> None:
    """Whether they are read at once or by a window on the tar."""
    files = {f"{'ab'[i % 2]}/{i}.jpg": picture(size=(90, 60), seed=i, format="JPEG") for i in range(6)}
    for name, content in files.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(content)
    ordered = sorted(files.items())
    path = tar(tmp_path / "set.tar", ordered)
    whole = load(path)
    assert whole.sha256 == load(tmp_path / "set").sha256
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("biggan.data.tars.WHOLE", 100)
        with find(str(path)) as found:
            for i, (_, content) in enumerate(ordered):
                file = found.read(i)
                assert not isinstance(file, np.ndarray | io.BytesIO)
                with file:
                    assert file.read() == content
                    assert (file.seek(0, 2), file.seek(-5, 2)) == (len(content), len(content) - 5)
                    assert file.read(99) == content[-5:]
    assert trees.WHOLE > 100


@pytest.mark.parametrize("cut", [700, 1500, 7000])
def test_a_damaged_tar_costs_its_own_end_and_nothing_else(
    tmp_path: Path, load: Load, picture: MakePicture, cut: int
) -> None:
    for shard in range(3):
        members = [(f"{i}.png", picture(seed=10 * shard + i)) for i in range(4)]
        tar(tmp_path / "set" / f"{shard}.tar", members)
    path = tmp_path / "set/1.tar"
    path.write_bytes(path.read_bytes()[:cut])
    packed = load(tmp_path / "set")
    assert packed.num_images == 8 + (cut == 7000)
    assert [name for name, _ in packed.skipped] == ["1.tar"]
    assert "is damaged after" in packed.skipped[0][1]


GOOD = [f"good{i}.png" for i in range(9)]


def test_what_is_no_plain_file_in_a_tar_is_not_read(tmp_path: Path, load: Load, colour: Colour) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(colour(255))
    with tarfile.open(tmp_path / "set.tar", "w") as file:
        for name, kind in (
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(secret)
            file.addfile(info)
        for name in ("../secret.png", "/etc/passwd.png", "a/../../secret.png", *GOOD, "._good.png"):
            info = tarfile.TarInfo(name)
            info.size = len(colour(7))
            file.addfile(info, io.BytesIO(colour(7)))
    packed = load(tmp_path / "set.tar")
    assert reds(packed) == [7] * len(GOOD)
    assert len(packed.skipped) == 6


def test_headers_that_claim_too_much_are_damage(tmp_path: Path, load: Load, colour: Colour) -> None:
    good = tar(tmp_path / "good.tar", [("a.png", colour(1))]).read_bytes()
    bad = tarfile.TarInfo("x")
    bad.type, bad.size = tarfile.XHDTYPE, 2**40
    body = good[: good.index(b"IEND") // 512 * 512 + 512]
    (tmp_path / "bad.tar").write_bytes(body + bad.tobuf(tarfile.GNU_FORMAT) + good)
    packed = load(tmp_path / "bad.tar")
    assert reds(packed) == [1]
    assert "asks for too much" in packed.skipped[0][1]


def test_tars_without_pictures_and_packed_tars_are_refused(tmp_path: Path, load: Load) -> None:
    with pytest.raises(DataError, match="holds no pictures"):
        load(tar(tmp_path / "set.tar", [("a.txt", b"x")]))
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk/a.tar").write_bytes(b"no tar at all")
    with pytest.raises(DataError, match=r"holds no pictures .* a\.tar is damaged"):
        load(tmp_path / "junk")
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as file:
        file.add(tmp_path / "junk/a.tar", "a.png")
    with pytest.raises(DataError, match="none of what is read"):
        load(tmp_path / "set.tar.gz")
