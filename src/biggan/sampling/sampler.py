"""Seeds and classes → images, at one fixed batch shape, so that an image is a function of what is asked alone.

A padded batch of always the same shape meets the same kernels in the same order, so an image's bytes do not depend
on which images are asked for with it. Statistics of a batch are never used here. Names, files and recipes are
`pipeline.py`'s.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from biggan import latents
from biggan.config import Model
from biggan.errors import ConfigError
from biggan.models.network import Generator
from biggan.models.spectral import weights_held
from biggan.models.statistics import Statistics
from biggan.sampling.classes import ClassMix, embed
from biggan.sampling.recipe import Precision


def to_bytes(x: Tensor) -> Tensor:
    """The one byte rule: images in [-1, 1] as round(127.5·(x + 1)), clipped to 0..255; any shape, uint8."""
    return (127.5 * (x + 1)).round().clamp(0, 255).to(torch.uint8)


def usual_batch_size(model: Model) -> int:
    """Images drawn at once unless told: 16 up to 128 px, then fewer, as an image's memory grows."""
    return max(1, 16 * 128**2 // max(model.resolution, 128) ** 2)


class Sampler:
    """Draws from a generator; leaves it as it was.

    Args:
        G: The generator, on the device to draw on.
        statistics: Its batch-norm statistics for the truncations that may be asked.
        batch_size: Images drawn at once; None for `usual_batch_size`.
        precision: Of convolutions and matrix products.

    Raises:
        ConfigError: `batch_size` is not from 1 to 4096, or the precision is another word.
    """

    def __init__(
        self, G: Generator, statistics: Statistics, batch_size: int | None = None, precision: Precision = "float32"
    ) -> None:
        self.G, self.statistics, self.precision = G, statistics, precision
        self.batch_size = usual_batch_size(G.config) if batch_size is None else batch_size
        if not 1 <= self.batch_size <= 4096:
            raise ConfigError(f"--batch-size is {batch_size}; allowed is 1 to 4096.")
        if precision not in ("float32", "bfloat16"):
            raise ConfigError(f"--precision is {precision!r}; allowed is float32 or bfloat16.")

    def draw(
        self,
        seeds: Sequence[int],
        mixes: Sequence[ClassMix],
        truncation: float | None = None,
        threshold: float | None = None,
    ) -> Tensor:
        """Images of each seed with its class: (len(seeds), C, H, W), float32 in [-1, 1], on the CPU.

        Args:
            seeds: Image seeds, 0 to 2^63 - 1.
            mixes: As many classes or mixes.
            truncation: See `latents.draw`.
            threshold: See `latents.draw`.

        Raises:
            ConfigError: A seed or truncation outside what is allowed, or one this model has no statistics for.
        """
        z = latents.draw(seeds, self.G.dim_z, truncation, threshold)
        return self.render(z, embed(self.G, mixes), truncation, threshold)

    def render(self, z: Tensor, c: Tensor, truncation: float | None = None, threshold: float | None = None) -> Tensor:
        """Images of latents z (N, dim_z) and conditions c (N, condition), with the statistics of a truncation.

        Returns and raises as `draw`.
        """
        weight = self.G.linear.weight
        z, c = z.to(weight), c.to(weight)
        with self.ready(truncation, threshold) as forward:
            batches = zip(torch.split(z, self.batch_size), torch.split(c, self.batch_size), strict=True)
            images = [forward(*batch) for batch in batches]
        return torch.cat(images)  # outside inference mode, so that the result is an ordinary tensor

    @torch.inference_mode()
    def _batch(self, z: Tensor, c: Tensor) -> Tensor:
        """One forward at the fixed shape: rows of zeros fill the batch up and are dropped."""
        missing = self.batch_size - len(z)
        padded = [torch.cat([part, part.new_zeros(missing, part.shape[1])]) for part in (z, c)]
        x: Tensor = self.G(*padded)
        return x[: len(z)].float().cpu().contiguous()

    @contextlib.contextmanager
    def ready(
        self, truncation: float | None = None, threshold: float | None = None
    ) -> Iterator[Callable[[Tensor, Tensor], Tensor]]:
        """G in eval mode with the right statistics, precision and repeatable kernels; after it, as before.

        Returns:
            A function of z (n, dim_z) and c (n, condition) on G's device, n at most the batch size, to images
            (n, C, H, W), float32 on the CPU. Several threads may call it at once.

        Raises:
            ConfigError: As `draw`.
        """
        G, row = self.G, self.statistics.row(truncation, threshold)
        before = {name: G.get_buffer(name).clone() for name in row}
        training, compute_dtype = G.training, G.compute_dtype
        G.eval().use_statistics(row)
        G.compute_dtype = torch.bfloat16 if self.precision == "bfloat16" else None
        try:
            with weights_held(G), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
                yield self._batch
        finally:
            G.use_statistics(before)
            G.compute_dtype = compute_dtype
            G.train(training)
