"""Figures of a step are what their definitions say, and taking means of them loses nothing."""

import json
import math

import pytest
import torch
from tiny_models import MODEL
from torch import nn

from biggan.models.build import discriminator
from biggan.models.spectral import advance
from biggan.training.figures import (
    D_FIGURES,
    Means,
    Tally,
    d_figures,
    gradient_norm,
    largest_singular_values,
    spectrum_tail,
)


def test_figures_of_d_are_what_they_are_called() -> None:
    real, fake = torch.tensor([[2.0], [0.0]]), torch.tensor([[-3.0], [-1.5], [0.0], [0.5]])
    figures = dict(zip(D_FIGURES, d_figures(torch.tensor(0.5), torch.tensor(0.7), real, fake).tolist(), strict=True))
    assert figures == pytest.approx(
        {
            "loss_d_real": 0.5,
            "loss_d_fake": 0.7,
            "d_real": 1.0,
            "d_fake": -1.0,
            "d_real_std": 1.0,
            "d_fake_std": math.sqrt((4 + 0.25 + 1 + 2.25) / 4),
            "flat_real": 0.5,
            "flat_fake": 0.5,
        }
    )


def test_the_gradient_s_length_is_that_of_all_gradients_together() -> None:
    layer = nn.Linear(3, 4)
    (layer(torch.randn(5, 3)) ** 2).sum().backward()
    joined = torch.cat([p.grad.flatten() for p in layer.parameters()])
    torch.testing.assert_close(gradient_norm(layer.parameters()), joined.norm())
    assert gradient_norm(nn.Linear(3, 4).parameters()) == 0


def test_largest_singular_values_are_those_of_the_weights() -> None:
    D = discriminator(MODEL).train()
    for _ in range(300):
        advance(D)
    found = largest_singular_values(D)
    weights = dict(D.named_parameters())
    assert set(found) == {name.removesuffix(".weight") for name in weights if name.endswith("weight")}
    for name, value in found.items():
        exact = torch.linalg.svdvals(weights[f"{name}.weight"].flatten(1))[0]
        torch.testing.assert_close(value, exact, rtol=0.01, atol=0)


@pytest.mark.parametrize(("matrix", "share"), [(torch.eye(4), 1.0), (torch.ones(4, 6), 0.25)])
def test_the_tail_is_whole_of_equal_singular_values_and_least_of_one(matrix: torch.Tensor, share: float) -> None:
    layer = nn.Linear(matrix.shape[1], len(matrix))
    layer.weight = nn.Parameter(matrix)
    assert spectrum_tail(layer) == pytest.approx({"weight": share}, rel=1e-4)


def rows(count: int) -> list[dict[str, torch.Tensor]]:
    return [{"a": torch.rand(()), "b": torch.randn(())} for _ in range(count)]


def test_means_are_over_what_was_added_since_they_were_taken() -> None:
    means, figures = Means(), rows(7)
    assert means.take() == {}
    for row in figures[:3]:
        means.add(row)
    assert means.take() == pytest.approx({name: float(sum(row[name] for row in figures[:3]) / 3) for name in "ab"})
    means.add(figures[5])
    assert means.take() == pytest.approx({name: float(figures[5][name]) for name in "ab"})


def test_one_nan_shows_in_the_mean() -> None:
    means = Means()
    for row in (*rows(3), {"a": torch.tensor(math.nan), "b": torch.tensor(math.inf)}, *rows(3)):
        means.add(row)
    assert [math.isfinite(value) for value in means.take().values()] == [False, False]


def test_means_resume_to_the_last_bit() -> None:
    whole, parts = Means(), Means()
    for row in rows(9):
        whole.add(row)
        parts.add(row)
        saved, parts = json.loads(json.dumps(parts.to_json())), Means()
        parts.from_json(saved)
    assert parts.take() == whole.take()


def test_a_tally_has_the_mean_output_of_each_class_that_was_drawn_often_enough() -> None:
    whole, parts = (Tally(4, torch.device("cpu")) for _ in range(2))
    logits, y = torch.randn(60, 1), torch.arange(60) % 3  # never the last class
    y[:30] = 0
    for some in torch.arange(60).split(7):
        whole.add(logits[some], y[some])
        parts.add(logits[some], y[some])
        saved, parts = json.loads(json.dumps(parts.to_json())), Tally(4, torch.device("cpu"))
        parts.from_json(saved)
    means = whole.take(least=10)
    assert means == parts.take(least=10) == pytest.approx({k: float(logits[y == k].mean()) for k in range(3)})
    assert whole.take(least=1) == {}
    whole.add(logits, y)
    assert set(whole.take(least=11)) == {0}


def test_a_tally_without_classes_is_empty() -> None:
    tally = Tally(0, torch.device("cpu"))
    tally.add(torch.randn(4, 1), torch.zeros(4, dtype=torch.int64))
    tally.from_json(json.loads(json.dumps(tally.to_json())))
    assert tally.take(least=1) == {}


def test_means_of_a_state_with_other_figures_begin_anew() -> None:
    old, means = Means(), Means()
    old.add({"loss": torch.tensor(5.0)})
    means.from_json(old.to_json())
    for value in (1.0, 3.0):
        means.add({"loss": torch.tensor(value), "sign": torch.tensor(-value)})
    assert means.take() == {"loss": 2.0, "sign": -2.0}
