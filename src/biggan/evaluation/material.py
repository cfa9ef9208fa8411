"""What measurements are made of: real images by split with their classes, drawn images, networks, and their features.

Not here: what is made of it (`metrics.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from biggan.data.packed import Packed
from biggan.errors import ConfigError, DataError
from biggan.evaluation.features import FeatureNetwork, efficientnet_lite
from biggan.evaluation.images import Drawn, Real
from biggan.evaluation.inception import inception
from biggan.evaluation.names import INCEPTION, NETWORKS, Measurement
from biggan.evaluation.store import Store
from biggan.sampling.classes import parse_classes
from biggan.sampling.pipeline import Pipeline

Split = Literal["train", "test"]
FLAGS = {"train": "--data", "test": "--test-data"}

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the images done, and all of them; may raise to stop the work."""


@dataclass
class Material:
    """All that the measurements of one call share.

    Args:
        pipe: The model, on the device to compute on.
        packs: Its training images, and held-out ones if there are any.
        seed: Seed of the first drawn image.
        truncation: See `latents.draw`.
        threshold: See `latents.draw`.
        cache: The cache folder.
        inception_file: The weights of the 2015 Inception network, if there are any.
        progress: Takes progress.
        pause: See `Store`.
    """

    pipe: Pipeline
    packs: Mapping[Split, Packed]
    seed: int
    truncation: float | None
    threshold: float | None
    cache: Path
    inception_file: Path | None
    progress: Progress
    pause: Callable[[], None] = lambda: None
    drawn_stores: list[Store] = field(default_factory=list)
    """Features that `tidy` removes."""
    networks: dict[tuple[str, int | None], FeatureNetwork] = field(default_factory=dict)
    """Loaded so far, by name and size."""

    def __post_init__(self) -> None:
        self.labels = {split: aligned(packed, self.pipe.class_names) for split, packed in self.packs.items()}
        self.drawn = Drawn(self.pipe, self._shares(), self.seed, self.truncation, self.threshold)

    def pack(self, split: Split, asked: Measurement | None = None) -> Packed:
        """Real images.

        Args:
            split: Of them.
            asked: What needs them, if one measurement does.

        Raises:
            ConfigError: There are none of this split.
        """
        if split not in self.packs:
            who, instead = (f"--metrics {asked}", ", or leave it out") if asked else ("Measuring", "")
            raise ConfigError(f"{who} needs {split} images; give {FLAGS[split]}{instead}.")
        return self.packs[split]

    def classes(self, split: Split, asked: Measurement) -> Tensor:
        """The class of each real image by the model's numbers, (N,), int64, for a measurement.

        Raises:
            ConfigError: There are no images of this split.
            DataError: The model or the images have no classes, or theirs are not the model's.
        """
        self.pack(split, asked)
        labels = self.labels[split]
        if labels is None:
            raise DataError(
                f"--metrics {asked} needs classes, and those of {FLAGS[split]} are not the model's (or there are "
                f"none); give images with its classes, or leave it out."
            )
        return labels

    def network(self, measurement: Measurement) -> FeatureNetwork:
        """The feature network that a measurement names, on the model's device.

        Raises:
            ConfigError: It is the Inception network and there is no file, or a package is missing.
            ModelError: The file is not the one.
        """
        key = (measurement.network, measurement.size)
        if key not in self.networks:
            self.networks[key] = self._load(measurement).to(self.pipe.generator.linear.weight.device)
        return self.networks[key]

    def _load(self, measurement: Measurement) -> FeatureNetwork:
        if measurement.network != INCEPTION:
            return efficientnet_lite(NETWORKS[measurement.network], measurement.size)
        if self.inception_file is None:
            raise ConfigError(
                f"--metrics {measurement} needs the weights of the 2015 Inception network; give them (--inception), or "
                f"ask for a network that ships in a package (kid2k_train@efficientnet_lite0)."
            )
        return inception(self.inception_file)

    def real(self, measurement: Measurement, split: Split | None = None) -> Store:
        """Features of all real images of the measurement's split, or of another."""
        split = split or measurement.split or "train"
        packed = self.pack(split)
        tick = self.ticker(f"features of {split} images", packed.num_images)
        return Store(self.cache, self.network(measurement), Real(packed), packed.num_images, tick, self.pause)

    def drawn_features(self, measurement: Measurement, truncation: float | None = None) -> Tensor:
        """Features of the measurement's drawn images, (count, dimensions), float32; at a truncation of its own."""
        drawn = self.drawn if truncation is None else self.at(truncation)
        at = "" if truncation is None else f" at truncation {truncation:g}"
        tick = self.ticker(f"features of drawn images{at}", measurement.count)
        store = Store(self.cache, self.network(measurement), drawn, measurement.count, tick, self.pause)
        self.drawn_stores.append(store)
        return store.first(measurement.count)

    def at(self, truncation: float) -> Drawn:
        """The same seeds and classes at another truncation."""
        return replace(self.drawn, truncation=truncation, threshold=None)

    def tidy(self) -> None:
        """Removes the features of drawn images, which are kept only in case of an interruption."""
        for store in self.drawn_stores:
            store.remove()

    def ticker(self, what: str, total: int) -> Callable[[int], None]:
        """What counts images up to `total` and shows it."""
        done = 0

        def tick(count: int) -> None:
            nonlocal done
            done += count
            self.progress(what, done, total)

        return tick

    def _shares(self) -> list[float]:
        """How often each class is drawn: as often as in the training images, evenly where that is not known."""
        count = len(self.pipe.class_names)
        labels = self.labels.get("train")
        if count == 0 or labels is None:
            return [1 / max(count, 1)] * count
        return (torch.bincount(labels, minlength=count).double() / len(labels)).tolist()


def aligned(packed: Packed, class_names: list[str]) -> Tensor | None:
    """Labels by a model's numbers of classes, (N,), int64, if all the images' classes are classes of the model."""
    if packed.labels is None or not class_names:
        return None
    try:
        mixes = parse_classes(packed.class_names, class_names)
    except ConfigError:
        return None
    numbers = [mix.shares[0][0] for mix in mixes if len(mix.shares) == 1]
    if len(set(numbers)) != len(packed.class_names):
        return None
    return torch.tensor(numbers)[torch.from_numpy(packed.labels)]
