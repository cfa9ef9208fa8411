"""The endless shuffled stream of a pack's images: a batch is a function of the seed and the number of images before.

Any process may ask for any part of any batch, and a resumed run needs no saved position. While a batch is used, a
thread reads the next, so that neither the disk nor the order in which images come is waited for. What is not here:
which image comes when (`order.py`), and the draws behind it (`biggan.latents`).
"""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from biggan import latents
from biggan.data.order import Balanced, Natural
from biggan.data.packed import Packed
from biggan.data.records import Labels, Pixels

IN_MEMORY = 2**30  # bytes up to which all images are held in memory


def put(x: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device; a GPU takes it in turn, without the CPU waiting for what was asked before."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


class Loader:
    """Batches of a pack's images.

    Args:
        packed: The images.
        seed: The run's seed.
        mirror: Flip every other image left to right.
        device: Where batches go.
        balanced: Show every class equally often, whatever its number of images.
    """

    def __init__(
        self,
        packed: Packed,
        seed: int,
        mirror: bool = False,
        device: torch.device | str = "cpu",
        balanced: bool = False,
    ) -> None:
        self.size = packed.num_images
        self.seed, self.mirror, self.device = seed, mirror, torch.device(device)
        self._images = np.array(packed.images) if packed.images.nbytes <= IN_MEMORY else packed.images
        self._labels = np.zeros(self.size, np.int64) if packed.labels is None else packed.labels
        self.indices = Balanced(seed, self._labels) if balanced else Natural(seed, self.size)
        self._reader = ThreadPoolExecutor(1, "biggan-reader")
        self._ahead: tuple[tuple[int, int], Future[tuple[Pixels, Labels]]] | None = None
        self._last: int | None = None

    def batch(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Images start to start + count - 1 of the stream.

        Returns:
            x (count, C, H, W) float32 in [-1, 1], channels_last, and y (count,) int64, 0 where there are no labels.
        """
        images, labels = self._next(start, count)
        pixels = put(torch.from_numpy(images), self.device).permute(0, 3, 1, 2)
        x = pixels.float().div_(127.5).sub_(1)
        if self.mirror:
            flipped = put(latents.flips(self.seed, start, count), self.device)
            x = torch.where(flipped[:, None, None, None], x.flip(3), x)
        y = put(torch.from_numpy(labels), self.device)
        return x.contiguous(memory_format=torch.channels_last), y

    def _next(self, start: int, count: int) -> tuple[Pixels, Labels]:
        """What `_read` gives; the batch that is as far from this one as this from the last is read meanwhile."""
        ahead, step = self._ahead, count if self._last is None else start - self._last
        found = ahead[1].result() if ahead and ahead[0] == (start, count) else self._read(start, count)
        guess = (max(0, start + step), count)
        self._last, self._ahead = start, (guess, self._reader.submit(self._read, *guess))
        return found

    def _read(self, start: int, count: int) -> tuple[Pixels, Labels]:
        """Images (count, R, R, C) and labels (count,) of the stream, as they are in the pack."""
        chosen = self.indices(start, count)
        return self._images[chosen], self._labels[chosen]
