"""Packs in shards are the same bytes whoever makes them and whatever interrupts it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biggan import atomic
from biggan.config import Data
from biggan.data import packing
from biggan.data.making import lock
from biggan.data.packed import Packed, make, prepare
from biggan.data.packfile import open_pack, verify
from biggan.data.packing import ranges
from biggan.data.shards import Shards
from biggan.errors import ConfigError, DataError, OutOfMemory

Load = Callable[..., Packed]
Fill = Callable[..., Path]
MakePicture = Callable[..., bytes]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten images a shard."""
    monkeypatch.setattr(packing, "SHARD_IMAGES", 10)


@pytest.fixture
def images(tmp_path: Path, fill: Fill) -> Path:
    """55 pictures of two classes, of which twelve are damaged, all ten of the fourth shard among them."""
    root = fill(tmp_path / "set", *(f"{'ab'[i % 2]}/{i:02}.png" for i in range(55)))
    for name in ("a/00.png", "b/31.png", *(f"b/{i:02}.png" for i in range(5, 25, 2))):
        (root / name).write_bytes(b"no picture")
    return root


def contents(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir()}


def test_shards_hold_few_images_and_few_bytes_and_are_few() -> None:
    for count, resolution, channels in [(1, 32, 3), (200_000, 32, 3), (1_281_167, 128, 3), (1_281_167, 512, 4)]:
        found = ranges(count, resolution, Data(channels=channels))
        assert [i.start for i in found] == [0, *(i.stop for i in found[:-1])]
        assert found[-1].stop == count
        assert len(found) <= 512
        if count < 10**6:
            assert len(found[0]) <= 4096
        assert len(found[0]) * resolution**2 * channels <= max(2**30, -(-count // 512) * resolution**2 * channels)
    assert len(ranges(1_281_167, 128, Data())) == 313


@pytest.mark.usefixtures("small")
def test_any_number_of_workers_makes_the_same_bytes(images: Path, tmp_path: Path) -> None:
    packs = [make(str(images), tmp_path / f"pack{n}", 32, Data(), workers=n) for n in (1, 2, 4)]
    first, *others = [contents(tmp_path / f"pack{n}") for n in (1, 2, 4)]
    assert all(other == first for other in others)
    assert packs[0].num_files == len([name for name in first if name.endswith(".u8")]) > 3
    assert len(packs[0].skipped) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack1", "pack2", "pack4", "set"]


def test_shards_hold_what_one_file_would(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = make(str(images), tmp_path / "one", 32, Data())
    monkeypatch.setattr(packing, "SHARD_IMAGES", 10)
    many = make(str(images), tmp_path / "many", 32, Data())
    assert isinstance(many.images, Shards)
    assert one.sha256 == many.sha256
    assert (np.array(many.images) == one.images).all()
    chosen = np.random.default_rng(0).integers(0, one.num_images, 200)
    assert (many.images[chosen] == one.images[chosen]).all()
    assert all((many.images[i] == one.images[i]).all() for i in range(one.num_images))
    assert (many.images[3, ..., 1] == one.images[3, ..., 1]).all()
    assert (len(many.images), many.images.shape, many.images.nbytes) == (43, one.images.shape, one.images.nbytes)
    assert many.contact_sheet().tobytes() == one.contact_sheet().tobytes()
    assert [list(a) for a in many.statistics()] == [list(a) for a in one.statistics()]


def test_grey_shards_among_coloured_ones_get_three_channels(
    tmp_path: Path, fill: Fill, picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    grey = {f"{i:02}.png": picture("RGB", (40, 40), (i, i, i)) for i in range(25)}
    root = fill(tmp_path / "set", **grey)
    monkeypatch.setattr(packing, "SHARD_IMAGES", 10)
    assert make(str(root), tmp_path / "grey", 32, Data()).channels == 1
    fill(root, **{"99.png": picture(seed=1)})
    many = make(str(root), tmp_path / "many", 32, Data())
    monkeypatch.setattr(packing, "SHARD_IMAGES", 100)
    one = make(str(root), tmp_path / "one", 32, Data())
    assert many.images.shape == (26, 32, 32, 3)
    assert many.sha256 == one.sha256


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("after", [0, 1, 25, 54])
def test_an_interrupted_packing_keeps_its_shards_and_ends_with_the_same_bytes(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole = contents(make(str(images), tmp_path / "whole", 32, Data()).place or tmp_path)

    def stop(done: int, total: int) -> None:
        if done > after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(str(images), tmp_path / "pack", 32, Data(), stop)
    kept = list(tmp_path.glob(".pack.*.making/*.u8"))
    assert len(kept) == max(0, -(-(after + 1) // 10) - 1)
    times = {path.name: path.stat().st_mtime_ns for path in kept if path.stat().st_size}
    if kept:
        (kept[0].parent / ".images-00005.u8.1.tmp").write_bytes(b"half of a shard")
    made = make(str(images), tmp_path / "pack", 32, Data(), workers=2)
    assert made.place
    assert contents(made.place) == whole
    assert {name: (made.place / name).stat().st_mtime_ns for name in times} == times
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack", "set", "whole"]


@pytest.mark.usefixtures("small")
def test_a_kept_shard_that_was_damaged_is_made_again(images: Path, tmp_path: Path) -> None:
    whole = contents(make(str(images), tmp_path / "whole", 32, Data()).place or tmp_path)

    def stop(done: int, total: int) -> None:
        if done > 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(str(images), tmp_path / "pack", 32, Data(), stop)
    [folder] = tmp_path.glob(".pack.*.making")
    flip(folder / "images-00001.u8", 77)
    flip(folder / "images-00002.json", 3)
    (folder / "images-00003.u8").unlink()
    make(str(images), tmp_path / "pack", 32, Data())
    assert contents(tmp_path / "pack") == whole


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


SCRIPT = """
import sys
from pathlib import Path
from biggan.config import Data
from biggan.data import packing
from biggan.data.packed import make
if __name__ == "__main__":
    packing.SHARD_IMAGES = 10
    make(sys.argv[1], Path(sys.argv[2]), 32, Data(), workers=int(sys.argv[3]))
"""


def test_a_killed_packing_leaves_no_process_and_ends_with_the_same_bytes(images: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, str(tmp_path / "script.py"), str(images)]
    subprocess.run([*words, str(tmp_path / "whole"), "1"], check=True)
    for wanted in (0, 2):
        process = subprocess.Popen([*words, str(tmp_path / "pack"), "2"])
        while process.poll() is None and len(list(tmp_path.glob(".pack.*.making/*.json"))) < wanted:
            time.sleep(0.002)
        team = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        until = time.monotonic() + 20
        while any(map(alive, team)) and time.monotonic() < until:
            time.sleep(0.01)
        assert not any(map(alive, team))
    subprocess.run([*words, str(tmp_path / "pack"), "2"], check=True)
    assert contents(tmp_path / "pack") == contents(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack", "script.py", "set", "whole"]


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in found.read_text().split()] if found.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.usefixtures("small")
def test_a_worker_that_is_killed_ends_the_packing_in_one_sentence(images: Path, tmp_path: Path) -> None:
    before = set(children(os.getpid()))

    def kill(done: int, total: int) -> None:
        for pid in set(children(os.getpid())) - before:
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    if not Path("/proc/self/task").exists():
        pytest.skip("needs Linux's list of children")
    with pytest.raises(OutOfMemory, match="fewer --workers"):
        make(str(images), tmp_path / "pack", 32, Data(), kill, workers=2)
    assert make(str(images), tmp_path / "pack", 32, Data(), workers=2).num_images == 43


@pytest.mark.usefixtures("small")
def test_a_source_that_changes_while_it_is_packed_is_refused(images: Path, tmp_path: Path, fill: Fill) -> None:
    def change(done: int, total: int) -> None:
        if done == 0:
            fill(images, "a/99.png")

    with pytest.raises(DataError, match="has changed"):
        make(str(images), tmp_path / "pack", 32, Data(), change, workers=2)


@pytest.mark.parametrize("workers", [0, -1, 1000])
def test_other_numbers_of_workers_are_refused(images: Path, tmp_path: Path, workers: int) -> None:
    with pytest.raises(ConfigError, match="--workers"):
        make(str(images), tmp_path / "pack", 32, Data(), workers=workers)


RANK = """
import sys
from biggan.config import Data
from biggan.data import packing
from biggan.data.packed import prepare
packing.SHARD_IMAGES = 10
one, decoded = packing.decode_one, []
packing.decode_one = lambda source, want, i: decoded.append(i) or one(source, want, i)
prepare(sys.argv[1], 32, Data())
print(len(decoded))
"""


def test_processes_that_want_the_same_pack_make_it_once(images: Path) -> None:
    words = [sys.executable, "-c", RANK, str(images)]
    ranks = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    decoded = [int(rank.communicate()[0]) for rank in ranks]
    assert sorted(decoded) == [0, 0, 55]
    assert len(list((images / ".biggan").iterdir())) == 1


def test_who_waits_for_a_lock_can_be_interrupted(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with lock(tmp_path / "pack", lambda: None):
        with pytest.raises(KeyboardInterrupt), lock(tmp_path / "pack", stop):
            pass
        with lock(tmp_path / "other", stop):
            pass
    with lock(tmp_path / "pack", stop):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small")
def test_verify_names_the_file_of_every_flipped_bit(images: Path, tmp_path: Path) -> None:
    place = tmp_path / "pack"
    make(str(images), place, 32, Data())
    assert verify(place).num_images == 43
    random = np.random.default_rng(0)
    for path in sorted(place.iterdir()):
        content = path.read_bytes()
        for _ in range(20):
            at, bit = int(random.integers(len(content))), int(random.integers(8))
            damaged = bytearray(content)
            damaged[at] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(DataError, match=r"is damaged" if path.name == "manifest.json" else path.name):
                verify(place)
        path.write_bytes(content)
    (place / "images-00002.u8").unlink()
    with pytest.raises(DataError, match=r"images-00002\.u8"):
        verify(place)


def test_a_pack_of_the_first_format_still_opens(images: Path, tmp_path: Path) -> None:
    """Its one file is called images.u8, and the facts do not list it."""
    new = make(str(images), tmp_path / "new", 32, Data())
    old = tmp_path / "old"
    with atomic.new_folder(old) as folder:
        (folder / "images.u8").write_bytes((tmp_path / "new/images-00000.u8").read_bytes())
        (folder / "labels.npy").write_bytes((tmp_path / "new/labels.npy").read_bytes())
        facts = json.loads((tmp_path / "new/pack.json").read_text())
        del facts["shards"]
        (folder / "pack.json").write_text(json.dumps({**facts, "format": 1}))
    opened = prepare(old, 32, Data())
    assert (opened.images == new.images).all()
    assert opened.sha256 == new.sha256
    assert verify(old).num_images == 43
    flip(old / "images.u8", 99)
    with pytest.raises(DataError, match=r"images\.u8"):
        verify(old)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["../set/a/00.png", "images-1.u8", "/etc/passwd", "labels.npy", ""])
def test_a_pack_cannot_name_files_that_are_none_of_its_own(images: Path, tmp_path: Path, name: str) -> None:
    make(str(images), tmp_path / "pack", 32, Data())
    facts = json.loads((tmp_path / "pack/pack.json").read_text())
    facts["shards"] = {name: 10, **facts["shards"]}
    (tmp_path / "pack/pack.json").write_text(json.dumps(facts))
    sums = json.loads((tmp_path / "pack/manifest.json").read_text())
    sums["pack.json"] = atomic.sha256(tmp_path / "pack/pack.json")
    (tmp_path / "pack/manifest.json").write_text(json.dumps(sums))
    with pytest.raises(DataError, match="list of images is not possible"):
        open_pack(tmp_path / "pack")
