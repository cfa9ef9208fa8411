"""One step of D and one of G: microbatches, accumulation, which statistics move when.

What moves when is the config's `power_iteration`. Per forward (the reference): every training-mode forward moves
spectral vectors and running statistics, G's also inside D steps. Per step: G's running statistics move only in G
steps, by the mean over its microbatches, and spectral vectors once after each optimizer step; a step is then the
same however its batch is split, up to the batch norm of each microbatch. Several processes each bring equal shares of
every microbatch; their gradients are averaged once a step. Not here: where batches come from.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from biggan.config import Optim
from biggan.distributed.collective import average
from biggan.distributed.gradients import backward
from biggan.models.layers import norms
from biggan.models.network import Discriminator, Generator
from biggan.models.spectral import advance
from biggan.training.figures import D_FIGURES, d_figures, gradient_norm
from biggan.training.losses import d_loss, g_loss
from biggan.training.regularizers import add_orthogonal_gradient

MOMENTUM = 0.1  # weight of one step's batch in the running statistics


class DBatch(NamedTuple):
    """A microbatch of a D step."""

    x: Tensor  # real images (N, C, H, W)
    y: Tensor  # their labels (N,)
    z: Tensor  # latents (N, dim_z)
    y_fake: Tensor  # labels to draw (N,)


class GBatch(NamedTuple):
    """A microbatch of a G step."""

    z: Tensor  # latents (N, dim_z)
    y: Tensor  # labels to draw (N,)


def track_statistics(G: Generator, place: int | None, count: int) -> None:
    """Sets how far the next training forward moves the running statistics of a per-step G.

    Args:
        place: The microbatch's place among `count`, from 0, or None for a forward that must move nothing.
        count: Microbatches of the step. Sequential moves of m/count / (1 - (count - 1 - place) m/count) make each
            microbatch weigh m/count in the end.
    """
    if G.config.power_iteration == "per_forward":
        return
    share = MOMENTUM / count
    momentum = 0.0 if place is None else share / (1 - (count - 1 - place) * share)
    for _, norm in norms(G):
        norm.momentum = momentum


def share_statistics(G: Generator) -> None:
    """Gives all processes the mean of their running statistics where their norms do not share all moments.

    A group of processes then counts as a microbatch does.
    """
    if G.config.norm_replicas != 0:
        for _, norm in norms(G):
            for moment in (norm.stored_mean, norm.stored_var):
                moment.copy_(average(moment))


def travelling(optim: Optim) -> torch.dtype | None:
    """Precision in which gradients travel between processes; None for their own."""
    return torch.bfloat16 if optim.gradient_precision == "bfloat16" else None


def discriminator_step(
    G: Generator, D: Discriminator, optimizer: Optimizer, batches: Sequence[DBatch], optim: Optim
) -> dict[str, Tensor]:
    """One optimizer step of D over equal microbatches (paper, Appendix C; BigGAN-PyTorch `train_fns.py`).

    Returns:
        `D_FIGURES` as 0-dim tensors, means over the step, and the length of the gradient.
    """
    D.requires_grad_(True)
    optimizer.zero_grad()
    track_statistics(G, None, len(batches))
    figures = []
    for place, (x, y, z, y_fake) in enumerate(batches, 1):
        with torch.no_grad():
            fake = G(z, G.embed(y_fake))
        logits = D(torch.cat([fake, x]), torch.cat([y_fake, y]) if D.num_classes else None)
        on_fake, on_real = logits.split([len(fake), len(x)])
        loss_real, loss_fake = d_loss(optim.loss, on_real, on_fake)
        loss = (loss_real + loss_fake) / len(batches)
        backward(loss, D.parameters(), average=place == len(batches), dtype=travelling(optim))
        figures.append(d_figures(loss_real, loss_fake, on_real, on_fake))
    add_orthogonal_gradient(D.parameters(), optim.ortho_d, optim.ortho_kind)
    length = gradient_norm(D.parameters())
    optimizer.step()
    advance(D)
    return {**dict(zip(D_FIGURES, torch.stack(figures).mean(0), strict=True)), "gradient_d": length}


def generator_step(
    G: Generator, D: Discriminator, optimizer: Optimizer, batches: Sequence[GBatch], optim: Optim
) -> dict[str, Tensor]:
    """One optimizer step of G over equal microbatches, D's weights held.

    Returns:
        G's loss and the length of its gradient, 0-dim tensors.
    """
    D.requires_grad_(False)
    optimizer.zero_grad()
    losses = []
    for place, (z, y) in enumerate(batches):
        track_statistics(G, place, len(batches))
        loss = g_loss(optim.loss, D(G(z, G.embed(y)), y if D.num_classes else None))
        last = place == len(batches) - 1
        backward(loss / len(batches), G.parameters(), average=last, dtype=travelling(optim))
        losses.append(loss.detach())
    spared = G.get_parameter("shared.weight") if hasattr(G, "shared") else None
    weights = [parameter for parameter in G.parameters() if parameter is not spared]
    add_orthogonal_gradient(weights, optim.ortho_g, optim.ortho_kind)
    length = gradient_norm(G.parameters())
    optimizer.step()
    advance(G)
    share_statistics(G)
    return {"loss_g": torch.stack(losses).mean(), "gradient_g": length}
