"""Held-out images are not among those that are trained on."""

from pathlib import Path

import numpy as np
import pytest

from biggan.config import Data
from biggan.data import overlap
from biggan.data.overlap import check_held_out, shared
from biggan.data.packed import Packed, prepare
from biggan.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (80, 32, 32, 3), np.uint8)


def pack(folder: Path, name: str, rows: slice) -> Packed:
    np.savez(folder / name, x=IMAGES[rows], y=np.arange(80)[rows] % 2)
    return prepare(str(folder / f"{name}.npz"), 32, Data())


def test_images_of_both_are_counted_and_more_than_a_tenth_refused(tmp_path: Path) -> None:
    trained = pack(tmp_path, "trained", slice(0, 50))
    for first, count in ((50, 0), (47, 3), (46, 4), (20, 30)):
        held_out = pack(tmp_path, f"from{first}", slice(first, first + 30))
        assert shared(held_out, trained)[:2] == (count, 30)
        if count > 3:
            with pytest.raises(DataError, match=f"--test-data x has {count} images that are in --data too, of 30"):
                check_held_out(held_out, trained, "x")
        else:
            check_held_out(held_out, trained, "x")


@pytest.mark.parametrize(("first", "refused"), [(0, True), (48, False)], ids=["all", "two by chance"])
def test_of_many_training_images_a_part_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, refused: bool
) -> None:
    trained, held_out = pack(tmp_path, "trained", slice(0, 50)), pack(tmp_path, "held", slice(first, first + 30))
    monkeypatch.setattr(overlap, "MOST", 25 * 32 * 32 * 3)
    found = shared(held_out, trained)
    assert (found.part, found.looked, found.many) == (0.5, 25, refused)
    if refused:
        with pytest.raises(DataError, match=r"has about \d+ images that are in --data too, of 25"):
            check_held_out(held_out, trained, "x")
    else:
        check_held_out(held_out, trained, "x")


def test_what_is_there_often_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blank = np.zeros((10, 32, 32, 3), np.uint8)
    for name, rows in (("trained", slice(0, 40)), ("held", slice(40, 80))):
        np.savez(tmp_path / name, x=np.concatenate([IMAGES[rows], blank]), y=np.arange(50) % 2)
    trained, held_out = (prepare(str(tmp_path / f"{name}.npz"), 32, Data()) for name in ("trained", "held"))
    assert shared(held_out, trained) == (1, 41, 1.0)
    monkeypatch.setattr(overlap, "MOST", 25 * 32 * 32 * 3)
    assert not shared(held_out, trained).many
