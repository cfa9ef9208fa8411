"""Who is there: ranks, their number, and how they meet.

Processes are started by `torchrun`, which numbers them and restarts them all when one dies; `meeting` joins them.
CPU tensors travel by gloo and CUDA tensors by NCCL. There is no time limit on a collective: one process may pack data
or draw for all for an hour; a process that hangs is noticed by `watchdog.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta

import torch
import torch.distributed as dist

from biggan.distributed import launch
from biggan.distributed.watchdog import patient

PATIENCE = timedelta(days=7)
_alone = ContextVar("alone", default=False)


def world_size() -> int:
    """Number of processes."""
    if _alone.get():
        return 1
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0; process 0 alone speaks and writes."""
    return dist.get_rank() if world_size() > 1 else 0


def share(start: int, count: int) -> tuple[int, int]:
    """This process's (start, count) of `count` consecutive images; all of them if they cannot be shared equally."""
    ranks = world_size()
    return (start + rank() * (count // ranks), count // ranks) if count % ranks == 0 else (start, count)


@contextmanager
def alone() -> Iterator[None]:
    """Within, this process counts as the only one: nothing is exchanged."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


@contextmanager
def meeting(device: torch.device) -> Iterator[torch.device]:
    """Joins the processes that the launcher started, and gives this one's device: `cuda` becomes its own GPU."""
    if launch.processes() == 1 or dist.is_initialized():
        yield device
        return
    backend = "gloo"
    if device.type == "cuda":
        device = torch.device("cuda", device.index or launch.local_rank())
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    with patient():  # the others may take longer to start
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield device
    finally:
        dist.destroy_process_group()
