"""Penalties beside the adversarial losses: orthogonal weights, LeCam, consistency. Pure.

Orthogonal regularisation keeps weights near orthogonal rows, as a penalty and as its gradient in closed form. A weight
is a matrix W (filters, rest), its Gram matrix over filters is W Wᵀ. The paper (Section 3.1, Equation 3) keeps filters
in columns, which is the same matrix. Not here: what LeCam remembers from step to step (`adaptive.py`).
"""

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kind = Literal["paper", "reference", "identity"]


def _excess(matrix: Tensor, kind: Kind) -> Tensor:
    """What the penalty squares: the Gram matrix's off-diagonal part, or its difference from I."""
    gram = matrix @ matrix.mT
    diagonal = torch.diag(gram) if kind != "identity" else torch.ones_like(gram[0])
    return gram - torch.diag(diagonal)


def orthogonal_penalty(weight: Tensor, kind: Kind) -> Tensor:
    """The penalty of one weight, a scalar, before its strength.

    Args:
        weight: (filters, …).
        kind: `paper` ‖W Wᵀ∘(1−I)‖²; `reference` half of it, what BigGAN-PyTorch adds for an equal strength;
            `identity` ‖W Wᵀ − I‖² (Brock et al. 2017).
    """
    return (0.5 if kind == "reference" else 1.0) * _excess(weight.flatten(1), kind).square().sum()


@torch.no_grad()
def add_orthogonal_gradient(
    parameters: Iterable[nn.Parameter], strength: float, kind: Kind, dtype: torch.dtype | None = None
) -> None:
    """Adds the gradient of `strength * orthogonal_penalty` to every `.grad` of two dimensions or more.

    In closed form, 4 (W Wᵀ∘(1−I)) W for the paper's, so that no graph is kept. Where filters are more than their
    numbers it is taken as W (Wᵀ W) less the diagonal's part: G's first layer has 24,576 filters of 20 numbers.
    The paper's and the reference's products by filters are taken in `dtype`, if given; differences from I want float32.
    """
    factor = strength * (2.0 if kind == "reference" else 4.0)
    for parameter in parameters:
        if strength and parameter.ndim > 1 and parameter.grad is not None:
            precision = parameter.dtype if dtype is None or kind == "identity" else dtype
            matrix = parameter.flatten(1)
            parameter.grad.add_(_excess_times(matrix, kind, precision).view_as(parameter), alpha=factor)


def _excess_times(matrix: Tensor, kind: Kind, precision: torch.dtype) -> Tensor:
    """`_excess(matrix) @ matrix` by the smaller of the two Gram matrices; that over filters in a precision."""
    if matrix.shape[0] <= matrix.shape[1]:
        matrix = matrix.to(precision)
        return _excess(matrix, kind) @ matrix
    diagonal = 1.0 if kind == "identity" else matrix.square().sum(1, keepdim=True)
    return matrix @ (matrix.mT @ matrix) - diagonal * matrix


def lecam_penalty(real: Tensor, fake: Tensor, anchors: Tensor) -> Tensor:
    """How far D's outputs on each kind of image lie beyond where the other kind's have been: a scalar.

    The mean of relu(D(x) - a_fake)² plus that of relu(a_real - D(G(z)))², as the authors' code has it (the paper's
    Equation 5 squares the differences of either sign).

    Args:
        real: D's logits on real images, (N, 1).
        fake: D's logits on drawn images, (M, 1).
        anchors: Moving averages of D's output on real and on drawn images, (2,).

    Source: Tseng et al. 2021, Section 3.2.
    """
    on_real, on_fake = anchors.detach().unbind()
    return F.relu(real - on_fake).square().mean() + F.relu(on_real - fake).square().mean()


def consistency_penalty(one: Tensor, other: Tensor) -> Tensor:
    """Mean squared difference of D's logits (N, 1) on the same images seen twice: a scalar.

    Source: Zhao et al. 2020 (balanced consistency regularization), Section 3.1.
    """
    return (one - other).square().mean()
