"""Starting from another model: its weights for a run on other classes.

A class that both have, by name, keeps its embedding. Another begins from the old class whose pictures lie nearest to it
in D's features, or from the mean of all where there is no D, with as much noise as classes differ by, so that two that
begin from one can part. Everything else is copied as it is. Not here: which of D's blocks then stay as they are and how
long G is held (`Augment.freeze_d`, `Augment.hold_g`), and reading the model (`models/bundle.py`).
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biggan import latents
from biggan.config import Augment, Model
from biggan.data.packed import Packed
from biggan.errors import ConfigError
from biggan.models.build import skeleton
from biggan.models.bundle import Bundle
from biggan.models.network import Discriminator, Generator
from biggan.models.spectral import converge

NOISE = 1.0  # added to embeddings of new classes, in deviations of the old ones; with 0.1 they part late (notes)
LOOKS = 64  # real images of a new class that D looks at, at most
DRAWS = 16  # pictures of each old class likewise
TOLD = 8  # classes whose beginning is said
SHAPING = ("architecture", "resolution", "g_blocks", "g_widths", "g_channels", "d_blocks", "d_widths", "d_channels")
"""Settings that are named first where shapes differ, as the others follow from them."""


@dataclass(frozen=True)
class Origin:
    """Where a run starts from, for its record."""

    source: str  # as it was asked for
    bundle: Bundle

    @cached_property
    def sha256(self) -> str:
        """Of all that the run takes from the model, in hexadecimal."""
        digest = hashlib.sha256()
        for network in (self.bundle.G, self.bundle.D):
            for name, tensor in sorted(network.state_dict().items() if network else ()):
                digest.update(name.encode())
                digest.update(memoryview(tensor.contiguous().flatten().numpy()).cast("B"))
        return digest.hexdigest()


def check_start(model: Model, augment: Augment, bundle: Bundle | None) -> None:
    """Checks a run's settings against the model that it starts from, if there is one.

    Raises:
        ConfigError: They do not go together; the message names the flag.
    """
    if bundle is not None:
        check_fits(model, bundle)
    elif augment.hold_g:
        raise ConfigError("--hold-g keeps G as --init has it, and there is no --init; leave it out.")
    if augment.freeze_d:
        D = None if bundle is None else bundle.D
        blocks = 0 if D is None else len(list(D.get_submodule("blocks").children()))
        if not blocks:
            raise ConfigError("--freeze-d keeps the first blocks of a D from --init, and there is none; leave it out.")
        if augment.freeze_d > blocks:
            raise ConfigError(f"--freeze-d is {augment.freeze_d}; allowed is 0 to {blocks}, the blocks of D.")


def check_fits(model: Model, bundle: Bundle) -> None:
    """Checks that a run's networks can take a model's weights.

    Raises:
        ConfigError: One has classes and the other none, or the shapes differ.
    """
    old = bundle.G.config
    if bool(old.num_classes) != bool(model.num_classes):
        lacks = "no classes", "give --no-labels"
        has, instead = lacks if model.num_classes else ("classes", "give labelled images, without --no-labels")
        raise ConfigError(f"The model of --init has {has}, and the data are not so; {instead}.")
    new = replace(model, num_classes=old.num_classes)
    if _shapes(new) == _shapes(old):
        return
    if new.image_channels != old.image_channels:
        channels = f"{old.image_channels} channels and the images {new.image_channels}"
        raise ConfigError(f"The model of --init has {channels}; give --channels {old.image_channels}, or other images.")
    names = [field.name for field in dataclasses.fields(Model) if getattr(new, field.name) != getattr(old, field.name)]
    name = next((name for name in SHAPING if name in names), names[0])
    asked, has = getattr(new, name), getattr(old, name)
    flag = f"--{name.replace('_', '-')}"
    raise ConfigError(f"{flag} is {asked} and the model of --init has {has}; leave the flag out, or give that.")


def load(G: Generator, D: Discriminator, bundle: Bundle, packed: Packed, known: Sequence[int | None], seed: int) -> str:
    """Puts a model's weights into fresh networks that `check_fits`.

    Args:
        G: To be loaded.
        D: To be loaded, left as it is if the model has none.
        bundle: The model to start from.
        packed: The data, whose classes are G's and D's.
        known: Which class of the model each of them is, if it is one (`sampling.classes.same`).
        seed: Of the noise.

    Returns:
        A sentence that says which classes are known and where the others begin.
    """
    shares, new, sentence = _origins(bundle, packed, known)
    random = torch.Generator().manual_seed(seed)
    for network, old in ((G, bundle.G), (D, bundle.D)):
        if old is not None:
            network.load_state_dict(_transferred(network, old, shares, new, random))
            converge(network)
    grey = " Pictures are taken in grey, as the model draws them." if bundle.G.config.image_channels == 1 else ""
    return f"{sentence}{grey}" if bundle.D is not None else f"{sentence}{grey} D begins from scratch."


def _shapes(model: Model) -> list[dict[str, torch.Size]]:
    """Shapes of G's and of D's tensors."""
    return [{name: tensor.shape for name, tensor in network.state_dict().items()} for network in skeleton(model)]


def _origins(bundle: Bundle, packed: Packed, known: Sequence[int | None]) -> tuple[Tensor, Tensor, str]:
    """Where each class of the data begins.

    Returns:
        Shares (classes, old classes) of old embeddings, which of the classes are new (classes,), and a sentence.
    """
    names, num_old = packed.class_names, len(bundle.class_names)
    new = torch.tensor([place is None for place in known])
    shares = torch.zeros(len(names), num_old)
    for k, place in enumerate(known):
        if place is not None:
            shares[k, place] = 1
    if not any(place is None for place in known):
        numbered = ", by their numbers" if all(map(str.isdecimal, names)) else ""
        return shares, new, f"All classes are the model's{numbered}." if names else "No classes on either side."
    if bundle.D is None:
        shares[new] = 1 / num_old
        begun = "begin from the mean of its classes"
    else:
        near = nearest_classes(bundle.G, bundle.D, packed, [k for k, place in enumerate(known) if place is None])
        shares[new] = F.one_hot(near, num_old).float()
        pairs = [
            f"{names[k]} from {bundle.class_names[int(i)]}"
            for k, i in zip(new.nonzero()[:, 0].tolist(), near, strict=True)
        ]
        begun = f"begin from the nearest ({', '.join(pairs[:TOLD])}{', …' if len(pairs) > TOLD else ''})"
    return shares, new, f"{len(names) - int(new.sum())} of {len(names)} classes are the model's; the others {begun}."


@torch.no_grad()
def nearest_classes(G: Generator, D: Discriminator, packed: Packed, classes: list[int]) -> Tensor:
    """For each of some classes of the data the class of G whose pictures are most like it: (len(classes),) int64.

    By the distance between mean features of D, each feature in units of its deviation over all that was looked at.
    """
    z = latents.draw(range(DRAWS), G.dim_z)
    drawn = [_looks(D, G(z, G.embed(torch.full((DRAWS,), k)))) for k in range(G.num_classes)]
    real = [_looks(D, _images(packed, k)) for k in classes]
    scale = torch.cat([*drawn, *real]).std(0) + 1e-6
    ours, theirs = (torch.stack([part.mean(0) for part in parts]) / scale for parts in (real, drawn))
    return torch.cdist(ours, theirs).argmin(1)


def _images(packed: Packed, k: int) -> Tensor:
    """The first images of a class, (n, C, H, W) in [-1, 1]."""
    chosen = np.flatnonzero(packed.labels == k)[:LOOKS]
    return torch.from_numpy(packed.images[chosen]).permute(0, 3, 1, 2).float() / 127.5 - 1


def _looks(D: Discriminator, x: Tensor) -> Tensor:
    """D's features of images, (N, C)."""
    return F.relu(D.features(x)).mean((2, 3))


def _transferred(
    network: nn.Module, old: Generator | Discriminator, shares: Tensor, new: Tensor, random: torch.Generator
) -> dict[str, Tensor]:
    """A state for `network`, of `old`'s tensors and of mixtures of its embeddings."""
    config, state = old.config, dict(network.state_dict())
    if not config.num_classes:
        return dict(old.state_dict())
    one_more = skeleton(replace(config, num_classes=config.num_classes + 1))[
        isinstance(old, Discriminator)
    ].state_dict()
    for name, tensor in old.state_dict().items():
        grown = [axis for axis, (a, b) in enumerate(zip(tensor.shape, one_more[name].shape, strict=True)) if a != b]
        if not grown:
            state[name] = tensor
        elif name in dict(network.named_parameters()):
            state[name] = _embeddings(tensor, grown[0], config.condition == "zy", shares, new, random)
    return state


def _embeddings(
    tensor: Tensor, axis: int, at_the_end: bool, shares: Tensor, new: Tensor, random: torch.Generator
) -> Tensor:
    """A tensor with its classes, which lie along an axis before or after what belongs to z, mixed to those of a run."""
    count = shares.shape[1]
    rows = tensor.movedim(axis, 0)
    classes, rest = (rows[-count:], rows[:-count]) if at_the_end else (rows[:count], rows[count:])
    mixed = torch.tensordot(shares, classes, 1)
    apart = classes - classes.mean(0) if count > 1 else classes
    noise = torch.randn(mixed.shape, generator=random) * apart.std() * NOISE
    mixed = torch.where(new.view(-1, *[1] * (mixed.dim() - 1)), mixed + noise, mixed)
    parts = (rest, mixed) if at_the_end else (mixed, rest)
    return torch.cat(parts).movedim(0, axis)
