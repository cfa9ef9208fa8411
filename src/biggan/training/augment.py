"""Differentiable augmentation of all that D sees, real and drawn alike, so that D cannot learn few images by heart.

Gradients flow through it to G. Each kind applies to an image with a probability, `share`; what it does to the image is
a function of uniforms that the caller draws by the image's index, so that splitting a batch changes nothing.
There are no flips: with probability one they cannot be told from the data's own, and G learns them too; pictures that
may be mirrored are what `Data.mirror` is for. Not here: how far drawn images show it (`evaluation/leaks.py`).

Sources: Zhao et al. 2020 (DiffAugment) for colour, translation and cut-out; Karras et al. 2020 (ADA) for scale, for
the share and how it adapts.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from biggan import latents

Kind = Literal["color", "translation", "scale", "cutout"]

FARTHEST = 0.125  # translation, as a share of the side
HOLE = 0.5  # side of a cut-out, likewise
SPREAD = 0.2  # deviation of the scale's binary logarithm


def color(x: Tensor, u: Tensor, gate: Tensor) -> Tensor:
    """Brightness moved by up to 0.5, saturation times 0 to 2, contrast times 0.5 to 1.5; alpha is left alone."""
    colours = x.shape[1] - (x.shape[1] + 1) % 2  # 1 of 1 and 2 channels, 3 of 3 and 4
    h, alpha = x[:, :colours], x[:, colours:]
    h = h + _factor(gate, u[:, 0] - 0.5, 0.0, x)
    if colours > 1:
        h = torch.lerp(h.mean(1, keepdim=True), h, _factor(gate, 2 * u[:, 1], 1.0, x))
    h = torch.lerp(h.mean((1, 2, 3), keepdim=True), h, _factor(gate, u[:, 2] + 0.5, 1.0, x))
    return torch.cat([h, alpha], 1)


def translation(x: Tensor, u: Tensor, gate: Tensor) -> Tensor:
    """Moved by whole pixels, up to an eighth of the side each way; what comes in is 0, mid-grey.

    A margin that shows where the image ends is what keeps G from learning to move things itself.
    """
    side = x.shape[2]
    most = int(side * FARTHEST + 0.5)
    steps = ((2 * most + 1) * u[:, :2]).long() - most  # (N, 2), down and right
    steps = torch.where(gate[:, None], steps, 0)
    places = torch.arange(side, device=x.device) + most - steps[:, :, None]  # (N, 2, side), in the padded image
    h = F.pad(x, (most, most, most, most))
    rows = places[:, 0, None, :, None].expand(-1, h.shape[1], -1, h.shape[3])
    h = h.gather(2, rows)
    return h.gather(3, places[:, 1, None, None, :].expand(-1, h.shape[1], side, -1))


def scale(x: Tensor, u: Tensor, gate: Tensor) -> Tensor:
    """Zoomed about the centre by 2^(0.2 n), n normal; what comes in is 0."""
    zoom = torch.exp2(SPREAD * latents.quantile(u[:, 0])).to(x.dtype)
    zoom = torch.where(gate, zoom, 1.0)
    theta = torch.zeros(len(x), 2, 3, dtype=x.dtype, device=x.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / zoom
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def cutout(x: Tensor, u: Tensor, gate: Tensor) -> Tensor:
    """A square of half the side set to 0, its centre anywhere. It shows in what G draws; never chosen by itself."""
    side = x.shape[2]
    centre = (side * u[:, :2]).floor().to(x.dtype)  # (N, 2)
    far = (torch.arange(side, device=x.device, dtype=x.dtype) + 0.5 - centre[:, :, None]).abs() > side * HOLE / 2
    kept = far[:, 0, :, None] | far[:, 1, None, :] | ~gate[:, None, None]
    return x * kept[:, None].to(x.dtype)


def _factor(gate: Tensor, value: Tensor, rest: float, like: Tensor) -> Tensor:
    """`value` (N,) where the gate is open, else `rest`, as (N, 1, 1, 1) of the images' type."""
    return torch.where(gate, value, rest)[:, None, None, None].to(like.dtype)


KINDS: dict[Kind, tuple[Callable[[Tensor, Tensor, Tensor], Tensor], int]] = {
    "color": (color, 3),
    "translation": (translation, 2),
    "scale": (scale, 1),
    "cutout": (cutout, 2),
}
"""Kind -> what does it, and how many uniforms it takes besides the one that decides whether. In order of use."""

NUMBERS = sum(1 + count for _, count in KINDS.values())
"""Uniforms that an image takes, whatever the policy: a kind draws the same with and without the others."""


def augmented(x: Tensor, u: Tensor, policy: Sequence[Kind], share: Tensor | float = 1.0) -> Tensor:
    """Images with each kind of the policy applied or not.

    Args:
        x: Images (N, C, H, W) in [-1, 1].
        u: Uniforms (N, NUMBERS) in (0, 1), on the images' device.
        policy: Kinds of augmentation.
        share: Probability with which each kind applies to an image.

    Returns:
        (N, C, H, W); colours may leave [-1, 1]. `x` itself for an empty policy.
    """
    place = 0
    for kind, (apply, count) in KINDS.items():
        if kind in policy:
            x = apply(x, u[:, place + 1 : place + 1 + count], u[:, place] < share)
        place += 1 + count
    return x


@torch.no_grad()
def surely(real: Tensor, fake: Tensor) -> Tensor:
    """r_t, how surely the signs of D's outputs tell real images from drawn ones: () in [-1, 1], 0 by chance, 1 always.

    ADA (Section 2.3 there) takes the mean sign on real images. Outputs on all images rise and fall together by more
    than D knows of an image; half of what lies between the two means does not (docs/lab-notes.md).

    Args:
        real: D's logits on real images, (N, 1).
        fake: D's logits on drawn images, (M, 1).
    """
    return (real.float().sign().mean() - fake.float().sign().mean()) / 2


def adapted(share: Tensor, sign: Tensor, target: float, pace: float, most: float = 1.0) -> Tensor:
    """The share of images to augment after a step (ADA, Section 2.3 and Appendix B.1 there).

    Args:
        share: The share so far, () in [0, `most`].
        sign: r_t on average over the last images, ().
        target: What r_t should be.
        pace: By how much the share moves.
        most: What it may become.

    Returns:
        (), in [0, `most`].
    """
    return (share + torch.sign(sign - target) * pace).clamp(0, most)
