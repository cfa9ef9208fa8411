"""Very many images in an order, cut into shards: tar files of PNG files with their classes, in the WebDataset layout.

```
00007.tar: 000070000.png   the very file that `biggan sample` writes for that class and seed
           000070000.cls   the number of its class, a line of classes.txt; not in a model without classes
```

Image i shows class i mod K of the K asked for, with seed number i div K, so that every part of the set is balanced. A
shard's bytes are a function of what is asked alone, however many threads draw it. What is not here: which shards are
there already, and which process draws which (`many.py`).
"""

import io
import itertools
import tarfile
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from biggan import latents
from biggan.atomic import new_file, sha256
from biggan.errors import ConfigError
from biggan.sampling import grids
from biggan.sampling.classes import ClassMix, embed
from biggan.sampling.pipeline import Pair, Pipeline
from biggan.sampling.recipe import png_bytes, to_text
from biggan.sampling.sampler import to_bytes

MOST_IMAGES = 10**9  # as many digits as an image's name has
MOST_IN_SHARD, MOST_SHARDS = 10**6, 10**4

Draw = Callable[[range], Iterator[tuple[range, list[bytes]]]]
"""From the numbers of images to their PNG files, in order, a batch at a time."""


class Order:
    """Which image shows what, and which shard it is in.

    Args:
        mixes: The classes.
        seeds: Ranges of seeds, one after another.
        each: Images in a shard.

    Attributes:
        num_images: Number of all images.
        shards: The numbers of the images in each shard.
        class_names: A name for each class that was asked for; empty in a model without classes.

    Raises:
        ConfigError: A class twice, too many images, or a size of shards that is not allowed.
    """

    def __init__(self, mixes: Sequence[ClassMix], seeds: Sequence[range], each: int) -> None:
        self.mixes, self.seeds, self.each = mixes, seeds, each
        self.ends = list(itertools.accumulate(part.stop - part.start for part in seeds))
        self.num_images = total = self.ends[-1] * len(mixes)
        if not 1 <= each <= MOST_IN_SHARD:
            raise ConfigError(f"--shard-images is {each}; allowed is 1 to {MOST_IN_SHARD:,}.")
        if total > min(MOST_IMAGES, MOST_SHARDS * each):
            allowed = f"at most {MOST_IMAGES:,}, and {MOST_SHARDS:,} shards of --shard-images {each:,}"
            raise ConfigError(f"{total:,} images are asked for; possible are {allowed} (--seeds).")
        self.shards = [range(start, min(start + each, total)) for start in range(0, total, each)]
        self.class_names = [mix.label.strip() or f"#{mix.numbers}" for mix in mixes if mix.label is not None]
        if twice := [name for name, count in Counter(self.class_names).items() if count > 1]:
            raise ConfigError(f"Class {twice[0]!r} is asked for twice; in shards it can be only once (--classes).")

    def at(self, i: int) -> Pair:
        """Class and seed of image i."""
        row, number = divmod(i, len(self.mixes))
        part = bisect_right(self.ends, row)
        return self.mixes[number], self.seeds[part][row - self.ends[part]]  # from the part's end backwards


def name_of(k: int) -> str:
    """File name of shard k."""
    return f"{k:05}.tar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A finished shard."""

    name: str
    """Of the file."""
    first: int
    """Number of its first image."""
    last: int
    """Number of its last image."""
    bytes: int
    """Size of the file."""
    sha256: str
    """Of the file."""


@contextmanager
def drawing(pipe: Pipeline, order: Order, truncation: float | None, threshold: float | None) -> Iterator[Draw]:
    """Gets the model ready to draw images of an order.

    Every batch is drawn by one thread, with as many batches at once as torch would have used threads for one: that is
    faster, and makes the bytes those of one thread.

    Raises:
        ConfigError: The model has no statistics for the truncation.
    """
    threads, shared = torch.get_num_threads(), pipe.recipe(truncation, threshold)

    def batch(indices: range) -> list[bytes]:
        pairs = [order.at(i) for i in indices]
        z = latents.draw([seed for _, seed in pairs], pipe.generator.dim_z, truncation, threshold)
        x = forward(z.to(conditions), conditions[[i % len(order.mixes) for i in indices]])
        recipes = [replace(shared, seed=seed, mix=mix.label) for mix, seed in pairs]
        images = grids.to_images(to_bytes(x))
        return [png_bytes(image, to_text(recipe)) for image, recipe in zip(images, recipes, strict=True)]

    def draw(indices: range) -> Iterator[tuple[range, list[bytes]]]:
        waiting: deque[tuple[range, Future[list[bytes]]]] = deque()
        size = pipe.sampler.batch_size
        for start in range(0, len(indices), size):
            part = indices[start : start + size]
            waiting.append((part, pool.submit(batch, part)))
            if len(waiting) > 2 * threads:
                first, pictures = waiting.popleft()
                yield first, pictures.result()
        for first, pictures in waiting:
            yield first, pictures.result()

    try:
        torch.set_num_threads(1)
        conditions = embed(pipe.generator, order.mixes)
        with pipe.sampler.ready(truncation, threshold) as forward, ThreadPoolExecutor(threads) as pool:
            yield draw
    finally:
        torch.set_num_threads(threads)


def make_shard(order: Order, k: int, draw: Draw, folder: Path, done: Callable[[int], None]) -> Shard:
    """Draws shard k into a folder.

    Args:
        order: What is drawn.
        k: Which shard.
        draw: From `drawing`.
        folder: Where the shard goes.
        done: Called with the number of images of the shard drawn so far; may raise to stop, which leaves nothing.

    Raises:
        DiskFailed: A write failed; nothing of the shard is there.
    """
    indices, path = order.shards[k], folder / name_of(k)
    with new_file(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for part, pictures in draw(indices):
            for i, picture in zip(part, pictures, strict=True):
                _add(tar, f"{i:09}.png", picture)
                if order.class_names:
                    _add(tar, f"{i:09}.cls", str(i % len(order.mixes)).encode())
            tar.members = []  # type: ignore[attr-defined]  # else all of them are held
            done(part.stop - indices.start)
    return Shard(name=path.name, first=indices[0], last=indices[-1], bytes=path.stat().st_size, sha256=sha256(path))


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # without a time or an owner
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
