"""A pack is made once, is found again, is remade when damaged, and its place is always sound."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biggan.config import Data
from biggan.data import making, packing
from biggan.data.packed import Packed, make, prepare
from biggan.data.packfile import open_pack
from biggan.errors import ConfigError, DataError, DiskFailed

Load = Callable[..., Packed]
Fill = Callable[..., Path]
MakePicture = Callable[..., bytes]


def same(a: Packed, b: Packed) -> bool:
    labels = a.labels is b.labels is None or (a.labels == b.labels).all()  # type: ignore[union-attr]
    facts = (a.class_names, a.sha256, a.skipped) == (b.class_names, b.sha256, b.skipped)
    return bool((a.images == b.images).all()) and bool(labels) and facts


def temporaries(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.endswith((".tmp", ".old"))]


def test_the_second_time_nothing_is_decoded(
    tmp_path: Path, fill: Fill, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fill(tmp_path / "set", "a/1.png", "a/2.png", "b/1.png", **{"bad.png": b""})
    first = load(root)
    assert first.place is not None
    assert first.place.parent == root / ".biggan"
    monkeypatch.setattr(packing, "decode", None)
    assert same(load(root), first)
    assert not temporaries(tmp_path)


def test_changed_files_and_settings_make_another_pack(tmp_path: Path, fill: Fill, load: Load) -> None:
    root = fill(tmp_path / "set", "a/1.png", "a/2.png", "b/1.png")
    packs = [load(root), load(root, channels=1), load(root, crop="pad"), load(root, background="red")]
    packs.append(prepare(root, 64, Data()))
    fill(root, "c/new.png")
    packs.append(load(root))
    assert len({pack.place for pack in packs}) == 6
    assert packs[-1].num_images == 4


def test_without_labels_the_same_pack_serves(tmp_path: Path, fill: Fill, load: Load) -> None:
    root = fill(tmp_path / "set", "a/1.png", "b/1.png")
    with_labels, without = load(root), load(root, labels=False)
    assert (without.labels, without.class_names, without.num_classes) == (None, [], 0)
    assert with_labels.place == without.place


def test_a_file_gets_its_pack_beside_it(tmp_path: Path, load: Load) -> None:
    np.savez(tmp_path / "set.npz", x=np.zeros((4, 32, 32, 3), np.uint8), y=np.arange(4))
    place = load(tmp_path / "set.npz").place
    assert place is not None
    assert place.parent == tmp_path / "set.npz.biggan"


def damage(place: Path) -> dict[str, Callable[[], object]]:
    def flip(name: str, at: int) -> None:
        content = bytearray((place / name).read_bytes())
        content[at] ^= 1
        (place / name).write_bytes(content)

    facts = json.loads((place / "pack.json").read_text())
    return {
        "bit of an image": lambda: flip("images-00000.u8", 1000),
        "bit of a label": lambda: flip("labels.npy", -8),
        "bit of the facts": lambda: flip("pack.json", 20),
        "images cut": lambda: (place / "images-00000.u8").write_bytes((place / "images-00000.u8").read_bytes()[:-1]),
        "images empty": lambda: (place / "images-00000.u8").write_bytes(b""),
        "images gone": lambda: (place / "images-00000.u8").unlink(),
        "labels gone": lambda: (place / "labels.npy").unlink(),
        "facts gone": lambda: (place / "pack.json").unlink(),
        "manifest gone": lambda: (place / "manifest.json").unlink(),
        "facts are a list": lambda: (place / "pack.json").write_text("[]"),
        "impossible size": lambda: (place / "pack.json").write_text(json.dumps({**facts, "resolution": 0})),
        "everything gone": lambda: [path.unlink() for path in place.iterdir()],
    }


@pytest.mark.parametrize("kind", range(12))
def test_a_damaged_pack_is_found_out_and_made_again(tmp_path: Path, fill: Fill, load: Load, kind: int) -> None:
    root = fill(tmp_path / "set", "a/1.png", "a/2.png", "b/1.png")
    first = load(root)
    assert first.place is not None
    name, act = list(damage(first.place).items())[kind]
    copy = np.array(first.images)
    act()
    again = load(root)
    assert (again.images == copy).all(), name
    assert any("was damaged and has been made again" in note for note in again.notes)
    assert not any("damaged" in note for note in load(root).notes)
    assert not temporaries(tmp_path)


def test_a_damaged_pack_given_as_data_is_refused(tmp_path: Path, fill: Fill, load: Load) -> None:
    root = fill(tmp_path / "set", "a/1.png", "a/2.png", "b/1.png")
    make(str(root), tmp_path / "pack", 32, Data())
    with (tmp_path / "pack/images-00000.u8").open("r+b") as file:
        file.write(b"\x01\x02")
    with pytest.raises(DataError, match="is damaged"):
        load(tmp_path / "pack")


def test_where_nothing_can_be_written_the_pack_goes_to_the_cache_which_is_named(
    tmp_path: Path, fill: Fill, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fill(tmp_path / "set", "a/1.png", "b/1.png")
    (root / ".biggan").write_bytes(b"a file where the folder of packs should be")
    first = load(root)
    assert first.place is not None
    assert first.place.parent == tmp_path / "cache/packs"
    assert any(str(first.place) in note for note in first.notes)
    monkeypatch.setattr(packing, "decode", None)
    again = load(root)
    assert same(again, first)
    assert any(str(first.place) in note for note in again.notes)


def test_the_cache_is_where_the_system_says(tmp_path: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(tmp_path / "set", "a/1.png", "b/1.png")
    (root / ".biggan").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    place = prepare(root, 32, Data()).place
    assert place is not None
    assert place.parent == tmp_path / "xdg/biggan/packs"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    place = prepare(root, 32, Data()).place
    assert place is not None
    assert place.parent == tmp_path / "home/.cache/biggan/packs"


def test_where_nothing_can_be_written_at_all_it_is_one_sentence(tmp_path: Path, fill: Fill) -> None:
    root = fill(tmp_path / "set", "a/1.png", "b/1.png")
    (root / ".biggan").write_bytes(b"")
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(DiskFailed, match="cache"):
        prepare(root, 32, Data(), cache=tmp_path / "cache")


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, fill: Fill) -> None:
    """A limit on the size of files stands in for the disk's end: writes fail in the middle of the images."""
    root = fill(tmp_path / "set", *(f"{i}.png" for i in range(40)))
    script = """
import resource, signal, sys
from biggan.config import Data
from biggan.data.packed import prepare
from biggan.errors import DiskFailed
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    prepare(sys.argv[1], 32, Data())
except DiskFailed as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, str(root)], capture_output=True, text=True)
    assert done.stdout.startswith("Could not write "), done.stderr
    assert list((root / ".biggan").iterdir()) == []
    assert prepare(root, 32, Data()).num_images == 40


def test_make_writes_a_pack_that_is_data_itself(tmp_path: Path, fill: Fill, load: Load) -> None:
    root = fill(tmp_path / "set", "a/1.png", "a/2.png", "b/1.png")
    made = make(str(root), tmp_path / "pack", 32, Data())
    assert not (root / ".biggan").exists()
    shutil.rmtree(root)
    assert same(load(tmp_path / "pack"), made)
    assert load(tmp_path / "pack", labels=False).labels is None
    with pytest.raises(DataError, match="is of 32 px, not 64"):
        prepare(tmp_path / "pack", 64, Data())
    with pytest.raises(DataError, match="has 3 channels, not 1"):
        load(tmp_path / "pack", channels=1)


def test_make_replaces_a_pack_and_nothing_else(tmp_path: Path, fill: Fill) -> None:
    root = fill(tmp_path / "set", "a/1.png", "b/1.png")
    for _ in range(2):
        assert make(str(root), tmp_path / "pack", 32, Data()).num_images == 2
    fill(tmp_path / "mine", "precious.png")
    (tmp_path / "file").write_bytes(b"precious")
    for place in (tmp_path / "mine", tmp_path / "file"):
        with pytest.raises(DataError, match="is no pack"):
            make(str(root), place, 32, Data())
    assert (tmp_path / "mine/precious.png").exists()
    assert (tmp_path / "file").read_bytes() == b"precious"
    assert not temporaries(tmp_path)
    assert make(str(root), tmp_path / "bare", 32, Data(labels=False)).labels is None
    assert open_pack(tmp_path / "bare").labels is None


def test_a_failed_make_leaves_the_pack_that_was_there(tmp_path: Path, fill: Fill) -> None:
    root = fill(tmp_path / "set", "a/1.png", "b/1.png")
    first = make(str(root), tmp_path / "pack", 32, Data())
    bad = fill(tmp_path / "bad", **{"a.png": b"no picture"})
    with pytest.raises(DataError, match="1 of the 1 images"):
        make(str(bad), tmp_path / "pack", 32, Data())
    assert same(open_pack(tmp_path / "pack"), first)
    assert not temporaries(tmp_path)


def test_an_interrupted_pack_leaves_nothing_and_is_made_the_next_time(tmp_path: Path, fill: Fill, load: Load) -> None:
    root = fill(tmp_path / "set", *(f"{i}.png" for i in range(30)))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(root, 512, Data(), stop)
    assert list((root / ".biggan").iterdir()) == []
    assert load(root).num_images == 30


def test_progress_counts_to_the_end(tmp_path: Path, fill: Fill) -> None:
    seen: list[tuple[int, int]] = []
    prepare(fill(tmp_path / "set", *(f"{i}.png" for i in range(5))), 512, Data(), lambda *said: seen.append(said))
    assert seen[-1] == (5, 5)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.parametrize("resolution", [0, -32, 33, 1024])
def test_other_resolutions_are_refused(tmp_path: Path, resolution: int) -> None:
    with pytest.raises(ConfigError, match="--resolution"):
        prepare("fashion-mnist", resolution, Data())
    with pytest.raises(ConfigError, match="--resolution"):
        make("fashion-mnist", tmp_path / "pack", resolution, Data())


def test_grey_pictures_give_one_channel_and_one_coloured_pixel_gives_three(
    tmp_path: Path, fill: Fill, picture: MakePicture, load: Load
) -> None:
    grey = {f"{i}.png": picture("RGB", (40, 40), (i, i, i)) for i in range(9)}
    packed = load(fill(tmp_path / "grey", **grey, **{"l.png": picture("L", seed=1)}))
    assert packed.images.shape == (10, 32, 32, 1)
    assert [int(image.max()) for image in packed.images[:9]] == list(range(9))
    assert load(fill(tmp_path / "one", **grey, **{"z.png": picture("RGB", (40, 40), (9, 9, 10))})).channels == 3
    assert load(fill(tmp_path / "asked", **grey), channels=3).channels == 3
    assert load(fill(tmp_path / "alpha", **grey), channels=4).images[3, 0, 0].tolist() == [3, 3, 3, 255]


def test_the_same_images_have_the_same_identity_wherever_they_lie(tmp_path: Path, fill: Fill, load: Load) -> None:
    names = ("a/1.png", "a/2.png", "b/1.png")
    one, two = load(fill(tmp_path / "one", *names)), load(fill(tmp_path / "two", *names))
    other = load(fill(tmp_path / "three", "a/1.png", "b/2.png", "b/1.png"))
    assert one.sha256 == two.sha256 != other.sha256


def test_order_does_not_depend_on_threads(tmp_path: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(tmp_path / "set", *(f"{i}.png" for i in range(30)))
    sums = set()
    for threads in (1, 2, 7):
        monkeypatch.setattr(making, "THREADS", threads)
        sums.add(make(str(root), tmp_path / str(threads), 32, Data()).sha256)
    assert len(sums) == 1


def test_statistics_are_the_mean_and_deviation_of_the_pixels(load: Load) -> None:
    packed = load("fashion-mnist-test")
    mean, std = packed.statistics()
    assert mean == pytest.approx(packed.images.mean() / 255)
    assert std == pytest.approx(packed.images.std() / 255)


def test_the_contact_sheet_shows_each_class_in_its_row(
    tmp_path: Path, fill: Fill, picture: MakePicture, load: Load
) -> None:
    root = tmp_path / "set"
    for i, name in enumerate(("red", "green", "blue")):
        colour = tuple(255 * (i == k) for k in range(3))
        fill(root / name, **{f"{k}.png": picture("RGB", (32, 32), colour) for k in range(3)})
    sheet = load(root).contact_sheet()
    rows = [sheet.getpixel((160, 2 + 66 * k + 30)) for k in range(3)]
    assert rows == [(0, 0, 255), (0, 255, 0), (255, 0, 0)]
    assert load(root).contact_sheet(2).height < sheet.height
    assert load(root, labels=False).contact_sheet(1).height < sheet.height


def test_a_mixed_folder_is_read_without_a_setting(tmp_path: Path, fill: Fill, picture: MakePicture, load: Load) -> None:
    files = {
        "rgba.png": picture("RGBA", (50, 40)),
        "grey.jpg": picture("L", (40, 60), format="JPEG"),
        "palette.gif": picture("P", (40, 40), format="GIF"),
        "cmyk.jpg": picture("CMYK", (64, 64), format="JPEG"),
        "tiny.bmp": picture(size=(3, 3), format="BMP"),
        "broken.webp": b"RIFF",
    }
    fill(tmp_path / "set/a", **files)
    fill(tmp_path / "set/b", "1.png")
    packed = load(tmp_path / "set")
    assert packed.images.shape == (6, 32, 32, 3)
    assert packed.cropped == 2
    assert packed.class_counts == [5, 1]
    said = " ".join(packed.notes)
    assert "2 of 6 images are not square and were cut to their central square" in said
    assert "1 of 6 images are smaller than 32 px and were enlarged" in said
    assert "`biggan data inspect` lists: 1." in said
    assert [name for name, _ in packed.skipped] == ["a/broken.webp"]
