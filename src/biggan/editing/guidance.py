"""Text guidance: latents and soft classes of a generator moved until a scorer sees what the prompts say.

After BigSleep 0.9.1: at each step random cut-outs of the picture are scored, and Adam moves the latents and the class
logits down the three losses; the picture is that of their moving average. Several seeds go through the networks
together, and none can tell: losses, draws and Adam are each seed's own. Cut-outs are functions of (seed, step), so the
state has no random state and a resumed run is the same run.
Not here: where it begins (`search.py`), and what is written (`imagine.py`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from biggan.editing.cutouts import draw_cuts
from biggan.editing.goal import AT_ONCE, Goal, to_rgb
from biggan.editing.objective import class_loss, latent_loss, similarity_loss
from biggan.editing.settings import Guidance
from biggan.editing.soft_latents import Average, class_table, conditions, soft_classes
from biggan.errors import Diverged, ModelError
from biggan.models.inference import inference_ready
from biggan.models.network import Generator
from biggan.models.statistics import Statistics
from biggan.training.adam import Adam
from biggan.training.state import Tensors

RULER = 0  # the step whose cut-outs measure a picture; steps of optimisation begin at 1


def made_ready(G: Generator, statistics: Statistics) -> Generator:
    """The inference-ready G with the statistics of untruncated latents, or of truncation 1 where there are none."""
    return inference_ready(G, statistics.row() if statistics.has() else statistics.row(truncation=1.0))


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of a step, a value for each seed, (N,)."""

    similarity: Tensor
    latent: Tensor
    classes: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum, (N,)."""
        return self.similarity + self.latent + self.classes


class Guide:
    """The optimisation of one picture a seed.

    Args:
        G: The generator, `made_ready`, on the device to compute on.
        goal: What the pictures should be.
        seeds: Each picture's seed.
        settings: How to go about it.
        start: z (N, R, dim_z) and class logits (N, R, K) to begin with; see `search.begin`.

    Attributes:
        z, logits: What is optimised.
        average: Of the two, over the steps.
        done: Steps so far.
        best: The averaged z and logits of the best `measure` of each seed.
        best_score, best_step: Its score and step, (N,).
    """

    def __init__(
        self, G: Generator, goal: Goal, seeds: Sequence[int], settings: Guidance, start: tuple[Tensor, Tensor]
    ) -> None:
        self.G, self.goal, self.seeds, self.settings = G, goal, list(seeds), settings
        self.z, self.logits = (part.detach().clone().to(G.linear.weight).requires_grad_() for part in start)
        self.table = class_table(G)
        self.average = Average([self.z, self.logits], settings.ema_decay)
        moved = [self.z, self.logits] if G.num_classes else [self.z]
        self.optimizer = Adam(moved, settings.lr)
        self.done = 0
        self.best = self.average.value()
        self.best_score = torch.full((len(seeds),), -math.inf)
        self.best_step = torch.zeros(len(seeds), dtype=torch.int64)

    def step(self) -> Losses:
        """One step of optimisation for every seed.

        Raises:
            Diverged: The latents are no longer finite.
        """
        self.optimizer.zero_grad()
        parts = [self._backward(rows, self.done + 1) for rows in self._chunks()]
        self.optimizer.step()
        self.done += 1
        if not all(bool(part.isfinite().all()) for part in (self.z, self.logits)):
            raise Diverged("The latents hold NaN or Inf; give a lower --lr.")
        self.average.update([self.z, self.logits])
        return Losses(*(torch.cat(losses).cpu() for losses in zip(*parts, strict=True)))

    def _chunks(self) -> list[slice]:
        """Seeds that go through the scorer together, so that memory does not grow with their number."""
        size = max(1, AT_ONCE // self.settings.cutouts)
        return [slice(first, first + size) for first in range(0, len(self.seeds), size)]

    def _backward(self, rows: slice, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Adds the gradients of some seeds' losses, and gives the losses."""
        z, classes = self.z[rows], self.soft(self.logits[rows])
        x = to_rgb(self.G.synthesise(conditions(self.G, z, classes, self.table)))
        found = self.goal.similarities(x, self._cuts(rows, step), self.settings.resize)
        losses = similarity_loss(found, self.goal.weights), latent_loss(z), class_loss(classes)
        torch.stack([loss.sum() for loss in losses]).sum().backward()
        return tuple(loss.detach() for loss in losses)  # type: ignore[return-value]

    def _cuts(self, rows: slice, step: int) -> Tensor:
        s = self.settings
        width = self.G.config.resolution
        return torch.stack([draw_cuts(seed, step, width, s.cutouts, s.center_bias) for seed in self.seeds[rows]])

    def soft(self, logits: Tensor) -> Tensor:
        """Soft classes of logits, by the settings."""
        return soft_classes(logits, self.settings.max_classes, self.settings.class_temperature)

    @torch.no_grad()
    def draw(self, z: Tensor, logits: Tensor) -> Tensor:
        """Images (N, C, W, W) in [-1, 1] of latents and class logits of all seeds."""
        classes = self.soft(logits)
        parts = [conditions(self.G, z[rows], classes[rows], self.table) for rows in self._chunks()]
        return torch.cat([self.G.synthesise(part) for part in parts])

    @torch.no_grad()
    def measure(self) -> tuple[Tensor, Tensor]:
        """Scores the averaged latents by cut-outs that are always the same, and keeps the best of each seed.

        Returns:
            The images (N, C, W, W) in [-1, 1], and the weighted sums of their similarities (N,), higher is better.
        """
        now = self.average.value()
        x = self.draw(*now)
        resize = self.settings.resize
        found = [self.goal.similarities(to_rgb(x[rows]), self._cuts(rows, RULER), resize) for rows in self._chunks()]
        scores = (torch.cat(found) @ self.goal.weights).cpu()
        better = scores > self.best_score
        for kept, value in zip(self.best, now, strict=True):
            kept[better.to(kept.device)] = value[better.to(kept.device)]
        self.best_score[better], self.best_step[better] = scores[better], self.done
        return x, scores

    def tensors(self) -> Tensors:
        """All that a resumed run needs beside the settings."""
        adam = {f"adam.{name}": tensor for name, tensor in self.optimizer.tensors().items()}
        return adam | {name: tensor.detach() for name, tensor in self._named().items()}

    def load(self, tensors: Mapping[str, Tensor], done: int) -> None:
        """Puts back what `tensors` gave after `done` steps of the same settings.

        Raises:
            ModelError: The tensors are of other latents.
        """
        named = self._named()
        adam = {name.removeprefix("adam."): tensors[name] for name in tensors.keys() - named.keys()}
        shapes = {name: tensor.shape for name, tensor in tensors.items() if name in named}
        if shapes != {name: tensor.shape for name, tensor in named.items()}:
            raise ModelError("The saved state is of other latents; give another --out.")
        self.optimizer.load(adam)
        with torch.no_grad():
            for name, tensor in named.items():
                tensor.copy_(tensors[name])
        self.done = done

    def _named(self) -> Tensors:
        pairs = {"now": (self.z, self.logits), "average": self.average.biased, "best": self.best}
        named = {f"{kind}.{name}": t for kind, ts in pairs.items() for name, t in zip("zc", ts, strict=True)}
        kept = {"average.remaining": self.average.remaining, "best.score": self.best_score, "best.step": self.best_step}
        return named | kept
