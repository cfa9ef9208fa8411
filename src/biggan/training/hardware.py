"""What the machine has: device, precision, memory. What a run needs of it is in `memory.py`."""

import contextlib
import ctypes
import os
import time
from functools import cache
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F

from biggan.errors import ConfigError

Precision = Literal["float32", "bfloat16"]

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # glibc's numbers of its settings
LARGEST_KEPT = 2**30  # bytes of a block
ROUNDS = 7  # convolutions of which the fastest counts
CGROUP = Path("/sys/fs/cgroup")
LIMITS = CGROUP / "memory.max", CGROUP / "memory" / "memory.limit_in_bytes"  # of cgroups 2 and 1, in containers


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
    """`asked`, or for `auto` bfloat16 where the hardware multiplies it fast and float32 elsewhere.

    A CPU's instructions do not tell: Intel's of 2023 without AMX, as in some virtual machines, takes twice as long for
    bfloat16 as for float32. So where it has instructions for vectors alone, they are timed.
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type != "cpu":
        return "float32"
    fast = torch.cpu._is_amx_tile_supported() or (torch.cpu._is_avx512_bf16_supported() and _bfloat16_pays())
    return "bfloat16" if fast else "float32"


@cache
@torch.no_grad()
def _bfloat16_pays() -> bool:
    """Whether this processor takes less time for a convolution in bfloat16 than in float32: a twentieth of a second."""
    x, kernel = torch.ones(4, 64, 32, 32), torch.ones(64, 64, 3, 3)
    taken: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for _ in range(1 + ROUNDS):
        for dtype, seconds in taken.items():
            maps, filters = (part.to(dtype, memory_format=torch.channels_last) for part in (x, kernel))
            began = time.perf_counter()
            F.conv2d(maps, filters, padding=1)
            seconds.append(time.perf_counter() - began)
    return min(taken[torch.bfloat16]) < min(taken[torch.float32])


def compute_dtype(precision: str) -> torch.dtype | None:
    """The networks' `compute_dtype` for a precision by name."""
    return torch.bfloat16 if precision == "bfloat16" else None


def plain_float32() -> contextlib.AbstractContextManager[None]:
    """Within, convolutions of float32 on a GPU are of float32; torch's own default is TF32, with ten bits."""
    cudnn = torch.backends.cudnn
    now = {"enabled": cudnn.enabled, "benchmark": cudnn.benchmark, "deterministic": cudnn.deterministic}
    flags: contextlib.AbstractContextManager[None] = cudnn.flags(**now, allow_tf32=False)
    return flags


def installed_memory(device: torch.device) -> int:
    """Bytes of memory that the device has, or this process may have of it, as in a container."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([installed, *(limit for place in LIMITS if (limit := _number(place)))])


def _number(place: Path) -> int | None:
    """The number in a file; None where there is no file, or no number in it."""
    try:
        return int(place.read_text())
    except (OSError, ValueError):
        return None


def keep_freed_memory() -> None:
    """Has this process keep memory that it frees, for what it needs next, where the C library is glibc.

    Which else returns large blocks to the system, whose pages come back one by one: 8 % of the processor time of an
    iteration of `cpu-small`, a third of one at 128 px (docs/speed.md). It costs memory: a quarter more at 128 px.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, LARGEST_KEPT)
        library.mallopt(TRIM_THRESHOLD, 2**31 - 1)
