"""Whether drawn images show the augmentation that D saw: what a G does that has learned it from augmented images.

For each kind there is a number of an image that the kind raises. Where 1 in 100 real images lies above a bound, an
augmented real image lies above it with some probability; the leak is how far drawn images are on the way from the one
to the other: about 0 for none, 1 for drawn images that are all augmented. Not here: the kinds (`training/augment.py`).
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from biggan import latents
from biggan.errors import DataError
from biggan.latents import Stream
from biggan.training.augment import HOLE, NUMBERS, Kind, augmented

RARE = 0.01  # share of real images above the bound
LEAST = 100  # images, real and drawn
GREY = 0.12  # farthest from 0 of a pixel that counts as grey


def leaks(real: Tensor, drawn: Tensor, policy: Sequence[Kind], seed: int = 0) -> dict[str, float]:
    """How far drawn images show each kind of augmentation.

    Args:
        real: Images (N, C, H, W) in [-1, 1], 100 or more.
        drawn: Images (M, C, H, W) in [-1, 1], 100 or more.
        policy: The kinds that D was trained with.
        seed: Of the augmentation that the real images are compared with.

    Returns:
        Kind -> the leak; nan where the kind does not show in this number on the real images themselves.

    Raises:
        DataError: Too few images, or real and drawn ones of different shapes.
    """
    if min(len(real), len(drawn)) < LEAST or real.shape[1:] != drawn.shape[1:]:
        shapes = f"{tuple(real.shape)} and {tuple(drawn.shape)}"
        raise DataError(f"Real and drawn images are {shapes}; give {LEAST} or more of each, of one shape.")
    u = latents.uniform(seed, Stream.AUGMENT_REAL, 0, len(real), NUMBERS).to(real.device)
    usual = _Usual(real)
    found: dict[str, float] = {}
    for kind in policy:
        number = SHOWN[kind] if kind != "color" else usual
        bound = torch.quantile(number(real), 1 - RARE)
        plain, all_of_them, now = (
            float((number(x) > bound).double().mean()) for x in (real, augmented(real, u, (kind,)).clamp(-1, 1), drawn)
        )
        seen = all_of_them - plain
        found[kind] = (now - plain) / seen if seen > 0.1 else float("nan")
    return found


def _grey_margin(x: Tensor) -> Tensor:
    """The largest share of grey pixels that one of an image's four outermost lines has, (N,)."""
    grey = _grey(x)[:, 0]
    return torch.stack([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]]).mean(2).amax(0)


def _grey_square(x: Tensor) -> Tensor:
    """The largest share of grey pixels in a square of half a cut-out's side, (N,)."""
    return F.avg_pool2d(_grey(x), max(int(x.shape[2] * HOLE / 2), 1), 1).amax((1, 2, 3))


def _grey(x: Tensor) -> Tensor:
    """Whether a pixel is what translation, scale and cut-out leave behind, as (N, 1, H, W) of 0 and 1."""
    return (x.abs().amax(1, keepdim=True) < GREY).to(x.dtype)


class _Usual:
    """How unusual an image's colours are among real images': Mahalanobis distance of six numbers, (N,)."""

    def __init__(self, real: Tensor) -> None:
        numbers = self._numbers(real)
        self.mean = numbers.mean(0)
        covariance = torch.cov(numbers.T)
        covariance.diagonal().add_(1e-4)
        self.inverse = torch.linalg.inv(covariance)

    def _numbers(self, x: Tensor) -> Tensor:
        flat = x.flatten(1).double()
        quantiles = torch.quantile(flat, flat.new_tensor([0.02, 0.5, 0.98]), 1)
        colour = (x - x.mean(1, keepdim=True)).flatten(1).double().std(1)
        return torch.stack([flat.mean(1), flat.std(1), *quantiles, colour], 1)

    def __call__(self, x: Tensor) -> Tensor:
        away = self._numbers(x) - self.mean
        distances: Tensor = ((away @ self.inverse) * away).sum(1)
        return distances


SHOWN: dict[Kind, Callable[[Tensor], Tensor]] = {
    "translation": _grey_margin,
    "scale": _grey_margin,
    "cutout": _grey_square,
}
