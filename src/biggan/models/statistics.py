"""Standing batch-norm statistics: measured for each kind of truncation, kept in tables, interpolated.

With truncated latents a generator's activations have other moments than in training, so a picture drawn at a
truncation must be normalised with that truncation's own (paper, Appendix E). A row is the mean, over K batches of B
latents with uniform classes and a fixed seed, of the batch means and of the biased batch variances; the spectral
vectors do not move. Tables are linear between their rows and refuse what lies outside.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from biggan import latents
from biggan.distributed.collective import average
from biggan.distributed.processes import share
from biggan.errors import ConfigError
from biggan.latents import Stream
from biggan.models.layers import Norm, norms
from biggan.models.network import Generator

TRUNCATIONS = tuple(round(0.02 * i, 2) for i in range(51))
THRESHOLDS = (0.04, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.3, 1.6, 2.0, 3.0)
NUM_LATENTS, NUM_LATENTS_ON_GRID = 1024, 256  # behind the untruncated row, behind each other row
MOST_AT_ONCE = 64  # latents in a batch up to 128 px; fewer above, as an image's memory grows

ON_GRID = 1e-6  # how near a place must be to a row to be that row

Rule = Literal["linear", "reversed"]
"""How a table is read between its rows: linearly, or by pytorch-pretrained-biggan's reversed weights."""

Row = Mapping[str, Tensor]
"""Name of a running mean or variance in G's state dict -> (C,)."""


@torch.no_grad()
def batch_moments(G: Generator, z: Tensor, c: Tensor) -> dict[str, Tensor]:
    """Mean and biased variance that each normalising layer meets in one forward with batch statistics.

    Args:
        G: The generator; neither its statistics nor its spectral vectors move.
        z: Latents (N, dim_z).
        c: Conditions (N, condition).

    Returns:
        Names like `blocks.0.0.bn1.stored_mean` and `….stored_var` -> (C,), in the parameters' precision.
    """
    found: dict[str, Tensor] = {}
    was_training, momenta = G.training, [norm.momentum for _, norm in norms(G)]
    G.eval()
    hooks = []
    for name, norm in norms(G):
        norm.training, norm.momentum = True, 0.0  # batch statistics in this layer alone, not written
        hooks.append(norm.register_forward_pre_hook(_recorder(name, found)))
    try:
        G(z, c)
    finally:
        for hook, (_, norm), momentum in zip(hooks, norms(G), momenta, strict=True):
            hook.remove()
            norm.momentum = momentum
        G.train(was_training)
    return found


def _recorder(name: str, found: dict[str, Tensor]) -> Callable[[Norm, tuple[Tensor, ...]], None]:
    """A hook that stores the moments of a layer's input under the layer's name."""

    def record(norm: Norm, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].to(norm.stored_mean.dtype)
        if norm.kind == "batch":
            mean, var = norm.moments(x)
        else:
            var, mean = (moments.mean(0) for moments in torch.var_mean(x, (2, 3), correction=0))
        found[f"{name}.stored_mean"], found[f"{name}.stored_var"] = mean, var

    return record


def standing_row(
    G: Generator, truncation: float | None = None, threshold: float | None = None, *, num_latents: int = NUM_LATENTS
) -> dict[str, Tensor]:
    """Standing statistics for one distribution of latents (see `latents.draw`; truncation 0 is z = 0 here).

    Returns:
        Name of a buffer -> (C,): the mean of what `batch_moments` gives over whole batches of 64 latents, 16 at
        256 px and 4 at 512 px, as many as hold num_latents. Processes share each batch, and have the same result.
    """
    weight, total = G.linear.weight, dict[str, Tensor]()
    size = MOST_AT_ONCE * 128**2 // max(G.config.resolution, 128) ** 2
    starts = range(0, num_latents, size)
    for start in starts:
        uniform = latents.uniform(0, Stream.STATISTICS, *share(start, size), G.dim_z + 1)
        z = latents.shape_normal(uniform[:, 1:], truncation, threshold).to(weight)
        y = (uniform[:, 0] * max(G.num_classes, 1)).long().to(weight.device)
        for name, value in batch_moments(G, z, G.embed(y)).items():
            total[name] = total[name] + value if name in total else value
    return {name: average(value / len(starts)) for name, value in total.items()}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of statistics over a rising grid: `grid` (R,), `values` name -> (R, C)."""

    grid: Tensor
    values: dict[str, Tensor]

    def at(self, place: float, flag: str, rule: Rule = "linear") -> dict[str, Tensor]:
        """The row at `place`, between its neighbours by a rule; within 1e-6 of a row it is that row.

        The reversed rule gives each neighbour the other's weight and does not snap to rows, so that rounding puts
        five of the published 51 places (0.14, 0.28, 0.56, 0.58, 0.94) one row off. It is for equality with pictures
        that the package drew.

        Raises:
            ConfigError: Outside the grid, or the reversed rule on a grid that is not even from 0 to 1.
        """
        low, high = float(self.grid[0]), float(self.grid[-1])
        if not low - ON_GRID <= place <= high + ON_GRID:
            raise ConfigError(f"{flag} is {place:g}; this model has statistics from {low:g} to {high:g}.")
        below, share = self._between(place) if rule == "linear" else self._between_reversed(place)
        if share == 0:
            return {name: v[below] for name, v in self.values.items()}
        return {name: torch.lerp(v[below], v[below + 1], share) for name, v in self.values.items()}

    def _between(self, place: float) -> tuple[int, float]:
        """The row below, and the share of the row above."""
        near = int((self.grid.double() - place).abs().argmin())
        if abs(float(self.grid[near]) - place) < ON_GRID:
            return near, 0.0
        below = int(torch.searchsorted(self.grid, place)) - 1
        start, end = float(self.grid[below]), float(self.grid[below + 1])
        return below, (place - start) / (end - start)

    def _between_reversed(self, place: float) -> tuple[int, float]:
        steps = len(self.grid) - 1
        even = torch.linspace(0, 1, steps + 1)
        if steps < 1 or not torch.allclose(self.grid.float(), even, atol=ON_GRID):
            raise ConfigError("The reversed rule needs statistics at even steps from 0 to 1; use the linear one.")
        share, below = math.modf(place / (1.0 / steps))
        return (int(below), 1 - share) if share and below < steps else (int(below), 0.0)


@dataclass(frozen=True, slots=True)
class Statistics:
    """A model's tables by kind: 'none' (one row, z ~ N(0, 1)), 'truncation', 'threshold'."""

    tables: dict[str, Table]

    def has(self, truncation: float | None = None, threshold: float | None = None) -> bool:
        """Whether there is a table for this kind of truncation."""
        return _kind(truncation, threshold) in self.tables

    def row(
        self, truncation: float | None = None, threshold: float | None = None, rule: Rule = "linear"
    ) -> dict[str, Tensor]:
        """The statistics for a truncation, a threshold, or neither; see `Table.at` for the rule.

        Raises:
            ConfigError: Both are given, a value is outside the grid, or the model has no such table.
        """
        latents.check_truncation(truncation, threshold)
        kind = _kind(truncation, threshold)
        if kind not in self.tables:
            measure = ", measure them on import (--truncations)" if kind == "truncation" else ""
            raise ConfigError(
                f"This model has no statistics for --{kind}; let its training finish{measure}, or leave it out."
            )
        return self.tables[kind].at(truncation or threshold or 0.0, f"--{kind}", rule)

    def to_tensors(self) -> dict[str, Tensor]:
        """Flat names like `truncation.grid` and `truncation.blocks.0.0.bn1.stored_mean` -> tensors."""
        return {
            f"{kind}.{name}": tensor
            for kind, table in self.tables.items()
            for name, tensor in {"grid": table.grid, **table.values}.items()
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Statistics":
        """The inverse of `to_tensors`."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            parts.setdefault(kind, {})[rest] = tensor
        return cls({kind: Table(values.pop("grid"), values) for kind, values in parts.items()})


def _kind(truncation: float | None, threshold: float | None) -> str:
    return "truncation" if truncation is not None else "threshold" if threshold is not None else "none"


def truncation_table(
    G: Generator, places: Sequence[float], num_latents: int, measured: Callable[[int, int], None]
) -> Table:
    """Measures rows for truncations.

    Args:
        G: The generator; left as it was.
        places: Truncations in (0, 1], rising.
        num_latents: Latents behind each row.
        measured: Takes rows measured so far, and all of them.
    """
    rows = []
    for place in places:
        rows.append(standing_row(G, truncation=place, num_latents=num_latents))
        measured(len(rows), len(places))
    return _table(tuple(places), rows)


def standing_statistics(
    G: Generator, *, full: bool, measured: Callable[[int, int], None] = lambda done, total: None
) -> Statistics:
    """Measures a generator's tables.

    Args:
        G: The averaged generator; left as it was.
        full: All of `TRUNCATIONS` and `THRESHOLDS` too, rather than the row of untruncated latents alone.
        measured: Takes rows of these measured so far, and all of them; may raise, to stop.
    """
    tables = {"none": _table((0.0,), [standing_row(G, num_latents=NUM_LATENTS)])}
    if full:
        on_grid, rows, total = NUM_LATENTS_ON_GRID, [], len(TRUNCATIONS) + len(THRESHOLDS)
        tables["truncation"] = truncation_table(G, TRUNCATIONS, on_grid, lambda done, _: measured(done, total))
        for place in THRESHOLDS:
            rows.append(standing_row(G, threshold=place, num_latents=on_grid))
            measured(len(TRUNCATIONS) + len(rows), total)
        tables["threshold"] = _table(THRESHOLDS, rows)
    return Statistics(tables)


def _table(grid: tuple[float, ...], rows: list[dict[str, Tensor]]) -> Table:
    return Table(torch.tensor(grid), {name: torch.stack([row[name] for row in rows]) for name in rows[0]})
