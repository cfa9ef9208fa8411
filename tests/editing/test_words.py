"""The scorer without a download tells real pictures apart, and its cosine can be climbed."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from judge import bundled_images
from torch import Tensor

from biggan.editing.scorers import Scorer, load_scorer
from biggan.editing.words import class_texts
from biggan.errors import ConfigError


@cache
def words() -> Scorer:
    return load_scorer("words")


@cache
def photographs() -> tuple[Tensor, Tensor]:
    """Bundled test photographs x (N, 3, S, S) in [0, 1] of 15 sneakers (y = 0) and 15 bags (1), on white."""
    x, y = bundled_images("fashion-mnist-test")
    chosen = torch.cat([x[y == number][:15] for number in (7, 8)])
    size = words().image_size
    grown = F.interpolate((1 - chosen) / 2, (size, size), mode="bicubic").clamp(0, 1)
    return grown.expand(-1, 3, -1, -1), torch.arange(2).repeat_interleave(15)


def cosines(x: Tensor, texts: list[str]) -> Tensor:
    return F.cosine_similarity(words().encode_image(x)[:, None], words().encode_text(texts)[None], dim=2)


@pytest.mark.parametrize("texts", [["a sneaker", "a bag"], ["a photo of a running shoe", "a leather purse"]])
def test_real_pictures_are_nearest_to_what_they_show(texts: list[str]) -> None:
    x, y = photographs()
    assert (cosines(x, texts).argmax(1) == y).float().mean() >= 0.8


def test_a_text_is_nearest_to_the_classes_it_means() -> None:
    nearness = words().encode_text(["a goldfish", "a steam train", "two kittens"])
    assert nearness.shape == (3, 1000)
    assert bool(((nearness >= 0) & (nearness <= 1)).all())
    meant = [{1}, {820}, {281, 282, 283, 284, 285}]  # goldfish; steam locomotive; cats
    assert all(int(row.argmax()) in numbers for row, numbers in zip(nearness, meant, strict=True))


def test_a_picture_s_vector_has_no_part_that_all_pictures_share() -> None:
    vectors = words().encode_image(photographs()[0][:2])
    assert vectors.shape == (2, 1000)
    torch.testing.assert_close(vectors.mean(1), torch.zeros(2), atol=1e-7, rtol=0)


def test_the_gradient_of_the_cosine_climbs_away_from_what_a_picture_shows() -> None:
    x = photographs()[0][:1]
    target = words().encode_text(["a goldfish"])
    start = float(cosines(x, ["a goldfish"]))
    for _ in range(20):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cosine_similarity(words().encode_image(x), target).sum(), x)
        x = (x + 20 * 0.01 * gradient / gradient.norm()).clamp(0, 1)
    assert float(cosines(x.detach(), ["a goldfish"])) > start + 0.2


def test_the_classes_are_described_by_their_names_and_the_word_above() -> None:
    texts = class_texts()
    assert len(set(texts)) == 1000
    assert texts[0] == "tench, Tinca tinca, cyprinid"
    assert (texts[134], texts[517]) == ("crane, wading bird", "crane, lifting device")


def test_the_name_says_which_networks_judged() -> None:
    assert words().name == "words (efficientnet-lite0, all-minilm-l6-v2; 579344248a93, 53aa51172d14)"


def test_a_blank_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="says nothing"):
        words().encode_text(["a frog", " "])
