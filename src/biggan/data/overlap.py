"""Whether images that should never have been trained on were.

What is not here: whether two packs are the same as a whole, which their SHA-256 says (`packfile.py`).
"""

import hashlib
import math
from typing import NamedTuple

import numpy as np

from biggan.data.packfile import Packed
from biggan.errors import DataError

MOST = 2**30  # bytes of each set that are looked at
ALLOWED = 0.1  # share of held-out images that may be in both: sets have a few images twice


class Shared(NamedTuple):
    """How many held-out images are, pixel by pixel, among the training images; what is there twice counts once."""

    found: int
    """That were found."""
    looked: int
    """Held-out images that were looked for."""
    part: float
    """Share of the training images that they were looked for in; `found / part` is what to expect among all."""

    @property
    def many(self) -> bool:
        """Whether more than a tenth are, beyond what chance may find in a part: three standard deviations."""
        allowed = ALLOWED * self.looked * self.part
        return self.found > allowed + 3 * math.sqrt(allowed * (1 - self.part))


def shared(held_out: Packed, trained: Packed) -> Shared:
    """Looks for held-out images among the training images.

    Args:
        held_out: Images at the size that is trained at; of more than `MOST` bytes, as many as that, at random.
        trained: Others at the same size; likewise.
    """
    (seen, part), (wanted, _) = _digests(trained, 0), _digests(held_out, 1)
    return Shared(len(wanted & seen), len(wanted), part)


def check_held_out(held_out: Packed, trained: Packed, source: str) -> None:
    """Checks that images were not trained on.

    Args:
        held_out: The images.
        trained: Those that are trained on.
        source: What the images were asked for as.

    Raises:
        DataError: More than a tenth of them were.
    """
    known = shared(held_out, trained)
    if known.many:
        count, about = round(known.found / known.part), "" if known.part == 1 else "about "
        raise DataError(
            f"--test-data {source} has {about}{min(count, known.looked):,} images that are in --data too, of "
            f"{known.looked:,}; give others, or leave it out."
        )


def _digests(packed: Packed, seed: int) -> tuple[set[bytes], float]:
    """Of the images that are looked at, and which share of all these are."""
    count = min(packed.num_images, max(1, MOST // (packed.resolution**2 * packed.channels)))
    places = np.sort(np.random.default_rng(seed).choice(packed.num_images, count, replace=False))
    found = {hashlib.blake2b(packed.images[i].tobytes(), digest_size=16).digest() for i in places}
    return found, count / packed.num_images
