"""What packing will take is told from images of all parts of a source, and its bytes are those that it then has."""

from collections.abc import Callable
from pathlib import Path

import pytest

from biggan.config import Data
from biggan.data.estimate import estimate
from biggan.data.packed import Packed
from biggan.data.sources import find
from biggan.errors import DataError

Load = Callable[..., Packed]
Fill = Callable[..., Path]
MakePicture = Callable[..., bytes]


@pytest.mark.parametrize("channels", [None, 1, 3, 4])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_bytes_are_those_of_the_pack(
    tmp_path: Path, fill: Fill, picture: MakePicture, load: Load, channels: int | None, mode: str
) -> None:
    root = fill(tmp_path / "set", **{f"{i}.png": picture(mode, seed=i) for i in range(5)})
    with find(str(root)) as found:
        told = estimate(found, 32, Data(channels=channels))
    packed = load(root, channels=channels)
    assert told.size == packed.images.nbytes
    assert (told.num_images, told.tried, told.unreadable) == (5, 5, 0)
    assert told.seconds(2) == told.seconds(1) / 2 == 5 / told.images_per_second / 2


def test_a_few_seconds_are_enough_and_damage_is_counted(tmp_path: Path, fill: Fill) -> None:
    root = fill(tmp_path / "set", *(f"{i}.png" for i in range(9)), **{f"x{i}.png": b"" for i in range(9)})
    with find(str(root)) as found:
        assert estimate(found, 32, Data(), seconds=0).tried == 16
        assert estimate(found, 32, Data()).unreadable == 9
    with find(str(fill(tmp_path / "bad", **{"x.png": b""}))) as found, pytest.raises(DataError, match="None of the 1"):
        estimate(found, 32, Data())
