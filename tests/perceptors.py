"""Small scorers, and generators of every kind, for tests of text guidance."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from tiny_models import MODEL, UNCONDITIONAL
from torch import Tensor

from biggan.config import Model
from biggan.models.build import build
from biggan.models.bundle import Bundle
from biggan.models.statistics import Statistics, Table

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


DEEP = Model(
    architecture="biggan-deep",
    resolution=32,
    num_classes=3,
    g_channels=4,
    d_channels=4,
    g_attention=(),
    d_attention=(),
    dim_z=8,
    shared_dim=8,
)
MODELS = {
    "hierarchical": MODEL,
    "flat": replace(MODEL, hierarchical_z=False),
    "a table in every layer": replace(MODEL, hierarchical_z=False, shared_dim=0),
    "unconditional": UNCONDITIONAL,
    "deep": DEEP,
    "deep, published order": replace(DEEP, condition="zy"),
    "deep, unconditional": replace(DEEP, num_classes=0),
}


def fresh_bundle(model: Model) -> Bundle:
    """An untrained model with the statistics that it begins with."""
    G, D = build(model)
    buffers = {name: tensor[None].clone() for name, tensor in G.named_buffers() if "stored_" in name}
    names = [f"class {number}" for number in range(model.num_classes)]
    return Bundle(G.eval(), D, names, Statistics({"none": Table(torch.zeros(1), buffers)}), sha256="0" * 64)
