"""Convolutions of few pixels as matrix products, exactly.

At the bottom of a wide network a kernel is larger than all the pixels of a batch. oneDNN's convolutions, in particular
the gradients of kernels, are several times slower there than one product of the kernel with the pixels' surroundings
(docs/speed.md). So on a CPU that form is taken where a batch has at most as many pixels as a large kernel has filters;
what surrounds them is then no larger than the kernel. The doubling or halving beside a convolution is done to the
pixels, and no wider kernel is made. Only rounding differs. Not here: kernels that do not learn (`inference.py`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LARGE = 2**20  # numbers of a kernel, from which this was seen to pay


def suits_product(x: Tensor, weight: Tensor, scale: float = 1) -> bool:
    """Whether to convolve as a product: few pixels, a large kernel, on a CPU.

    Maps in another layout than channels_last, which is that of all our networks, stay convolutions, the plain form.

    Args:
        x: (N, in, H, W).
        weight: (out, in, k, k).
        scale: Pixels of the result for each of x's.
    """
    few = scale * x.shape[0] * x.shape[2] * x.shape[3] <= weight.shape[0]
    laid_out = x.is_contiguous(memory_format=torch.channels_last)
    return few and weight.numel() >= LARGE and x.device.type == "cpu" and laid_out


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int = 0, stride: int = 1) -> Tensor:
    """`F.conv2d` with a square kernel.

    Args:
        x: (N, in, H, W).
        weight: (out, in, k, k), in x's precision, as the bias.
        bias: (out,) or None.
        padding: Zeros at each border.
        stride: Pixels between the places of the kernel.

    Returns:
        (N, out, H', W'), channels_last.
    """
    size = weight.shape[2]
    padded = F.pad(x, (padding,) * 4) if padding else x
    around = padded.unfold(2, size, stride).unfold(3, size, stride)  # (N, in, H', W', k, k)
    count, _, height, width = around.shape[:4]
    rows, matrix = around.permute(0, 2, 3, 1, 4, 5).reshape(count * height * width, -1), weight.flatten(1).mT
    y = rows @ matrix if bias is None else torch.addmm(bias, rows, matrix)
    return y.view(count, height, width, -1).permute(0, 3, 1, 2)


def doubled_and_convolved(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`conv3x3(nearest_x2(x))`: (N, in, H, W) -> (N, out, 2H, 2W)."""
    return convolved(F.interpolate(x, scale_factor=2), weight, bias, padding=1)


def convolved_and_halved(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`avg_pool2(conv3x3(x))`: (N, in, H, W) -> (N, out, H/2, W/2).

    The mean of four results is the result of the mean of what surrounds the four.
    """
    return convolved(F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 2, stride=1), weight, bias, stride=2)
