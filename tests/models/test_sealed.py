"""Sealed files' smaller parts; whole files are tested with the models that they hold (`test_bundle.py`)."""

import pytest
import torch

from biggan.models.sealed import is_finite


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [0, 5, 999])
def test_one_number_that_is_not_finite_is_found_anywhere(bad, place):
    x = torch.randn(1000)
    assert is_finite(x)
    x[place] = bad
    assert not is_finite(x.view(10, 100))


def test_tensors_without_numbers_and_of_whole_numbers_are_finite():
    assert is_finite(torch.empty(0, 3))
    assert is_finite(torch.arange(5))
