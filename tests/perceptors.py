"""Small scorers for tests of text guidance."""

import zlib
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]


class PooledPerceptor:
    """The perceptor of the golden data: CLIP's normalisation, 7 x 7 means, a matrix; texts have given vectors."""

    name = "pooled"
    image_size = 224

    def __init__(self, weight: Tensor, texts: Mapping[str, Tensor]) -> None:
        self.weight, self.texts = weight, texts

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return torch.cat([self.texts[text] for text in texts])

    def encode_image(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d((x - MEAN) / DEVIATION, 7).flatten(1) @ self.weight.T


COLOURS = {"red": (1.0, -1.0, -1.0), "green": (-1.0, 1.0, -1.0), "blue": (-1.0, -1.0, 1.0)}


class ColourScorer:
    """Sees where a picture is red, green and blue; a text means the mean colour it names, or one of its own."""

    name = "colours"
    image_size = 24

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        return torch.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Tensor:
        if text in COLOURS:
            return torch.tensor(COLOURS[text])
        return torch.randn(3, generator=torch.Generator().manual_seed(zlib.crc32(text.encode())))

    def encode_image(self, x: Tensor) -> Tensor:
        return 2 * x.mean((2, 3)) - 1
