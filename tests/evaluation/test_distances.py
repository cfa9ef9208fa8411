"""Fréchet and kernel distances: their theorems, the values of BigGAN-PyTorch and torch-fidelity, and their errors."""

import json

import pytest
import torch
from cases import GOLDEN, golden
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from biggan.errors import ConfigError, DataError
from biggan.evaluation import distances
from biggan.evaluation.distances import (
    Gaussian,
    fit_gaussian,
    frechet_by_class,
    frechet_distance,
    frechet_infinity,
    from_moments,
    kernel_distance,
    kernel_distance_of_subsets,
    own_kernel_means,
)
from biggan.evaluation.scores import sampling_error

REFERENCE = json.loads((GOLDEN / "units" / "units.json").read_text())["FID"]


def features(count: int, dims: int = 16, shift: float = 0.0) -> Tensor:
    """Gaussian features of unequal variances, float64."""
    return torch.randn(count, dims, dtype=torch.float64) * torch.logspace(0, -1, dims, dtype=torch.float64) + shift


@pytest.mark.parametrize("count", [40, 64, 65, 500])
def test_a_set_has_no_frechet_distance_to_itself(count: int) -> None:
    x = features(count, 64)
    assert 0 <= frechet_distance(x, x) < 1e-12
    assert min(frechet_distance(y, y.flip(0)) for y in x.split(20)) >= 0  # rounding alone would go below


@pytest.mark.parametrize("count", [40, 500])
def test_a_shift_costs_its_square(count: int) -> None:
    x, shift = features(count, 64), torch.randn(64, dtype=torch.float64)
    assert frechet_distance(x, x + shift) == pytest.approx(shift.square().sum().item(), rel=1e-12)


def test_gaussians_with_the_same_axes_differ_by_means_and_standard_deviations() -> None:
    means, stds = torch.randn(2, 20, dtype=torch.float64), torch.rand(2, 20, dtype=torch.float64)
    stds[0, :5], stds[1, 3:8] = 0, 0  # singular, in partly different directions
    one, other = (from_moments(mean, std.square().diag()) for mean, std in zip(means, stds, strict=True))
    expected = (means[0] - means[1]).square().sum() + (stds[0] - stds[1]).square().sum()
    assert frechet_distance(one, other) == pytest.approx(expected.item(), rel=1e-12)


def test_a_rotation_or_empty_dimensions_change_no_frechet_distance() -> None:
    x, y = features(40, 64), features(300, 64, shift=0.1)
    turn = torch.linalg.qr(torch.randn(64, 64, dtype=torch.float64)).Q
    expected = frechet_distance(x, y)
    assert frechet_distance(x @ turn, y @ turn) == pytest.approx(expected, rel=1e-10)
    wider = [torch.nn.functional.pad(some, (7, 0)) for some in (x, y)]
    assert frechet_distance(*wider) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("count", [2, 40])
def test_fewer_images_than_dimensions_give_what_their_stored_moments_give(count: int) -> None:
    x, y = features(count, 64), features(50, 64, shift=0.1)
    expected = frechet_distance(x, y)
    assert 0 < expected < float("inf")
    stored = [from_moments(some.mean(0), some.T.cov()) for some in (x, y)]
    assert frechet_distance(*stored) == pytest.approx(expected, rel=1e-9)


def test_images_that_are_all_the_same_have_a_frechet_distance() -> None:
    x, y = torch.ones(30, 8), features(500, 8)
    assert frechet_distance(x, y) == pytest.approx((y.mean(0) - 1).square().sum().item() + y.T.cov().trace().item())
    assert frechet_distance(x, x + 2) == pytest.approx(32)


def test_a_gaussian_is_the_mean_and_covariance_of_all_blocks() -> None:
    x = torch.randn(2 * distances.ROWS + 3, 5) @ torch.randn(5, 5) + 100
    fitted = fit_gaussian(x)
    torch.testing.assert_close(fitted.mean, x.double().mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(fitted.covariance, x.double().T.cov(), rtol=1e-10, atol=1e-12)
    assert fitted.root.dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_frechet_distance_is_the_reference_s(dtype: torch.dtype) -> None:
    stored = golden("units/units")
    value = frechet_distance(stored["metrics/feat1"].to(dtype), stored["metrics/feat2"].to(dtype))
    assert value == pytest.approx(REFERENCE["scipy_float64"], rel=1e-6 if dtype == torch.float32 else 1e-8)


@pytest.mark.parametrize(("count", "dims"), [(300, 16), (700, 64), (40, 64)])
def test_the_frechet_distance_is_torch_fidelity_s(count: int, dims: int) -> None:
    x, y = features(count, dims), features(count, dims, shift=0.1)
    statistics = [fid_features_to_statistics(some) for some in (x, y)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(x, y) == pytest.approx(expected, abs=1e-6)


def test_the_bias_of_few_images_is_taken_off_by_extrapolation() -> None:
    dims = 16
    real = from_moments(torch.zeros(dims), torch.eye(dims))
    truth = dims * (0.1**2 + 0.2**2)  # each mean by 0.1, each standard deviation by 0.2
    drawn = [1.2 * torch.randn(320, dims, dtype=torch.float64) + 0.1 for _ in range(12)]
    raw = torch.tensor([frechet_distance(real, fake) for fake in drawn])
    corrected = torch.tensor([frechet_infinity(real, fake) for fake in drawn])
    error = corrected.std().item() / len(drawn) ** 0.5
    assert raw.mean() - truth > 5 * error
    assert corrected.mean() == pytest.approx(truth, abs=2.5 * error)
    assert corrected.std() < 1.5 * raw.std()


def test_what_extrapolation_gives_depends_on_nothing_but_images_and_seed() -> None:
    x, y = features(200), features(300, shift=0.1)
    torch.manual_seed(1)
    value = frechet_infinity(x, y, seed=5)
    assert frechet_infinity(fit_gaussian(x), y, seed=5) == value
    assert frechet_infinity(x, y, seed=6) != value


def test_the_error_of_a_frechet_distance_is_its_spread() -> None:
    real = fit_gaussian(features(5000, 8))
    drawn = [features(250, 8, shift=0.2) for _ in range(40)]
    spread = torch.tensor([frechet_distance(real, fake) for fake in drawn]).std().item()
    told = torch.stack([sampling_error(lambda fake: frechet_distance(real, fake), fake) for fake in drawn[:20]])
    assert told.mean().item() == pytest.approx(spread, rel=0.25)


def test_each_class_is_compared_with_itself() -> None:
    x, labels = features(90), torch.arange(90) % 3
    offset = torch.zeros(90, 16, dtype=torch.float64)
    offset[labels == 1] = 0.5
    order = torch.randperm(90)
    values = frechet_by_class(x, labels, (x + offset)[order], labels[order], 3)
    assert values == pytest.approx([0, 4, 0], abs=1e-12)


def test_a_class_with_fewer_than_two_images_has_no_distance() -> None:
    x = features(6)
    values = frechet_by_class(x, torch.tensor([0, 0, 1, 1, 2, 2]), x, torch.tensor([0, 0, 0, 0, 2, 1]), 4)
    assert [value == value for value in values] == [True, False, False, False]


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 2, 3], [-1, 0, 1, 2], [0, 1, 2, 0, 1]])
def test_labels_that_do_not_belong_to_the_images_are_refused(labels: list[int]) -> None:
    x = features(4)
    with pytest.raises(DataError, match="4 images need as many labels from 0 to 2"):
        frechet_by_class(x, torch.tensor([0, 1, 2, 0]), x, torch.tensor(labels), 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kernel_distance_is_torch_fidelity_s_of_one_subset_of_all_images(dtype: torch.dtype) -> None:
    x, y = features(300).to(dtype), features(300, shift=0.3).to(dtype)
    options = {"kid_subsets": 1, "kid_subset_size": 300, "kid_kernel": "poly", "kid_kernel_poly_degree": 3}
    options |= {"kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0, "rng_seed": 0, "verbose": False}
    expected = kid_features_to_metric(x.double(), y.double(), **options)["kernel_inception_distance_mean"]
    assert kernel_distance(x, y).value == pytest.approx(expected, abs=1e-9)
    assert kernel_distance(x, y, own_kernel_means(x)) == kernel_distance(x, y)


def test_the_kernel_distance_is_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(70), features(101, shift=0.1)
    whole = kernel_distance(x, y)
    monkeypatch.setattr(distances, "ROWS", 32)
    assert kernel_distance(x, y) == pytest.approx(whole, rel=1e-10)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_kernel_distance_has_no_bias_and_an_honest_error(shift: float) -> None:
    values = [kernel_distance(features(60), features(40, shift=shift)) for _ in range(150)]
    value, error = torch.tensor(values, dtype=torch.float64).T
    exact = kernel_distance(features(4000), features(4000, shift=shift))
    assert value.mean().item() == pytest.approx(exact.value, abs=3 * (value.std().item() / 150**0.5 + exact.error))
    assert 0.85 * value.std() < error.mean() < 1.8 * value.std()  # too large where the distributions are equal
    assert (value < 0).any() == (shift == 0)


def test_disjoint_subsets_give_the_kernel_distance_and_the_error_of_their_mean() -> None:
    x, y = features(800), features(1300, shift=0.3)
    whole, parts = kernel_distance(x, y), kernel_distance_of_subsets(x, y, size=40)
    assert parts.value == pytest.approx(whole.value, abs=3 * parts.error)
    assert parts.error == pytest.approx(whole.error, rel=0.4)
    assert kernel_distance_of_subsets(x, y, size=40) == parts
    assert kernel_distance_of_subsets(x, y, size=40, seed=1) != parts


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(5, 3), torch.zeros(5, 4), "must .* the same feature network"),
        (torch.zeros(5, 3, 2, 2), torch.zeros(5, 3), "must be .images, dimensions."),
        (torch.zeros(5, 3), torch.zeros(1, 3), "has 1 images; this metric needs at least 2"),
        (torch.zeros(5, 3), torch.full((5, 3), torch.nan), "NaN or infinite"),
    ],
)
def test_features_that_no_distance_can_be_taken_of_are_refused(x: Tensor, y: Tensor, message: str) -> None:
    for metric in (frechet_distance, kernel_distance):
        with pytest.raises(DataError, match=message):
            metric(x, y)


def test_too_few_images_for_what_is_asked_are_refused() -> None:
    with pytest.raises(DataError, match="31 drawn images with 16 features are too few to extrapolate from; give 32"):
        frechet_infinity(features(100), features(31))
    with pytest.raises(DataError, match="has 100 images; this metric needs at least 120"):
        kernel_distance_of_subsets(features(200), features(100), size=60)
    with pytest.raises(ConfigError, match="at least 2"):
        kernel_distance_of_subsets(features(200), features(100), size=1)


def test_stored_moments_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(DataError, match=r"shapes \(3,\) and \(2, 2\)"):
        from_moments(torch.zeros(3), torch.eye(2))
    with pytest.raises(DataError, match="NaN"):
        from_moments(torch.zeros(2), torch.full((2, 2), torch.inf))
    with pytest.raises(DataError, match="same feature network"):
        frechet_distance(Gaussian(torch.zeros(3), torch.eye(3)), features(10, 4))
