"""Measurements that need the images themselves: what D makes of them, and what truncation does to them.

Not here: what needs features alone (`metrics.py`).
"""

import math

import torch
from torch import Tensor

from biggan.data.packed import Packed
from biggan.errors import DataError
from biggan.evaluation.images import Images, Real, in_batches
from biggan.evaluation.material import FLAGS, Material, Split
from biggan.evaluation.metrics import Finding, as_many_real, manifold_figures
from biggan.evaluation.names import Measurement

TRUNCATIONS = (0.2, 0.4, 0.6, 0.8, 1.0)
JUDGED = 0.4  # the truncation that the verdict compares with 1
SURE = 2.0  # standard errors
SATURATED = 0.1  # share of byte values at an end of the scale, over what real images and truncation 1 have


def discriminated(m: Measurement, material: Material) -> Finding:
    """D's accuracy on training, held-out and drawn images, and whether it knows the training images by heart.

    An image counts as called real where D's output is above 0, which is where the hinge and the non-saturating loss
    have their boundary. `memorised` is how much more often D ranks a training image above a held-out one than the
    reverse, 0 to 1; it needs no boundary and no classes. Source: Brock et al. 2019, Section 4.2.
    """
    for split, packed in material.packs.items():
        if packed.num_images < 2:
            raise DataError(f"--metrics {m} needs two images, and {FLAGS[split]} has one; give more, or leave it out.")
    drawn = outputs(material, material.drawn, material.drawn.labels(0, m.count), "drawn")
    real: dict[str, Tensor] = {split: _of_real(m, material, split) for split in material.packs}
    values = {f"{split} called real": float((d > 0).double().mean()) for split, d in real.items()}
    values["drawn called drawn"] = float((drawn < 0).double().mean())
    counts = [*map(len, real.values()), m.count]
    shares = zip(values.items(), counts, strict=True)
    errors = {name: math.sqrt(share * (1 - share) / count) for (name, share), count in shares}
    if len(real) == 2:
        values["memorised"], errors["memorised"] = ranked_above(real["train"], real["test"])
        notes = ["Without overfitting D treats training and held-out images alike, and memorised is 0."]
    else:
        lacks = f"training images ({FLAGS['train']})" if "test" in real else f"held-out images ({FLAGS['test']})"
        notes = [f"With {lacks} it would show whether D knows the training images by heart."]
    means = {name: round(float(d.mean()), 4) for name, d in {**real, "drawn": drawn}.items()}
    most, more = max(map(len, real.values())), {"mean output": means}
    return Finding(values=values, errors=errors, real_images=most, also=(*material.packs,), notes=notes, more=more)


def ranked_above(x: Tensor, y: Tensor) -> tuple[float, float]:
    """P(x > y) - P(x < y) over all pairs of numbers x (N,) and y (M,), and its standard error."""
    ordered_x, ordered_y = x.sort().values, y.sort().values
    of_x = (torch.searchsorted(ordered_y, x) + torch.searchsorted(ordered_y, x, right=True)).double() / len(y) - 1
    of_y = 1 - (torch.searchsorted(ordered_x, y) + torch.searchsorted(ordered_x, y, right=True)).double() / len(x)
    error = (of_x.var() / len(x) + of_y.var() / len(y)).sqrt()
    return of_x.mean().item(), error.item()


def outputs(material: Material, images: Images, labels: Tensor, what: str) -> Tensor:
    """D's output for images with their classes (N,): (N,), float64."""
    D, tick = material.pipe.discriminator, material.ticker(f"D on {what} images", len(labels))
    assert D is not None
    device = next(D.parameters()).device

    def judged(x: Tensor, start: int) -> Tensor:
        y = labels[start : start + len(x)].to(device)
        logits: Tensor = D(x.to(device), y if D.config.num_classes else None)
        return logits

    return in_batches(images, 0, len(labels), judged, tick)[:, 0].double()


def _of_real(m: Measurement, material: Material, split: Split) -> Tensor:
    packed, named = material.pack(split), bool(material.pipe.class_names)
    rows = _rows(packed, m.count)
    labels = material.classes(split, m)[rows] if named else torch.zeros(len(rows), dtype=torch.int64)
    return outputs(material, Real(packed, rows), labels, split)


def _rows(packed: Packed, most: int) -> Tensor:
    """Places of as many images of a set, at random: classes lie one after another."""
    return torch.randperm(packed.num_images, generator=torch.Generator().manual_seed(0))[:most].sort().values


def truncated(m: Measurement, material: Material) -> Finding:
    """Whether the model is amenable to truncation: quality up and variety down as it falls, and nothing saturated.

    A Fréchet distance is no judge of this: near 0 it rises, as variety is lost. Source: Brock et al. 2019, Section 3.1.
    """
    split: Split = m.split or "train"
    real = as_many_real(m, material)
    packed = material.pack(split)
    some = _rows(packed, m.count)
    tick = material.ticker("values of real images", len(some))
    at_ends = float(in_batches(Real(packed, some), 0, len(some), share_at_ends, tick).mean())
    curve = []
    for place in TRUNCATIONS:
        values, errors = manifold_figures(real, material.drawn_features(m, place))
        tick = material.ticker(f"values of drawn images at truncation {place:g}", m.count)
        ends = float(in_batches(material.at(place), 0, m.count, share_at_ends, tick).mean())
        point = {"truncation": place, **{name: values[name] for name in ("precision", "recall", "coverage")}}
        curve.append(point | {"precision error": errors["precision"], "at the ends": ends})
    verdict, why = judge(curve, at_ends)
    low, full = (next(p for p in curve if p["truncation"] == place) for place in (JUDGED, 1.0))
    gain = low["precision"] - full["precision"]
    error = math.hypot(low["precision error"], full["precision error"])
    return Finding(
        values={"gain in precision": gain, "loss of recall": full["recall"] - low["recall"]},
        errors={"gain in precision": error},
        real_images=len(real),
        notes=[f"{verdict.capitalize()}: {why}. The figures are of truncation {JUDGED:g} against 1."],
        more={"verdict": verdict, "curve": curve, "real values at the ends": at_ends},
    )


def share_at_ends(x: Tensor, start: int = 0) -> Tensor:
    """Share of each image's values that are -1 or 1: (N, C, H, W) in [-1, 1] → (N,)."""
    return (x.abs() > 0.999).double().mean((1, 2, 3))


def judge(curve: list[dict[str, float]], real_at_ends: float) -> tuple[str, str]:
    """The verdict on a curve over truncations, and why.

    Args:
        curve: Points with `truncation`, `precision`, `precision error`, `recall` and `at the ends`; 0.4 and 1 among
            them.
        real_at_ends: Share of real images' values that are -1 or 1.

    Returns:
        `amenable`, `not amenable` or `unclear`, and a clause that says by what.
    """
    by_place = {point["truncation"]: point for point in curve}
    low, full = by_place[JUDGED], by_place[1.0]
    allowed = max(real_at_ends, full["at the ends"]) + SATURATED
    saturated = max(curve, key=lambda point: point["at the ends"])
    if saturated["at the ends"] > allowed:
        place, share = saturated["truncation"], saturated["at the ends"]
        return "not amenable", f"at truncation {place:g} images saturate, {share:.0%} of their values are at an end"
    gain = low["precision"] - full["precision"]
    error = math.hypot(low["precision error"], full["precision error"])
    if max(low["precision"], full["precision"]) == 0:
        return "not amenable", "no image lies near the real ones at any truncation"
    if full["recall"] == 0:
        return "not amenable", "drawn images come near no real one at truncation 1, so no variety is there to give up"
    if gain > SURE * error:
        return "amenable", "precision rises as truncation falls, and nothing saturates"
    if gain < -SURE * error:
        return "not amenable", "precision falls with truncation"
    return "unclear", "precision changes by no more than chance; draw more images"
