"""Scorers: networks that put texts and images into one space, where the cosine says how well they agree.

Not here: what is done with the cosine (`guidance.py`), and the networks of the scorer without a download
(`evaluation/features.py`, `sentences.py`).
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Scorer(Protocol):
    """What text guidance asks of a text-image model; its networks are frozen."""

    name: str
    """What results record: the networks and the hashes of their weights."""
    image_size: int
    """Height and width in pixels that `encode_image` takes."""

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """(T, D) float32, a row a text.

        Raises:
            ConfigError: A text is empty or longer than the model reads.
        """
        ...

    def encode_image(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) in [0, 1], S = `image_size` → (N, D) float32, differentiable in `x`."""
        ...
