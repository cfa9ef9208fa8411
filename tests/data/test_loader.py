"""The stream of images is a function of the seed and the place in it, however it is asked for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan.config import Data
from biggan.data import loader
from biggan.data.loader import Loader
from biggan.data.packed import Packed, prepare


def numbered(size: int, channels: int = 1, labelled: bool = True) -> Packed:
    """Images that carry their own number in each pixel but the left column, which is 255."""
    images = np.broadcast_to(np.arange(size, dtype=np.uint8)[:, None, None, None], (size, 4, 4, channels)).copy()
    images[:, :, 0] = 255
    labels = np.arange(size, dtype=np.int64) % 3 if labelled else None
    return Packed(
        images=images,
        labels=labels,
        class_names=["a", "b", "c"] if labelled else [],
        sha256="",
        cropped=0,
        skipped=[],
        notes=[],
        place=None,
    )


def numbers(x: torch.Tensor) -> list[int]:
    return [round(value) for value in ((x[:, 0, 0, 1] + 1) * 127.5).tolist()]


@pytest.mark.parametrize("size", [1, 2, 13, 200])
def test_each_epoch_shows_every_image_once_in_an_order_of_its_own(size: int) -> None:
    stream = Loader(numbered(size), seed=3)
    epochs = [numbers(stream.batch(epoch * size, size)[0]) for epoch in range(4)]
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)
    if size > 10:
        assert len({tuple(epoch) for epoch in epochs}) == 4
        assert numbers(Loader(numbered(size), seed=4).batch(0, size)[0]) != epochs[0]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(0, 500), st.lists(st.integers(0, 90), min_size=1, max_size=5), st.booleans())
def test_a_batch_is_the_same_however_it_is_split(size: int, start: int, parts: list[int], mirror: bool) -> None:
    stream = Loader(numbered(size), 0, mirror)
    x, y = stream.batch(start, sum(parts))
    places = [start + sum(parts[:k]) for k in range(len(parts))]
    pieces = [stream.batch(place, count) for place, count in zip(places, parts, strict=True)]
    assert torch.equal(x, torch.cat([piece[0] for piece in pieces]))
    assert torch.equal(y, torch.cat([piece[1] for piece in pieces]))


def test_bytes_become_values_by_the_one_rule_and_labels_stay_with_their_images() -> None:
    packed = numbered(200, 3)
    x, y = Loader(packed, 1).batch(0, 200)
    assert (x.shape, x.dtype, y.dtype) == ((200, 3, 4, 4), torch.float32, torch.int64)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert y.tolist() == [number % 3 for number in numbers(x)]
    levels = torch.arange(256, dtype=torch.uint8)
    values = levels.float() / 127.5 - 1
    assert set(x.unique().tolist()) <= set(values.tolist())
    assert torch.equal((127.5 * (values + 1)).round().to(torch.uint8), levels)


@pytest.mark.parametrize("channels", [1, 3])
def test_mirroring_flips_some_images_left_to_right_and_never_without_asking(channels: int) -> None:
    plain, _ = Loader(numbered(50, channels), 5).batch(0, 100)
    mixed, _ = Loader(numbered(50, channels), 5, mirror=True).batch(0, 100)
    flipped = (mixed == plain.flip(3)).flatten(1).all(1)
    kept = (mixed == plain).flatten(1).all(1)
    assert (flipped ^ kept).all()
    assert 25 < int(flipped.sum()) < 75
    assert mixed.is_contiguous(memory_format=torch.channels_last)


def test_without_labels_y_is_zero() -> None:
    assert Loader(numbered(9, labelled=False), 0).batch(0, 20)[1].tolist() == [0] * 20


def test_packs_that_stay_on_disk_give_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = prepare("fashion-mnist-test", 32, Data())
    held = Loader(packed, 0).batch(1_950, 100)
    monkeypatch.setattr(loader, "IN_MEMORY", 0)
    mapped = Loader(packed, 0).batch(1_950, 100)
    assert torch.equal(held[0], mapped[0])
    assert torch.equal(held[1], mapped[1])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), min_size=1, max_size=12))
def test_what_is_read_ahead_never_changes_what_is_given(asked: list[tuple[int, int]]) -> None:
    """Whatever is asked for in whatever order, each batch is what a loader gives that is asked for nothing else."""
    packed = numbered(50)
    stream = Loader(packed, 0, mirror=True)
    steady = [(64 * k, 16) for k in range(4)]
    for start, count in [*asked, *steady]:
        x, y = stream.batch(start, count)
        alone = Loader(packed, 0, mirror=True).batch(start, count)
        assert torch.equal(x, alone[0])
        assert torch.equal(y, alone[1])
