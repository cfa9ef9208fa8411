"""What several processes share; in one process every function here does nothing.

Processes are started by `torchrun` and talk through `torch.distributed`. Moments are averaged by a differentiable
all-reduce, so that cross-replica batch norm runs, and is tested, on CPUs (`nn.SyncBatchNorm` refuses them).
"""

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def average(x: Tensor) -> Tensor:
    """Mean of a tensor over all processes, with gradients flowing to each."""
    if world_size() == 1:
        return x
    from torch.distributed.nn.functional import all_reduce

    return torch.as_tensor(all_reduce(x)) / world_size()
