"""A probe: ridge regression from features to classes, for what a classifier would say of images.

Not here: the features (`store.py`), and what is concluded (`metrics.py`).
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from biggan.errors import DataError

PENALTY = 1.0
"""A share of the images, of standardised features. On CIFAR-10 (EfficientNet-Lite0 at 96 px) the probe names 0.80 of
held-out images after 5,000 training images and 0.73 after 500; 0.3 and 3 give 0.81 and 0.79, and 0.70 and 0.74."""


class Probe(NamedTuple):
    """Fitted to features (N, D) and labels (N,) of K classes."""

    mean: Tensor
    """(D,), float64."""
    deviation: Tensor
    """(D,), float64."""
    weight: Tensor
    """(D + 1, K), float64; the last row is the bias."""

    def __call__(self, features: Tensor) -> Tensor:
        """Features (N, D) → the class of each, (N,), int64."""
        return (_inputs(features, self.mean, self.deviation) @ self.weight).argmax(1)


def fit_probe(features: Tensor, labels: Tensor, num_classes: int) -> Probe:
    """Fits a probe to features (N, D) with labels (N,) from 0 to `num_classes` - 1.

    Raises:
        DataError: Fewer than two classes have images.
    """
    if len(labels.unique()) < 2:
        raise DataError("A probe needs images of at least two classes; give more images, or leave the metric out.")
    deviation, mean = torch.std_mean(features.double(), 0)
    deviation = deviation.clamp_min(1e-6)
    size = features.shape[1] + 1
    gram = PENALTY * len(features) * torch.eye(size, dtype=torch.float64)
    gram[-1, -1] = 0  # the bias costs nothing
    wanted = torch.zeros(size, num_classes, dtype=torch.float64)
    for rows, y in _blocks(features, labels):
        inputs = _inputs(rows, mean, deviation)
        gram.addmm_(inputs.T, inputs)
        wanted.addmm_(inputs.T, F.one_hot(y, num_classes).double())
    return Probe(mean, deviation, torch.linalg.solve(gram, wanted))


def shares_right(probe: Probe, features: Tensor, labels: Tensor, num_classes: int) -> tuple[float, list[float]]:
    """Share of images (N, D) whose class (N,) the probe names, of all and of each class (nan where it has none)."""
    right = torch.cat([probe(rows) == y for rows, y in _blocks(features, labels)]).double()
    of_each = [right[labels == label].mean().item() for label in range(num_classes)]
    return right.mean().item(), of_each


def _inputs(features: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    return F.pad((features.double() - mean) / deviation, (0, 1), value=1.0)


def _blocks(features: Tensor, labels: Tensor, size: int = 2048) -> Iterable[tuple[Tensor, Tensor]]:
    return zip(features.split(size), labels.split(size), strict=True)
