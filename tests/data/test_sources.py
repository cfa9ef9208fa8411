"""A source is recognised by what is in it, its labels are the right ones, and what is odd is said."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biggan.data import bundled, sources
from biggan.data.packed import Packed
from biggan.data.records import clean, natural
from biggan.errors import DataError

Load = Callable[..., Packed]
Fill = Callable[..., Path]
Zipped = Callable[[Path, dict[str, bytes]], Path]
MakePicture = Callable[..., bytes]


def classes(packed: Packed) -> dict[str, int]:
    return dict(zip(packed.class_names, packed.class_counts, strict=True))


def said(packed: Packed, words: str) -> bool:
    return any(words in note for note in packed.notes)


def test_class_folders_count_nested_sub_folders_for_the_class(tmp_path: Path, fill: Fill, load: Load) -> None:
    root = fill(tmp_path / "set", "cat/1.png", "cat/deep/er/2.JPG", "dog/1.webp")
    assert classes(load(root)) == {"cat": 2, "dog": 1}


def test_classes_and_images_come_in_natural_order(tmp_path: Path, fill: Fill, load: Load) -> None:
    root = fill(tmp_path / "set", "c10/a.png", "c2/b10.png", "c2/b9.png", "C1/a.png")
    packed = load(root)
    assert packed.class_names == ["C1", "c2", "c10"]
    assert packed.labels is not None
    assert packed.labels.tolist() == [0, 1, 1, 2]
    with sources.find(str(root)) as found:
        assert [found.name(i) for i in range(4)] == ["C1/a.png", "c2/b9.png", "c2/b10.png", "c10/a.png"]


def test_a_flat_folder_has_no_labels(tmp_path: Path, fill: Fill, load: Load) -> None:
    packed = load(fill(tmp_path / "set", "a.png", "b.png"))
    assert (packed.labels, packed.num_classes, packed.num_images) == (None, 0, 2)
    assert said(packed, "no labels")


def test_hidden_and_foreign_files_are_ignored(tmp_path: Path, fill: Fill, load: Load) -> None:
    junk = (
        "cat/.hidden.png",
        ".trash/a.png",
        "__MACOSX/cat/._1.png",
        "cat/Thumbs.db",
        "cat/readme.txt",
        "x.biggan/a.png",
    )
    packed = load(fill(tmp_path / "set", "cat/1.png", "dog/1.png", *junk))
    assert classes(packed) == {"cat": 1, "dog": 1}
    assert packed.skipped == []
    assert said(packed, ".txt (1)")


def test_odd_class_folders_are_said(tmp_path: Path, fill: Fill, load: Load) -> None:
    root = fill(tmp_path / "a", *(f"big/{i}.png" for i in range(60)), "rare/1.png", "loose.png")
    (root / "empty").mkdir()
    packed = load(root)
    assert classes(packed) == {"big": 60, "rare": 1}
    assert said(packed, "'empty' has no images")
    assert said(packed, "less than a tenth of an equal share: 'rare' (1)")
    assert said(packed, "only 61 images")
    assert packed.skipped == [("loose.png", "is outside of every class folder")]
    assert said(load(fill(tmp_path / "b", "all/x/1.png", "all/y/1.png")), "one class folder with 2 sub-folders")
    assert said(load(fill(tmp_path / "c", "one/1.png")), "All images are of one class, 'one'")
    assert said(load(fill(tmp_path / "d", "train/x/1.png", "test/x/1.png")), "if these are splits")


def test_a_class_of_unreadable_files_is_left_out_and_named(tmp_path: Path, fill: Fill, load: Load) -> None:
    root = fill(tmp_path / "set", "a/1.png", "b/1.png", "c/1.png")
    (root / "b/1.png").write_bytes(b"no picture")
    packed = load(root)
    assert packed.class_names == ["a", "c"]
    assert packed.labels is not None
    assert packed.labels.tolist() == [0, 1]
    assert said(packed, "'b'")
    assert packed.skipped == [("b/1.png", "is not a JPEG, PNG, WebP, BMP, GIF or TIFF picture")]


def test_links_are_followed_and_loops_end(tmp_path: Path, fill: Fill, load: Load) -> None:
    fill(tmp_path / "elsewhere", "1.png", "2.png")
    root = fill(tmp_path / "set", "cat/1.png")
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    (root / "cat/loop").symlink_to(root)
    (root / "cat/gone.png").symlink_to(root / "nowhere")
    os.mkfifo(root / "cat/pipe.png")
    packed = load(root)
    assert classes(packed) == {"cat": 1, "dog": 2}
    assert packed.skipped == [("cat/gone.png", "No such file or directory")]


@pytest.mark.parametrize("head", ["file,label\n", "", "\ufefffilename,class\r\n", "Label;Image\n", "note,label,file\n"])
def test_labels_csv_in_every_shape(tmp_path: Path, fill: Fill, load: Load, head: str) -> None:
    rows = [("a.png", "zebra"), ("sub/b.png", "ape"), ("./c.png", "zebra")]
    match head[:5]:
        case "Label":
            body = "".join(f"{label};{name}\n" for name, label in rows)
        case "note,":
            body = "".join(f'"x, y",{label},{name}\n' for name, label in rows)
        case _:
            body = "".join(f"{name},{label}\n" for name, label in rows)
    table = (head + body).encode()
    root = fill(tmp_path / "set", "a.png", "sub/b.png", "c.png", "unlisted.png", **{"labels.csv": table})
    packed = load(root)
    assert packed.class_names == ["ape", "zebra"]
    assert packed.labels is not None
    assert packed.labels.tolist() == [1, 0, 1]
    assert said(packed, "1 images that labels.csv does not list")


def test_rows_of_labels_csv_that_cannot_be_used_are_listed(tmp_path: Path, fill: Fill, load: Load) -> None:
    table = b"a.png,x\nb.png,x\nc.png,y\na.png,y\ngone.png,x\nb2.png\n"
    packed = load(fill(tmp_path / "set", "a.png", "b.png", "c.png", "b2.png", **{"labels.csv": table}))
    assert classes(packed) == {"x": 2, "y": 1}
    assert packed.skipped == [
        ("a.png", "is listed twice"),
        ("gone.png", "is listed, but not there"),
        ("b2.png", "has no usable label"),
    ]


@pytest.mark.parametrize(
    "content", [b"", b"only,\xff\xfe", b"one column\nof text\n", b"a,b\n" + b"x" * 200_000 + b",y\n"]
)
def test_a_labels_csv_that_is_no_table_is_refused(tmp_path: Path, fill: Fill, load: Load, content: bytes) -> None:
    with pytest.raises(DataError, match=r"labels\.csv"):
        load(fill(tmp_path / "set", "a.png", **{"labels.csv": content}))


def test_a_zip_with_dataset_json(tmp_path: Path, picture: MakePicture, zipped: Zipped, load: Load) -> None:
    listed = {"labels": [["00/a.png", 1], ["00/b.png", 0], ["00/c.png", 1]], "class_names": ["ape", "bee"]}
    members = {f"00/{name}.png": picture(seed=i) for i, name in enumerate("abcd")}
    path = zipped(tmp_path / "set.zip", {**members, "dataset.json": json.dumps(listed).encode()})
    before = sorted(tmp_path.iterdir())
    packed = load(path)
    assert packed.class_names == ["ape", "bee"]
    assert packed.labels is not None
    assert packed.labels.tolist() == [1, 0, 1]
    assert said(packed, "1 images that dataset.json does not list")
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "set.zip.biggan"])


def test_dataset_json_without_names_or_labels(tmp_path: Path, picture: MakePicture, zipped: Zipped, load: Load) -> None:
    members = {"a.png": picture(), "b.png": picture()}
    numbered = json.dumps({"labels": [["a.png", 7], ["b.png", 3]]}).encode()
    assert load(zipped(tmp_path / "n.zip", {**members, "dataset.json": numbered})).class_names == ["3", "7"]
    without = load(zipped(tmp_path / "w.zip", {**members, "dataset.json": b'{"labels": null}'}))
    assert (without.labels, without.num_images) == (None, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"labels": 3}',
        '{"labels": [["a.png"]]}',
        '{"labels": [["a.png", "x"]]}',
        '{"labels": [["a.png", -1]]}',
        '{"labels": [["a.png", 1e99]]}',
        '{"labels": [["a.png", 99999999999999999999]]}',
        '{"labels": [["a.png", true]]}',
        '{"labels": [[["a.png"], 1]]}',
        '{"labels": [["a.png", 2]], "class_names": ["x"]}',
        '{"labels": [["a.png", 0]], "class_names": ["x", "x"]}',
        '{"labels": [["a.png", 0]], "class_names": [1]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_dataset_json_is_one_sentence(tmp_path: Path, fill: Fill, load: Load, text: str) -> None:
    with pytest.raises(DataError, match=r"dataset\.json") as error:
        load(fill(tmp_path / "set", "a.png", **{"dataset.json": text.encode()}))
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("top", ["", "set/", "deep/er/"])
def test_a_zip_of_class_folders_in_any_wrapper(
    tmp_path: Path, picture: MakePicture, zipped: Zipped, load: Load, top: str
) -> None:
    names = ["cat/1.png", "cat/x/2.png", "dog/1.png", "__MACOSX/cat/._1.png"]
    packed = load(zipped(tmp_path / "set.zip", {top * (i < 3) + name: picture(seed=i) for i, name in enumerate(names)}))
    assert classes(packed) == {"cat": 2, "dog": 1}
    assert said(packed, "taken as the top") == bool(top)


def test_zip_members_that_are_damaged_are_skipped_with_a_reason(
    tmp_path: Path, picture: MakePicture, zipped: Zipped, load: Load
) -> None:
    path = zipped(tmp_path / "set.zip", {f"c/{i}.png": picture(seed=i) for i in range(5)})
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF  # in the first member's data
    path.write_bytes(content)
    packed = load(path)
    assert packed.num_images == 4
    assert [name for name, _ in packed.skipped] == ["0.png"]


def test_a_zip_cut_short_is_refused(tmp_path: Path, picture: MakePicture, zipped: Zipped, load: Load) -> None:
    path = zipped(tmp_path / "set.zip", {"a.png": picture()})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="is a zip that is damaged or cut short"):
        load(path)


def test_the_bundled_set_is_balanced_and_matches_its_published_statistics(load: Load) -> None:
    packed = load("fashion-mnist")
    assert classes(packed) == {name: 1000 for name in (bundled.FOLDER / "classes.txt").read_text().splitlines()}
    assert packed.images.shape == (10_000, 32, 32, 1)
    assert packed.place is None
    pixels = packed.images[:, 2:30, 2:30] / 255
    assert pixels.mean() == pytest.approx(0.2860, abs=0.004)  # of all 60,000
    assert pixels.std() == pytest.approx(0.3530, abs=0.004)
    assert load("fashion-mnist-test").class_counts == [200] * 10


def test_the_bundled_set_is_small_and_carries_its_licence() -> None:
    assert sum(path.stat().st_size for path in bundled.FOLDER.iterdir()) < 6e6
    assert "Zalando SE" in (bundled.FOLDER.parent / "LICENSE-fashion-mnist").read_text()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("fasion-mnist", "did you mean 'fashion-mnist'"),
        ("nowhere/at/all", "is no file, folder or bundled set"),
        ("a\0b", "is no file"),
        ("x" * 10_000, "is no file"),
        ("", "is no file"),
        ("/dev/zero", "is no file"),
        ("~nobody-at-all/x", "is no file"),
    ],
)
def test_a_source_that_is_not_there_is_one_sentence(load: Load, name: str, hint: str) -> None:
    with pytest.raises(DataError, match=hint) as error:
        load(name)
    assert len(str(error.value)) < 400


def test_the_nearest_name_beside_is_offered(tmp_path: Path, fill: Fill, load: Load) -> None:
    fill(tmp_path / "flowers", "a.png")
    with pytest.raises(DataError, match=r"did you mean '.*/flowers'"):
        load(tmp_path / "flower")


def test_places_without_pictures_say_what_is_there(tmp_path: Path, fill: Fill, load: Load) -> None:
    with pytest.raises(DataError, match="no other files either"):
        load(fill(tmp_path / "empty"))
    with pytest.raises(DataError, match=r"2 other files \(\.txt"):
        load(fill(tmp_path / "texts", **{"a.txt": b"", "b.txt": b""}))
    (tmp_path / "file.txt").write_bytes(b"text")
    with pytest.raises(DataError, match="is none of what is read"):
        load(tmp_path / "file.txt")


def test_more_than_half_unreadable_is_refused(tmp_path: Path, fill: Fill, load: Load) -> None:
    root = fill(tmp_path / "set", "a.png", **{"b.png": b"", "c.png": b"x"})
    with pytest.raises(DataError, match=r"2 of the 3 images .* the first, b\.png, is empty"):
        load(root)
    (root / "c.png").unlink()
    assert load(root).num_images == 1


def test_natural_order_and_clean_names() -> None:
    names = ["b", "a10", "a9", "B2", "10", "9", "", "é", "²"]
    assert sorted(names, key=natural)[:3] == ["", "9", "10"]
    assert clean("a\x1b[31m\nb\udc80") == "a?[31m?b?"
    assert len(clean("x" * 9_999)) == 200
    assert clean("e\u0301") == "é"
    assert np.unique([natural(name)[1] for name in names]).size == len(names)
