"""Sums of bfloat16 products taken in float32 are the exact sums, rounded once."""

import torch
from bfloat16_arithmetic import SummedInFloat32
from torch import Tensor
from torch.nn import functional as F

HALF_ULP = 2.0**-8  # of a bfloat16, relative


def output_and_gradients(x: Tensor, w: Tensor, above: Tensor) -> tuple[Tensor, ...]:
    out = F.conv2d(x, w, padding=1)
    return out, *torch.autograd.grad(out, (x, w), above)


def test_a_convolution_and_its_gradients_are_the_exact_ones_rounded() -> None:
    shapes = ((2, 8, 6, 6), (4, 8, 3, 3), (2, 4, 6, 6))
    x, w, above = (torch.randn(shape).bfloat16().requires_grad_() for shape in shapes)
    with SummedInFloat32():
        ours = output_and_gradients(x, w, above)
    exact = output_and_gradients(*(part.detach().double().requires_grad_() for part in (x, w, above)))
    for a, b in zip(ours, exact, strict=True):
        assert a.dtype == torch.bfloat16
        torch.testing.assert_close(a.double(), b, rtol=HALF_ULP, atol=1e-5)


def test_sums_are_not_taken_in_bfloat16() -> None:
    ones = torch.ones(1, 1000).bfloat16()
    with SummedInFloat32():
        assert (ones @ ones.T).item() == 1000.0  # of bfloat16 numbers, 256 + 1 is 256
