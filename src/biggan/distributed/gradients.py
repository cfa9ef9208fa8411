"""The mean of the processes' gradients, taken while the backward pass still runs.

Parameters are grouped into buckets from the last to the first, as gradients come. A full bucket travels at once, in
order, while earlier layers' gradients are computed. It is one function that a step calls with each loss: a step that
accumulates, freezes a network or uses it twice needs no special case, which `DistributedDataParallel` would.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from biggan.distributed.processes import world_size

BUCKET = 16 * 2**20  # bytes


def backward(loss: Tensor, parameters: Iterable[nn.Parameter], *, average: bool, dtype: torch.dtype | None) -> None:
    """`loss.backward()`, after which, if asked, every gradient of `parameters` is the mean over processes.

    Args:
        loss: A scalar, the mean over this process's images.
        parameters: What is trained.
        average: Whether this is the last backward of a step, so that the accumulated gradients are averaged.
        dtype: Precision in which gradients travel; None for their own.
    """
    if world_size() == 1 or not average:
        loss.backward()
        return
    mean = _Mean([parameter for parameter in parameters if parameter.requires_grad], dtype)
    loss.backward()
    mean.finish()


class _Mean:
    """One step's averaging, from before its last backward pass to after it."""

    def __init__(self, parameters: list[nn.Parameter], dtype: torch.dtype | None) -> None:
        self.dtype = dtype
        self.buckets = _buckets(parameters)
        self.missing = [len(bucket) for bucket in self.buckets]
        self.sent: list[tuple[Tensor, Any]] = []
        self.hooks = [
            parameter.register_post_accumulate_grad_hook(self._counter(number))
            for number, bucket in enumerate(self.buckets)
            for parameter in bucket
        ]

    def _counter(self, number: int) -> Any:
        def count(parameter: Tensor) -> None:
            self.missing[number] -= 1
            while len(self.sent) < len(self.buckets) and self.missing[len(self.sent)] == 0:
                self._send()

        return count

    def _send(self) -> None:
        """Sends the next bucket; a parameter without a gradient has none in any process."""
        grads = [p.grad.flatten() for p in self.buckets[len(self.sent)] if p.grad is not None]
        flat = torch.cat(grads) if grads else torch.empty(0)
        flat = flat.to(self.dtype or flat.dtype).div_(world_size())
        self.sent.append((flat, dist.all_reduce(flat, async_op=True)))

    def finish(self) -> None:
        """Sends what is left and puts the means into the gradients."""
        for hook in self.hooks:
            hook.remove()
        while len(self.sent) < len(self.buckets):
            self._send()
        for bucket, (flat, work) in zip(self.buckets, self.sent, strict=True):
            work.wait()
            grads = [p.grad for p in bucket if p.grad is not None]
            for grad, mean in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
                grad.copy_(mean.view_as(grad))


def _buckets(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Parameters from the last to the first in groups of about BUCKET bytes."""
    buckets: list[list[nn.Parameter]] = []
    room = 0
    for parameter in reversed(parameters):
        if room <= 0:
            buckets.append([])
            room = BUCKET
        buckets[-1].append(parameter)
        room -= parameter.numel() * parameter.element_size()
    return buckets
