"""Resampling fused into the convolution beside it, exactly.

Nearest-neighbour doubling followed by a 3×3 convolution reads each source pixel through at most four taps of the
kernel: it equals a stride-2 transposed convolution (padding 1) with the 4×4 kernel K = W ∗ 1₂ₓ₂, the sum of W's four
zero-padded shifts. A 3×3 convolution followed by 2×2 average pooling is likewise a stride-2 convolution (padding 1)
with K/4. 36 multiplications become 16; borders agree; only rounding differs. The two layers say what is meant, and
make it either way, or where pixels are few as products (`products.py`).
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from biggan.models.products import convolved_and_halved, doubled_and_convolved, suits_product
from biggan.models.spectral import SpectralConv2d, SpectralSettings


@cache
@torch.inference_mode(False)  # kept for training too, whoever asks first
def _spread(flipped: bool, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The (9, 16) matrix of 0 and 1 that takes a flat 3×3 kernel to its flat 4×4 K, turned by 180° if `flipped`."""
    kernels = torch.eye(9, device=device, dtype=dtype).view(9, 1, 3, 3)
    wide = F.conv_transpose2d(kernels, torch.ones(1, 1, 2, 2, device=device, dtype=dtype))
    return (wide.flip(2, 3) if flipped else wide).reshape(9, 16)


def spread(flipped: bool, device: torch.device, dtype: torch.dtype) -> Tensor:
    """What `_spread` gives, which is made once; for compiled networks a constant (`training/compiling.py`)."""
    return _spread(flipped, device, dtype)


def _widen(weight: Tensor, flipped: bool, times: float) -> Tensor:
    """K (a, b, 4, 4) of W (a, b, 3, 3), `times` as much; channels_last, as convolutions want it."""
    a, b = weight.shape[:2]
    matrix = times * spread(flipped, weight.device, weight.dtype).mT
    return matrix.expand(a, 16, 9).bmm(weight.permute(0, 2, 3, 1).reshape(a, 9, b)).view(a, 4, 4, b).permute(0, 3, 1, 2)


def up_kernel(weight: Tensor) -> Tensor:
    """The transposed convolution's kernel (in, out, 4, 4) for a 3×3 kernel (out, in, 3, 3) behind a doubling."""
    return _widen(weight.transpose(0, 1), flipped=True, times=1)


def up_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`conv3x3(nearest_x2(x))` as one kernel.

    Args:
        x: (N, in, H, W), in the precision to compute in.
        weight: (out, in, 3, 3).
        bias: (out,) or None.

    Returns:
        (N, out, 2H, 2W).
    """
    y = F.conv_transpose2d(x, up_kernel(weight).to(x.dtype), stride=2, padding=1)
    # Added apart: oneDNN takes as long for the bias's gradient in a transposed convolution as for the kernel's.
    return y if bias is None else y.add_(bias.to(x.dtype).view(-1, 1, 1))


def down_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`avg_pool2(conv3x3(x))` as one kernel; arguments as `up_conv`, returns (N, out, H/2, W/2)."""
    kernel = _widen(weight, flipped=False, times=1 / 4).to(x.dtype)
    return F.conv2d(x, kernel, None if bias is None else bias.to(x.dtype), stride=2, padding=1)


def add_doubled(h: Tensor, x: Tensor) -> Tensor:
    """h + x doubled by nearest neighbours; without gradients in h's own memory, and nothing doubled is written.

    Args:
        h: (N, C, 2H, 2W), of which nothing else makes use.
        x: (N, C, H, W).
    """
    if torch.is_grad_enabled():
        return h + F.interpolate(x, scale_factor=2)
    fours = h.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (N, C, H, 2, W, 2)
    fours += x[:, :, :, None, :, None]
    return h


class _Resampling(SpectralConv2d):
    def __init__(self, channels: int, out_channels: int, *, fused: bool, norm: SpectralSettings | None) -> None:
        super().__init__(channels, out_channels, 3, norm=norm)
        self.fused = fused


class UpConv2d(_Resampling):
    """A 3×3 convolution of x doubled in resolution: (N, in, H, W) -> (N, out, 2H, 2W), as one kernel if `fused`."""

    def forward(self, x: Tensor) -> Tensor:
        if self.fused and suits_product(x, self.weight, scale=4):
            return doubled_and_convolved(x, *self.weight_and_bias(x.dtype))
        if self.fused:
            return up_conv(x, self.normalised_weight(), self.bias)
        return super().forward(F.interpolate(x, scale_factor=2))


class DownConv2d(_Resampling):
    """A 3×3 convolution of x, then halved in resolution: (N, in, H, W) -> (N, out, H/2, W/2), one kernel if `fused`."""

    def forward(self, x: Tensor) -> Tensor:
        if self.fused and suits_product(x, self.weight, scale=1 / 4):
            return convolved_and_halved(x, *self.weight_and_bias(x.dtype))
        if self.fused:
            return down_conv(x, self.normalised_weight(), self.bias)
        return F.avg_pool2d(super().forward(x), 2)
