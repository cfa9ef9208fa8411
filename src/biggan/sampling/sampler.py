"""Seeds and classes → images, at one fixed batch shape, so that an image is a function of what is asked alone.

A padded batch of always the same shape meets the same kernels in the same order, so an image's bytes do not depend
on which images are asked for with it. Statistics of a batch are never used here. Names, files and recipes are
`pipeline.py`'s.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from biggan import latents
from biggan.errors import ConfigError
from biggan.models.inference import Ready
from biggan.models.network import Generator
from biggan.models.statistics import Statistics
from biggan.sampling.classes import ClassMix, embed
from biggan.sampling.recipe import Precision


def to_bytes(x: Tensor) -> Tensor:
    """The one byte rule: images in [-1, 1] as round(127.5·(x + 1)), clipped to 0..255; any shape, uint8."""
    return (127.5 * (x + 1)).round().clamp(0, 255).to(torch.uint8)


def usual_batch_size(resolution: int, device: torch.device) -> int:
    """Images drawn at once unless told: 16, and fewer the larger an image is.

    On a CPU that is from 32 px on, so that 128 px go one by one: there an image in a batch takes about as long as one
    alone, and a single one would wait for a batch to be filled up. On others from 128 px on.
    """
    full = 32 if device.type == "cpu" else 128
    return max(1, 16 * full**2 // max(resolution, full) ** 2)


class Sampler:
    """Draws from a generator; leaves it as it was.

    Args:
        G: The generator, on the device to draw on.
        statistics: Its batch-norm statistics for the truncations that may be asked.
        batch_size: Images drawn at once; None for `usual_batch_size` where G is now.
        precision: Of convolutions and matrix products.

    Raises:
        ConfigError: `batch_size` is not from 1 to 4096, or the precision is another word.
    """

    def __init__(
        self, G: Generator, statistics: Statistics, batch_size: int | None = None, precision: Precision = "float32"
    ) -> None:
        self.G, self.statistics, self.precision, self.asked_batch_size = G, statistics, precision, batch_size
        usual = usual_batch_size(G.config.resolution, G.linear.weight.device)
        self.batch_size = usual if batch_size is None else batch_size
        if not 1 <= self.batch_size <= 4096:
            raise ConfigError(f"--batch-size is {batch_size}; allowed is 1 to 4096.")
        if precision not in ("float32", "bfloat16"):
            raise ConfigError(f"--precision is {precision!r}; allowed is float32 or bfloat16.")
        self._made: tuple[object, Ready] | None = None  # of which weights, and what
        self._at: tuple[object, Generator] | None = None  # of which of these and which truncation

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
    def _batch(self, G: Generator, z: Tensor, c: Tensor) -> Tensor:
        """One forward at the fixed shape: rows of zeros fill the batch up and are dropped."""
        missing = self.batch_size - len(z)
        padded = [torch.cat([part, part.new_zeros(missing, part.shape[1])]) for part in (z, c)]
        x: Tensor = G(*padded)
        return x[: len(z)].float().cpu().contiguous()

    @contextlib.contextmanager
    def ready(
        self, truncation: float | None = None, threshold: float | None = None
    ) -> Iterator[Callable[[Tensor, Tensor], Tensor]]:
        """The inference-ready generator with the right statistics, and repeatable kernels while it is used.

        Returns:
            A function of z (n, dim_z) and c (n, condition) on G's device, n at most the batch size, to images
            (n, C, H, W), float32 on the CPU. Several threads may call it at once.

        Raises:
            ConfigError: As `draw`.
        """
        G = self._inference_ready(truncation, threshold)
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            yield partial(self._batch, G)

    @torch.inference_mode(False)  # it is kept, whoever asks first
    def _inference_ready(self, truncation: float | None, threshold: float | None) -> Generator:
        """G made ready, or what was made ready before if neither its weights nor the truncation have changed."""
        row, weights = self.statistics.row(truncation, threshold), _version(self.G)
        if self._made is None or self._made[0] != weights:
            dtype = torch.bfloat16 if self.precision == "bfloat16" else None
            self._made, self._at = (weights, Ready(self.G, dtype)), None
        asked = (weights, truncation, threshold)
        if self._at is None or self._at[0] != asked:
            self._at = (asked, self._made[1].at(row))
        return self._at[1]


def _version(G: Generator) -> object:
    """What is another after any tensor of G was replaced, moved or written to, by torch's own count of writes."""
    tensors = [*G.parameters(), *G.buffers()]
    if any(tensor.is_inference() for tensor in tensors):
        return object()  # their writes are not counted
    return [(id(tensor), tensor.data_ptr(), tensor._version) for tensor in tensors]
