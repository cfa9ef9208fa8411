"""What a report draws from a model: rows of classes beside real images, truncations, the ways between images.

Not here: what is measured (`measuring.py`), and pictures that a run has left (`history.py`).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from biggan.evaluation.images import Real
from biggan.evaluation.material import Material
from biggan.reporting.measuring import Neighbours, Suspect
from biggan.reporting.pictures import Column, Rows, tiled
from biggan.sampling.classes import ClassMix
from biggan.sampling.pipeline import Pipeline
from biggan.sampling.sampler import to_bytes

MOST_CLASSES, FEW_CLASSES = 16, 12  # rows: all classes up to the first number, else the second, evenly spread
DRAWN, REAL = 8, 4  # pictures of a class
STEPS = 9  # pictures from one end of a way to the other
ACROSS = 5  # pictures of each of two classes at each truncation
PLAIN_ROWS = 4  # of a model without classes


def shown(pipe: Pipeline) -> list[ClassMix]:
    """The classes that a report shows unless told: all, or some, evenly spread; several rows without classes."""
    names = pipe.class_names
    if not names:
        return [ClassMix(None, ())] * PLAIN_ROWS
    spread = np.linspace(0, len(names) - 1, FEW_CLASSES).round().astype(int).tolist()
    numbers = range(len(names)) if len(names) <= MOST_CLASSES else spread
    return [ClassMix(names[k], ((k, 1.0),)) for k in numbers]


def class_rows(pipe: Pipeline, mixes: Sequence[ClassMix], material: Material, seed: int) -> Rows:
    """Each class: drawn pictures of seeds in turn, and where there are real images of it, some of these beside."""
    # without classes each row has seeds of its own
    seeds = [seed + k + (0 if mix.shares else row * DRAWN) for row, mix in enumerate(mixes) for k in range(DRAWN)]
    x = _draw(pipe, seeds, [mix for mix in mixes for _ in range(DRAWN)])
    words = f"{len(mixes)} rows of {DRAWN} drawn pictures" + (", a class each" if pipe.class_names else "")
    columns = [Column(title="drawn", picture=tiled(x, DRAWN, words))]
    real = _real(mixes, material)
    if real is not None:
        words = f"{len(mixes)} rows of {REAL} training images" + (" of the same classes" if pipe.class_names else "")
        columns.append(Column(title="real", picture=tiled(real, REAL, words)))
    return Rows(labels=labels(mixes), columns=columns)


def labels(mixes: Sequence[ClassMix]) -> list[str]:
    """A label for each row; none without classes."""
    return [mix.label or "" for mix in mixes] if any(mix.shares for mix in mixes) else []


def _draw(pipe: Pipeline, seeds: Sequence[int], mixes: Sequence[ClassMix], truncation: float | None = None) -> Tensor:
    return to_bytes(pipe.sampler.draw(seeds, mixes, truncation))


def _real(mixes: Sequence[ClassMix], material: Material) -> Tensor | None:
    """`REAL` training images for each row, None where there are not as many of each."""
    packed, own = material.packs.get("train"), material.labels.get("train")
    most = max(len(mix.shares) for mix in mixes)
    if packed is None or most > 1 or (own is None and most == 1):  # a mix of classes has no real images
        return None
    rows = []
    for place, mix in enumerate(mixes):
        if own is None:
            of_class = torch.arange(place, packed.num_images, len(mixes))
        else:
            of_class = (own == mix.shares[0][0]).nonzero()[:, 0]
        if len(of_class) < REAL:
            return None
        rows.append(of_class[:: len(of_class) // REAL][:REAL])
    order, back = torch.cat(rows).sort()
    return Real(packed, order).pixels(0, len(order))[back.argsort()]


def truncation_rows(pipe: Pipeline, mixes: Sequence[ClassMix], places: Sequence[float], seed: int) -> Rows:
    """The same seeds at truncations from low to high and without, of two of the classes."""
    chosen = list(dict.fromkeys((mixes[0], mixes[len(mixes) // 2])))
    across = ACROSS * 2 // len(chosen)
    columns = []
    for mix in chosen:
        parts = [_draw(pipe, range(seed, seed + across), [mix] * across, place) for place in (*places, None)]
        words = f"{across} pictures{' of ' + mix.label if mix.label else ''}, a row for each truncation"
        columns.append(Column(title=mix.label or "", picture=tiled(torch.cat(parts), across, words)))
    return Rows(labels=[*(f"{place:g}" for place in places), "none"], columns=columns)


def ways(pipe: Pipeline, mixes: Sequence[ClassMix], seed: int) -> Rows:
    """Two ways between seeds, and where there are two classes or more, three between classes with the same seed."""
    third = max(1, len(mixes) // 3)
    within = [([mix], [seed + 2 * k, seed + 2 * k + 1]) for k, mix in enumerate((mixes[0], mixes[-1]))]
    pairs = [(mixes[k], mixes[(k + 1) % len(mixes)]) for k in (0, third, 2 * third) if k < len(mixes)]
    between = [([*pair], [seed + k]) for k, pair in enumerate(pairs) if pair[0].shares and pair[0] != pair[1]]
    drawn, told = [], []
    for ends, seeds in [*within, *between]:
        drawn.append(to_bytes(pipe.interpolate(ends, seeds, STEPS).x))
        names = " to ".join(mix.label or "" for mix in ends)
        told.append(f"{names}, seed {' to '.join(map(str, seeds))}".removeprefix(", "))
    words = f"{len(told)} rows of {STEPS} pictures, each row the way from its first picture to its last"
    return Rows(labels=told, columns=[Column(title="", picture=tiled(torch.cat(drawn), STEPS, words))])


def suspects(material: Material, near: Neighbours) -> list[Rows]:
    """Drawn images beside the training images nearest to them, in two parts."""
    half = -(-len(near.suspects) // 2)
    return [_beside(material, part) for part in (near.suspects[:half], near.suspects[half:]) if part]


def _beside(material: Material, part: Sequence[Suspect]) -> Rows:
    names, packed = material.pipe.class_names, material.packs["train"]
    places = [each.seed - material.seed for each in part]
    drawn = torch.cat([material.drawn.pixels(place, place + 1) for place in places])
    real = torch.from_numpy(np.stack([packed.images[i] for each in part for i in each.near])).permute(0, 3, 1, 2)
    words = f"Beside {len(part)} drawn images the training images nearest to each, the nearest first"
    return Rows(
        labels=[
            f"{names[each.label] if names else ''}\nseed {each.seed}: {each.distance:.2f}".strip() for each in part
        ],
        columns=[
            Column(title="drawn", picture=tiled(drawn, 1, f"{len(part)} drawn images")),
            Column(title="nearest training images", picture=tiled(real, len(part[0].near), words)),
        ],
    )
