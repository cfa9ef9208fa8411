"""Figures of one step, as tensors that stay on the device: nothing here makes the processor wait for the graphics card.

What a step hands on is read, and so waited for, only when a run reports or its guard looks. Not here: what is measured
now and then on samples (`probe.py`), and what is done about it (`guard.py`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

D_FIGURES = ("loss_d_real", "loss_d_fake", "d_real", "d_fake", "d_real_std", "d_fake_std", "flat_real", "flat_fake")
"""Names of what `d_figures` gives, in order."""


def d_figures(loss_real: Tensor, loss_fake: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """What a microbatch of a D step tells, detached: (8,), in the order of `D_FIGURES`.

    D's losses; mean and spread of its logits on real and on drawn images; the share of each beyond the hinge (above 1
    on real, below -1 on drawn images), from which a hinge loss draws no gradient.

    Args:
        loss_real: D's loss on real images, a scalar.
        loss_fake: The same on drawn images.
        real: D's logits on real images, (N, 1).
        fake: D's logits on drawn images, (M, 1).
    """
    real, fake = real.detach(), fake.detach()
    spread, mean = zip(*(torch.std_mean(logits, correction=0) for logits in (real, fake)), strict=True)
    flat = (real > 1).to(real.dtype).mean(), (fake < -1).to(fake.dtype).mean()
    return torch.stack([loss_real.detach(), loss_fake.detach(), *mean, *spread, *flat])


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Length of all gradients together, a scalar; 0 where there are none."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.stack(torch._foreach_norm(gradients)).norm() if gradients else torch.zeros(())


def largest_singular_values(network: nn.Module) -> dict[str, Tensor]:
    """Name of each spectrally normalised weight -> its largest singular value before that, a scalar.

    They are what power iteration found last, so they cost nothing.
    """
    names = [name for name in dict(network.named_buffers()) if name.endswith(".sv0")]
    return {name.removesuffix(".sv0"): network.get_buffer(name)[0] for name in names}


@torch.no_grad()
def spectrum_tail(network: nn.Module, most: int = 5) -> dict[str, float]:
    """Name of each of the largest weights -> effective rank of its matrix (out, rest), as a share of its full rank.

    The effective rank is the exponential of the entropy of the singular values as shares of their sum; 1 is a flat
    spectrum. When modes collapse, many of D's singular values fall together (Liu et al. 2019, "spectral collapse").

    Args:
        network: G or D.
        most: Number of weights looked at, the largest first; a decomposition of each is what this costs.
    """
    weights = [(name, p) for name, p in network.named_parameters() if p.ndim > 1]
    chosen = sorted(weights, key=lambda pair: -pair[1].numel())[:most]
    return {name.removesuffix(".weight"): _effective_rank(weight.flatten(1)) for name, weight in chosen}


def _effective_rank(matrix: Tensor) -> float:
    if not bool(torch.isfinite(matrix).all()):
        return float("nan")
    values = torch.linalg.svdvals(matrix.float())
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp()) / min(matrix.shape)


class Tally:
    """D's mean outputs on drawn images by class, since they were last taken; adding waits for nothing.

    Of one process's share. What was added so far can be saved and put back to the last bit.

    Args:
        num_classes: Of the networks, 0 without labels.
        device: Where D is.
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self.sums = torch.zeros(2, num_classes, device=device)  # outputs, images

    def add(self, logits: Tensor, y: Tensor) -> None:
        """Adds D's logits (N, 1) on drawn images of the labels y (N,)."""
        if self.sums.shape[1]:
            outputs = logits.detach()[:, 0].to(self.sums)
            self.sums.index_add_(1, y, torch.stack([outputs, torch.ones_like(outputs)]))

    def take(self, least: int) -> dict[int, float]:
        """Label -> mean output, for classes of which `least` images or more were drawn; begins anew."""
        (outputs, images), self.sums = self.sums.tolist(), torch.zeros_like(self.sums)
        return {label: outputs[label] / count for label, count in enumerate(images) if count >= least}

    def to_json(self) -> list[list[float]]:
        """What was added, as JSON values."""
        return self.sums.tolist()

    def from_json(self, values: list[list[float]]) -> None:
        """Puts back what `to_json` gave."""
        self.sums = torch.tensor(values).to(self.sums).view_as(self.sums)


class Means:
    """Means of figures over the iterations since they were last taken; NaN or Inf in one of them shows in the mean.

    Adding waits for nothing. What was added so far can be saved and put back to the last bit.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.count = 0
        self.sums: Tensor | None = None

    def add(self, figures: Mapping[str, Tensor]) -> None:
        """Adds an iteration's figures, scalars on one device; other names than a restored state has begin anew."""
        if self.names != list(figures):
            self.names, self.sums, self.count = list(figures), None, 0
        now = torch.stack([figure.float() for figure in figures.values()])
        self.sums = now if self.sums is None else self.sums.to(now.device).add_(now)
        self.count += 1

    def take(self) -> dict[str, float]:
        """The means, and begins anew; empty where nothing was added."""
        means = {} if self.sums is None else dict(zip(self.names, (self.sums / self.count).tolist(), strict=True))
        self.sums, self.count = None, 0
        return means

    def to_json(self) -> dict[str, Any]:
        """What was added, as JSON values; NaN and Inf as JSON of Python's has them."""
        return {"names": self.names, "count": self.count, "sums": [] if self.sums is None else self.sums.tolist()}

    def from_json(self, values: Mapping[str, Any]) -> None:
        """Puts back what `to_json` gave."""
        self.names, self.count = list(values["names"]), int(values["count"])
        self.sums = torch.tensor(values["sums"]) if values["sums"] else None
