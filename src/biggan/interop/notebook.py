"""The helpers of the TF-Hub demo notebook ("Generating Images with BigGAN"), on any model of ours.

The notebook's cells run as they are but for those that load a module, which become one call:

```python
from biggan.interop.notebook import *

sess = session(biggan.load("biggan-deep-256"))
```

The numbers are the notebook's: its normals to 2e-15 (and bit for bit in float32, in which a module took them), its
linear ways, its bytes floor(128 (x + 1)), which are not this project's. Not here: TensorFlow modules themselves
(`tfhub/`).
"""

import io
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from biggan.errors import ConfigError
from biggan.interop.pretrained import HIGH, LOW
from biggan.sampling.pipeline import Pipeline
from biggan.sampling.sampler import Sampler

__all__ = [
    "imgrid",
    "imshow",
    "interpolate",
    "interpolate_and_shape",
    "one_hot",
    "one_hot_if_needed",
    "sample",
    "session",
    "truncated_z_sample",
]

WHITE = 255

Floats = npt.NDArray[np.floating[Any]]
Bytes = npt.NDArray[np.uint8]

_sessions: list[Pipeline] = []  # at most one: the notebook's `dim_z` and `vocab_size`, which its helpers read


def session(model: Pipeline) -> Pipeline:
    """Makes a model the one whose sizes the helpers take, as the notebook's globals `dim_z` and `vocab_size` were.

    Args:
        model: What `biggan.load` returns.

    Returns:
        The same model, to be given to `sample`.
    """
    _sessions[:] = [model]
    return model


def _current() -> Pipeline:
    if not _sessions:
        raise ConfigError("No model is loaded; call session(biggan.load(MODEL)) first.")
    return _sessions[0]


def truncated_z_sample(batch_size: int, truncation: float = 1.0, seed: int | None = None) -> npt.NDArray[np.float64]:
    """Latents of the session's model: truncation times a normal truncated to [-2, 2].

    Args:
        batch_size: How many.
        truncation: The factor.
        seed: 0 to 2^32 - 1; None to go on with numpy's global random state.

    Returns:
        (batch_size, dim_z).

    Raises:
        ConfigError: There is no session, or a seed outside what is allowed.
    """
    if seed is not None and not 0 <= seed < 2**32:
        raise ConfigError(f"seed is {seed}; allowed is 0 to 2^32 - 1.")
    size = (batch_size, _current().generator.dim_z)
    uniform = np.random.uniform(size=size) if seed is None else np.random.RandomState(seed).uniform(size=size)
    values = torch.special.ndtri(LOW + torch.from_numpy(uniform) * (HIGH - LOW))
    return np.asarray(truncation * values.numpy())


def one_hot(index: npt.ArrayLike, vocab_size: int | None = None) -> npt.NDArray[np.float32]:
    """Class vectors (N, vocab_size) of class numbers.

    Args:
        index: A number, or N of them.
        vocab_size: How many classes there are; None for the session's model.

    Raises:
        ConfigError: Not whole numbers from 0 to vocab_size - 1, or there is no session to ask.
    """
    size = _current().config.num_classes if vocab_size is None else vocab_size
    numbers = np.atleast_1d(np.asarray(index))
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ConfigError(f"Classes must be a whole number or a list of them, and are {str(index)[:80]}.")
    if size == 0:
        raise ConfigError("This model has no classes; give None as the label.")
    for number in numbers:
        if not 0 <= number < size:
            raise ConfigError(f"Class {number} is not allowed; give numbers from 0 to {size - 1}.")
    vectors = np.zeros((len(numbers), size), np.float32)
    vectors[np.arange(len(numbers)), numbers] = 1
    return vectors


def one_hot_if_needed(label: npt.ArrayLike, vocab_size: int | None = None) -> Floats:
    """Class vectors (N, vocab_size) as they are, and class numbers as `one_hot` makes them.

    Raises:
        ConfigError: As `one_hot`, or an array of more than two dimensions.
    """
    vectors = np.asarray(label)
    if vectors.ndim > 2:
        raise ConfigError(f"Labels have shape {list(vectors.shape)}; give class numbers or one vector an image.")
    return one_hot(vectors, vocab_size) if vectors.ndim < 2 else vectors


def sample(
    sess: Pipeline,
    noise: npt.ArrayLike,
    label: npt.ArrayLike | None,
    truncation: float = 1.0,
    batch_size: int = 8,
    vocab_size: int | None = None,
) -> Bytes:
    """Draws.

    Args:
        sess: A model.
        noise: Latents (N, dim_z), already times the truncation, as `truncated_z_sample` gives them.
        label: A class number for all, N numbers, or N class vectors; shares of several classes mix them. None for a
            model without classes.
        truncation: Above 0 and up to 1: which batch-norm statistics to use.
        batch_size: Images drawn at once.
        vocab_size: Length of a class vector; None for the model's.

    Returns:
        (N, R, R, C).

    Raises:
        ConfigError: Arrays of other shapes or counts, a class that is not there, or a truncation outside what is
            allowed or of which the model has no statistics.
    """
    z, G = np.asarray(noise, np.float32), sess.generator
    if z.ndim != 2 or z.shape[1] != G.dim_z or not len(z) or not np.isfinite(z).all():
        raise ConfigError(f"noise has shape {list(z.shape)}; this model needs finite numbers [N, {G.dim_z}].")
    y = _labels(label, len(z), G.num_classes if vocab_size is None else vocab_size)
    if y.shape[1] != G.num_classes:
        raise ConfigError(f"Class vectors have {y.shape[1]} numbers, and this model has {G.num_classes} classes.")
    weight = G.linear.weight
    with torch.no_grad():
        every = G.embed(torch.arange(G.num_classes, device=weight.device))
        c = torch.from_numpy(y).to(weight) @ every if G.num_classes else weight.new_zeros(len(z), 0)
    sampler = Sampler(G, sess.bundle.statistics, max(1, min(batch_size, len(z))), sess.sampler.precision)
    x = sampler.render(torch.from_numpy(z), c, truncation).permute(0, 2, 3, 1).numpy()
    return np.clip(((x + 1) / 2.0) * 256, 0, 255).astype(np.uint8)


def _labels(label: npt.ArrayLike | None, count: int, size: int) -> npt.NDArray[np.float32]:
    """A class vector for each of `count` images."""
    if label is None and size == 0:
        return np.zeros((count, 0), np.float32)
    labels = np.asarray(label)
    if labels.ndim == 0:
        labels = np.repeat(labels, count)
    if len(labels) != count:
        raise ConfigError(f"There are {count} noise vectors and {len(labels)} labels; give equal counts.")
    return one_hot_if_needed(labels, size).astype(np.float32)


def interpolate(A: Floats, B: Floats, num_interps: int) -> Floats:
    """The straight way from A to B, both included: (num_interps, ...).

    Raises:
        ConfigError: A and B have different shapes.
    """
    if A.shape != B.shape:
        raise ConfigError(f"A has shape {list(A.shape)} and B {list(B.shape)}; give two of the same shape.")
    return np.array([(1 - a) * A + a * B for a in np.linspace(0, 1, num_interps)])


def interpolate_and_shape(A: Floats, B: Floats, num_interps: int) -> Floats:
    """The ways from each row of A to that of B, one way after the other: (N num_interps, ...).

    Raises:
        ConfigError: A and B have different shapes.
    """
    ways = interpolate(A, B, num_interps).swapaxes(0, 1)
    return ways.reshape(-1, *ways.shape[2:])


def imgrid(imarray: Bytes, cols: int = 5, pad: int = 1) -> Bytes:
    """A sheet of images, row by row, with white between them and where the last row ends early.

    Args:
        imarray: (N, H, W, C).
        cols: Images in a row.
        pad: Pixels between them.

    Returns:
        (rows (H + pad) - pad, cols (W + pad) - pad, C).

    Raises:
        ConfigError: Not bytes of that shape, or `cols` or `pad` is too small.
    """
    if imarray.dtype != np.uint8 or imarray.ndim != 4 or not len(imarray):
        kind = f"{imarray.dtype} of shape {list(imarray.shape)}"
        raise ConfigError(f"The images are {kind}; give uint8 of shape [N, H, W, C], as sample draws them.")
    if cols < 1 or pad < 0:
        raise ConfigError(f"cols is {cols} and pad {pad}; allowed is 1 or more columns and 0 or more pixels.")
    count, height, width, channels = imarray.shape
    rows = -(-count // int(cols))
    sheet = np.full((rows, int(cols), height + int(pad), width + int(pad), channels), WHITE, np.uint8)
    places = sheet.reshape(-1, *sheet.shape[2:])  # shares the sheet's memory
    places[:count, :height, :width] = imarray
    whole = sheet.swapaxes(1, 2).reshape(rows * (height + int(pad)), -1, channels)
    return whole[: len(whole) - int(pad), : whole.shape[1] - int(pad)]


def imshow(a: npt.ArrayLike, format: str = "png", jpeg_fallback: bool = True) -> Image.Image | None:
    """Shows a picture in a notebook.

    Args:
        a: (H, W, C) or (H, W), 0 to 255.
        format: How it is sent, `png` or `jpeg`.
        jpeg_fallback: Send a JPEG where the notebook does not take the picture otherwise.

    Returns:
        None once IPython has shown it; without IPython the picture itself.

    Raises:
        ConfigError: An array of another shape, or a format that cannot hold it.
    """
    pixels = np.asarray(a, np.uint8)
    try:
        picture = Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)
        content = io.BytesIO()
        (picture.convert("RGB") if format == "jpeg" else picture).save(content, format)
    except (TypeError, ValueError, KeyError, OSError) as error:
        raise ConfigError(f"A picture of shape {list(pixels.shape)} cannot be sent as {format!r} ({error}).") from error
    try:
        display = import_module("IPython.display")
    except ImportError:
        return picture
    try:
        display.display(display.Image(content.getvalue()))
    except OSError:
        if not jpeg_fallback or format == "jpeg":
            raise
        return imshow(a, "jpeg", False)
    return None
