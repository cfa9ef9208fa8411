"""From a config to the two networks; what they cost."""

import torch
from torch import Tensor, nn

from biggan.config import Model
from biggan.models.biggan import Discriminator, Generator


def build(config: Model, seed: int = 0) -> tuple[Generator, Discriminator]:
    """Makes G and D with fresh weights, a function of `seed` alone; torch's own random state is left as it was.

    Raises:
        ConfigError: Attention where there are fewer than 8 channels.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(config), Discriminator(config)


def skeleton(config: Model) -> tuple[Generator, Discriminator]:
    """G and D without memory (on the meta device), for their shapes; errors as `build`."""
    with torch.device("meta"):
        return Generator(config), Discriminator(config)


def count_parameters(network: nn.Module) -> int:
    """Number of trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())


def saved_bytes(config: Model, microbatch: int, bytes_each: int = 4) -> int:
    """Bytes that one G step keeps for its backward pass, the peak of an iteration, by a run without memory."""
    G, D = skeleton(config)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[id(tensor.untyped_storage())] = tensor.numel() * bytes_each
        held.append(tensor)
        return tensor

    held: list[Tensor] = []
    with torch.device("meta"), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = torch.zeros(microbatch, dtype=torch.long)
        x = G(torch.zeros(microbatch, config.dim_z), G.embed(y))
        D(x, y if config.num_classes else None)
    return sum(kept.values())
