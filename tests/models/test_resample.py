"""The fused kernels are the same functions as resampling and convolving one after the other, borders included."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from biggan.models.resample import add_doubled, down_conv, up_conv


def plain_up(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(x.repeat_interleave(2, 2).repeat_interleave(2, 3), weight, bias, padding=1)


def plain_down(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.avg_pool2d(F.conv2d(x, weight, bias, padding=1), 2)


PAIRS = [pytest.param(up_conv, plain_up, id="up"), pytest.param(down_conv, plain_down, id="down")]


@pytest.mark.parametrize(("fused", "plain"), PAIRS)
@pytest.mark.parametrize("size", [(2, 2), (4, 4), (8, 6), (2, 10)])
@pytest.mark.parametrize("channels", [(1, 1), (3, 5), (4, 2)])
@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no-bias"])
def test_values_and_gradients_are_those_of_the_two_steps(fused, plain, size, channels, with_bias):
    inner, outer = channels
    tensors = [torch.randn(2, inner, *size), torch.randn(outer, inner, 3, 3)] + [torch.randn(outer)] * with_bias
    leaves = [t.double().requires_grad_() for t in tensors]
    arguments = leaves if with_bias else [*leaves, None]
    actual, expected = fused(*arguments), plain(*arguments)
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=1e-12)
    seed = torch.randn_like(expected)
    gradients = torch.autograd.grad((actual * seed).sum(), leaves)
    for ours, theirs in zip(gradients, torch.autograd.grad((expected * seed).sum(), leaves), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (5, 7)])
def test_up_works_at_any_size(size):
    x, weight, bias = torch.randn(1, 2, *size).double(), torch.randn(3, 2, 3, 3).double(), torch.randn(3).double()
    torch.testing.assert_close(up_conv(x, weight, bias), plain_up(x, weight, bias), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(("fused", "plain"), PAIRS)
def test_second_gradients_agree(fused, plain):
    x, weight, bias = (torch.randn(*s).double().requires_grad_() for s in ((1, 2, 4, 4), (3, 2, 3, 3), (3,)))

    def penalty_gradient(function):
        (slope,) = torch.autograd.grad(function(x, weight, bias).square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), weight)[0]

    torch.testing.assert_close(penalty_gradient(fused), penalty_gradient(plain), atol=1e-9, rtol=1e-12)


@pytest.mark.parametrize(("fused", "plain"), PAIRS)
def test_float32_channels_last_differs_by_rounding_only(fused, plain):
    x = torch.randn(2, 16, 8, 8).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(16, 16, 3, 3), torch.randn(16)
    actual = fused(x, weight, bias)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, plain(x, weight, bias), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["NCHW", "NHWC"])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (4, 4)])
def test_a_doubled_map_is_added_with_and_without_gradients(layout, size):
    height, width = size
    h = torch.randn(2, 5, 2 * height, 2 * width).contiguous(memory_format=layout)
    x = torch.randn(2, 8, *size).contiguous(memory_format=layout)[:, :5]
    expected = h + x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.equal(add_doubled(h.clone().requires_grad_(), x), expected)
    with torch.no_grad():
        assert torch.equal(add_doubled(h, x), expected)
        assert torch.equal(h, expected)
