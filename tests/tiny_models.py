"""Tiny untrained models for tests that draw."""

from dataclasses import replace
from pathlib import Path

import torch

from biggan.config import Model
from biggan.models.build import build
from biggan.models.bundle import Bundle, save_bundle
from biggan.models.statistics import Statistics, Table, standing_row
from biggan.sampling.pipeline import Pipeline

NAMES = ["T-shirt/top", "Bag", "Ankle boot"]
MODEL = Model(
    resolution=32,
    image_channels=1,
    num_classes=3,
    g_channels=4,
    d_channels=4,
    g_attention=(),
    d_attention=(),
    dim_z=8,
    shared_dim=8,
)
UNCONDITIONAL = replace(MODEL, num_classes=0, image_channels=3)


def make_bundle(model: Model = MODEL, names: list[str] | None = None, seed: int = 0) -> Bundle:
    """A model with statistics for none, truncations 0, 0.5 and 1, and thresholds 0.5 and 2."""
    G, D = build(model, seed)

    def table(kind: str, grid: tuple[float, ...]) -> Table:
        kinds = [{} if kind == "none" else {kind: place} for place in grid]
        rows = [standing_row(G, **which, num_latents=64) for which in kinds]
        return Table(torch.tensor(grid), {name: torch.stack([row[name] for row in rows]) for name in rows[0]})

    grids = {"none": (0.0,), "truncation": (0.0, 0.5, 1.0), "threshold": (0.5, 2.0)}
    statistics = Statistics({kind: table(kind, grid) for kind, grid in grids.items()})
    G.eval().use_statistics(statistics.row())
    chosen = NAMES if names is None else names
    return Bundle(
        G, D.eval(), chosen[: model.num_classes], statistics, {"data": "nothing", "images": 0}, sha256="0" * 64
    )


def make_pipeline(model: Model = MODEL, names: list[str] | None = None, seed: int = 0) -> Pipeline:
    """A pipeline that was never on a disk."""
    return Pipeline(make_bundle(model, names, seed))


def make_folder(place: Path, model: Model = MODEL, names: list[str] | None = None, seed: int = 0) -> Path:
    """A model on disk."""
    save_bundle(place, make_bundle(model, names, seed), None)
    return place
