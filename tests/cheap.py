"""Runs whose models cost next to nothing to make and to choose between, for tests of what is around them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from biggan import overseer
from biggan.models import statistics


@contextmanager
def cheap_models(truncations: Sequence[float] = (0.0, 1.0)) -> Iterator[pytest.MonkeyPatch]:
    """Within, tables have rows for some truncations and one threshold, of few latents, and the best model is chosen by
    few and small pictures; gives a patch for more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "NUM_LATENTS", 64)
        patch.setattr(statistics, "NUM_LATENTS_ON_GRID", 64)
        patch.setattr(statistics, "TRUNCATIONS", tuple(truncations))
        patch.setattr(statistics, "THRESHOLDS", (1.0,))
        patch.setattr(overseer, "AVERAGE_PICTURES", 24)
        patch.setattr(overseer, "TRAINED_PIXELS", 32)
        yield patch
