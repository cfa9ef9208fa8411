"""Measures a model by names, and writes down all that was done.

A record (one line of `metrics.jsonl`) holds the name, values and standard errors, notes, how many drawn and real
images, the network with its hash and resize, truncation and batch-norm statistics, seed, the weights' hash, the data's
hash, precision and versions. Not here: the metrics, and finding models and data (`assess.py`).
"""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from biggan import __version__
from biggan.errors import ConfigError
from biggan.evaluation import looking, metrics
from biggan.evaluation.material import FLAGS, Material, Split
from biggan.evaluation.metrics import Finding
from biggan.evaluation.names import FEWEST, Measurement, parse_names
from biggan.models.statistics import Statistics

Metric = Callable[[Measurement, Material], Finding]

METRICS: dict[str, Metric] = {
    "fid": metrics.frechet,
    "fd": metrics.frechet,
    "kid": metrics.kernel,
    "is": metrics.score,
    "score": metrics.score,
    "pr": metrics.precision_recall,
    "dc": metrics.density_coverage,
    "ifid": metrics.by_class,
    "ifd": metrics.by_class,
    "acc": metrics.named_rightly,
    "cas": metrics.teaches,
    "copies": metrics.memorised,
    "trunc": looking.truncated,
    "d": looking.discriminated,
}
BY_CLASS = ("ifid", "ifd", "acc", "cas")
UNCOMPARED = f"Not compared with the training images, which some may be among; {FLAGS['train']} has that done."
USUAL = 2000  # drawn images, unless told


def usual(material: Material) -> list[Measurement]:
    """What is measured when nothing is asked for: what a laptop can do, with the network that ships in a package.

    Up to 64 px the network sees images at 96 px, which takes a quarter of the time.

    Raises:
        ConfigError: There are no training images.
    """
    material.pack("train")
    network = "@efficientnet_lite0" + ("_96px" if material.pipe.config.resolution <= 64 else "")
    enough = "test" in material.packs and material.pack("test").num_images >= FEWEST
    split: Split = "test" if enough else "train"
    most = min(material.pack(split).num_images, USUAL)
    count = str(most // 1000 * 1000 if most >= 1000 else most)
    names = [f"kid{USUAL}_{each}{network}" for each in material.packs]
    if most >= FEWEST:
        names += [f"{metric}{count}_{split}{network}" for metric in ("pr", "dc")]
    labels = material.labels["train"]
    if labels is not None and len(labels.unique()) > 1:
        names.append(f"acc{USUAL}_train{network}")
    names.append(f"copies{USUAL}_train{network}")
    labelled = not material.pipe.class_names or None not in material.labels.values()
    if material.pipe.discriminator is not None and labelled:
        names.append(f"d{USUAL}")
    return parse_names(",".join(names))


def check(asked: Sequence[Measurement], material: Material) -> None:
    """Checks before anything is computed that all that is asked for can be done.

    Raises:
        UserError: A split, network, class, discriminator or table of statistics is missing.
    """
    statistics = material.pipe.bundle.statistics
    statistics.row(material.truncation, material.threshold)
    last = material.seed + max((m.count for m in asked), default=0)
    if not 0 <= material.seed < last < 2**63:
        raise ConfigError(f"--seed is {material.seed}; it must be at least 0, and the last image's below 2^63.")
    for m in asked:
        if m.split:
            material.pack(m.split, m)
        if m.metric in BY_CLASS:
            material.classes(m.split or "train", m)
        if m.kind.sees:
            material.network(m)
        if m.metric in ("pr", "dc", "trunc"):
            metrics.check_as_many(m, material.pack(m.split or "train", m).num_images)
        if m.metric == "d":
            _check_discriminated(m, material)
        if m.metric == "trunc":
            _check_truncated(m, statistics)
            if (material.truncation, material.threshold) != (None, None):
                raise ConfigError(f"--metrics {m} truncates by itself; leave out --truncation and --threshold.")


def _check_truncated(m: Measurement, statistics: Statistics) -> None:
    try:
        for place in looking.TRUNCATIONS:
            statistics.row(truncation=place)
    except ConfigError as error:
        grid = ", ".join(f"{place:g}" for place in looking.TRUNCATIONS)
        raise ConfigError(f"--metrics {m} draws at truncations {grid}, and this model cannot: {error}") from error


def _check_discriminated(m: Measurement, material: Material) -> None:
    if material.pipe.discriminator is None:
        raise ConfigError(f"--metrics {m}: this model was saved without its discriminator; leave it out.")
    if not material.packs:
        raise ConfigError(f"--metrics {m} needs real images; give {FLAGS['train']}.")
    for split in material.packs if material.pipe.class_names else ():
        material.classes(split, m)


def measured(asked: Sequence[Measurement], material: Material) -> Iterator[dict[str, Any]]:
    """The record of each measurement, as soon as it is made; nothing is kept of drawn images at the end.

    Raises:
        UserError: As `check`, or there are too few images.
        BigGANError: What the material's progress raises, to stop.
    """
    check(asked, material)
    for m in asked:
        began = time.monotonic()
        found = METRICS[m.metric](m, material)
        yield _record(m, found, material, time.monotonic() - began)
    material.tidy()


def _record(m: Measurement, found: Finding, material: Material, seconds: float) -> dict[str, Any]:
    bundle, sampler = material.pipe.bundle, material.pipe.sampler
    network = material.network(m) if m.kind.sees else None
    described = network and {"name": network.name, "sha256": network.sha256, "resize": network.resize}
    packs = {split: packed.sha256 for split, packed in material.packs.items() if split in (m.split, *found.also)}
    drawn_by = "as imported" if _imported(material) else "averaged"
    unsure = [UNCOMPARED] if "test" in packs and "train" not in material.packs else []
    return {
        "name": str(m),
        "title": m.kind.title,
        "values": found.values,
        "errors": found.errors,
        "notes": [*found.notes, *unsure],
        "drawn_images": m.count,
        "real_images": found.real_images,
        "split": m.split,
        "real_sha256": packs,
        "network": described and {**described, "size": network and network.size},
        "seeds": [material.seed, material.seed + m.count - 1],
        "classes": _classes(material),
        "truncation": material.truncation,
        "threshold": material.threshold,
        "statistics": _statistics(m, material),
        "weights": {"sha256": bundle.sha256, "images": bundle.training.get("images"), "generator": drawn_by},
        "precision": sampler.precision,
        "batch_size": sampler.batch_size,
        "versions": {"biggan": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "seconds": round(seconds, 1),
        "date": time.strftime("%Y-%m-%d"),
        **found.more,
    }


def _classes(material: Material) -> str:
    if not material.pipe.class_names:
        return "none"
    return "evenly" if material.labels.get("train") is None else "as often as in the training images"


def _statistics(m: Measurement, material: Material) -> str:
    """Which standing statistics the drawn images were normalised with."""
    if m.metric == "trunc":
        return "standing, of each truncation"
    if material.truncation is not None:
        return f"standing, of truncation {material.truncation:g}"
    if material.threshold is not None:
        return f"standing, of threshold {material.threshold:g}"
    return "as imported" if _imported(material) else "standing"


def _imported(material: Material) -> bool:
    """Whether the model is another project's, which says what it holds in its own words, if at all."""
    return "imported from" in material.pipe.bundle.training
