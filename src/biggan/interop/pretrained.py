"""The functions of pytorch-pretrained-biggan under their names: its users change the import line alone.

`from biggan.interop.pretrained import BigGAN, one_hot_from_names, truncated_noise_sample, save_as_images`. The numbers
are the same, with these exceptions. Models come in evaluation mode (there each forward in training mode changed the
weights; `drift=True` does so too). Batch-norm statistics between two rows are interpolated the right way round (there
each row had the other's weight; `interpolation="reversed"` does so too). A word that is no class's name is refused
with the classes it may mean (there one of them was taken). Neither scipy, nltk nor boto3 is needed.
Not here: `display_in_terminal`, and the published files (`hub.py`).
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from biggan import latents
from biggan.atomic import write_bytes
from biggan.config import Model
from biggan.errors import ConfigError, ModelError
from biggan.interop import hub, huggingface
from biggan.interop.huggingface_config import BigGANConfig
from biggan.models.build import generator, without_memory
from biggan.models.bundle import load_bundle
from biggan.models.layers import norms
from biggan.models.network import Generator
from biggan.models.statistics import Rule, Statistics, Table
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


class BigGAN(nn.Module):
    """A generator as the package calls it: `model(noise_vector, class_vector, truncation)`.

    Args:
        config: What to make, with fresh weights; a config of ours will do too.
        interpolation: How statistics between two rows are read (`models.statistics.Rule`).
        drift: Make a power iteration in each forward in training mode, and begin in that mode, as the package does.
        network: G and its statistics, instead of fresh ones.

    Attributes:
        config: What it is made from.
        generator: Its network, called as `generator(cond_vector, truncation)`.

    Raises:
        ConfigError: A setting is outside what is allowed.
    """

    def __init__(
        self,
        config: BigGANConfig | Model,
        *,
        interpolation: Rule = "linear",
        drift: bool = False,
        network: tuple[Generator, Statistics] | None = None,
    ) -> None:
        super().__init__()
        if interpolation not in get_args(Rule):
            raise ConfigError(f"interpolation is {interpolation!r}; allowed is {' or '.join(get_args(Rule))}.")
        self.config = config
        self.generator = _Generator(*(network or _fresh(config, drift)), interpolation)
        self.train(drift)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        cache_dir: str | Path | None = None,
        *,
        interpolation: Rule = "linear",
        drift: bool = False,
    ) -> "BigGAN":
        """Opens a generator, on the CPU.

        Args:
            pretrained_model_name_or_path: `biggan-deep-128`, `-256` or `-512` (see `hub.find`), a folder of the
                package's layout, or a model folder of ours.
            cache_dir: Where downloads are kept; None for `hub.cache_folder`.
            interpolation: See the class.
            drift: See the class.

        Raises:
            ModelError: No such name or folder, or it holds no undamaged model.
            ConfigError: A download needs the extra `hub`.
        """
        config, G, statistics = _opened(str(pretrained_model_name_or_path), cache_dir, drift)
        return cls(config, interpolation=interpolation, drift=drift, network=(G, statistics))

    def train(self, mode: bool = True) -> "BigGAN":
        """Sets the mode; batch norm takes its statistics from the tables in both."""
        super().train(mode)
        for _, norm in norms(self.generator.G):
            norm.training = False
        return self

    def embeddings(self, class_label: Tensor) -> Tensor:
        """Class vectors (N, num_classes) as embedded classes (N, D): the classes' own times their shares, summed."""
        G = self.generator.G
        return class_label @ G.shared.weight if G.config.shared_dim else class_label

    def forward(self, z: Tensor, class_label: Tensor, truncation: float) -> Tensor:
        """Draws.

        Args:
            z: Latents (N, z_dim), already times the truncation, as `truncated_noise_sample` gives them.
            class_label: Class vectors (N, num_classes) of floats; shares of several classes mix them.
            truncation: Above 0 and up to 1: which statistics to use.

        Returns:
            Images (N, 3, R, R) in [-1, 1].

        Raises:
            ConfigError: A tensor of another shape or kind, or a truncation outside what is allowed.
        """
        G = self.generator.G
        _check_vectors("The noise vector", z, G.dim_z)
        _check_vectors("The class vector", class_label, G.num_classes)
        if len(z) != len(class_label):
            raise ConfigError(
                f"There are {len(z)} noise vectors and {len(class_label)} class vectors; give equal counts."
            )
        images: Tensor = self.generator(torch.cat((z, self.embeddings(class_label)), 1), truncation)
        return images


class _Generator(nn.Module):
    """G with its statistics, called with the condition [z, embedded class] and a truncation."""

    def __init__(self, G: Generator, statistics: Statistics, interpolation: Rule) -> None:
        super().__init__()
        self.G, self.statistics, self.interpolation = G, statistics, interpolation
        self.truncation: float | None = None  # whose statistics are in G

    def forward(self, cond_vector: Tensor, truncation: float) -> Tensor:
        """Conditions (N, z_dim + D) -> images; truncation and errors as `BigGAN.forward`."""
        try:
            place = float(truncation)
        except (TypeError, ValueError):
            raise ConfigError(f"truncation is {str(truncation)[:80]!r}; give a number above 0 and up to 1.") from None
        latents.check_truncation(place, None)
        if place != self.truncation:
            self.G.use_statistics(self.statistics.row(place, rule=self.interpolation))
            self.truncation = place
        images: Tensor = self.G(cond_vector[:, : self.G.dim_z], cond_vector[:, self.G.dim_z :])
        return images


def _drifting(config: BigGANConfig | Model, drift: bool) -> Model:
    """The network that a config asks for, iterating in each training-mode forward or in none."""
    model = config.to_model() if isinstance(config, BigGANConfig) else config
    return replace(model, power_iteration="per_forward" if drift else "per_step")


def _fresh(config: BigGANConfig | Model, drift: bool) -> tuple[Generator, Statistics]:
    """A network with fresh weights, and tables of the statistics that it begins with."""
    G, num_rows = generator(_drifting(config, drift)), getattr(config, "n_stats", 2)
    rows = {
        f"{name}.{part}": norm.get_buffer(part).expand(num_rows, -1)
        for name, norm in norms(G)
        for part in ("stored_mean", "stored_var")
    }
    return G, Statistics({"truncation": Table(torch.linspace(0, 1, num_rows), rows)})


def _opened(name: str, cache_dir: str | Path | None, drift: bool) -> tuple[BigGANConfig | Model, Generator, Statistics]:
    """What a name or folder holds."""
    folder = Path(name)
    if name not in hub.NAMES and not folder.is_dir():
        raise ModelError(f"There is no folder {name!r}; give one, or one of {', '.join(hub.NAMES)}.")
    if name not in hub.NAMES and (folder / huggingface.CONFIG).exists() and not huggingface.holds(folder):
        bundle = load_bundle(folder)
        model = _drifting(bundle.G.config, drift)
        with without_memory():
            G = generator(model)
        G.load_state_dict(bundle.G.state_dict(), assign=True)
        return model, G, bundle.statistics
    files = hub.find(name, cache_dir) if name in hub.NAMES else huggingface.files_in(folder)
    config = BigGANConfig.from_json_file(files.config)
    return config, *huggingface.read_generator(files, config, _drifting(config, drift))


def _check_vectors(what: str, x: object, width: int) -> None:
    if not isinstance(x, Tensor):
        raise ConfigError(f"{what} is a {type(x).__name__}; give a tensor, as torch.from_numpy makes it.")
    if not x.is_floating_point():
        kind = str(x.dtype).removeprefix("torch.")
        raise ConfigError(f"{what} holds {kind}; give floats, as one_hot_from_int makes them.")
    if x.dim() != 2 or x.shape[1] != width:
        raise ConfigError(f"{what} has the shape {list(x.shape)}; this model needs [N, {width}].")


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
