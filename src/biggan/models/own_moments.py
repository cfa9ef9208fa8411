"""Batch norm by a process's own moments, from which its moments come out with gradients.

What several processes share are moments; pixels stay where they are. So each process normalises by its own moments, in
torch's one kernel for that, and what others' moments change is a scale and a shift a channel (`layers.Norm`).
"""

from typing import Any

import torch
from torch import Tensor


def normalised(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) / sqrt(var + eps), mean and biased variance of x; gradients flow through all three.

    Args:
        x: (N, C, H, W); the moments are (C,).
        eps: What is added to the variance.
    """
    y, mean, var = _Normalised.apply(x, eps)
    return y, mean, var


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        y, mean, scale = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
        ctx.save_for_backward(x, y, mean, scale)
        ctx.eps = eps
        return y, mean, (scale.pow(-2) - eps).clamp_min(0)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        """Of y as torch has it; of the mean 1 / n each; of the variance 2 (x - mean) / n = 2 y / (n scale)."""
        of_y, of_mean, of_var = gradients
        x, y, mean, scale = ctx.saved_tensors
        n = x.numel() // x.shape[1]
        of_x, _, _ = torch.ops.aten.native_batch_norm_backward(
            of_y, x, None, None, None, mean, scale, True, ctx.eps, [True, False, False]
        )
        per_channel = (v.to(x.dtype).view(-1, 1, 1) for v in (of_mean / n, 2 / n * of_var / scale))
        shift, factor = per_channel
        return of_x.add_(torch.addcmul(shift, y, factor)), None
