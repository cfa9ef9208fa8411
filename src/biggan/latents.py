"""Seeds to latents, labels, flips and orders: every random draw of training and drawing, as pure functions.

A draw is a function of (seed, stream, index) alone, by the counter-based generator Philox (Salmon et al. 2011):
which process, batch or microbatch asks for it cannot matter, and a resumed run needs no saved random state.
Normals come from uniforms by the inverse of the distribution function, so that one seed gives related latents at
every truncation. Weights at the start come from torch's own generator (`models/build.py`), not from here.
"""

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from biggan.errors import ConfigError

WORDS = 4  # 64-bit words that Philox gives for one count


class Stream(IntEnum):
    """What a draw is for; draws of different streams are independent."""

    DATA_ORDER = 0
    FLIPS = 1
    Z_D = 2
    Y_D = 3
    Z_G = 4
    Y_G = 5
    PICTURES = 6
    STATISTICS = 7
    CUTOUTS = 8
    SEARCH = 9
    PROBE = 12
    MEASURED = 16
    AUGMENT_REAL = 20
    AUGMENT_FAKE = 21
    AUGMENT_G = 22
    CONSISTENT_REAL = 23
    CONSISTENT_FAKE = 24
    CLASS_ORDER = 25


def _words(seed: int, stream: Stream, start: int, count: int, each: int) -> np.ndarray:
    """Random 64-bit words (count, each) for indices start to start + count - 1."""
    blocks = -(-each // WORDS)
    philox = np.random.Philox(key=np.array([seed, stream], dtype=np.uint64), counter=start * blocks)
    return philox.random_raw(count * blocks * WORDS).reshape(count, blocks * WORDS)[:, :each]


def uniform(seed: int, stream: Stream, start: int, count: int, each: int) -> Tensor:
    """Uniforms (count, each) in the open interval (0, 1), float64."""
    return _open_unit(_words(seed, stream, start, count, each))


def _open_unit(words: np.ndarray) -> Tensor:
    """Random 64-bit words as uniforms in (0, 1), float64."""
    return torch.from_numpy(((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52)  # exact, never 0 or 1


def normal(seed: int, stream: Stream, start: int, count: int, dim: int) -> Tensor:
    """Latents z ~ N(0, 1) of the indices start to start + count - 1: (count, dim), float32."""
    return shape_normal(uniform(seed, stream, start, count, dim), None, None)


def labels(seed: int, stream: Stream, start: int, count: int, num_classes: int) -> Tensor:
    """Labels y, uniform over 0 to num_classes - 1 (0 where there are no classes): (count,), int64."""
    uniforms = uniform(seed, stream, start, count, 1)[:, 0]
    return (uniforms * max(num_classes, 1)).long()


def flips(seed: int, start: int, count: int) -> Tensor:
    """Whether each of the images start to start + count - 1 is mirrored: (count,), bool."""
    return uniform(seed, Stream.FLIPS, start, count, 1)[:, 0] < 0.5


def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """The order of an epoch: 0 to size - 1 shuffled, (size,), int64."""
    return shuffled(seed, Stream.DATA_ORDER, epoch * size, size)


def shuffled(seed: int, stream: Stream, start: int, size: int) -> np.ndarray:
    """0 to size - 1 shuffled, (size,), int64, by the draws of the indices start to start + size - 1."""
    words = _words(seed, stream, start, size, WORDS)[:, 0]
    return np.argsort(words, kind="stable")


def draw(seeds: Sequence[int], dim: int, truncation: float | None = None, threshold: float | None = None) -> Tensor:
    """Latents for pictures, one a seed.

    Args:
        seeds: Image seeds, 0 to 2^63 - 1.
        dim: Dimensions of z.
        truncation: In (0, 1]; z = truncation x a normal truncated to [-2, 2], as the published modules have it.
        threshold: Positive; z a normal truncated to [-threshold, threshold], the paper's resampling (Section 3.1).

    Returns:
        (len(seeds), dim), float32.

    Raises:
        ConfigError: Both conventions at once, or a value or seed outside its range.
    """
    check_truncation(truncation, threshold)
    for seed in seeds:
        if not 0 <= seed < 2**63:
            raise ConfigError(f"Seed {seed} is not allowed; seeds are whole numbers from 0 to 2^63 - 1 (--seeds).")
    words = [np.empty((0, dim), np.uint64), *(_words(seed, Stream.PICTURES, 0, 1, dim) for seed in seeds)]
    return shape_normal(_open_unit(np.concatenate(words)), truncation, threshold)


def quantile(u: Tensor) -> Tensor:
    """The normal quantiles of uniforms in (0, 1), on any device (MPS has no `ndtri`)."""
    return 2**0.5 * torch.erfinv(2 * u - 1)


def shape_normal(uniform: Tensor, truncation: float | None, threshold: float | None) -> Tensor:
    """Uniforms in (0, 1) as normals of the asked distribution (see `draw`), float32."""
    bound = 2.0 if truncation is not None else threshold
    if bound is None:
        z: Tensor = torch.special.ndtri(uniform)
        return z.float()
    low = 0.5 * math.erfc(bound / math.sqrt(2))  # P(z < -bound)
    z = torch.special.ndtri(low + (1 - 2 * low) * uniform).clamp(-bound, bound)
    return ((1.0 if truncation is None else truncation) * z).float()


def check_truncation(truncation: float | None, threshold: float | None) -> None:
    """Checks the two conventions (see `draw`).

    Raises:
        ConfigError: Both are given, or one is outside its range.
    """
    if truncation is not None and threshold is not None:
        raise ConfigError("--truncation and --threshold are two conventions for one thing; give one of them.")
    if truncation is not None and not 0 < truncation <= 1:
        raise ConfigError(f"--truncation is {truncation:g}; allowed is above 0 and up to 1.")
    if threshold is not None and not 0 < threshold < math.inf:
        raise ConfigError(f"--threshold is {threshold:g}; allowed is above 0.")


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Spherical interpolation from latents a (t = 0) to b (t = 1), both (..., dim); lengths go linearly.

    Source: Shoemake 1985; for Gaussian latents White 2016 (arXiv 1609.04468).
    """
    length_a, length_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    unit_a, unit_b = a / length_a.clamp_min(1e-12), b / length_b.clamp_min(1e-12)
    angle = torch.acos((unit_a * unit_b).sum(-1, keepdim=True).clamp(-1, 1))
    straight = torch.sin(angle) < 1e-4  # parallel or opposite: no plane to turn in, so go straight
    safe = torch.where(straight, torch.ones_like(angle), angle)
    weight_a = torch.where(straight, 1 - t, torch.sin((1 - t) * safe) / torch.sin(safe))
    weight_b = torch.where(straight, t, torch.sin(t * safe) / torch.sin(safe))
    way: Tensor = (weight_a * unit_a + weight_b * unit_b) * ((1 - t) * length_a + t * length_b)
    return way
