"""Convolutions as matrix products are the same functions, and layers take that form where pixels are few."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biggan.models.products import convolved, convolved_and_halved, doubled_and_convolved, suits_product
from biggan.models.resample import DownConv2d, UpConv2d
from biggan.models.spectral import SpectralConv2d, SpectralSettings

WIDE = 352  # channels of a kernel of 2^20 numbers and more
FORMS = {
    "3x3": (lambda *xs: convolved(*xs, padding=1), lambda *xs: F.conv2d(*xs, padding=1), 3),
    "1x1": (convolved, F.conv2d, 1),
    "up": (doubled_and_convolved, lambda x, w, b: F.conv2d(F.interpolate(x, scale_factor=2), w, b, padding=1), 3),
    "down": (convolved_and_halved, lambda x, w, b: F.avg_pool2d(F.conv2d(x, w, b, padding=1), 2), 3),
}


@pytest.mark.parametrize("size", [(2, 2), (4, 4), (8, 6), (5, 7), (2, 3)])
@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_are_those_of_convolutions(form, with_bias, size):
    product, plain, kernel = FORMS[form]
    tensors = [torch.randn(2, 3, *size), torch.randn(5, 3, kernel, kernel)] + [torch.randn(5)] * with_bias
    leaves = [t.double().requires_grad_() for t in tensors]
    arguments = leaves if with_bias else [*leaves, None]
    actual, expected = product(*arguments), plain(*arguments)
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=1e-12)
    assert actual.is_contiguous(memory_format=torch.channels_last)
    seed = torch.randn_like(expected)
    gradients = torch.autograd.grad((actual * seed).sum(), leaves)
    for ours, theirs in zip(gradients, torch.autograd.grad((expected * seed).sum(), leaves), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


def layers() -> dict[str, nn.Module]:
    norm = SpectralSettings()
    return {
        "3x3": SpectralConv2d(WIDE, WIDE, 3, norm=norm),
        "1x1": SpectralConv2d(1024, 1024, 1, norm=norm),
        "up": UpConv2d(WIDE, WIDE, fused=True, norm=norm),
        "down": DownConv2d(WIDE, WIDE, fused=True, norm=norm),
    }


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5), (torch.bfloat16, 1e-2)]
)
@pytest.mark.parametrize("kind", FORMS)
def test_layers_are_the_same_in_both_forms_and_take_the_product_where_pixels_are_few(
    kind, dtype, tolerance, monkeypatch
):
    layer = layers()[kind].to(torch.float64 if dtype == torch.float64 else torch.float32)
    x = torch.randn(2, layer.in_channels, 4, 4).to(dtype).contiguous(memory_format=torch.channels_last)

    def results() -> list[Tensor]:
        y = layer(x)
        return [y, *torch.autograd.grad(y.cos().sum(), list(layer.parameters()))]

    found = results()
    with monkeypatch.context() as patched:
        patched.setattr("torch.conv2d", None), patched.setattr(F, "conv2d", None)
        patched.setattr(F, "conv_transpose2d", None)
        assert torch.equal(layer(x), found[0])
    monkeypatch.setattr("biggan.models.products.LARGE", torch.inf)
    for ours, theirs in zip(found, results(), strict=True):
        assert (ours - theirs).norm() <= tolerance * theirs.norm()


def test_pixels_are_few_up_to_the_filters_of_a_large_kernel_in_channels_last():
    weight, small = torch.empty(WIDE, WIDE, 3, 3), torch.empty(WIDE, 16, 3, 3)
    x = torch.empty(22, WIDE, 4, 4).contiguous(memory_format=torch.channels_last)
    assert suits_product(x, weight)  # 352 pixels
    assert not suits_product(torch.cat([x, x[:1]]), weight)
    assert not suits_product(x, weight, scale=4)
    assert suits_product(torch.cat([x] * 4), weight, scale=1 / 4)
    assert not suits_product(x.contiguous(), weight)
    assert not suits_product(x[:, :16], small)
    assert not suits_product(x.to("meta"), weight)
