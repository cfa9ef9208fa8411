"""Ten ways to bring a run down, as hooks into an iteration; none of them is a part of the product.

A provocation acts whenever the next batch is asked for, and follows from the run's state alone, so that a run that was
stopped goes on with it. What strikes once does not come back after a rollback; a lasting cause does.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from biggan.config import Config, Optim
from biggan.models.spectral import _Spectral
from biggan.training.loop import Batches, Training

ONSET = 30_720  # images after which it begins, at which a state is saved
LOSING = 6_144  # images within which a class goes
LOST = 3  # the class that goes


class Provoked:
    """A run's batches, with a provocation on the way.

    Args:
        data: The real images.
        run: The networks.
        cause: What is done to them.
        onset: Images of the run after which it begins.
    """

    def __init__(self, data: Batches, run: Training, cause: "Cause", onset: int) -> None:
        self.data, self.run, self.cause, self.onset = data, run, cause, onset

    def batch(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        since = self.run.images - self.onset
        x, y = self.data.batch(start, count)
        if since < 0:
            self.cause.rest(self.run)
            return x, y
        self.cause.act(self.run)
        return self.cause.change(self.run, x, y, since)


def strikes(run: Training) -> bool:
    """Whether this is the one batch at which what happens once happens."""
    return run.images == ONSET and run.course.shift == 0  # no rollback yet


class Cause:
    """Does nothing; the base of the others."""

    def rest(self, run: Training) -> None:
        """Before it begins, and again after a rollback to before that."""

    def act(self, run: Training) -> None:
        """From then on, before each batch."""

    def change(self, run: Training, x: Tensor, y: Tensor, since: int) -> tuple[Tensor, Tensor]:
        """The batch to train on, `since` images after the beginning."""
        return x, y


class OtherRates(Cause):
    """Other learning rates from then on."""

    def __init__(self, g: float, d: float) -> None:
        self.g, self.d = g, d
        self.before: Config | None = None

    def rest(self, run: Training) -> None:
        if self.before:
            run.config, self.before = self.before, None

    def act(self, run: Training) -> None:
        if self.before is None:
            self.before, optim = run.config, run.config.optim
            rates: Optim = replace(optim, lr_g=self.g * optim.lr_g, lr_d=self.d * optim.lr_d)
            run.config = replace(run.config, optim=rates)


class NoSpectralNorm(Cause):
    """Weights are taken as they are."""

    def act(self, run: Training) -> None:
        layers = [m for network in (run.G, run.D) for m in network.modules() if isinstance(m, _Spectral)]
        for layer in layers:
            layer.norm = None


class ShuffledLabels(Cause):
    """Real images get each other's labels."""

    def change(self, run: Training, x: Tensor, y: Tensor, since: int) -> tuple[Tensor, Tensor]:
        return x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(since))]


class LostClass(Cause):
    """Images of a class make way for others, with their own labels, more and more of them."""

    def change(self, run: Training, x: Tensor, y: Tensor, since: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(since)
        gone = (y == LOST) & (torch.rand(len(y), generator=generator) < since / LOSING)
        others = (y != LOST).nonzero()[:, 0]
        source = torch.arange(len(y))
        source[gone] = others[torch.randint(len(others), (int(gone.sum()),), generator=generator)]
        return x[source], y[source]


class NanInBatch(Cause):
    """A pixel of one batch is NaN."""

    def change(self, run: Training, x: Tensor, y: Tensor, since: int) -> tuple[Tensor, Tensor]:
        if strikes(run):
            x = x.clone()
            x[0, 0, 0, 0] = torch.nan
        return x, y


class NanInWeight(Cause):
    """A weight of G becomes NaN, once."""

    @torch.no_grad()
    def act(self, run: Training) -> None:
        if strikes(run):
            next(run.G.parameters()).view(-1)[0] = torch.nan


class InfiniteActivation(Cause):
    """In one forward of D a feature map is infinite."""

    def act(self, run: Training) -> None:
        def infinite(module: nn.Module, given: object, h: Tensor) -> Tensor:
            handle.remove()
            return h * torch.inf

        if strikes(run):
            handle = run.D.get_submodule("blocks.1").register_forward_hook(infinite)


class Provocation(NamedTuple):
    """A cause with what it is called."""

    title: str
    cause: Callable[[], Cause]
    slow: bool = False  # harm comes some time after the cause, and is dated by a judge
    images: int | None = None  # of the training set, if not all
    onset: int = ONSET


PROVOCATIONS = {
    "rate": Provocation("learning rates 20 times as high", lambda: OtherRates(20, 20)),
    "frozen": Provocation("D does not learn any more", lambda: OtherRates(1, 0)),
    "ahead": Provocation(
        "D far ahead: G at a thousandth, D at four times its rate", lambda: OtherRates(0.001, 4), slow=True
    ),
    "norm": Provocation("no spectral norm", NoSpectralNorm, slow=True, onset=0),
    "labels": Provocation("labels shuffled", ShuffledLabels, slow=True),
    "class": Provocation("one class slowly lost", LostClass, slow=True),
    "batch": Provocation("NaN in a batch", NanInBatch),
    "weight": Provocation("NaN in a weight", NanInWeight),
    "tiny": Provocation("50 images without augmentation", Cause, slow=True, images=50, onset=0),
    "activation": Provocation("an activation made infinite", InfiniteActivation),
}
