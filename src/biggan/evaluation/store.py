"""Features in the cache folder, in parts that are made once: an interrupted measurement goes on, a second one reads.

A set's folder is named by what decides its features: the images, the network with its hash, and the resize. Parts are
written whole, each with its own checksum; a damaged one is made again. Not here: how features are made (`images.py`).
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from biggan import atomic
from biggan.distributed.collective import lead
from biggan.errors import ConfigError, ModelError
from biggan.evaluation.distances import Gaussian, fit_gaussian, from_moments
from biggan.evaluation.features import FeatureNetwork
from biggan.evaluation.images import Images, Tick, features_of
from biggan.models.sealed import Shapes, seal, unseal

FORMAT = 1
PART = 1000
"""Images of a part."""
GAUSSIAN = "gaussian.safetensors"


class Store:
    """The features of the first `count` of some images, made when they are asked for.

    Args:
        cache: The cache folder; the set's own is made in it.
        network: What gives the features.
        images: Of what.
        count: How many.
        tick: Takes progress; not called for what is read.
        pause: Called before a part is made, by all processes; may raise to stop them all.

    Raises:
        ConfigError: Nothing can be written in the cache folder.
    """

    def __init__(
        self,
        cache: Path,
        network: FeatureNetwork,
        images: Images,
        count: int,
        tick: Tick,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self.network, self.images, self.count, self.tick, self.pause = network, images, count, tick, pause
        key = [FORMAT, images.identity, network.name, network.sha256, network.size, network.resize]
        self.folder = cache / "features" / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
        lead(self._make_folder)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            place = self.folder.parent.parent
            raise ConfigError(f"--cache {place} cannot be written ({error.strerror}); give another folder.") from error

    def parts(self) -> Iterator[Tensor]:
        """The features in order, a part at a time: (at most 1000, dimensions), float32."""
        for start in range(0, self.count, PART):
            yield self._part(start, min(start + PART, self.count))

    def first(self, count: int) -> Tensor:
        """The features of the first `count`: (count, dimensions), float32."""
        wanted = range(0, count, PART)
        return torch.cat([self._part(start, min(start + PART, self.count)) for start in wanted])[:count]

    def some(self, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Features (count, dimensions) of images chosen at random, always the same, and their rows (count,), rising."""
        rows = torch.randperm(self.count, generator=torch.Generator().manual_seed(seed))[:count].sort().values
        return self.at(rows), rows

    def at(self, rows: Tensor) -> Tensor:
        """Features (len(rows), dimensions) of the images in some rows, which rise."""
        chosen = []
        for start in range(0, self.count, PART):
            stop = min(start + PART, self.count)
            low, high = torch.searchsorted(rows, torch.tensor([start, stop])).tolist()
            if high > low:
                chosen.append(self._part(start, stop)[rows[low:high] - start])
        return torch.cat(chosen)

    def gaussian(self) -> Gaussian:
        """Of all `count`, a part at a time; kept."""
        place, dims = self.folder / f"{self.count}-{GAUSSIAN}", self.network.dimensions

        def expected(found: Shapes) -> Shapes:
            return {"mean": ("F64", (dims,)), "root": ("F64", (*found.get("root", ("", (0,)))[1][:1], dims))}

        def of_all() -> Gaussian | None:
            try:
                return Gaussian(**unseal(place, expected)[0])
            except ModelError:
                return None

        kept = lead(of_all)
        if kept is not None:
            return kept
        fitted = self._fit()
        lead(lambda: atomic.write_bytes(place, seal(fitted._asdict())))
        return fitted

    def remove(self) -> None:
        """Removes the set from the cache."""
        lead(lambda: atomic.remove(self.folder))

    def _fit(self) -> Gaussian:
        if self.count <= self.network.dimensions:
            return fit_gaussian(self.first(self.count))
        mean = torch.stack([part.sum(0, dtype=torch.float64) for part in self.parts()]).sum(0) / self.count
        covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
        for part in self.parts():
            centred = part.double() - mean
            covariance.addmm_(centred.T, centred)
        return from_moments(mean, covariance / (self.count - 1))

    def _part(self, start: int, stop: int) -> Tensor:
        """One part, read, or made by all processes and written by the first."""
        kept = lead(lambda: self._kept(start, stop))
        if kept is not None:
            return kept
        self.pause()
        made = features_of(self.network, self.images, start, stop, self.tick)
        lead(lambda: atomic.write_bytes(self._place(start, stop), seal({"features": made})))
        return made

    def _place(self, start: int, stop: int) -> Path:
        return self.folder / f"{start:09}-{stop:09}.safetensors"

    def _kept(self, start: int, stop: int) -> Tensor | None:
        shape: Shapes = {"features": ("F32", (stop - start, self.network.dimensions))}
        try:
            return unseal(self._place(start, stop), lambda found: shape)[0]["features"]
        except ModelError:
            return None
