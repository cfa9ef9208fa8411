"""What processes share: means, decisions, the work of one for all."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from biggan.distributed.launch import local_rank
from biggan.distributed.processes import rank, world_size
from biggan.distributed.watchdog import patient
from biggan.errors import BigGANError

Result = TypeVar("Result")


class Elsewhere(SystemExit):
    """Ends a process because of an error that another one tells."""


@lru_cache
def _group(size: int, ranks: int) -> Any:
    """This process's group of `size` neighbours among all `ranks`; None, which is all, for 0."""
    if size in (0, ranks):
        return None
    groups = [dist.new_group(range(first, first + size)) for first in range(0, ranks, size)]
    return groups[rank() // size]


def average(x: Tensor, group_size: int = 0) -> Tensor:
    """Mean of a tensor over processes, with gradients flowing to each.

    Args:
        x: Any tensor, of one shape in all processes.
        group_size: Processes that share it, neighbours by rank; 0 for all.
    """
    ranks = world_size()
    if ranks == 1 or group_size == 1:
        return x
    total: Tensor = _Sum.apply(x, _group(group_size, ranks))
    return total / (group_size or ranks)


class _Sum(torch.autograd.Function):
    """Sum over a group of processes, whose gradient is the sum of the gradients that they have."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return _summed(x, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return _summed(gradients[0], ctx.group), None


def _summed(x: Tensor, group: Any) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=group)
    return total


@torch.no_grad()
def mean_figures(figures: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Means of 0-dim tensors over processes, which all hold the same names in one order."""
    if world_size() == 1:
        return dict(figures)
    total = torch.stack([figure.detach().double() for figure in figures.values()]).cpu()
    dist.all_reduce(total)
    return dict(zip(figures, total / world_size(), strict=True))


def highest(value: int) -> int:
    """The highest of the processes' numbers, on which all can then agree."""
    if world_size() == 1:
        return value
    number = torch.tensor(value)
    dist.all_reduce(number, dist.ReduceOp.MAX)
    return int(number)


def lead(action: Callable[[], Result]) -> Result:
    """The result of `action`, which process 0 alone runs while the others wait.

    Raises:
        BigGANError: What `action` raised, in process 0.
        Elsewhere: In the others then: a silent exit with the same code.
    """
    if world_size() == 1:
        return action()
    with patient():
        return _of_one(action)


def _of_one(action: Callable[[], Result]) -> Result:
    result, error = None, None
    if rank() == 0:
        try:
            result = action()
        except BigGANError as raised:
            error = raised
    answer: list[Any] = [result, None if error is None else error.exit_code]
    dist.broadcast_object_list(answer, src=0)
    if error is not None:
        raise error
    if answer[1] is not None:
        raise Elsewhere(answer[1])
    return answer[0]  # type: ignore[no-any-return]


def first_on_each_machine(action: Callable[[], Result]) -> Result:
    """The result of `action` in every process, run first by one process of each machine, as it fills a cache there.

    Raises:
        BigGANError: What `action` raised.
        Elsewhere: It raised in another process alone.
    """
    if world_size() == 1:
        return action()
    with patient():
        return _in_turns(action)


def _in_turns(action: Callable[[], Result]) -> Result:
    for turn in (True, False):
        error: BigGANError | None = None
        if (local_rank() == 0) == turn:
            try:
                result = action()
            except BigGANError as raised:
                error = raised
        failed = highest(0 if error is None else error.exit_code)
        if error is not None:
            raise error
        if failed:
            raise Elsewhere(failed)
    return result


def same_everywhere(value: str) -> bool:
    """Whether all processes give the same text."""
    return len(set(of_all(value))) == 1


def of_all(value: Result) -> list[Result]:
    """The values of all processes, in order of rank."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


@torch.no_grad()
def broadcast(tensors: Mapping[str, Tensor]) -> None:
    """Gives all processes what process 0 holds in tensors of the same names and shapes, in place."""
    if world_size() > 1:
        for tensor in tensors.values():
            dist.broadcast(tensor, src=0)


@torch.no_grad()
def gather(x: Tensor) -> Tensor:
    """Rows (N, …) of all processes, which may differ in N, one after another: (sum of N, …) in each."""
    if world_size() == 1:
        return x
    counts: list[Any] = [None] * world_size()
    dist.all_gather_object(counts, len(x))
    parts = [x.new_empty(count, *x.shape[1:]) for count in counts]
    for source, part in enumerate(parts):
        if source == rank():
            part.copy_(x)
        dist.broadcast(part, src=source)
    return torch.cat(parts)
