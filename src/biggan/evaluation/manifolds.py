"""Nearest neighbours among features: precision, recall, density, coverage, and whether drawn images are copies.

Distances are Euclidean, computed in float64 on the device of the features, in blocks: 50,000 x 50,000 of them need
32 MB at a time. Not here: errors of these shares (`scores.sampling_error`).
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from biggan.errors import ConfigError
from biggan.evaluation.checks import check_features, check_neighbours

SIDE = 2048
"""Rows and columns of a block of distances."""


class Manifolds(NamedTuple):
    """How two sets of images cover each other."""

    precision: float
    """Share of the drawn images within reach of a real one: quality."""
    recall: float
    """Share of the real images within reach of a drawn one: variety."""
    density: float
    """In how many real neighbourhoods a drawn image lies, of k expected; may exceed 1."""
    coverage: float
    """Share of the real images that have a drawn one in their neighbourhood."""


class Neighbours(NamedTuple):
    """Of each image, the k nearest of another set, nearest first."""

    distances: Tensor
    """(N, k), float64."""
    indices: Tensor
    """(N, k), int64, rows of that set."""


def manifolds(real: Tensor, fake: Tensor, k_precision: int = 3, k_density: int = 5) -> Manifolds:
    """Precision and recall, density and coverage, in three passes over all pairs.

    An image's reach is the distance to its k-th nearest neighbour in its own set, itself not counted. Precision and
    recall include images at exactly that distance, density and coverage do not, each as its authors' code has it.

    Args:
        real: Features (N, D).
        fake: Features (M, D); the measures depend on N and M, so compare at equal counts only.
        k_precision: k of precision and recall, less than N and M.
        k_density: k of density and coverage, less than N.

    Raises:
        DataError: The features are not (N, D), not finite, or fewer than two.
        ConfigError: A k is out of range.

    Source: Kynkäänniemi et al. 2019, Section 2; Naeem et al. 2020, Section 3.
    """
    check_features(real, fake)
    check_neighbours(k_precision, min(len(real), len(fake)) - 1, "k_precision")
    check_neighbours(k_density, len(real) - 1, "k_density")
    reach = _nearest(real, real, max(k_precision, k_density), itself=True)[0]
    near, far = reach[:, k_precision - 1], reach[:, k_density - 1]
    fake_near = _nearest(fake, fake, k_precision, itself=True)[0][:, -1]

    precise = torch.zeros(len(fake), dtype=torch.bool, device=real.device)
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    covered = recalled.clone()
    inside = 0
    for rows, columns, block in _blocks(fake, real):
        precise[rows] |= (block <= near[columns]).any(1)
        recalled[columns] |= (block <= fake_near[rows, None]).any(0)
        within = block < far[columns]
        covered[columns] |= within.any(0)
        inside += int(within.sum())
    precision, recall, coverage = (share.double().mean().item() for share in (precise, recalled, covered))
    return Manifolds(precision, recall, inside / (k_density * len(fake)), coverage)


def nearest_neighbours(x: Tensor, among: Tensor, k: int = 1) -> Neighbours:
    """The k images of `among` nearest to each of `x`, such as the training images that drawn ones resemble most.

    Args:
        x: Features (N, D).
        among: Features (M, D), none of which is excluded.
        k: 1 to M.

    Raises:
        DataError: The features are not (N, D) or not finite.
        ConfigError: k is out of range.
    """
    check_features(x, among, least=1)
    check_neighbours(k, len(among))
    _, indices = _nearest(x, among, k)
    apart = [(x[:, None][i] - among[indices[i]]).double().norm(dim=-1) for i in range(len(x))]  # exact, 0 for a copy
    distances, order = torch.stack(apart).sort(dim=1, stable=True)
    return Neighbours(distances, indices.gather(1, order))


def authenticity(train: Tensor, fake: Tensor) -> float:
    """Share of drawn images that are farther from their nearest training image than that is from any other.

    0.5 to 0.7 for new images of the same distribution (0.67 on Fashion-MNIST), 0 for copies. Averages of images lie
    near everything and score low without being copies; where there are held-out images, `copies` tells these apart.

    Args:
        train: Features (N, D).
        fake: Features (M, D).

    Raises:
        DataError: The features are not (N, D), not finite, or fewer than two.

    Source: Alaa et al. 2022, Section 3.3.
    """
    check_features(train, fake)
    distances, indices = _nearest(fake, train, 1)
    among, where = indices[:, 0].unique(return_inverse=True)
    to_others = _nearest(train[among], train, 2)[0][:, 1]  # the first is the image itself
    return (distances[:, 0] > to_others[where]).double().mean().item()


def copies(train: Tensor, held_out: Tensor, fake: Tensor, within: float = 0.7, seed: int = 0) -> float:
    """Share of drawn images that are copies of training images, as far as held-out images can tell.

    A drawn image is near a training image if that is less than `within` times as far as the nearest of as many
    held-out images. By chance as many are near a held-out image in this sense, so these are subtracted: 0 is expected
    of a generator that copies nothing, good or bad, and below 0 is chance. The training images are cut at random into
    parts no larger than the held-out set, and each part is compared, so that none is overlooked.

    Measured on 2,000 training and 1,000 held-out images of Fashion-MNIST, features of EfficientNet-Lite0 at 64 px:
    new images -0.002 ± 0.006, copies 1.00, mirrored 0.78, moved by a pixel 0.71, blurred new images 0.003; but copies
    with noise of 0.05 only 0.15. Pixels as features find those (1.01) and miss moved ones (0.10).

    Args:
        train: Features (N, D) of the images that the generator learned from.
        held_out: Features (H, D) of images of the same origin that it never saw; none may also be in `train`.
        fake: Features (M, D).
        within: Over 0 and under 1; smaller is stricter, and finds exact copies only.
        seed: Of the cuts.

    Raises:
        DataError: The features are not (N, D), not finite, or fewer than two.
        ConfigError: `within` is out of range.

    Source: ours, after the comparison with held-out images of Meehan et al. 2020 (data-copying test).
    """
    if not 0 < within < 1:
        raise ConfigError(f"within is {within}; it must be over 0 and under 1.")
    check_features(train, held_out, fake)
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randperm(len(train), generator=generator).tensor_split(-(-len(train) // len(held_out)))
    counts = torch.zeros(len(fake), dtype=torch.float64, device=fake.device)
    for part in parts:
        others = held_out[torch.randperm(len(held_out), generator=generator)[: len(part)]]
        to_train, to_others = (_nearest(fake, some, 1)[0][:, 0] for some in (train[part], others))
        counts += (to_train < within**2 * to_others).double() - (to_others < within**2 * to_train).double()
    return counts.mean().item()


def _nearest(x: Tensor, y: Tensor, k: int, itself: bool = False) -> tuple[Tensor, Tensor]:
    """Squared distances of each of x to its k nearest of y, and their rows, (N, k) each, in ascending order.

    With `itself`, x is y and no image is its own neighbour.
    """
    squares = torch.full((len(x), k), torch.inf, dtype=torch.float64, device=x.device)
    indices = torch.zeros(len(x), k, dtype=torch.int64, device=x.device)
    for rows, columns, block in _blocks(x, y):
        if itself and rows == columns:
            block.fill_diagonal_(torch.inf)
        found, where = block.topk(min(k, block.shape[1]), largest=False)
        squares[rows], order = torch.cat([squares[rows], found], 1).topk(k, largest=False)
        indices[rows] = torch.cat([indices[rows], where + columns.start], 1).gather(1, order)
    return squares, indices


def _blocks(x: Tensor, y: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Rows of x, rows of y, and the squared distances between them, at most SIDE x SIDE, row by row of blocks."""
    origin = y[0].double()  # what all features share would cost digits
    for i in range(0, len(x), SIDE):
        one = x[i : i + SIDE].double() - origin
        for j in range(0, len(y), SIDE):
            other = y[j : j + SIDE].double() - origin
            block = torch.addmm(other.square().sum(1), one, other.T, alpha=-2).add_(one.square().sum(1)[:, None])
            yield slice(i, i + len(one)), slice(j, j + len(other)), block.clamp_(min=0)
