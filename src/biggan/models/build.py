"""From a config to the two networks, with or without memory."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from biggan.config import Model
from biggan.models import biggan, biggan_deep
from biggan.models.network import Discriminator, Generator


def generator(config: Model) -> Generator:
    """G with fresh weights, from torch's random state.

    Raises:
        ConfigError: Layers that do not fit each other, such as attention where there are fewer than 8 channels.
    """
    return biggan_deep.Generator(config) if config.architecture == "biggan-deep" else biggan.Generator(config)


def discriminator(config: Model) -> Discriminator:
    """D with fresh weights; as `generator`."""
    return biggan_deep.Discriminator(config) if config.architecture == "biggan-deep" else biggan.Discriminator(config)


def build(config: Model, seed: int = 0) -> tuple[Generator, Discriminator]:
    """Makes G and D with fresh weights, a function of `seed` alone; torch's own random state is left as it was.

    Raises:
        ConfigError: As `generator`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return generator(config), discriminator(config)


class _Unfilled(TorchFunctionMode):
    """Leaves new weights as they come: filling them on the meta device would import torch's compiler, for seconds."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return torch.empty(*args, **given) if func is torch.randn else func(*args, **given)


@contextlib.contextmanager
def without_memory() -> Iterator[None]:
    """Networks made within are on the meta device: shapes alone."""
    with torch.device("meta"), _Unfilled():
        yield


def skeleton(config: Model) -> tuple[Generator, Discriminator]:
    """G and D without memory, for their shapes; errors as `generator`."""
    with without_memory():
        return generator(config), discriminator(config)


def count_parameters(network: nn.Module) -> int:
    """Number of trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())
