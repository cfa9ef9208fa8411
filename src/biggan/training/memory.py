"""How much memory a run needs, and the largest microbatch that fits: what `biggan train` and `biggan plan` both ask.

Weights, optimizers and average are counted from shapes; what a step holds at its peak is found by running it without
memory (`costs.py`). Not here: how much there is (`hardware.py`).
"""

from dataclasses import dataclass, replace

import torch

from biggan.config import Config
from biggan.distributed.launch import local_processes, processes
from biggan.errors import ConfigError, OutOfMemory
from biggan.models.build import count_parameters, skeleton
from biggan.models.layers import Attention
from biggan.models.spectral import SpectralConv2d
from biggan.training.costs import walk
from biggan.training.hardware import installed_memory, keep_freed_memory

FLOAT = 4  # bytes
COPIES = 4  # of every map, of which a step keeps fewer
HEAP = 1.23  # a CPU's heap over what is held in it; fitted to 13 runs that benchmarks/planner.py does not have
CACHE = 1.15  # a GPU's caching allocator over what it holds; assumed
PROGRAM = {False: 717 * 2**20, True: 1024 * 2**20}  # on a CPU, measured; a GPU's context and its libraries, assumed


@dataclass(frozen=True, slots=True)
class Need:
    """What one process of a run needs; sizes in bytes."""

    g_parameters: int
    d_parameters: int
    state: int
    """Weights, Adam's moments and the averages: what stays."""
    step: int
    """What the larger of the two steps holds at its peak: activations, gradients, images and what travels."""
    program: int
    """Python, torch and the libraries' own."""
    gpu: bool

    @property
    def memory(self) -> int:
        """Peak memory."""
        return int(self.program + self.state + (CACHE if self.gpu else HEAP) * self.step)


def estimate(config: Config, ranks: int = 1, *, gpu: bool = False) -> Need:
    """What each of `ranks` processes needs, without allocating it; without a microbatch, its share goes at once.

    Raises:
        ConfigError: The networks cannot be built, or the batch cannot be shared so.
    """
    share = _share(config, ranks)
    microbatch = config.train.microbatch or share
    if share % microbatch:
        allowed = f"a divisor of a process's share of the batch, {share}"
        raise ConfigError(f"--microbatch is {microbatch}; allowed is {allowed}.")
    G, D = skeleton(config.model)
    g, d = count_parameters(G), count_parameters(D)
    count = min(2, share // microbatch)
    train = config.train
    peaks = (
        walk(step, config.model, config.optim, train.precision, gpu, count, train.recompute, config.augment).peak(
            microbatch
        )
        for step in ("D", "G")
    )
    others = FLOAT * g, FLOAT * d  # gradients of the network that does not step
    images = share * config.model.image_channels * config.model.resolution**2
    travelling = max(g, d) if ranks > 1 else 0
    held = max(peak + other for peak, other in zip(peaks, others, strict=True)) + FLOAT * (images + travelling)
    return Need(g, d, FLOAT * _kept(config, G, D), held, PROGRAM[gpu], gpu)


def at_most(config: Config, ranks: int = 1, *, gpu: bool = False) -> float:
    """More bytes than `estimate` finds for a whole share at once, in a small part of its time: enough for small runs.

    As if every convolution were at the full resolution, and every map kept several times.

    Raises:
        ConfigError: As `estimate`.
    """
    share, pixels = _share(config, ranks), config.model.resolution**2
    G, D = skeleton(config.model)
    parameters = count_parameters(G) + count_parameters(D)
    images = pixels * config.model.image_channels
    looks = 4 if config.augment.consistency else 2  # of D, at a drawn and a real image
    maps = _maps(G, pixels) + looks * _maps(D, pixels) + images
    step = COPIES * share * maps + 3 * parameters
    return PROGRAM[gpu] + FLOAT * (_kept(config, G, D) + max(HEAP, CACHE) * step)


def _kept(config: Config, G: torch.nn.Module, D: torch.nn.Module) -> int:
    """Numbers that stay: both networks, G's averages, Adam's two moments."""
    averages = 1 + len(config.optim.ema_more)
    return (1 + averages) * _numbers(G) + _numbers(D) + 2 * (count_parameters(G) + count_parameters(D))


def _maps(network: torch.nn.Module, pixels: int) -> int:
    """Numbers that an image's maps would have, before and after each convolution, all of them at full resolution."""
    convolutions = (module for module in network.modules() if isinstance(module, SpectralConv2d))
    scores = sum(pixels**2 // 4 for module in network.modules() if isinstance(module, Attention))
    return pixels * sum(conv.in_channels + conv.out_channels for conv in convolutions) + scores


def _numbers(network: torch.nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.state_dict().values())


def _share(config: Config, ranks: int) -> int:
    if config.train.batch_size % ranks:
        allowed = f"a multiple of the number of processes, {ranks}"
        raise ConfigError(f"--batch-size is {config.train.batch_size}; allowed is {allowed}.")
    return config.train.batch_size // ranks


def fitting_microbatch(config: Config, memory: float, ranks: int = 1, *, gpu: bool = False) -> int:
    """The largest divisor of a process's share of the batch that fits.

    Args:
        config: The settings; its own microbatch is not looked at.
        memory: Bytes for one process.
        ranks: Processes.
        gpu: Whether they compute on GPUs.

    Raises:
        OutOfMemory: Not even one image at a time fits.
        ConfigError: As `estimate`.
    """
    share = _share(config, ranks)
    for microbatch in (size for size in range(share, 0, -1) if share % size == 0):
        need = estimate(replace(config, train=replace(config.train, microbatch=microbatch)), ranks, gpu=gpu).memory
        if need <= memory:
            return microbatch
    raise OutOfMemory(_too_much(need, memory, "one image at a time", "the channels or --resolution"))


def fitted(config: Config, device: torch.device) -> Config:
    """The settings, with the largest microbatch that fits this machine where none was given and the batch does not.

    Raises:
        OutOfMemory: They need more than the device has for each process.
    """
    gpu, ranks = device.type == "cuda", processes()
    have = installed_memory(device) / (1 if gpu else local_processes())
    share = _share(config, ranks)
    if config.train.microbatch is not None:
        need = estimate(config, ranks, gpu=gpu).memory
        if need > have:
            way, lower = f"--microbatch {config.train.microbatch}", "--microbatch, the channels or --resolution"
            raise OutOfMemory(_too_much(need, have, way, lower))
        return config
    if at_most(config, ranks, gpu=gpu) <= have:
        return config  # a small run begins at once, as finding out what it needs takes seconds
    size = fitting_microbatch(config, have, ranks, gpu=gpu)
    return config if size == share else replace(config, train=replace(config.train, microbatch=size))


def keep_freed(config: Config, device: torch.device) -> None:
    """Trades memory for speed on a CPU that has at least twice of what a run can need (`keep_freed_memory`)."""
    ranks, room = processes(), installed_memory(device) / local_processes() / 2
    if device.type == "cpu" and (at_most(config, ranks) <= room or estimate(config, ranks).memory <= room):
        keep_freed_memory()


def _too_much(need: float, have: float, way: str, lower: str) -> str:
    sizes = f"about {need / 2**30:.1f} GiB and there are {have / 2**30:.1f} GiB"
    return f"With {way} this run needs {sizes}; lower {lower}."
