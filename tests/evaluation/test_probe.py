"""A probe finds classes that a plane can tell apart, and none where there are none."""

import pytest
import torch
from torch import Tensor

from biggan.errors import DataError
from biggan.evaluation.probe import fit_probe, shares_right


def clusters(count: int, apart: float) -> tuple[Tensor, Tensor]:
    labels = torch.arange(count) % 3
    return torch.randn(count, 8) + apart * torch.eye(8)[labels], labels


def test_classes_far_apart_are_named() -> None:
    probe = fit_probe(*clusters(300, 8.0), 3)
    right, of_each = shares_right(probe, *clusters(300, 8.0), 3)
    assert right > 0.99
    assert min(of_each) > 0.98


def test_classes_that_do_not_differ_are_guessed() -> None:
    right, _ = shares_right(fit_probe(*clusters(3000, 0.0), 3), *clusters(3000, 0.0), 3)
    assert right == pytest.approx(1 / 3, abs=0.05)


def test_neither_scale_nor_place_of_the_features_matters() -> None:
    x, y = clusters(200, 2.0)
    scale, place = torch.logspace(-2, 2, 8), torch.linspace(-50, 50, 8)
    assert torch.equal(fit_probe(x, y, 3)(x), fit_probe(x * scale + place, y, 3)(x * scale + place))


def test_a_class_without_images_has_no_share() -> None:
    x, y = clusters(200, 8.0)
    right, of_each = shares_right(fit_probe(x, y, 4), x[y != 1], y[y != 1], 4)
    assert right > 0.99
    assert [share == share for share in of_each] == [True, False, True, False]


def test_one_class_teaches_nothing() -> None:
    with pytest.raises(DataError, match="at least two classes"):
        fit_probe(torch.randn(5, 3), torch.zeros(5, dtype=torch.int64), 2)
