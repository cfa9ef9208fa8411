"""Models whose tables cost next to nothing, for tests of what is around them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from biggan.models import statistics


@contextmanager
def cheap_tables(truncations: Sequence[float] = statistics.TRUNCATIONS) -> Iterator[pytest.MonkeyPatch]:
    """Within, models are made of few latents a row, with rows for some truncations; gives a patch for more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "NUM_LATENTS", 64)
        patch.setattr(statistics, "NUM_LATENTS_ON_GRID", 64)
        if truncations is not statistics.TRUNCATIONS:
            patch.setattr(statistics, "TRUNCATIONS", tuple(truncations))
            patch.setattr(statistics, "THRESHOLDS", (1.0,))
        yield patch
