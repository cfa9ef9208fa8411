"""What the machine has and what a run needs: device, precision, memory."""

import os
from dataclasses import dataclass
from typing import Literal

import torch

from biggan.config import Config
from biggan.distributed.launch import processes
from biggan.errors import ConfigError, OutOfMemory
from biggan.models.build import count_parameters, saved_bytes, skeleton

Precision = Literal["float32", "bfloat16"]

WORKSPACE = 1.25  # what libraries and fragmentation add, measured on a 128 px run


def pick_device(name: str) -> torch.device:
    """`auto` (CUDA, then MPS, then the CPU) or a device by name.

    Raises:
        ConfigError: No such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        device = torch.device("meta")
    if device.type == "meta":
        raise ConfigError(f"--device {name!r} is not to be had here; allowed is auto, cpu, cuda, cuda:1, mps.")
    return device


def pick_precision(asked: Literal["auto", "float32", "bfloat16"], device: torch.device) -> Precision:
    """`asked`, or for `auto` bfloat16 where the hardware multiplies it fast and float32 elsewhere."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    fast = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bfloat16" if fast else "float32"


def compute_dtype(precision: str) -> torch.dtype | None:
    """The networks' `compute_dtype` for a precision by name."""
    return torch.bfloat16 if precision == "bfloat16" else None


@dataclass(frozen=True, slots=True)
class Need:
    """What a run needs; sizes in bytes."""

    g_parameters: int
    d_parameters: int
    state: int
    """Weights, gradients, optimizers and the average."""
    activations: int
    """What one microbatch keeps for the backward pass."""

    @property
    def memory(self) -> int:
        """Peak memory, roughly."""
        return int(WORKSPACE * (self.state + self.activations))


def estimate(config: Config) -> Need:
    """What a run with these settings needs, without allocating it."""
    g, d = (count_parameters(network) for network in skeleton(config.model))
    microbatch = config.train.microbatch or config.train.batch_size // processes()
    each = 2 if config.train.precision == "bfloat16" else 4
    return Need(g, d, 16 * (g + d) + 4 * g, saved_bytes(config.model, microbatch, each))


def installed_memory(device: torch.device) -> int:
    """Bytes of memory that the device has."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_memory(config: Config, device: torch.device) -> None:
    """Refuses a run that cannot fit.

    Raises:
        OutOfMemory: It needs more than the device has.
    """
    need, have = estimate(config).memory, installed_memory(device)
    if need > have:
        micro = config.train.microbatch or config.train.batch_size // processes()
        raise OutOfMemory(
            f"This run needs about {need / 2**30:.1f} GiB and {device.type} has {have / 2**30:.1f} GiB; "
            f"lower --microbatch (now {micro}), the channels or --resolution."
        )
