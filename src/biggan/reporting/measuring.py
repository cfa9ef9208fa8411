"""What a report measures of a model: quality against variety at each truncation, and how near training images it draws.

The mathematics is `evaluation/`'s. Quick looks, not records: fewer images than `biggan evaluate` takes, and nothing is
kept. Not here: how the figures are shown.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from biggan.evaluation.eyes import Eyes
from biggan.evaluation.images import Images, Real, in_batches
from biggan.evaluation.looking import TRUNCATIONS, judge, share_at_ends
from biggan.evaluation.manifolds import authenticity, nearest_neighbours
from biggan.evaluation.material import Material
from biggan.evaluation.metrics import manifold_figures
from biggan.reporting.charts import Chart, Point, Series

SMALL, MIDDLE = 64, 128  # pixels up to which there is time for many images, and for some
MANY, SOME = 500, 200
MOST_COMPARED = 60_000  # training images among which neighbours are looked for
SUSPECTS, NEAREST = 10, 5  # drawn images that are shown, and training images of each
BINS = 24


def usual_count(resolution: int) -> int:
    """Images that are drawn to be measured at each truncation unless told; 0 where that would take long."""
    return MANY if resolution <= SMALL else SOME if resolution <= MIDDLE else 0


class Curve(NamedTuple):
    """Quality against variety."""

    chart: Chart
    rows: list[tuple[str, str, str]]
    """Truncation, precision, recall."""
    verdict: str
    """A sentence."""
    how: str
    """What was measured with what."""


def truncation_curve(material: Material, eyes: Eyes, count: int) -> Curve:
    """Precision and recall of as many drawn as real images at each truncation, and what `looking.judge` says of them.

    Raises:
        DataError: The features are not finite.
    """
    packed = material.pack("train")
    count = min(count, packed.num_images)
    chosen = torch.randperm(packed.num_images, generator=torch.Generator().manual_seed(0))[:count].sort().values
    tick = material.ticker("real images, to compare with", count)
    real, ends = _seen(eyes, Real(packed, chosen), count, tick)
    points, curve = [], []
    for place in TRUNCATIONS:
        tick = material.ticker(f"drawn images at truncation {place:g}", count)
        fake, fake_ends = _seen(eyes, material.at(place), count, tick)
        values, errors = manifold_figures(real, fake)
        recall, precision = values["recall"], values["precision"]
        points.append(Point(recall, precision, errors["precision"], errors["recall"], f"{place:g}"))
        ends_and_error = {"precision error": errors["precision"], "at the ends": fake_ends}
        curve.append({"truncation": place, "precision": precision, "recall": recall, **ends_and_error})
    verdict, why = judge(curve, ends)
    chart = Chart(
        title="Quality against variety",
        reading="Each dot is a truncation: up is better quality (precision), right is more variety (recall); a useful "
        "truncation climbs to the left.",
        series=[Series(f"truncation {TRUNCATIONS[0]:g} to {TRUNCATIONS[-1]:g}", points, dots=True)],
        x_label="recall",
        y_label="precision",
    )
    how = f"{count:,} drawn and {count:,} training images at each, seen by {eyes.name}. ± and bars are standard errors."
    rows = [(p.label, f"{p.y:.2f} ± {p.dy:.2f}", f"{p.x:.2f} ± {p.dx:.2f}") for p in points]
    return Curve(chart, rows, f"{verdict.capitalize()}: {why}.", how)


def _seen(eyes: Eyes, images: Images, count: int, tick: Callable[[int], None]) -> tuple[Tensor, float]:
    """Features (count, D), and the mean share of values that are -1 or 1."""

    def use(x: Tensor, start: int) -> Tensor:
        return torch.cat([eyes.see(x), share_at_ends(x)[:, None].float()], 1)

    both = in_batches(images, 0, count, use, tick)
    return both[:, :-1].contiguous(), float(both[:, -1].mean())


class Suspect(NamedTuple):
    """A drawn image and the training images nearest to it."""

    seed: int
    label: int
    """Its class, 0 without classes."""
    distance: float
    """To the nearest, as a multiple of what is usual for a new real image."""
    near: list[int]
    """Places of the nearest in the pack."""


class Neighbours(NamedTuple):
    """How near training images a model draws."""

    suspects: list[Suspect]
    """The drawn images that are nearest to training images, the nearest first."""
    chart: Chart
    authentic: float
    """See `manifolds.authenticity`."""
    usual: float
    """The same of real images that were left out."""
    drawn: int
    """Of drawn images, how many."""
    compared: int
    """Of training images."""


LEAST_IMAGES = 20  # of training: two are left out as a yardstick


def neighbours(material: Material, eyes: Eyes, count: int) -> Neighbours | None:
    """Compares drawn images with training images, and so many left-out training images with the others as a yardstick.

    None where half of those that were left out have an exact twin among the others, so that there is no yardstick.

    Raises:
        DataError: The features are not finite.
    """
    packed = material.pack("train")
    compared = min(packed.num_images, MOST_COMPARED)
    order = torch.randperm(packed.num_images, generator=torch.Generator().manual_seed(1))[:compared]
    rows = order.sort().values
    real, _ = _seen(eyes, Real(packed, rows), compared, material.ticker("training images, for neighbours", compared))
    fake, _ = _seen(eyes, material.drawn, count, material.ticker("drawn images, for neighbours", count))
    left_out = torch.randperm(compared, generator=torch.Generator().manual_seed(2))[: min(count, compared // 10)]
    kept = torch.ones(compared, dtype=torch.bool)
    kept[left_out] = False
    yardstick = nearest_neighbours(real[left_out], real[kept]).distances[:, 0]
    found = nearest_neighbours(fake, real, min(NEAREST, compared))
    usual = yardstick.median()
    if not usual > 0:
        return None
    distances, labels = found.distances[:, 0] / usual, material.drawn.labels(0, count)
    suspects = [
        Suspect(material.seed + i, int(labels[i]), float(distances[i]), rows[found.indices[i]].tolist())
        for i in distances.argsort()[:SUSPECTS].tolist()
    ]
    both = {"drawn images": distances, "training images left out": yardstick / usual}
    return Neighbours(
        suspects,
        _histogram(both),
        authenticity(real, fake),
        authenticity(real[kept], real[left_out]),
        count,
        compared,
    )


def _histogram(sets: dict[str, Tensor]) -> Chart:
    """Shares of images by distance to the nearest training image."""
    most = max(float(values.quantile(0.99)) for values in sets.values())
    series = []
    for name, values in sets.items():
        shares = torch.histc(values.float(), BINS, 0.0, most) / len(values)
        smooth = F.avg_pool1d(F.pad(shares[None], (1, 1), "replicate"), 3, 1)[0]
        series.append(Series(name, [Point((k + 0.5) * most / BINS, float(y)) for k, y in enumerate(smooth)]))
    return Chart(
        title="Distance to the nearest training image",
        reading="A hump of drawn images at 0 would be copies; a line left of that of left-out images means typical "
        "pictures, right of it unusual or poor ones.",
        series=series,
        x_label="distance, 1 is usual for a new real image",
        y_label="share of images",
    )
