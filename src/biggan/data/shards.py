"""Images in several files of squares as one array.

What is not here: which files these are (`packfile.py`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biggan.data.records import Labels, Pixels


class Shards:
    """Memory-mapped files of uint8 squares (n, R, R, C), one after another, read as one array (N, R, R, C).

    `images[i]` is one image, `images[indices]` those of an index array (n,), `np.array(images)` all of them.

    Args:
        paths: The files, none of them empty.
        counts: Number of images in each.
        shape: (R, R, C).
    """

    def __init__(self, paths: Sequence[Path], counts: Sequence[int], shape: tuple[int, int, int]) -> None:
        self.shape = (sum(counts), *shape)
        self.nbytes = int(np.prod(self.shape, dtype=np.int64))
        self.ends = np.cumsum(counts)
        self.files = [
            np.memmap(path, np.uint8, "r", shape=(count, *shape)) for path, count in zip(paths, counts, strict=True)
        ]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Pixels:
        if isinstance(index, tuple):
            part: Pixels = self[index[0]][index[1:]]
            return part
        if np.ndim(index) == 0:
            shard = int(np.searchsorted(self.ends, index, "right"))
            image: Pixels = self.files[shard][index - self.ends[shard]]  # negative: counted from the shard's end
            return image
        return self._rows(np.asarray(index))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Pixels:
        return np.concatenate(self.files, dtype=dtype)

    def _rows(self, indices: Labels) -> Pixels:
        out = np.empty((len(indices), *self.shape[1:]), np.uint8)
        shards = np.searchsorted(self.ends, indices, "right")
        for row, shard, place in zip(out, shards.tolist(), (indices - self.ends[shards]).tolist(), strict=True):
            row[...] = self.files[shard][place]
        return out
