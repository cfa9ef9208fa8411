"""Sentence vectors are the published model's, and texts of like meaning are near.

The golden values are the first 24 numbers of what the package's own wrapper (sentence-transformers 6.2.0) gives.
"""

import json
import sys

import pytest
import torch
from cases import GOLDEN
from torch import Tensor

from biggan.editing import sentences
from biggan.editing.sentences import embed
from biggan.errors import ConfigError

LONGEST = "word " * (sentences.MOST_TOKENS - 2)


def test_vectors_are_those_of_the_package_s_own_wrapper() -> None:
    expected = json.loads((GOLDEN / "sentences.json").read_text("utf-8"))
    vectors = embed([*expected])
    torch.testing.assert_close(vectors[:, :24], torch.tensor([*expected.values()]), atol=1e-6, rtol=0)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(expected)))


def cosines(text: str, others: list[str]) -> Tensor:
    return embed(others) @ embed([text])[0]


@pytest.mark.parametrize(
    ("text", "same", "other"),
    [
        ("a photo of a frog", "a small green amphibian", "a small green car"),
        ("a lorry on the road", "a truck driving on a street", "a cat on the sofa"),
        ("The stock market fell.", "Share prices dropped.", "The leaves fell."),
    ],
)
def test_a_paraphrase_is_nearer_than_another_meaning(text: str, same: str, other: str) -> None:
    paraphrase, unrelated = cosines(text, [same, other])
    assert paraphrase > unrelated + 0.1


def test_a_text_has_one_vector_whatever_stands_beside_it() -> None:
    texts = ["a frog", "a much longer text about many a frog", "a ship", "frog"]
    torch.testing.assert_close(embed(texts), torch.cat([embed([text]) for text in texts]), atol=1e-6, rtol=0)
    assert embed([]).shape == (0, 384)


def test_the_longest_text_that_is_read_is_read_whole() -> None:
    last = cosines(LONGEST, [LONGEST[5:] + "frog"])[0]
    assert 0.5 < last < 0.9999


@pytest.mark.parametrize(
    ("text", "message"), [("", "says nothing"), (" \n", "says nothing"), (LONGEST + "more", "257 word pieces")]
)
def test_a_text_that_is_blank_or_too_long_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        embed(["a frog", text])


def test_a_missing_tokenizer_names_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences._loaded.cache_clear()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ConfigError, match=r'pip install "torch-biggan\[words\]"'):
        embed(["a frog"])
