"""Measurements by features: material → figures with their errors, and what has to be known to read them.

The mathematics is in `distances.py`, `manifolds.py` and `scores.py`. Not here: what needs the images themselves
(`looking.py`), and the record (`measure.py`).
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from biggan.errors import DataError
from biggan.evaluation import manifolds
from biggan.evaluation.distances import fit_gaussian, frechet_distance, frechet_infinity, kernel_distance
from biggan.evaluation.material import FLAGS, Material, Split
from biggan.evaluation.names import Measurement
from biggan.evaluation.probe import fit_probe, shares_right
from biggan.evaluation.scores import inception_score, sampling_error

HALVINGS = 5  # behind an error; such an error is itself known to a third
MOST_REAL = 50_000  # real images behind distances between all pairs, and behind a probe
SHOWN = 10  # pairs of drawn images and their nearest training images
SPLITS = 10
ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a measurement found."""

    values: dict[str, float]
    """The first is the one that the measurement is named for."""
    errors: dict[str, float]
    """Standard errors of some of them, from which images were drawn (and, in `pr` and `dc`, which real ones taken)."""
    real_images: int
    also: tuple[Split, ...] = ()
    """Splits of real images that were looked at beside the measurement's own."""
    notes: list[str] = field(default_factory=list)
    """Sentences."""
    more: dict[str, Any] = field(default_factory=dict)
    """Figures of single classes or images."""


def frechet(m: Measurement, material: Material) -> Finding:
    """Fréchet distance, and what infinitely many drawn images would give (Chong and Forsyth 2020)."""
    store, fake = material.real(m), material.drawn_features(m)
    real = store.gaussian()
    value = frechet_distance(real, fake)
    error = sampling_error(lambda x: frechet_distance(real, x), fake, halvings=HALVINGS)
    needed = 2 * fake.shape[1]
    if len(fake) >= needed:
        values = {"distance": value, "of infinitely many": frechet_infinity(real, fake)}
        notes = ["The bias of the number of drawn images is taken off in the second figure."]
    else:
        values = {"distance": value}
        notes = [
            f"Too large by the bias of few images, which is known from {needed:,} on; compare at equal counts only."
        ]
    return Finding(values=values, errors={"distance": error.item()}, real_images=store.count, notes=notes)


def kernel(m: Measurement, material: Material) -> Finding:
    """Kernel distance, unbiased at any number of images."""
    store, fake = material.real(m), material.drawn_features(m)
    real, _ = store.some(MOST_REAL)
    found = kernel_distance(real, fake)
    return Finding(values={"distance": found.value}, errors={"distance": found.error}, real_images=len(real))


def score(m: Measurement, material: Material) -> Finding:
    """Inception score of ten splits; its custom deviation, and its standard error."""
    network = material.network(m)
    device = next(network.parameters()).device
    p = torch.cat([network.scores(rows.to(device)).cpu() for rows in material.drawn_features(m).split(ROWS)]).softmax(1)
    found = inception_score(p, SPLITS)
    error = sampling_error(lambda p: inception_score(p, SPLITS).mean, p, halvings=HALVINGS)
    notes = ["Rises with the number of images; compare at equal counts only."]
    values = {"score": found.mean, "deviation over splits": found.std}
    return Finding(values=values, errors={"score": error.item()}, real_images=0, notes=notes)


def precision_recall(m: Measurement, material: Material) -> Finding:
    """Improved precision and recall, at equal numbers of real and drawn images."""
    return _manifolds(m, material, ("precision", "recall"))


def density_coverage(m: Measurement, material: Material) -> Finding:
    """Density and coverage, at equal numbers of real and drawn images."""
    return _manifolds(m, material, ("density", "coverage"))


def _manifolds(m: Measurement, material: Material, names: tuple[str, str]) -> Finding:
    real, fake = as_many_real(m, material), material.drawn_features(m)
    values, errors = manifold_figures(real, fake)
    chosen = {name: values[name] for name in names}
    return Finding(values=chosen, errors={name: errors[name] for name in names}, real_images=len(real))


def as_many_real(m: Measurement, material: Material) -> Tensor:
    """Features of as many real images as are drawn, (m.count, D).

    Raises:
        DataError: There are fewer.
    """
    store = material.real(m)
    check_as_many(m, store.count)
    return store.some(m.count)[0]


def check_as_many(m: Measurement, count: int) -> None:
    """Checks that there are as many real images as are drawn.

    Raises:
        DataError: There are fewer.
    """
    if count < m.count:
        raise DataError(
            f"--metrics {m} needs {m.count:,} real images, as many as drawn, and {FLAGS[m.split or 'train']} has "
            f"{count:,}; write a smaller number."
        )


def manifold_figures(real: Tensor, fake: Tensor) -> tuple[dict[str, float], dict[str, float]]:
    """The four measures of `manifolds.manifolds`, and their standard errors, by name."""
    values = manifolds.manifolds(real, fake)
    errors = sampling_error(lambda *sets: [*manifolds.manifolds(*sets)], real, fake, halvings=HALVINGS)
    return values._asdict(), dict(zip(values._fields, errors.tolist(), strict=True))


def by_class(m: Measurement, material: Material) -> Finding:
    """Fréchet distance of each class, their mean and the worst, which a distance of all images does not see."""
    labels, store = material.classes(m.split or "train", m), material.real(m)
    fake, fake_labels = material.drawn_features(m), material.drawn.labels(0, m.count)
    names = material.pipe.class_names
    each, squares = dict[str, float](), 0.0
    for label, name in enumerate(names):
        drawn = fake[fake_labels == label]
        rows = (labels == label).nonzero()[:, 0]
        if min(len(rows), len(drawn)) < 4:
            continue
        real = fit_gaussian(store.at(rows))
        each[name] = frechet_distance(real, drawn)
        squares += sampling_error(lambda x, real=real: frechet_distance(real, x), drawn, halvings=HALVINGS).item() ** 2
    if not each:
        raise DataError(f"--metrics {m}: no class has four real and four drawn images; write a larger number.")
    worst = max(each, key=lambda name: each[name])
    values = {"mean": sum(each.values()) / len(each), "worst class": each[worst]}
    notes = [f"The worst class is {worst}. Mostly the bias of few images: compare at equal counts only."]
    if len(each) < len(names):
        notes.append(f"{len(names) - len(each)} classes with fewer than four images are left out.")
    error = math.sqrt(squares) / len(each)
    more = {"classes_each": each}
    return Finding(values=values, errors={"mean": error}, real_images=store.count, notes=notes, more=more)


def named_rightly(m: Measurement, material: Material) -> Finding:
    """Share of drawn images whose class a probe trained on real images names: are they what was asked for?

    With held-out images it says too how many of these the same probe names, which is what can be hoped for.
    """
    real, labels = _labelled(m, material, m.split or "train")
    fake, fake_labels = material.drawn_features(m), material.drawn.labels(0, m.count)
    found = _probed(material, (real, labels), (fake, fake_labels), len(real))
    if m.split == "test" or material.labels.get("test") is None:
        return found
    yardstick = _probed(material, (real, labels), _labelled(m, material, "test"), len(real)).values["share"]
    return replace(found, values={**found.values, "held-out real images": yardstick}, also=("test",))


def teaches(m: Measurement, material: Material) -> Finding:
    """Share of real images whose class a probe trained on drawn ones names: do they show all that classes look like?

    Source: the classification accuracy score of Ravuri and Vinyals 2019, with a probe for the classifier.
    """
    real, labels = _labelled(m, material, m.split or "train")
    fake, fake_labels = material.drawn_features(m), material.drawn.labels(0, m.count)
    classes = len(material.pipe.class_names)

    def share(some: Tensor) -> float:
        return shares_right(fit_probe(fake[some], fake_labels[some], classes), real, labels, classes)[0]

    found = _probed(material, (fake, fake_labels), (real, labels), len(real))
    error = sampling_error(share, torch.arange(len(fake)), halvings=HALVINGS)
    return replace(found, errors={"share": error.item()})


def _labelled(m: Measurement, material: Material, split: Split) -> tuple[Tensor, Tensor]:
    labels = material.classes(split, m)
    real, rows = material.real(m, split).some(MOST_REAL)
    return real, labels[rows]


def _probed(
    material: Material, learned: tuple[Tensor, Tensor], asked: tuple[Tensor, Tensor], real_images: int
) -> Finding:
    names = material.pipe.class_names
    probe = fit_probe(*learned, len(names))
    right, of_each = shares_right(probe, *asked, len(names))
    each = {name: share for name, share in zip(names, of_each, strict=True) if share == share}
    worst = min(each, key=lambda name: each[name])
    error = math.sqrt(right * (1 - right) / len(asked[1]))
    return Finding(
        values={"share": right, "worst class": each[worst]},
        errors={"share": error},
        real_images=real_images,
        notes=[f"The worst class is {worst}."],
        more={"classes_each": each},
    )


def memorised(m: Measurement, material: Material) -> Finding:
    """Share of copies, by held-out images where there are any; authenticity; and the nearest pairs.

    Source: `manifolds.copies`, `manifolds.authenticity`.
    """
    other: Split = "train" if m.split == "test" else "test"
    fake, labels = material.drawn_features(m), material.drawn.labels(0, m.count)
    real, rows = material.real(m).some(MOST_REAL)
    authentic = manifolds.authenticity(real, fake)
    values, errors = {"authentic": authentic}, {"authentic": math.sqrt(authentic * (1 - authentic) / len(fake))}
    lacks = "held-out images" if other == "test" else "training images"
    notes = [f"Without {lacks} ({FLAGS[other]}) copies cannot be told from images that are merely typical."]
    also = (other,) if other in material.packs else ()
    if also:
        held_out, _ = material.real(m, other).some(MOST_REAL)
        share = manifolds.copies(real, held_out, fake)
        halves = held_out, fake  # few held-out images say little, which their halves tell
        error = sampling_error(lambda h, x: manifolds.copies(real, h, x), *halves, halvings=HALVINGS)
        values, errors = {"copies": share, **values}, {"copies": error.item(), **errors}
        notes = [f"Told by {len(held_out):,} images of the other split; 0 is expected of a model that copies nothing."]
    found = manifolds.nearest_neighbours(fake, real)
    order = found.distances[:, 0].argsort()[:SHOWN].tolist()
    names = material.pipe.class_names
    nearest = [
        {
            "seed": material.seed + i,
            "class": names[int(labels[i])] if names else None,
            "image": int(rows[found.indices[i, 0]]),
            "distance": round(float(found.distances[i, 0]), 4),
        }
        for i in order
    ]
    more = {"nearest": nearest}
    return Finding(values=values, errors=errors, real_images=len(real), also=also, notes=notes, more=more)
