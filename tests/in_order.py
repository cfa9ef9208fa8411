"""Images in the order of the pack, which training never has: what shuffled reading is compared with."""

import numpy as np

from biggan.data.order import Natural


class InOrder(Natural):
    """Epochs that are not shuffled."""

    def __call__(self, start: int, count: int) -> np.ndarray:
        """Places in the pack (count,) of the images start to start + count - 1."""
        return np.arange(start, start + count) % self.size
