"""What text guidance minimises: how far pictures are from the prompts, and how far latents from what G knows.

The three losses are BigSleep 0.9.1's, for N pictures at once with a loss for each, so that pictures optimised together
do not see each other.
"""

import torch
from torch import Tensor

SIMILARITY, LATENT, CLASS = 100.0, 4.0, 50.0  # BigSleep's coefficients
LEAST_FOR_MOMENTS = 2  # latent dimensions below which a row has no deviation


def similarities(vectors: Tensor, targets: Tensor) -> Tensor:
    """Mean cosine of each picture's views with each target.

    Args:
        vectors: Scores' vectors of n views of N pictures, (N, n, D).
        targets: Vectors of the prompts, (P, D).

    Returns:
        (N, P) in [-1, 1].
    """
    return torch.cosine_similarity(vectors[:, :, None], targets[None, None], dim=-1).mean(1)


def similarity_loss(found: Tensor, weights: Tensor) -> Tensor:
    """-100 times the weighted sum of the similarities (N, P); weights (P,) below zero penalise. Gives (N,)."""
    return -SIMILARITY * (found @ weights)


def latent_loss(z: Tensor) -> Tensor:
    """How far each picture's latents (N, R, dim_z) are from normal ones, row by row: (N,).

    |1 - deviation| + |mean| + |excess kurtosis| + |skewness|, each the mean over rows, + 4·max(mean square, 1).
    A single latent dimension has a mean square alone.
    """
    size = LATENT * z.square().mean((1, 2)).clamp_min(1)
    if z.shape[-1] < LEAST_FOR_MOMENTS:
        return size
    mean = z.mean(-1, keepdim=True)
    centred = z - mean
    scores = centred / centred.square().mean(-1, keepdim=True).sqrt()
    skewness, kurtosis = scores.pow(3).mean(-1), scores.pow(4).mean(-1) - 3
    rows = (1 - z.std(-1)).abs() + mean[..., 0].abs() + kurtosis.abs() + skewness.abs()
    return rows.mean(1) + size


def class_loss(classes: Tensor) -> Tensor:
    """How far each picture's soft classes (N, R, K) are from one class a row: (N,).

    The mean of (50·c)^2 over all but the largest of each row; zero with fewer than two classes.
    """
    others = classes.shape[-1] - 1
    if others < 1:
        return classes.new_zeros(len(classes))
    return (CLASS * classes.topk(others, largest=False).values).square().mean((1, 2))
