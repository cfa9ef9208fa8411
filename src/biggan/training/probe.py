"""A look at what G draws: the same latents and classes each time, beside real images.

Losses hardly move when a GAN collapses; its pictures do. Few pictures are enough, since the latents never change: what
differs from one look to the next is G. Pictures are drawn as D sees them, with the statistics of their batch, from a
copy, so a look changes nothing. Numbers from here compare a run with itself; `evaluation` has those that mean
something to others. Not here: what is done about them (`guard.py`).
"""

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from biggan import latents
from biggan.data.packed import Packed
from biggan.latents import Stream
from biggan.models.layers import norms
from biggan.models.network import Discriminator, Generator
from biggan.models.spectral import settle, vectors_held

CLASSES = 16  # looked at, at most
PICTURES = 64  # drawn at a look, about, in equal shares
LEAST_EACH = 4  # pictures of a class at least
AT_ONCE = 32  # images that go through a network together: batch norm's moments, and so all figures, depend on it
REAL = 640  # real images that they are compared with, about
BY_HEART = 160  # training images, and as many held-out ones, that D is asked about
LEAST_SPREAD = 0.25  # of a feature over real images, as a share of all features' (RMS): some are black at a side
ROUNDING = 1e-4  # spread below which differences are that

DIVERSITY = ("diversity", "least_diversity")

Features = Callable[[Tensor], Tensor]
Distance = Callable[[Tensor, Tensor], float]


class Probe:
    """Real images to compare with, and the latents and classes to draw.

    Attributes:
        classes: Labels of the classes looked at, the first of those that have images; [0] without labels.
        num_groups: How many these are.
        group: Which of them each picture is of, (N,).

    Args:
        packed: The data.
        held_out: Images of the same classes that D never sees, if there are any.
        features: Images (N, C, R, R) in [-1, 1] -> features (N, D), both on the CPU.
        distance: Features of real and of drawn images -> a distance that needs no many images.
        device: Where G and D are.
        pictures: Drawn at a look, about.
        standardise: Whether to give each feature mean 0 and spread 1 over the real images first.
    """

    def __init__(
        self,
        packed: Packed,
        held_out: Packed | None,
        features: Features,
        distance: Distance,
        device: torch.device,
        pictures: int = PICTURES,
        standardise: bool = True,
    ) -> None:
        self._features, self._distance, self._device = features, distance, device
        self.classes, places = chosen_images(packed)
        self.num_groups = len(self.classes)
        each = max(pictures // self.num_groups, LEAST_EACH)
        self.group = torch.arange(self.num_groups).repeat(each)  # of each picture; a chunk has all classes
        self._y = torch.tensor(self.classes)[self.group].to(device)
        few = np.concatenate([_spread(place, each) for place in places])
        of_class = torch.arange(self.num_groups).repeat_interleave(torch.tensor([min(each, len(p)) for p in places]))
        self._few = real_images(packed, few).to(device), of_class.to(device)
        both = (packed, held_out) if held_out else ()
        self._seen_and_not = [self._labelled(images, _evenly(images, self.classes)) for images in both]
        group = torch.arange(self.num_groups).repeat_interleave(torch.tensor([len(place) for place in places]))
        chunks = torch.from_numpy(np.concatenate(places)).split(64)
        real = torch.cat([features(real_images(packed, chunk.numpy())) for chunk in chunks])
        self._mean, self._spread = torch.zeros(real.shape[1]), torch.ones(real.shape[1])
        if standardise:
            self._mean = real.mean(0)
        if standardise and len(real) > 1:
            spread = real.std(0)
            self._spread = spread.clamp_min(max(LEAST_SPREAD * float(spread.square().mean().sqrt()), ROUNDING))
        if len(real) == 1:  # one image has no spread, and a distance needs two
            real, group = real.repeat(2, 1), group.repeat(2)
        self._real = (real - self._mean) / self._spread
        self._within = self._pair_distances(self._real, group)
        self._centres = self._means(self._real, group)

    @torch.no_grad()
    def draw(self, G: Generator, averaged: bool = False) -> Tensor:
        """The pictures, (N, C, R, R) in [-1, 1], on the CPU; the classes in turn.

        Args:
            G: The generator.
            averaged: Whether its weights are averages, which the vectors of its layers do not follow.
        """
        G = copy.deepcopy(G).train()
        if averaged:
            settle(G)
        for _, norm in norms(G):
            norm.replicas = 1  # one process looks alone
        z = latents.normal(0, Stream.PROBE, 0, len(self._y), G.dim_z).to(self._device)
        parts = zip(z.split(AT_ONCE), self._y.split(AT_ONCE), strict=True)
        with vectors_held(G):
            return torch.cat([G(part, G.embed(y)).float() for part, y in parts]).cpu()

    def distance(self, x: Tensor) -> float:
        """Distance of any pictures, (N, C, R, R) in [-1, 1], to the real images; NaN where one is not finite."""
        features = self._standardised(x)
        return self._distance(self._real, features) if bool(torch.isfinite(features).all()) else float("nan")

    def figures(self, x: Tensor) -> dict[str, float]:
        """What the pictures tell: distance to the real images, diversity of a class's pictures.

        Returns:
            `distance`: by the function given. `diversity`: mean distance of two pictures of a class, as a share of
            that of two real images of it; the mean over classes, and `least_diversity` of the worst. With several
            classes `apart <label>`, how far a class's pictures lie from its real images: the mean squared difference
            of the means of their features; and `recognised`, the share of pictures that lie nearer to the mean of
            their own class's real images than to another's. NaN where a picture is not finite.
        """
        features = self._standardised(x)
        finite = bool(torch.isfinite(features).all())
        shares = self._pair_distances(features, self.group) / self._within
        shares = shares[torch.isfinite(shares)]
        least, mean = (float(shares.min()), float(shares.mean())) if len(shares) else (1.0, 1.0)
        figures = {"distance": self._distance(self._real, features) if finite else math.nan}
        figures |= {"diversity": mean, "least_diversity": least} if finite else dict.fromkeys(DIVERSITY, math.nan)
        if self.num_groups < 2:
            return figures
        apart = (self._means(features, self.group) - self._centres).square().mean(1).tolist()
        nearest = torch.cdist(features, self._centres).argmin(1)
        figures["recognised"] = float((nearest == self.group).float().mean()) if finite else math.nan
        return figures | {f"apart {label}": value for label, value in zip(self.classes, apart, strict=True)}

    @torch.no_grad()
    def label_sense(self, D: Discriminator) -> float:
        """How often D finds a real image more real with its own label than with another; 1 without classes.

        What D makes of a label whatever the image, which moves all the time, is taken off first. About a half where
        labels say nothing to D, as they do in the end: a D that finds G perfect has the same to say of everything.
        """
        if self.num_groups < 2:
            return 1.0
        x, group = self._few
        D = copy.deepcopy(D).eval()
        labels = torch.tensor(self.classes, device=self._device)
        x = x.to(dtype=D.compute_dtype or x.dtype, memory_format=torch.channels_last)
        h = torch.cat([F.relu(D.features(part)).sum((2, 3)).float() for part in x.split(AT_ONCE)])
        logits = h @ D.embed(labels).float().T  # what a label adds
        logits = logits - logits.mean(0)
        own = logits.gather(1, group[:, None])
        return float((own > logits).float().sum(1).mean()) / (self.num_groups - 1)

    @torch.no_grad()
    def by_heart(self, D: Discriminator) -> dict[str, float]:
        """Whether D knows its training images by heart.

        Returns:
            `by_heart`: chance that D finds a training image more real than a held-out one, 0.5 where it cannot tell
            them apart and 1 where it always can; nothing without held-out images.
        """
        if not self._seen_and_not:
            return {}
        D = copy.deepcopy(D).eval()
        seen, unseen = (self._logits(D, *images) for images in self._seen_and_not)
        above = (seen[:, None] > unseen).float() + 0.5 * (seen[:, None] == unseen).float()
        return {"by_heart": float(above.mean())}

    def _labelled(self, packed: Packed, places: np.ndarray) -> tuple[Tensor, Tensor]:
        """Images with their labels, where D is."""
        return real_images(packed, places).to(self._device), torch.from_numpy(_labels(packed)[places]).to(self._device)

    def _logits(self, D: Discriminator, x: Tensor, y: Tensor) -> Tensor:
        """D's outputs, (N,), on the CPU."""
        parts = zip(x.split(AT_ONCE), y.split(AT_ONCE), strict=True)
        return torch.cat([D(x_, y_ if D.num_classes else None)[:, 0].float() for x_, y_ in parts]).cpu()

    def _standardised(self, x: Tensor) -> Tensor:
        return (self._features(x) - self._mean) / self._spread

    def _means(self, features: Tensor, group: Tensor) -> Tensor:
        """Mean features of each group, (groups, D)."""
        return torch.stack([features[group == k].mean(0) for k in range(self.num_groups)])

    def _pair_distances(self, features: Tensor, group: Tensor) -> Tensor:
        """Mean distance of two images of each group, (groups,); NaN for a group of one."""
        return torch.stack([torch.pdist(features[group == k]).mean() for k in range(self.num_groups)])


def chosen_images(packed: Packed) -> tuple[list[int], list[np.ndarray]]:
    """The first classes, as on a sheet, and places in the pack of the real images of each, evenly spread."""
    labels = _labels(packed)
    classes = np.unique(labels)[:CLASSES]
    each = REAL // len(classes)
    return classes.tolist(), [_spread(np.flatnonzero(labels == k), each) for k in classes]


def _evenly(packed: Packed, classes: list[int]) -> np.ndarray:
    """Places of about `BY_HEART` images, in equal shares of the classes where there are as many."""
    each = max(BY_HEART // len(classes), 1)
    return np.concatenate([_spread(np.flatnonzero(_labels(packed) == k), each) for k in classes])


def _spread(places: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the places, evenly spread."""
    return places[np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).astype(np.int64))]


def _labels(packed: Packed) -> np.ndarray:
    return np.zeros(packed.num_images, np.int64) if packed.labels is None else packed.labels


def real_images(packed: Packed, places: np.ndarray) -> Tensor:
    """Images of a pack, (N, C, R, R) float32 in [-1, 1]."""
    return torch.from_numpy(np.array(packed.images[places])).permute(0, 3, 1, 2).float() / 127.5 - 1
