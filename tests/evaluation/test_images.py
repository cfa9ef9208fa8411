"""Images by index: any range is a slice of the whole, drawn ones are those that `sample` draws, alpha is on white."""

from pathlib import Path

import pytest
import torch
from measuring import packed, small_network
from tiny_models import NAMES, UNCONDITIONAL, make_pipeline

from biggan.evaluation.images import Drawn, Real, features_of, opaque
from biggan.sampling.sampler import to_bytes


def test_a_range_of_images_is_a_slice_of_all(tmp_path: Path) -> None:
    network = small_network()
    for images in (Real(packed(tmp_path / "a.npz")), Drawn(make_pipeline(), [0.2, 0.3, 0.5])):
        whole = features_of(network, images, 0, 60, lambda count: None)
        parts = [features_of(network, images, start, start + 20, lambda count: None) for start in (0, 20, 40)]
        assert torch.equal(images.pixels(7, 19), images.pixels(0, 60)[7:19])
        torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-6)


def test_a_drawn_image_is_the_one_of_its_class_and_seed() -> None:
    pipe = make_pipeline()
    drawn = Drawn(pipe, [1, 1, 1], seed=40, truncation=0.5)
    labels = drawn.labels(0, 10)
    assert len(set(labels.tolist())) == 3
    for i in (0, 7):
        alone = pipe([NAMES[labels[i]]], seed=40 + i, truncation=0.5).x
        assert torch.equal(drawn.pixels(i, i + 1), to_bytes(alone))


def test_classes_are_drawn_as_often_as_asked() -> None:
    labels = Drawn(make_pipeline(), [0.5, 0.0, 0.3]).labels(0, 4000)
    shares = torch.bincount(labels, minlength=3) / 4000
    torch.testing.assert_close(shares, torch.tensor([0.625, 0, 0.375]), rtol=0, atol=0.025)


def test_a_model_without_classes_is_measured_all_the_same() -> None:
    drawn = Drawn(make_pipeline(UNCONDITIONAL), [])
    assert drawn.labels(3, 5).tolist() == [0, 0]
    assert drawn.pixels(3, 5).shape == (2, 3, 32, 32)


def test_all_that_decides_the_bytes_decides_the_identity(tmp_path: Path) -> None:
    pipe = make_pipeline()
    drawn = [
        Drawn(pipe, [1, 1, 1]),
        Drawn(pipe, [1, 1, 2]),
        Drawn(pipe, [1, 1, 1], seed=1),
        Drawn(pipe, [1, 1, 1], 0, 0.5),
    ]
    assert len({each.identity for each in drawn}) == 4
    assert Drawn(pipe, [1, 1, 1]).identity == drawn[0].identity
    real = packed(tmp_path / "a.npz")
    assert (
        len({Real(real).identity, Real(real, torch.tensor([1, 2])).identity, Real(real, torch.tensor([1])).identity})
        == 3
    )


def test_chosen_rows_are_those_of_the_pack(tmp_path: Path) -> None:
    real = packed(tmp_path / "a.npz")
    rows = torch.tensor([3, 11, 40, 59])
    assert torch.equal(Real(real, rows).pixels(1, 3), Real(real).pixels(0, 60)[rows[1:3]])


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_transparent_is_white(channels: int) -> None:
    colour = torch.rand(2, channels, 4, 4) * 2 - 1
    assert torch.equal(opaque(colour), colour)
    torch.testing.assert_close(opaque(torch.cat([colour, torch.ones(2, 1, 4, 4)], 1)), colour)
    hidden = opaque(torch.cat([colour, -torch.ones(2, 1, 4, 4)], 1))
    assert torch.equal(hidden, torch.ones_like(colour))
