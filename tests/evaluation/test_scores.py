"""The Inception score: its bounds, the values of BigGAN-PyTorch and torch-fidelity; and the error of any metric."""

import json

import pytest
import torch
from cases import GOLDEN, golden
from torch import Tensor
from torch_fidelity.metric_isc import isc_features_to_metric

from biggan.errors import ConfigError, DataError
from biggan.evaluation.scores import Score, inception_score, sampling_error

REFERENCE = json.loads((GOLDEN / "units" / "units.json").read_text())["IS"]


@pytest.mark.parametrize("splits", [1, 10])
def test_the_score_is_the_reference_s(splits: int) -> None:
    score = inception_score(golden("units/units")["metrics/probs"], splits)
    assert score == pytest.approx(REFERENCE[f"{splits}_split{'s' if splits > 1 else ''}"], rel=1e-6)


@pytest.mark.parametrize("count", [500, 503])
def test_the_score_is_torch_fidelity_s(count: int) -> None:
    logits = 3 * torch.randn(count, 20, dtype=torch.float64)
    expected = isc_features_to_metric(logits, splits=10, shuffle=False)
    score = inception_score(logits.softmax(1))
    assert score == pytest.approx((expected["inception_score_mean"], expected["inception_score_std"]), rel=1e-9)


def test_certain_and_even_guesses_score_the_number_of_classes() -> None:
    assert inception_score(torch.eye(8).repeat(10, 1)) == pytest.approx((8, 0), abs=1e-12)


@pytest.mark.parametrize("guess", [torch.full((8,), 1 / 8), torch.eye(8)[3]])
def test_images_that_all_look_alike_score_one(guess: Tensor) -> None:
    assert inception_score(guess.repeat(50, 1)) == pytest.approx((1, 0), abs=1e-12)


def test_an_impossible_class_counts_for_nothing() -> None:
    p = torch.rand(40, 5).softmax(1)
    with_zero = torch.cat([p, torch.zeros(40, 3)], 1)
    assert inception_score(with_zero) == inception_score(p)


def test_splits_are_scored_each_for_itself() -> None:
    p = torch.cat([torch.eye(4).repeat(5, 1), torch.eye(4)[:1].repeat(20, 1)])
    assert inception_score(p, splits=2) == Score(pytest.approx(2.5), pytest.approx(1.5))


@pytest.mark.parametrize(
    "p", [torch.randn(20, 5), torch.ones(20, 5), torch.ones(20), torch.full((20, 5), torch.nan), -torch.eye(5)]
)
def test_what_are_no_probabilities_is_refused(p: Tensor) -> None:
    with pytest.raises(DataError, match="apply softmax"):
        inception_score(p)


@pytest.mark.parametrize("splits", [0, 9])
def test_splits_without_images_are_refused(splits: int) -> None:
    with pytest.raises(ConfigError, match="1 to the number of images, 8"):
        inception_score(torch.eye(8), splits)


def test_the_error_of_a_mean_is_its_standard_deviation_over_the_root_of_the_count() -> None:
    x = torch.randn(400, 3, dtype=torch.float64) * torch.tensor([1, 2, 3])
    error = sampling_error(lambda x: x.mean(0).tolist(), x, halvings=200)
    torch.testing.assert_close(error, x.std(0) / 20, rtol=0.15, atol=0)


def test_errors_of_two_sets_add_up() -> None:
    x, y = torch.randn(400, dtype=torch.float64), 2 * torch.randn(100, dtype=torch.float64)
    error = sampling_error(lambda x, y: (x.mean() - y.mean()).item(), x, y, halvings=200)
    assert error.item() == pytest.approx((x.var() / 400 + y.var() / 100).sqrt().item(), rel=0.15)


def test_an_error_depends_on_nothing_but_images_and_seed() -> None:
    x = torch.rand(50, dtype=torch.float64)
    errors = [sampling_error(lambda x: x.median().item(), x, seed=seed).item() for seed in (3, 3, 4)]
    assert errors[0] == errors[1] != errors[2]


def test_an_error_from_no_halvings_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        sampling_error(lambda x: 0.0, torch.zeros(4), halvings=0)
