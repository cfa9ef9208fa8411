"""Penalties: orthogonal, LeCam, consistency; the reference's gradients, autograd's, closed forms."""

import pytest
import torch
from cases import golden, part
from torch import Tensor, nn

from biggan.training.regularizers import (
    add_orthogonal_gradient,
    consistency_penalty,
    lecam_penalty,
    orthogonal_penalty,
)

KINDS = ["paper", "reference", "identity"]
SHAPES = [(4, 3, 2, 2), (7, 5), (5, 7), (1, 6), (6, 1), (8, 2, 1, 1)]


def with_gradients(*tensors: Tensor) -> list[nn.Parameter]:
    parameters = [nn.Parameter(tensor.clone()) for tensor in tensors]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    return parameters


@pytest.mark.parametrize(("kind", "name", "share"), [("reference", "modified", 1.0), ("identity", "default", 0.5)])
def test_gradients_are_the_reference_s(kind, name, share):
    """BigGAN-PyTorch's strengths are half of the penalties that they are named for."""
    units = part(golden("units/units"), "ortho")
    tensors, expected = part(units, "param"), part(units, f"{name}_grad")
    parameters = with_gradients(*tensors.values())
    add_orthogonal_gradient(parameters, 1e-2 * share, kind)
    for key, parameter in zip(tensors, parameters, strict=True):
        torch.testing.assert_close(parameter.grad, expected[key], atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_closed_form_is_the_gradient_of_the_penalty_and_is_added(kind, shape):
    weight = torch.randn(*shape).double().requires_grad_()
    (gradient,) = torch.autograd.grad(0.3 * orthogonal_penalty(weight, kind), weight)
    (parameter,) = with_gradients(weight.detach())
    start = torch.randn(*shape).double()
    parameter.grad.copy_(start)
    add_orthogonal_gradient([parameter], 0.3, kind)
    torch.testing.assert_close(parameter.grad, start + gradient, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("shape", [(12, 40), (40, 12)], ids=["wide", "tall"])
@pytest.mark.parametrize("kind", ["paper", "reference", "identity"])
def test_products_in_bfloat16_are_off_by_their_rounding_and_differences_from_one_by_nothing(kind, shape):
    gradients = []
    for dtype in (None, torch.bfloat16):
        parameter = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
        parameter.grad = torch.zeros(shape)
        add_orthogonal_gradient([parameter], 1.0, kind, dtype)
        gradients.append(parameter.grad)
    exact, rounded = gradients
    off = (rounded - exact).norm() / exact.norm()
    assert (0 < off < 2**-7) if kind != "identity" and shape == (12, 40) else off == 0


def test_penalties_in_closed_form():
    """Rows (1, 2) and (3, 0): Gram matrix ((5, 3), (3, 9))."""
    weight = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    assert orthogonal_penalty(weight, "paper") == 18
    assert orthogonal_penalty(weight, "reference") == 9
    assert orthogonal_penalty(weight, "identity") == 18 + 16 + 64


def test_orthogonal_rows_of_any_length_cost_nothing_unless_asked_to_be_units():
    rows = nn.init.orthogonal_(torch.empty(4, 9)).double() * torch.tensor([[0.5], [1.0], [2.0], [3.0]]).double()
    assert orthogonal_penalty(rows, "paper") < 1e-10
    assert orthogonal_penalty(rows, "reference") < 1e-10
    assert float(orthogonal_penalty(rows, "identity")) == pytest.approx(0.75**2 + 3**2 + 8**2, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_and_scalars_and_strength_zero_are_spared(kind):
    vector, scalar, matrix = with_gradients(torch.randn(5), torch.randn(()), torch.randn(3, 3))
    add_orthogonal_gradient([vector, scalar], 1.0, kind)
    add_orthogonal_gradient([matrix], 0.0, kind)
    assert not any(p.grad.any() for p in (vector, scalar, matrix))


# --- LeCam and consistency ---


def test_lecam_in_closed_form():
    """Real outputs 2 and -1 lie 2.5 and 0 beyond -0.5; drawn 1 and -3 lie 0 and 4 below 1."""
    real, fake, anchors = torch.tensor([[2.0], [-1.0]]), torch.tensor([[1.0], [-3.0]]), torch.tensor([1.0, -0.5])
    assert lecam_penalty(real, fake, anchors) == 2.5**2 / 2 + 4**2 / 2


def test_lecam_pulls_outputs_together_and_leaves_the_anchors_alone():
    real, fake = torch.full((4, 1), 1.5, requires_grad=True), torch.full((4, 1), -1.5, requires_grad=True)
    anchors = torch.tensor([1.0, -1.0], requires_grad=True)
    lecam_penalty(real, fake, anchors).backward()
    assert (real.grad > 0).all()
    assert (fake.grad < 0).all()
    assert anchors.grad is None


def test_lecam_of_parts_of_a_batch_is_that_of_the_batch():
    real, fake, anchors = torch.randn(8, 1), torch.randn(8, 1), torch.tensor([0.3, -0.2])
    parts = [lecam_penalty(a, b, anchors) for a, b in zip(real.split(2), fake.split(2), strict=True)]
    torch.testing.assert_close(torch.stack(parts).mean(), lecam_penalty(real, fake, anchors))


def test_consistency_is_a_mean_square():
    one, other = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [5.0]])
    assert consistency_penalty(one, other) == 5
    assert consistency_penalty(one, one) == 0
