"""Blocks whose activations are computed again in the backward pass rather than kept: more arithmetic, less memory.

In one process the result is the same to the bit. The second forward must move nothing: spectral vectors move only
between steps (the config refuses `per_forward` here), and running statistics are copies while it runs.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from biggan.models.layers import norms


def run_block(block: nn.Module, *inputs: Tensor, recompute: bool) -> Tensor:
    """`block(*inputs)`, of which, if asked and gradients are wanted, only the inputs are kept for the backward pass.

    Source: Chen et al. 2016 (arXiv 1604.06174); torch's non-reentrant checkpoint.
    """
    if not (recompute and torch.is_grad_enabled()):
        y: Tensor = block(*inputs)
        return y

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _still(block)

    again: Tensor = checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
    return again


@contextmanager
def _still(block: nn.Module) -> Iterator[None]:
    """Lets a block move copies of its running statistics."""
    originals = [(norm, norm.stored_mean, norm.stored_var) for _, norm in norms(block)]
    for norm, mean, var in originals:
        norm.stored_mean, norm.stored_var = mean.clone(), var.clone()
    try:
        yield
    finally:
        for norm, mean, var in originals:
            norm.stored_mean, norm.stored_var = mean, var
