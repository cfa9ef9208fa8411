"""What packing will take, from a few seconds of it. What is not here: packing (`packing.py`)."""

import time
import warnings
from dataclasses import dataclass

import numpy as np

from biggan.config import Data
from biggan.data.decode import square
from biggan.data.packing import decode_one
from biggan.data.records import Source
from biggan.errors import DataError

MOST_TRIED = 2_000
LEAST_TRIED = 16  # however long these take
SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Time and bytes of a packing that has not been done."""

    num_images: int
    channels: int
    bytes_per_image: int
    images_per_second: float
    """Of one core, reading included."""
    tried: int
    unreadable: int
    """Of those tried."""

    @property
    def size(self) -> int:
        """Bytes of the pack."""
        return self.num_images * self.bytes_per_image

    def seconds(self, workers: int) -> float:
        """Time that as many processes take, if each has a core and the disk keeps up."""
        return self.num_images / self.images_per_second / workers


def estimate(source: Source, resolution: int, data: Data, seconds: float = SECONDS) -> Estimate:
    """Decodes images from all over a source for a few seconds.

    Raises:
        ConfigError: The background is not a colour.
        DataError: None of the images that were tried can be read.
    """
    want = square(resolution, data)
    spread = np.unique(np.linspace(0, source.num_images - 1, min(MOST_TRIED, source.num_images)).astype(np.int64))
    began = time.perf_counter()
    tried = unreadable = 0
    all_grey = data.channels is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in packing
        for i in np.random.default_rng(0).permutation(spread).tolist():
            result = decode_one(source, want, i)
            tried += 1
            if isinstance(result, str):
                unreadable += 1
            elif all_grey:
                all_grey = bool((result.pixels == result.pixels[..., :1]).all())
            if tried >= LEAST_TRIED and time.perf_counter() - began > seconds:
                break
    if unreadable == tried:
        raise DataError(
            f"None of the {tried:,} images of --data {source.place or source.kind} that were tried is read."
        )
    channels = 1 if all_grey else want.channels
    return Estimate(
        num_images=source.num_images,
        channels=channels,
        bytes_per_image=resolution * resolution * channels,
        images_per_second=tried / (time.perf_counter() - began),
        tried=tried,
        unreadable=unreadable,
    )
