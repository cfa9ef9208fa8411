"""The averaged generator: an exponential moving average of G's parameters and buffers (paper, Appendix C)."""

import copy

import torch
from torch import Tensor

from biggan.models.network import Generator


def ema_decay(iteration: int, decay: float, start: int, warmup: bool) -> float:
    """Share of the average kept at the end of an iteration (counted from 0).

    0 before `start` iterations, so that the average is a copy; with a warm-up at most (1 + t) / (5 + t), t counted
    from `start`: the average then forgets half in the last sixth of the time so far.
    """
    if iteration < start:
        return 0.0
    t = iteration - start
    return min(decay, (1 + t) / (5 + t)) if warmup else decay


def averaged_copy(G: Generator) -> Generator:
    """A copy of G to average into, in evaluation mode and without gradients."""
    return copy.deepcopy(G).requires_grad_(False).eval()


def _state(G: Generator) -> list[Tensor]:
    return list(G.state_dict().values())


@torch.no_grad()
def update_average(G_ema: Generator, G: Generator, decay: float) -> None:
    """Moves every entry of G_ema's state: decay x itself + (1 - decay) x G's."""
    torch._foreach_lerp_(_state(G_ema), _state(G), 1 - decay)
