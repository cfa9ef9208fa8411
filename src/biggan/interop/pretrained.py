"""The functions of pytorch-pretrained-biggan under their names: its users change the import line alone.

`from biggan.interop.pretrained import BigGAN, one_hot_from_names, truncated_noise_sample, save_as_images`. The numbers
are the same, with these exceptions. Models come in evaluation mode (there each forward in training mode changed the
weights; `drift=True` does so too). Batch-norm statistics between two rows are interpolated the right way round (there
each row had the other's weight; `interpolation="reversed"` does so too). A word that is no class's name is refused
with the classes it may mean (there one of them was taken). Neither scipy, nltk nor boto3 is needed.
Not here: how a generator is opened and called (`pretrained_model.py`), and `display_in_terminal`.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from biggan.atomic import write_bytes
from biggan.errors import ConfigError
from biggan.interop.huggingface.config import BigGANConfig
from biggan.interop.pretrained_model import BigGAN
from biggan.sampling import grids, imagenet
from biggan.sampling.classes import parse_classes

__all__ = [
    "BigGAN",
    "BigGANConfig",
    "convert_to_images",
    "one_hot_from_int",
    "one_hot_from_names",
    "save_as_images",
    "truncated_noise_sample",
]

LOW, HIGH = 0.022750131948179195, 0.9772498680518208  # Φ(-2) and Φ(2) to the bit that SciPy gives

Floats = npt.NDArray[np.float32]


def truncated_noise_sample(
    batch_size: int = 1, dim_z: int = 128, truncation: float = 1.0, seed: int | None = None
) -> Floats:
    """Latents: truncation times a normal truncated to [-2, 2], drawn by the inverse of its distribution function.

    Args:
        batch_size: How many.
        dim_z: Dimensions of each.
        truncation: The factor.
        seed: 0 to 2^32 - 1; None to go on with numpy's global random state.

    Returns:
        (batch_size, dim_z), bit for bit as the package with SciPy.

    Raises:
        ConfigError: A seed outside what is allowed.
    """
    if seed is not None and not 0 <= seed < 2**32:
        raise ConfigError(f"seed is {seed}; allowed is 0 to 2^32 - 1.")
    size = (batch_size, dim_z)
    uniform = np.random.uniform(size=size) if seed is None else np.random.RandomState(seed).uniform(size=size)
    normal: Tensor = torch.special.ndtri(LOW + torch.from_numpy(uniform) * (HIGH - LOW))
    return normal.numpy().astype(np.float32) * np.float32(truncation)


def one_hot_from_int(int_or_list: int | Sequence[int], batch_size: int = 1) -> Floats:
    """Class vectors of ImageNet's classes.

    Args:
        int_or_list: Class numbers, 0 to 999; a single one is repeated.
        batch_size: How many.

    Returns:
        (batch_size, 1000).

    Raises:
        ConfigError: A number outside what is allowed, or another count of numbers than `batch_size`.
    """
    numbers = [int_or_list] if isinstance(int_or_list, int | np.integer) else list(int_or_list)
    for number in numbers:
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if not whole or not 0 <= number < imagenet.NUM_CLASSES:
            raise ConfigError(f"Class {number!r} is not allowed; give numbers from 0 to {imagenet.NUM_CLASSES - 1}.")
    if len(numbers) not in (1, batch_size):
        raise ConfigError(f"{len(numbers)} classes were given for batch_size {batch_size}; give one, or {batch_size}.")
    vectors = np.zeros((batch_size, imagenet.NUM_CLASSES), np.float32)
    vectors[np.arange(batch_size), numbers] = 1
    return vectors


def one_hot_from_names(class_name_or_list: str | Sequence[str], batch_size: int = 1) -> Floats:
    """Class vectors of ImageNet's classes by name (`sampling.imagenet`).

    Where several classes share a name it means the one that the package takes, the first in WordNet's order.

    Args:
        class_name_or_list: Names; a single one is repeated, of several each gives a vector.
        batch_size: How many, at least.

    Returns:
        (batch_size, 1000).

    Raises:
        ConfigError: No class has that name; the message lists what it may mean, or the nearest names.
    """
    names = [class_name_or_list] if isinstance(class_name_or_list, str) else list(class_name_or_list)
    numbers = [_class_number(name) for name in names]
    return one_hot_from_int(numbers, max(batch_size, len(numbers)))


def _class_number(name: str) -> int:
    found = imagenet.find(name)
    return found[0] if found else parse_classes([name], imagenet.class_names())[0].shares[0][0]


def convert_to_images(obj: Tensor | npt.NDArray[Any]) -> list[Image.Image]:
    """Images as pictures, by the package's byte rule floor(clip(128 (x + 1), 0, 255)).

    Args:
        obj: (N, C, H, W) floats in [-1, 1], C from 1 to 4 (grey, grey and alpha, RGB, RGBA), on any device.

    Raises:
        ConfigError: Another shape or kind, or NaN.
    """
    x = torch.as_tensor(obj).detach().cpu()
    if x.dim() != 4 or x.shape[1] not in grids.MODES or not x.is_floating_point():
        shape = f"{str(x.dtype).removeprefix('torch.')} of shape {list(x.shape)}"
        raise ConfigError(f"Images must be floats of shape (N, C, H, W) with 1 to 4 channels, and are {shape}.")
    if bool(x.isnan().any()):
        raise ConfigError("The images hold NaN; a model draws none when its input has none.")
    return grids.to_images((((x + 1) / 2.0) * 256).clamp(0, 255).to(torch.uint8))


def save_as_images(obj: Tensor | npt.NDArray[Any], file_name: str = "output") -> None:
    """Writes images as `<file_name>_<number>.png`, replacing what is there.

    Args:
        obj: See `convert_to_images`, whose errors it raises.
        file_name: Path and beginning of the names.

    Raises:
        DiskFailed: A write failed.
    """
    for number, image in enumerate(convert_to_images(obj)):
        png = io.BytesIO()
        image.save(png, "PNG")
        write_bytes(Path(f"{file_name}_{number}.png"), png.getvalue())
