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
from torch import Tensor, nn

from biggan.config import Optim
from biggan.distributed.collective import average
from biggan.distributed.gradients import backward
from biggan.models.layers import norms
from biggan.models.network import Discriminator, Generator
from biggan.models.spectral import advance, vectors_held
from biggan.training.adam import Optimizer
from biggan.training.adaptive import Adaptive
from biggan.training.augment import Kind, augmented, surely
from biggan.training.figures import D_FIGURES, Tally, d_figures, gradient_norm
from biggan.training.losses import class_loss, d_loss, g_loss
from biggan.training.regularizers import add_orthogonal_gradient, consistency_penalty, lecam_penalty

CONSISTENT: tuple[Kind, ...] = ("translation",)  # what images are seen again with, for consistency
MOMENTUM = 0.1  # weight of one step's batch in the running statistics


class DBatch(NamedTuple):
    """A microbatch of a D step."""

    x: Tensor  # real images (N, C, H, W)
    y: Tensor  # their labels (N,)
    z: Tensor  # latents (N, dim_z)
    y_fake: Tensor  # labels to draw (N,)
    u: Tensor | None = None  # uniforms to augment drawn, then real images with, (2 N, NUMBERS)
    u_again: Tensor | None = None  # others, to see both again with


class GBatch(NamedTuple):
    """A microbatch of a G step."""

    z: Tensor  # latents (N, dim_z)
    y: Tensor  # labels to draw (N,)
    u: Tensor | None = None  # uniforms to augment with, (N, NUMBERS)


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


def hold(D: Discriminator, num_blocks: int) -> list[nn.Parameter]:
    """Has D learn, but for its first blocks and what goes before them; gives the parameters that are held.

    Source: Mo et al. 2020 (FreezeD).
    """
    D.requires_grad_(True)
    stem = [D.get_submodule("input_conv")] if num_blocks and hasattr(D, "input_conv") else []
    modules = [*stem, *list(D.get_submodule("blocks").children())[:num_blocks]]
    held = [parameter for module in modules for parameter in module.parameters()]
    for parameter in held:
        parameter.requires_grad_(False)
    return held


def see(x: Tensor, u: Tensor | None, adaptive: Adaptive | None) -> Tensor:
    """Images as D sees them in training: augmented where there are uniforms for it, and any share to augment."""
    if u is None or adaptive is None or adaptive.augments_none:
        return x
    return augmented(x, u, adaptive.settings.augment or (), adaptive.share_in_force)


def penalties(
    D: Discriminator, x: Tensor, y: Tensor | None, logits: Tensor, u_again: Tensor | None, adaptive: Adaptive
) -> Tensor:
    """LeCam's and consistency's penalties of D, strengths included, for drawn then real images x; a scalar."""
    settings, (on_fake, on_real) = adaptive.settings, logits.chunk(2)
    total = logits.new_zeros(())
    if adaptive.lecam_may_be:
        total = total + adaptive.lecam_in_force * lecam_penalty(on_real, on_fake, adaptive.anchors)
    if u_again is not None:
        again = D(augmented(x, u_again, CONSISTENT), y)
        total = total + 2 * settings.consistency * consistency_penalty(logits, again)  # of drawn plus of real ones
    return total


def discriminator_step(
    G: Generator,
    D: Discriminator,
    optimizer: Optimizer,
    batches: Sequence[DBatch],
    optim: Optim,
    adaptive: Adaptive | None = None,
    tally: Tally | None = None,
) -> dict[str, Tensor]:
    """One optimizer step of D over equal microbatches (paper, Appendix C; BigGAN-PyTorch `train_fns.py`).

    Args:
        G: Draws; moves nothing but what a per-forward model moves.
        D: Learns.
        optimizer: D's.
        batches: The microbatches.
        optim: Losses and regularisation.
        adaptive: What makes little data go far, moved by the step; None for nothing of it.
        tally: Takes D's outputs on drawn images by class.

    Returns:
        `D_FIGURES` as 0-dim tensors, means over the step, `d_sign` (`surely`), and `Adaptive.figures`.
    """
    held = hold(D, adaptive.settings.freeze_d if adaptive else 0)
    optimizer.zero_grad()
    track_statistics(G, None, len(batches))
    figures, tells = [], optim.class_loss > 0 and D.num_classes > 0
    with vectors_held(G, D):
        for place, (x, y, z, y_fake, u, u_again) in enumerate(batches, 1):
            with torch.no_grad():
                fake = G(z, G.embed(y_fake))
            both, labels = torch.cat([fake, x]), torch.cat([y_fake, y]) if D.num_classes else None
            judged = D(see(both, u, adaptive), labels, tells)
            logits, scores = judged[:, :1], judged[len(fake) :, 1:]
            on_fake, on_real = logits.split([len(fake), len(x)])
            loss_real, loss_fake = d_loss(optim.loss, on_real, on_fake)
            loss = loss_real + loss_fake
            if tells:
                loss = loss + optim.class_loss * class_loss(scores, y)
            if adaptive:
                loss = loss + penalties(D, both, labels, logits, u_again, adaptive)
            backward(loss / len(batches), D.parameters(), average=place == len(batches), dtype=travelling(optim))
            if tally:
                tally.add(on_fake, y_fake)
            sign = surely(on_real, on_fake)
            figures.append(torch.cat([d_figures(loss_real, loss_fake, on_real, on_fake), sign[None]]))
    add_orthogonal_gradient(D.parameters(), optim.ortho_d, optim.ortho_kind, D.compute_dtype)
    for parameter in held:
        parameter.grad = torch.zeros_like(parameter)  # Adam leaves it be, and keeps its state in order
    optimizer.step()
    advance(D)
    means = dict(zip((*D_FIGURES, "d_sign"), torch.stack(figures).mean(0), strict=True))
    if adaptive:
        means |= adaptive.figures()
        adaptive.move(means, sum(len(batch.x) for batch in batches))
    return means


def generator_step(
    G: Generator,
    D: Discriminator,
    optimizer: Optimizer,
    batches: Sequence[GBatch],
    optim: Optim,
    adaptive: Adaptive | None = None,
) -> dict[str, Tensor]:
    """One optimizer step of G over equal microbatches, D's weights held.

    Returns:
        G's loss and the length of its gradient, 0-dim tensors.
    """
    D.requires_grad_(False)
    optimizer.zero_grad()
    losses = []
    with vectors_held(G, D):
        for place, (z, y, u) in enumerate(batches):
            track_statistics(G, place, len(batches))
            loss = g_loss(optim.loss, D(see(G(z, G.embed(y)), u, adaptive), y if D.num_classes else None))
            last = place == len(batches) - 1
            backward(loss / len(batches), G.parameters(), average=last, dtype=travelling(optim))
            losses.append(loss.detach())
    spared = G.get_parameter("shared.weight") if hasattr(G, "shared") else None
    weights = [parameter for parameter in G.parameters() if parameter is not spared]
    add_orthogonal_gradient(weights, optim.ortho_g, optim.ortho_kind, G.compute_dtype)
    length = gradient_norm(G.parameters())
    optimizer.step()
    advance(G)
    share_statistics(G)
    return {"loss_g": torch.stack(losses).mean(), "gradient_g": length}
