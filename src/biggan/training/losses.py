"""Adversarial losses as pure functions of logits; the value of every loss is a mean over its batch.

Sources: hinge, Lim & Ye 2017 and Tran et al. 2017 (the paper's choice); non-saturating, Goodfellow et al. 2014;
Wasserstein, Arjovsky et al. 2017 (the Lipschitz bound being spectral norm's); class loss, Odena et al. 2017.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Loss = Literal["hinge", "nonsaturating", "wasserstein"]


def d_loss(kind: Loss, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """D's loss on real and on drawn images, to be summed.

    Args:
        kind: `hinge`, `nonsaturating` or `wasserstein`.
        real: D's logits on real images, (N, 1).
        fake: D's logits on drawn images, (M, 1).

    Returns:
        The part of the real and of the drawn images, scalars.
    """
    if kind == "hinge":
        return F.relu(1 - real).mean(), F.relu(1 + fake).mean()
    if kind == "nonsaturating":
        return F.softplus(-real).mean(), F.softplus(fake).mean()
    return -real.mean(), fake.mean()


def class_loss(scores: Tensor, y: Tensor) -> Tensor:
    """D's loss for telling the classes of real images, a scalar: AC-GAN's cross-entropy, without its part for G.

    Args:
        scores: What each class would add to D's logits on real images, (N, K).
        y: Their labels (N,).
    """
    return F.cross_entropy(scores, y)


def g_loss(kind: Loss, fake: Tensor) -> Tensor:
    """G's loss, a scalar, from D's logits (M, 1) on its images."""
    return F.softplus(-fake).mean() if kind == "nonsaturating" else -fake.mean()
