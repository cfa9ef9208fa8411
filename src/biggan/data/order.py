"""Which image is shown when: endless orders of a pack's images, as functions of the seed and the place in them.

Any process may ask for any part, and a resumed run needs no saved position. Not here: the shuffling itself
(`biggan.latents`), and images (`loader.py`).
"""

from functools import lru_cache

import numpy as np

from biggan import latents
from biggan.latents import Stream


class Natural:
    """Epochs in which every image comes once, each shuffled anew.

    Args:
        seed: The run's seed.
        size: Number of images.
    """

    def __init__(self, seed: int, size: int) -> None:
        self.size = size
        self._order = lru_cache(2)(lambda epoch: latents.permutation(seed, epoch, size))

    def __call__(self, start: int, count: int) -> np.ndarray:
        """Places in the pack (count,) of the images start to start + count - 1."""
        epoch, place = divmod(start, self.size)
        if place + count <= self.size:
            return self._order(epoch)[place : place + count]
        epochs, places = np.divmod(np.arange(start, start + count), self.size)
        parts = [self._order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
        return np.concatenate([np.empty(0, np.int64), *parts])


class Balanced:
    """Rounds in which every class comes once, in a shuffled order; within a class, epochs as `Natural` has them.

    Args:
        seed: The run's seed.
        labels: Class of each image in the pack; a class without images never comes.
    """

    def __init__(self, seed: int, labels: np.ndarray) -> None:
        self.size = len(labels)
        self.by_class = np.argsort(labels, kind="stable")  # places in the pack
        _, self.firsts, self.counts = np.unique(labels[self.by_class], return_index=True, return_counts=True)
        num = len(self.counts)
        self._classes = lru_cache(64)(lambda one: latents.shuffled(seed, Stream.CLASS_ORDER, one * num, num))
        self._images = lru_cache(num)(lambda start, size: latents.shuffled(seed, Stream.DATA_ORDER, start, size))

    def __call__(self, start: int, count: int) -> np.ndarray:
        """As `Natural`."""
        rounds, turns = np.divmod(np.arange(start, start + count), len(self.counts))
        shown = zip(rounds.tolist(), turns.tolist(), strict=True)
        return np.array([self._image(int(self._classes(one)[turn]), one) for one, turn in shown], np.int64)

    def _image(self, k: int, n: int) -> int:
        """The n-th image that class k shows, as a place in the pack."""
        first, size = int(self.firsts[k]), int(self.counts[k])
        epoch, place = divmod(n, size)
        return int(self.by_class[first + self._images(epoch * self.size + first, size)[place]])
