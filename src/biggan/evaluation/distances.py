"""Distances between two distributions of features: Fréchet, of Gaussians fitted to them, and kernel.

All are computed in float64, on the device of the features. A Fréchet distance of few images is too large, by an
amount that falls as 1/N (`frechet_infinity`); the kernel distance has no such bias. Only features of the 2015
Inception network make these FID and KID. Not here: errors of the Fréchet distance (`scores.sampling_error`).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from biggan.errors import ConfigError, DataError
from biggan.evaluation.checks import check_features

ROWS = 2048
"""Images taken at a time: no matrix of pairs has more than ROWS x ROWS elements."""
PARTS = 5
"""`frechet_infinity` measures on all images, their halves, … down to their fifths."""


class Estimate(NamedTuple):
    """A value measured on a sample, and its standard error."""

    value: float
    error: float


class Gaussian(NamedTuple):
    """A Gaussian as its mean and a root of its covariance, the form in which Fréchet distances are computed soundly."""

    mean: Tensor
    """(D,), float64."""
    root: Tensor
    """(rank, D), float64: root^T root is the covariance."""

    @property
    def covariance(self) -> Tensor:
        """(D, D), float64."""
        return self.root.T @ self.root


def fit_gaussian(features: Tensor) -> Gaussian:
    """Mean and covariance, divided by N - 1, of features (N, D).

    Raises:
        DataError: The features are not (N, D), not finite, or fewer than two.
    """
    check_features(features)
    count, dims = features.shape
    mean = features.mean(0, dtype=torch.float64)
    if count <= dims:  # the centred features are a root, smaller and more exact than what an eigensolver gives
        return Gaussian(mean, (features.double() - mean) / (count - 1) ** 0.5)
    covariance = torch.zeros(dims, dims, dtype=torch.float64, device=features.device)
    for rows in features.split(ROWS):
        centred = rows.double() - mean
        covariance.addmm_(centred.T, centred)
    return from_moments(mean, covariance / (count - 1))


def from_moments(mean: Tensor, covariance: Tensor) -> Gaussian:
    """The Gaussian with a stored mean (D,) and covariance (D, D), whatever the covariance's rank.

    Eigenvalues below D eps times the largest are rounding, and taken as 0: the square root would blow them up.

    Raises:
        DataError: The shapes do not belong together, or a number is not finite.
    """
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise DataError(
            f"The stored moments have shapes {tuple(mean.shape)} and {tuple(covariance.shape)}; "
            f"a mean must be (D,) and a covariance (D, D)."
        )
    check_features(mean[None], covariance, least=1)
    values, vectors = torch.linalg.eigh(covariance.double())
    kept = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    return Gaussian(mean.double(), (vectors[:, kept] * values[kept].sqrt()).T)


def frechet_distance(real: Tensor | Gaussian, fake: Tensor | Gaussian) -> float:
    """|μ1 - μ2|² + tr(Σ1 + Σ2 - 2 (Σ1 Σ2)^½), at least 0, of features (N, D) or Gaussians.

    With roots R of the covariances, tr (Σ1 Σ2)^½ is the sum of the singular values of R1 R2^T: no square root of a
    matrix, so it is as exact for a singular covariance as for any other.

    Raises:
        DataError: The features are not (N, D), not finite, or fewer than two; or the dimensions differ.

    Source: Heusel et al. 2017; torch-fidelity's value wherever that is accurate.
    """
    one, other = (x if isinstance(x, Gaussian) else fit_gaussian(x) for x in (real, fake))
    if one.mean.shape != other.mean.shape:
        raise DataError(
            f"The features have {len(one.mean)} and {len(other.mean)} dimensions; both must come from the same feature "
            f"network."
        )
    shift = (one.mean - other.mean).square().sum()
    common = torch.linalg.svdvals(one.root @ other.root.T).sum()
    distance: float = (shift + one.root.square().sum() + other.root.square().sum() - 2 * common).item()
    return max(distance, 0.0)  # below 0 by rounding only


def frechet_by_class(
    real: Tensor, real_labels: Tensor, fake: Tensor, fake_labels: Tensor, num_classes: int
) -> list[float]:
    """Fréchet distance of each class's real to its drawn images; nan where either has fewer than two.

    Values compare only at equal counts: with few images each is mostly bias. Their mean is the intra-class FID.

    Args:
        real: Features (N, D).
        real_labels: (N,), integers 0 to num_classes - 1.
        fake: Features (M, D).
        fake_labels: (M,), integers 0 to num_classes - 1.
        num_classes: Length of the result.

    Raises:
        DataError: The features are not (N, D) or not finite, or their labels not as many or not of these classes.

    Source: Miyato and Koyama 2018, Section 4.
    """
    check_features(real, fake, least=1)
    for features, labels in ((real, real_labels), (fake, fake_labels)):
        outside = labels[(labels < 0) | (labels >= num_classes)]
        if labels.shape != (len(features),) or len(outside):
            given = f"{tuple(labels.shape)}{f' with {int(outside[0])} among them' if len(outside) else ''}"
            raise DataError(f"{len(features)} images need as many labels from 0 to {num_classes - 1}; given {given}.")
    pairs = [(real[real_labels == c], fake[fake_labels == c]) for c in range(num_classes)]
    return [frechet_distance(one, other) if min(len(one), len(other)) > 1 else float("nan") for one, other in pairs]


def frechet_infinity(real: Tensor | Gaussian, fake: Tensor, seed: int = 0) -> float:
    """Fréchet distance that infinitely many drawn images would have; below 0 by its error only.

    A line in 1/N through the distances of all drawn images and of the means over their halves, …, fifths, cut at
    random; never of parts with fewer images than dimensions, where the bias is no line any more. The paper draws 15
    subsets that overlap; these 15 are disjoint within a size and vary a quarter less. Its standard error is about
    `sampling_error` of the distance itself. The bias that comes from the number of real images stays.

    Args:
        real: Features (N, D), or their Gaussian.
        fake: Features (M, D), at least 2 D of them.
        seed: Of the cuts.

    Raises:
        DataError: Fewer than 2 D drawn images; or what `frechet_distance` raises.

    Source: Chong and Forsyth 2020, Section 3.
    """
    check_features(fake)
    count, dims = fake.shape
    if count < max(2 * dims, 4):
        raise DataError(
            f"{count} drawn images with {dims} features are too few to extrapolate from; give {max(2 * dims, 4)}."
        )
    real = real if isinstance(real, Gaussian) else fit_gaussian(real)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    numbers = torch.arange(1, min(PARTS, count // max(dims, 2)) + 1, dtype=torch.float64)  # of parts
    means = [_mean_distance(real, fake, order.tensor_split(int(parts))) for parts in numbers]
    line = torch.stack([torch.ones_like(numbers), numbers / count], 1)
    solution: Tensor = torch.linalg.lstsq(line, torch.tensor(means, dtype=torch.float64)[:, None]).solution
    return solution[0].item()


def _mean_distance(real: Gaussian, fake: Tensor, parts: tuple[Tensor, ...]) -> float:
    return sum(frechet_distance(real, fake[part]) for part in parts) / len(parts)


def kernel_distance(real: Tensor, fake: Tensor, own_means: Tensor | None = None) -> Estimate:
    """Squared maximum mean discrepancy with the kernel (a·b / D + 1)³: unbiased, so below 0 about as often as above
    where the distributions are equal; over all pairs, in blocks.

    Its error is that of the U-statistic's linear part, each image's own share: right where the distributions differ,
    up to 1.7 times too large where they are equal.

    Args:
        real: Features (N, D).
        fake: Features (M, D); M may differ from N.
        own_means: What `own_kernel_means(real)` gives, where it is known already.

    Raises:
        DataError: The features are not (N, D), not finite, or fewer than two.

    Source: Bińkowski et al. 2018, Section 4; torch-fidelity's value for one subset of all images.
    """
    check_features(real, fake)
    to_real = own_kernel_means(real) if own_means is None else own_means
    to_fake = own_kernel_means(fake)
    across, back = _kernel_means(real, fake)
    value = to_real.mean() + to_fake.mean() - 2 * across.mean()
    variance = (to_real - across).var() / len(real) + (to_fake - back).var() / len(fake)
    return Estimate(value.item(), 2 * variance.sqrt().item())


def own_kernel_means(x: Tensor) -> Tensor:
    """Mean kernel of each of the features x (N, D) to the others, (N,) float64."""
    return _kernel_means(x, x, itself=True)[0]


def kernel_distance_of_subsets(real: Tensor, fake: Tensor, size: int = 1000, seed: int = 0) -> Estimate:
    """Mean of `kernel_distance` over disjoint subsets, with the standard error of that mean from their spread.

    As many subsets as the smaller set has `size` images, each about `size` of it and its even share of the other:
    for 50,000 images a fiftieth of the work of all pairs, and noisier. The usual 100 overlapping subsets of 1000 have
    a spread that is no standard error of anything.

    Raises:
        DataError: Fewer than 2 x `size` images in a set; or what `kernel_distance` raises.
        ConfigError: `size` is less than 2.
    """
    if size < 2:
        raise ConfigError(f"size is {size}; a subset must have at least 2 images.")
    check_features(real, fake, least=2 * size)
    count = min(len(real), len(fake)) // size
    generator = torch.Generator().manual_seed(seed)
    cuts = [torch.randperm(len(features), generator=generator).tensor_split(count) for features in (real, fake)]
    values = [kernel_distance(real[one], fake[other]).value for one, other in zip(*cuts, strict=True)]
    std, mean = torch.std_mean(torch.tensor(values, dtype=torch.float64))
    return Estimate(mean.item(), std.item() / count**0.5)


def _kernel_means(x: Tensor, y: Tensor, itself: bool = False) -> tuple[Tensor, Tensor]:
    """Mean kernel of each of x (N,) to the others, and of each of y (M,); without the diagonal if x is y itself."""
    over_y = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    over_x = torch.zeros(len(y), dtype=torch.float64, device=x.device)
    for i in range(0, len(x), ROWS):
        rows = x[i : i + ROWS].double() / x.shape[1]
        for j in range(0, len(y), ROWS):
            kernel = (rows @ y[j : j + ROWS].double().T).add_(1).pow_(3)
            if itself and i == j:
                kernel.fill_diagonal_(0)
            over_y[i : i + ROWS] += kernel.sum(1)
            over_x[j : j + ROWS] += kernel.sum(0)
    return over_y / (len(y) - itself), over_x / (len(x) - itself)
