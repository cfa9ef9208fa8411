"""Whether images that should never have been trained on were.

What is not here: whether two packs are the same as a whole, which their SHA-256 says (`packfile.py`).
"""

import hashlib

from biggan.data.packfile import Packed
from biggan.errors import DataError

MOST = 2**30  # bytes of training images that are looked at
ALLOWED = 0.1  # share of held-out images that may be in both: sets have a few images twice


def shared(held_out: Packed, trained: Packed) -> int:
    """Number of held-out images that are, pixel by pixel, among the training images.

    Args:
        held_out: Images at the size that is trained at.
        trained: Others at the same size; of more than `MOST` bytes, as many as that, evenly spread.
    """
    size = trained.resolution**2 * trained.channels
    step = -(-trained.num_images * size // MOST)
    seen = {_digest(trained, i) for i in range(0, trained.num_images, step)}
    return sum(_digest(held_out, i) in seen for i in range(held_out.num_images))


def check_held_out(held_out: Packed, trained: Packed, source: str) -> None:
    """Checks that images were not trained on.

    Args:
        held_out: The images.
        trained: Those that are trained on.
        source: What the images were asked for as.

    Raises:
        DataError: More than a tenth of them were.
    """
    count = shared(held_out, trained)
    if count > ALLOWED * held_out.num_images:
        raise DataError(
            f"--test-data {source} has {count:,} images that are in --data too, of {held_out.num_images:,}; "
            "give others, or leave it out."
        )


def _digest(packed: Packed, index: int) -> bytes:
    return hashlib.blake2b(packed.images[index].tobytes(), digest_size=16).digest()
