"""Augmentation: what each kind does, on which images, with which gradients, however a batch is split."""

import pytest
import torch
from torch import Tensor

from biggan import latents
from biggan.latents import Stream
from biggan.training.augment import KINDS, NUMBERS, adapted, augmented, surely

EVERY = tuple(KINDS)
PLACES = {"color": 0, "translation": 4, "scale": 7, "cutout": 9}  # of each kind's first uniform


def uniforms(count: int, start: int = 0) -> Tensor:
    return latents.uniform(5, Stream.AUGMENT_REAL, start, count, NUMBERS)


def images(count: int, channels: int = 3, side: int = 16) -> Tensor:
    return torch.rand(count, channels, side, side) * 2 - 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", EVERY)
def test_every_kind_changes_images_of_any_channels_and_keeps_their_shape(kind, channels):
    x = images(50, channels)
    y = augmented(x, uniforms(50), (kind,))
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    changed = (x != y).flatten(1).any(1)
    assert changed.sum() > 40
    assert y.isfinite().all()


@pytest.mark.parametrize("policy", [EVERY, ("translation",), ("color", "cutout")], ids=str)
def test_a_batch_is_augmented_the_same_however_it_is_split(policy):
    x, share = images(24), torch.tensor(0.6)
    whole = augmented(x, uniforms(24), policy, share)
    parts = [augmented(x[i : i + 8], uniforms(8, i), policy, share) for i in (0, 8, 16)]
    torch.testing.assert_close(whole, torch.cat(parts), atol=1e-6, rtol=0)


def test_a_kind_draws_the_same_with_and_without_the_others():
    x = images(20)
    alone = augmented(x, uniforms(20), ("translation",))
    together = augmented(augmented(x, uniforms(20), ("color",)), uniforms(20), ("translation",))
    assert torch.equal(augmented(x, uniforms(20), ("translation", "color")), together)
    assert not torch.equal(alone, together)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_each_kind_applies_to_its_share_of_the_images(share):
    x, u = images(2000, 1, 8), uniforms(2000)
    for kind, place in PLACES.items():
        changed = (augmented(x, u, (kind,), share) != x).flatten(1).any(1)
        assert not changed[u[:, place] >= share].any()
        assert float(changed.double().mean()) == pytest.approx(share, abs=0.16 if kind == "translation" else 0.05)


def test_an_empty_policy_gives_the_images_themselves():
    x = images(3)
    assert augmented(x, uniforms(3), ()) is x


@pytest.mark.parametrize("kind", EVERY)
def test_gradients_are_those_of_the_function(kind):
    x = images(2, 3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augmented(x, uniforms(2), (kind,)), x)


def test_translation_moves_whole_pixels_in_every_direction_and_lets_in_grey():
    x = torch.ones(4000, 1, 16, 16)
    y = augmented(x, uniforms(4000), ("translation",))[:, 0]
    assert set(y.unique().tolist()) == {0.0, 1.0}
    heights, widths = y.amax(2).sum(1), y.amax(1).sum(1)
    shifts = [(16 - heights).long() * torch.where(y[:, 0].amax(1) == 0, 1, -1)]
    shifts += [(16 - widths).long() * torch.where(y[:, :, 0].amax(1) == 0, 1, -1)]
    for moved in shifts:
        counts = torch.bincount(moved + 2, minlength=5)
        assert len(counts) == 5
        assert ((counts - 800).abs() < 120).all()  # -2 to 2, each as often


def test_a_translation_is_the_image_elsewhere():
    x = images(1)
    u = torch.full((1, NUMBERS), 0.5, dtype=torch.float64)
    u[:, 5], u[:, 6] = 0.99, 0.01  # two down, two left
    y = augmented(x, u, ("translation",))
    assert torch.equal(y[..., 2:, :-2], x[..., :-2, 2:])
    assert not y[..., :2, :].any()
    assert not y[..., -2:].any()


def test_colour_in_closed_form_and_alpha_left_alone():
    x = images(1, 4)
    u = torch.full((1, NUMBERS), 0.5, dtype=torch.float64)
    assert torch.allclose(augmented(x, u, ("color",)), x, atol=1e-6)  # the middle of each range changes nothing
    u[:, 1], u[:, 2], u[:, 3] = 0.9, 0.25, 0.1  # brightness +0.4, saturation x 0.5, contrast x 0.6
    colours = x[:, :3] + 0.4
    colours = colours.mean(1, keepdim=True) + 0.5 * (colours - colours.mean(1, keepdim=True))
    colours = colours.mean() + 0.6 * (colours - colours.mean())
    y = augmented(x, u, ("color",))
    torch.testing.assert_close(y[:, :3], colours)
    assert torch.equal(y[:, 3:], x[:, 3:])


def test_scale_keeps_the_centre_and_shows_grey_around_when_it_shrinks():
    x = torch.ones(2, 1, 16, 16)
    u = torch.full((2, NUMBERS), 0.5, dtype=torch.float64)
    u[:, 8] = torch.tensor([0.0001, 0.9999])
    small, large = augmented(x, u, ("scale",))
    assert small[0, 7:9, 7:9].eq(1).all()
    assert not small[0, 0].any()
    torch.testing.assert_close(large, x[1])


def test_a_cutout_is_a_square_of_half_the_side():
    x = torch.ones(200, 2, 16, 16)
    y = augmented(x, uniforms(200), ("cutout",))
    holes = (y == 0).sum((2, 3))
    assert int(holes.max()) == 64
    assert int(holes.min()) >= 16
    assert torch.equal(y[:, 0], y[:, 1])


def test_outputs_that_rise_and_fall_together_say_nothing_and_those_that_part_everything():
    outputs = torch.linspace(-1, 1, 8)[:, None]
    for shift in (-3.0, -0.3, 0.0, 0.3, 3.0):
        assert float(surely(outputs + shift, outputs + shift)) == 0
    assert float(surely(outputs + 2, outputs - 2)) == 1
    assert float(surely(outputs + 0.5, outputs - 0.5)) == pytest.approx(0.5)


def test_the_share_rises_while_d_is_too_sure_and_stays_within_bounds():
    share = torch.tensor(0.0)
    for _ in range(40):
        share = adapted(share, torch.tensor(0.9), 0.6, 0.01)
    assert float(share) == pytest.approx(0.4)
    for _ in range(20):
        share = adapted(share, torch.tensor(0.1), 0.6, 0.01)
    assert float(share) == pytest.approx(0.2)
    assert float(adapted(share, torch.tensor(0.6), 0.6, 0.01)) == pytest.approx(0.2)
    for sign, end in ((1.0, 1.0), (-1.0, 0.0)):
        assert float(adapted(share, torch.tensor(sign), 0.6, 1.0)) == end
    assert float(adapted(torch.tensor(1.0), torch.tensor(0.9), 0.6, 0.5, most=1.2)) == pytest.approx(1.2)
