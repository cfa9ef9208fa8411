"""D's ranking of two sets, and the verdict on a truncation curve."""

import pytest
import torch
from torch import Tensor

from biggan.evaluation.looking import judge, ranked_above, share_at_ends


def brute(x: Tensor, y: Tensor) -> float:
    return (x[:, None] - y).sign().double().mean().item()


def test_the_ranking_is_that_of_all_pairs_ties_and_all() -> None:
    x, y = torch.randint(0, 9, (50,)).double(), torch.randint(2, 11, (70,)).double()
    assert ranked_above(x, y)[0] == pytest.approx(brute(x, y), abs=1e-12)
    assert ranked_above(x, y)[0] == pytest.approx(-ranked_above(y, x)[0], abs=1e-12)


def test_the_ends_of_the_ranking_are_one_and_none() -> None:
    x = torch.arange(10.0)
    assert ranked_above(x + 20, x) == (1, 0)
    assert ranked_above(x, x)[0] == 0


def test_the_error_of_the_ranking_is_its_spread() -> None:
    found = torch.tensor([ranked_above(torch.randn(80) + 0.4, torch.randn(120)) for _ in range(200)])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std().item(), rel=0.15)


def test_values_at_an_end_are_counted_image_by_image() -> None:
    x = torch.zeros(3, 1, 2, 2)
    x[1, 0, 0] = 1
    x[2] = -1
    assert share_at_ends(x).tolist() == [0, 0.5, 1]


def curve(
    low: float, full: float, ends: float = 0.1, error: float = 0.01, recall: float = 0.5
) -> list[dict[str, float]]:
    precisions, rest = {0.2: low, 0.4: low, 1.0: full}, {"precision error": error, "recall": recall}
    return [
        {"truncation": t, "precision": p, "at the ends": ends if t == 0.2 else 0.1, **rest}
        for t, p in precisions.items()
    ]


@pytest.mark.parametrize(
    ("points", "real", "verdict", "why"),
    [
        (curve(0.9, 0.7), 0.1, "amenable", "precision rises"),
        (curve(0.7, 0.9), 0.1, "not amenable", "precision falls"),
        (curve(0.71, 0.7), 0.1, "unclear", "chance"),
        (curve(0.9, 0.7, error=0.1), 0.1, "unclear", "chance"),
        (curve(0.9, 0.7, ends=0.5), 0.1, "not amenable", "at truncation 0.2 images saturate, 50%"),
        (curve(0.9, 0.7, ends=0.5), 0.45, "amenable", "nothing saturates"),
        (curve(0.0, 0.0), 0.1, "not amenable", "no image lies near the real ones"),
        (curve(0.9, 0.7, recall=0.0), 0.1, "not amenable", "no variety"),
    ],
)
def test_the_verdict_is_by_quality_and_saturation(
    points: list[dict[str, float]], real: float, verdict: str, why: str
) -> None:
    found, because = judge(points, real)
    assert found == verdict
    assert why in because
