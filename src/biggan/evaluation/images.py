"""Real and drawn images by index, so that any process may take any range of them, and their features.

Drawn images are measured as they would be saved, as bytes. Not here: where features are kept (`store.py`).
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from biggan import latents
from biggan.data.packed import Packed
from biggan.distributed.collective import gather
from biggan.distributed.processes import rank, world_size
from biggan.evaluation.features import FeatureNetwork
from biggan.latents import Stream
from biggan.sampling.classes import ClassMix
from biggan.sampling.pipeline import Pipeline
from biggan.sampling.sampler import to_bytes

BATCH = 64  # images that a network sees at once

Tick = Callable[[int], None]
"""Called with the images done since the last call; may raise to stop the work."""


class Images(Protocol):
    """Images by index."""

    @property
    def identity(self) -> str:
        """SHA-256 of all that decides their bytes."""

    def pixels(self, start: int, stop: int) -> Tensor:
        """Images start to stop - 1: (stop - start, C, H, W), uint8."""


@dataclass(frozen=True, slots=True)
class Real:
    """The images of a pack in its order, or some of them."""

    packed: Packed
    rows: Tensor | None = None
    """Places in the pack of the images that are meant, rising; None for all."""

    @property
    def identity(self) -> str:
        """Of shape, labels and pixels, and of what is chosen."""
        chosen = b"" if self.rows is None else self.rows.numpy().tobytes()
        return hashlib.sha256(self.packed.sha256.encode() + chosen).hexdigest()

    def pixels(self, start: int, stop: int) -> Tensor:
        """Images start to stop - 1: (stop - start, C, H, W), uint8."""
        rows = np.arange(start, stop) if self.rows is None else self.rows[start:stop].numpy()
        return torch.from_numpy(self.packed.images[rows]).permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A model's images: image i has the seed `seed + i` and a class drawn with given probabilities.

    `biggan sample MODEL --classes CLASS --seeds SEED` draws any of them again.
    """

    pipe: Pipeline
    shares: Sequence[float]
    """Probability of each class; empty without classes."""
    seed: int = 0
    truncation: float | None = None
    threshold: float | None = None

    @property
    def identity(self) -> str:
        """Of weights, classes, seed, truncation, precision and batch size."""
        sampler, shares = self.pipe.sampler, [float(share) for share in self.shares]
        how = [self.seed, self.truncation, self.threshold, sampler.precision, sampler.batch_size]
        text = json.dumps([self.pipe.bundle.sha256, shares, *how, torch.__version__])
        return hashlib.sha256(text.encode()).hexdigest()

    def labels(self, start: int, stop: int) -> Tensor:
        """Classes of images start to stop - 1: (stop - start,), int64, 0 without classes."""
        if not self.shares:
            return torch.zeros(stop - start, dtype=torch.int64)
        uniform = latents.uniform(self.seed, Stream.MEASURED, start, stop - start, 1)[:, 0]
        bounds = torch.tensor(self.shares, dtype=torch.float64).cumsum(0)
        return torch.searchsorted(bounds, uniform * bounds[-1], right=True).clamp_max(len(self.shares) - 1)

    def pixels(self, start: int, stop: int) -> Tensor:
        """Images start to stop - 1: (stop - start, C, H, W), uint8."""
        labels = self.labels(start, stop).tolist() if self.shares else [None] * (stop - start)
        mixes = [ClassMix(None, () if label is None else ((label, 1.0),)) for label in labels]
        seeds = range(self.seed + start, self.seed + stop)
        return to_bytes(self.pipe.sampler.draw(seeds, mixes, self.truncation, self.threshold))


def in_batches(images: Images, start: int, stop: int, use: Callable[[Tensor, int], Tensor], tick: Tick) -> Tensor:
    """What `use` makes of images start to stop - 1, at most 64 at a time: (stop - start, …) on the CPU.

    Several processes share the images, and each has the whole result. `use` takes float images in [-1, 1],
    (N, C, H, W), and the first one's index.
    """
    ranks, count = world_size(), stop - start
    first, last = (start + count * place // ranks for place in (rank(), rank() + 1))
    parts = []
    with torch.inference_mode():
        for low in range(first, last, BATCH):
            high = min(low + BATCH, last)
            parts.append(use(images.pixels(low, high).float() / 127.5 - 1, low).cpu())
            tick(ranks * (high - low))
    if not parts:
        parts = [use(images.pixels(start, start + 1).float() / 127.5 - 1, start).cpu()[:0]]
    return gather(torch.cat(parts).clone())


def features_of(network: FeatureNetwork, images: Images, start: int, stop: int, tick: Tick) -> Tensor:
    """Features of images start to stop - 1: (stop - start, dimensions), float32, on the CPU."""
    device = next(network.parameters()).device
    return in_batches(images, start, stop, lambda x, _: network.features(opaque(x).to(device)).float(), tick)


def opaque(x: Tensor) -> Tensor:
    """Images in [-1, 1] with one or three channels: an alpha channel (the last of two or four) is put on white."""
    if x.shape[1] in (1, 3):
        return x
    alpha = (x[:, -1:] + 1) / 2
    return x[:, :-1] * alpha + (1 - alpha)
