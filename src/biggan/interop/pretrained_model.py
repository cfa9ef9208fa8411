"""A generator that is opened and called as pytorch-pretrained-biggan's: `BigGAN`.

What goes in and comes out is made and shown by the functions of `pretrained.py`, from where users import.
"""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from biggan import latents
from biggan.config import Model
from biggan.errors import ConfigError, ModelError
from biggan.interop import hub
from biggan.interop.huggingface.config import BigGANConfig
from biggan.interop.huggingface.reading import CONFIG, files_in, holds, read_generator
from biggan.models.build import generator, without_memory
from biggan.models.bundle import load_bundle
from biggan.models.layers import norms
from biggan.models.network import Generator
from biggan.models.statistics import Rule, Statistics, Table


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
    if name not in hub.NAMES and (folder / CONFIG).exists() and not holds(folder):
        bundle = load_bundle(folder)
        model = _drifting(bundle.G.config, drift)
        with without_memory():
            G = generator(model)
        G.load_state_dict(bundle.G.state_dict(), assign=True)
        return model, G, bundle.statistics
    files = hub.find(name, cache_dir) if name in hub.NAMES else files_in(folder)
    config = BigGANConfig.from_json_file(files.config)
    return config, *read_generator(files, config, _drifting(config, drift))


def _check_vectors(what: str, x: object, width: int) -> None:
    if not isinstance(x, Tensor):
        raise ConfigError(f"{what} is a {type(x).__name__}; give a tensor, as torch.from_numpy makes it.")
    if not x.is_floating_point():
        kind = str(x.dtype).removeprefix("torch.")
        raise ConfigError(f"{what} holds {kind}; give floats, as one_hot_from_int makes them.")
    if x.dim() != 2 or x.shape[1] != width:
        raise ConfigError(f"{what} has the shape {list(x.shape)}; this model needs [N, {width}].")
