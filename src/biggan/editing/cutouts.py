"""Cut-outs: random squares of a picture at a scorer's size, so that no single view of it can be fooled.

Where to cut is an int64 tensor (…, 3) of size, top and left in pixels, drawn by BigSleep 0.9.1's rule from the
project's counter-based generator: the cuts of a seed at a step are a function of the two alone.
"""

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from biggan import latents
from biggan.latents import Stream

Resize = Literal["nearest", "bilinear", "lanczos"]
RESIZES = get_args(Resize)
MEAN, DEVIATION, LEAST, MOST = 0.8, 0.3, 0.5, 0.95  # of a cut's size, as shares of the picture's
LOBES = 3  # of the Lanczos kernel


def draw_cuts(seed: int, step: int, width: int, count: int, center_bias: bool = False) -> Tensor:
    """Where to cut a picture of `width` pixels at a step: (count, 3).

    Sizes are width x N(0.8, 0.3), clipped to 0.5 to 0.95; offsets are uniform, or with `center_bias` normal about the
    centre with a deviation of half the way to the edge, and uniform where that leads outside.
    """
    u = latents.uniform(seed, Stream.CUTOUTS, step * count, count, 5)
    share = MEAN + DEVIATION * latents.quantile(u[:, 0])
    sizes = (width * share.clamp(LEAST, MOST)).long()
    room = (width - sizes)[:, None]  # the largest offset
    offsets = (u[:, 1:3] * (room + 1)).long()
    if center_bias:
        biased = (room / 2 + room / 4 * latents.quantile(u[:, 3:5])).trunc().long()
        offsets = torch.where((biased >= 0) & (biased <= room), biased, offsets)
    return torch.cat([sizes[:, None], offsets], 1)


def cut(x: Tensor, cuts: Tensor, size: int, resize: Resize) -> Tensor:
    """Cuts of each picture, brought to one size.

    Args:
        x: Pictures (N, C, W, W).
        cuts: Size, top and left of each, (N, n, 3).
        size: Pixels to bring them to.
        resize: Nearest neighbour, bilinear without antialiasing, or `lanczos`.

    Returns:
        (N·n, C, size, size), picture by picture.
    """
    pieces = []
    for image, places in zip(x, cuts.tolist(), strict=True):
        for width, top, left in places:
            pieces.append(resized(image[None, :, top : top + width, left : left + width], size, resize))
    return torch.cat(pieces)


def resized(x: Tensor, size: int, how: Resize) -> Tensor:
    """Pictures (N, C, W, W) at `size` pixels; see `cut`."""
    if how == "lanczos":
        return lanczos(x, size)
    return F.interpolate(x, (size, size), mode=how, align_corners=False if how == "bilinear" else None)


def lanczos(x: Tensor, size: int, align_corners: bool = True) -> Tensor:
    """Pictures (N, C, W, W) at `size` pixels: a Lanczos-3 low-pass where that is fewer, then bicubic; differentiable.

    Source: BigSleep's `resample` (Crowson).
    """
    width = x.shape[-1]
    if size < width:
        kernel = _lanczos_kernel(size / width).to(x)
        edge = len(kernel) // 2
        flat = F.pad(x.flatten(0, 1)[:, None], (edge,) * 4, mode="reflect")
        flat = F.conv2d(F.conv2d(flat, kernel[None, None, :, None]), kernel[None, None, None, :])
        x = flat.view(*x.shape)
    return F.interpolate(x, (size, size), mode="bicubic", align_corners=align_corners)


def _lanczos_kernel(ratio: float) -> Tensor:
    """Weights of the low-pass that leaves `ratio` of the resolution, an odd number of them, summing to 1."""
    edge = math.ceil(LOBES / ratio + 1) - 2
    places = torch.arange(-edge, edge + 1) * ratio
    weights = torch.where(places.abs() < LOBES, torch.sinc(places) * torch.sinc(places / LOBES), 0.0)
    return weights / weights.sum()
