"""Scorers: networks that put texts and images into one space, where the cosine says how well they agree.

Not here: the two that there are (`words.py`, `clip.py`), and what is done with the cosine (`guidance.py`).
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from biggan.errors import ConfigError, nearest


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


def load_scorer(text: str = "words", device: str | torch.device = "cpu") -> Scorer:
    """The scorer that a user names with `--scorer`.

    Args:
        text: `words`, which needs no download; `clip`, OpenAI's ViT-B/32, downloaded once; or `clip:` and what
            `Clip.load` takes.
        device: Where its networks compute, and where images have to be.

    Raises:
        ConfigError: Another text, a package is not installed, or there is no network for the download.
        ModelError: Weights are damaged or of another model.
    """
    kind, colon, what = text.partition(":")
    if text == "words":
        from biggan.editing.words import ImageNetWords

        return ImageNetWords(device)
    if kind == "clip" and bool(colon) == bool(what):
        from biggan.editing.clip import Clip

        return Clip.load(what or "ViT-B-32-quickgelu,openai", device)
    offer = nearest(text, ["words", "clip"]) or "; give words, clip, or clip:FOLDER"
    raise ConfigError(f"There is no scorer {text[:80]!r}{offer} (--scorer).")
