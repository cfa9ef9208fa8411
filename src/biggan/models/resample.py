"""Resampling fused into the convolution beside it, exactly.

Nearest-neighbour doubling followed by a 3×3 convolution reads each source pixel through at most four taps of the
kernel: it equals a stride-2 transposed convolution (padding 1) with the 4×4 kernel K = W ∗ 1₂ₓ₂, the sum of W's four
zero-padded shifts. A 3×3 convolution followed by 2×2 average pooling is likewise a stride-2 convolution (padding 1)
with K/4. 36 multiplications become 16; borders agree; only rounding differs.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


@cache
@torch.inference_mode(False)  # kept for training too, whoever asks first
def _spread(flipped: bool, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The (9, 16) matrix of 0 and 1 that takes a flat 3×3 kernel to its flat 4×4 K, turned by 180° if `flipped`."""
    kernels = torch.eye(9, device=device, dtype=dtype).view(9, 1, 3, 3)
    wide = F.conv_transpose2d(kernels, torch.ones(1, 1, 2, 2, device=device, dtype=dtype))
    return (wide.flip(2, 3) if flipped else wide).reshape(9, 16)


def _widen(weight: Tensor, flipped: bool) -> Tensor:
    """K (out, in, 4, 4) of W (out, in, 3, 3)."""
    out_channels, channels = weight.shape[:2]
    matrix = _spread(flipped, weight.device, weight.dtype)
    return (weight.reshape(-1, 9) @ matrix).view(out_channels, channels, 4, 4)


def up_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`conv3x3(nearest_x2(x))` as one kernel.

    Args:
        x: (N, in, H, W), in the precision to compute in.
        weight: (out, in, 3, 3).
        bias: (out,) or None.

    Returns:
        (N, out, 2H, 2W).
    """
    kernel = _widen(weight, flipped=True).transpose(0, 1).to(x.dtype)
    return F.conv_transpose2d(x, kernel, None if bias is None else bias.to(x.dtype), stride=2, padding=1)


def down_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`avg_pool2(conv3x3(x))` as one kernel; arguments as `up_conv`, returns (N, out, H/2, W/2)."""
    kernel = (_widen(weight, flipped=False) / 4).to(x.dtype)
    return F.conv2d(x, kernel, None if bias is None else bias.to(x.dtype), stride=2, padding=1)
