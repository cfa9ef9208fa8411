"""Losses in closed form, and the reference's numbers."""

import json
import math

import pytest
import torch
from cases import GOLDEN, golden

from biggan.training.losses import d_loss, g_loss

REFERENCE = json.loads((GOLDEN / "units" / "units.json").read_text())["losses"]


@pytest.mark.parametrize(("kind", "name"), [("hinge", "hinge"), ("nonsaturating", "dcgan")])
def test_losses_are_the_reference_s(kind, name):
    units = golden("units/units")
    real, fake = units["loss/dis_real"], units["loss/dis_fake"]
    values = (*d_loss(kind, real, fake), g_loss(kind, fake))
    for value, part in zip(values, ("real", "fake", "gen"), strict=True):
        assert value.ndim == 0
        assert float(value) == pytest.approx(REFERENCE[f"{name}_{part}"], rel=1e-6)


def test_hinge_is_zero_at_the_margin_and_beyond():
    right = torch.tensor([[1.0], [1.5], [80.0]])
    assert d_loss("hinge", right, -right) == (0, 0)
    for part in d_loss("hinge", torch.tensor([[0.999]]), torch.tensor([[-0.999]])):
        assert float(part) == pytest.approx(1e-3, rel=1e-3)


CLOSED = {
    "hinge": (lambda x: max(0.0, 1 - x), lambda x: max(0.0, 1 + x), lambda x: -x),
    "nonsaturating": (
        lambda x: math.log1p(math.exp(-x)),
        lambda x: math.log1p(math.exp(x)),
        lambda x: math.log1p(math.exp(-x)),
    ),
    "wasserstein": (lambda x: -x, lambda x: x, lambda x: -x),
}


@pytest.mark.parametrize("kind", CLOSED)
def test_each_loss_is_the_mean_of_its_closed_form(kind):
    on_real, on_fake, on_drawn = CLOSED[kind]
    real, fake = [-3.0, -1.0, 0.0, 0.25, 1.0, 2.0, 7.0], [-7.0, -1.0, 0.5, 3.0]
    a, b = torch.tensor(real).double()[:, None], torch.tensor(fake).double()[:, None]
    loss_real, loss_fake = d_loss(kind, a, b)
    assert float(loss_real) == pytest.approx(sum(map(on_real, real)) / 7, abs=1e-12)
    assert float(loss_fake) == pytest.approx(sum(map(on_fake, fake)) / 4, abs=1e-12)
    assert float(g_loss(kind, b)) == pytest.approx(sum(map(on_drawn, fake)) / 4, abs=1e-12)


@pytest.mark.parametrize("kind", CLOSED)
def test_losses_and_gradients_are_finite_at_huge_logits(kind):
    logits = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    total = sum(d_loss(kind, logits, logits)) + g_loss(kind, logits)
    (gradient,) = torch.autograd.grad(total, logits)
    assert total.isfinite()
    assert gradient.isfinite().all()


def test_a_saddle_point_of_the_original_game_costs_two_logarithms_of_two():
    even = torch.zeros(4, 1)
    assert float(sum(d_loss("nonsaturating", even, even))) == pytest.approx(2 * math.log(2))
