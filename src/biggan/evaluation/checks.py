"""What metrics ask of features, in one place.

Not here: the metrics (`distances.py`, `manifolds.py`, `scores.py`).
"""

import torch
from torch import Tensor

from biggan.errors import ConfigError, DataError


def check_features(*sets: Tensor, least: int = 2) -> None:
    """Every set is (images, dimensions) of finite numbers, with the same dimensions and at least `least` images.

    Raises:
        DataError: One of them is not.
    """
    shapes = [tuple(features.shape) for features in sets]
    if any(len(shape) != 2 for shape in shapes) or len({shape[-1] for shape in shapes}) > 1:
        told = " and ".join(map(str, shapes))
        raise DataError(
            f"The features have shape {told}; they must be (images, dimensions), all from the same feature network."
        )
    fewest = min(shape[0] for shape in shapes)
    if fewest < least:
        raise DataError(f"A set has {fewest} images; this metric needs at least {least} in each, give more images.")
    if not all(bool(torch.isfinite(features).all()) for features in sets):
        raise DataError("The features hold NaN or infinite numbers; look at the images they come from.")


def check_neighbours(k: int, most: int, name: str = "k") -> None:
    """`k`, the argument `name`, is a number of neighbours that can be found, `most` of them.

    Raises:
        ConfigError: It is not.
    """
    if not 1 <= k <= most:
        raise ConfigError(f"{name} is {k}; with so many images it must be 1 to {most}.")
