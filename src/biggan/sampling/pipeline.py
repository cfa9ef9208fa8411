"""The object users hold: a model that draws classes by name, seeds and truncation as pictures.

What it hands back is in `drawn.py`; the drawing itself in `sampler.py`; finding a model by path or name in
`opening.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from biggan import __version__, latents
from biggan.config import Model
from biggan.errors import ConfigError, ModelError
from biggan.models.build import count_parameters
from biggan.models.bundle import Bundle
from biggan.models.network import Discriminator, Generator
from biggan.sampling import grids
from biggan.sampling.classes import ClassLike, ClassMix, embed, parse_classes
from biggan.sampling.drawn import Drawn, Interpolation, Pictures, file_stem
from biggan.sampling.recipe import CHUNK, Precision, Recipe, read_recipe, to_text
from biggan.sampling.sampler import Sampler, to_bytes
from biggan.training.hardware import pick_device

Classes = ClassLike | Iterable[ClassLike] | None
"""What may be asked for; see `parse_classes`. None is every class."""

Pair = tuple[ClassMix, int]
"""A class or mix and a seed."""


class Pipeline:
    """Draws from a model.

    ```python
    pipe = biggan.load("fashion-mnist")
    pipe(["Sneaker", {"Bag": 0.7, "Sneaker": 0.3}], num_images=4, truncation=0.5, seed=7).images
    ```

    Args:
        bundle: The model; its networks are used, not copied.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.sampler = Sampler(bundle.G, bundle.statistics)

    @property
    def generator(self) -> Generator:
        """G; call it as `G(z, G.embed(y))`."""
        return self.bundle.G

    @property
    def discriminator(self) -> Discriminator | None:
        """D, where the model keeps it."""
        return self.bundle.D

    @property
    def class_names(self) -> list[str]:
        """A name for each class; empty for a model without classes."""
        return self.bundle.class_names

    @property
    def config(self) -> Model:
        """What the networks are made from."""
        return self.bundle.G.config

    def __repr__(self) -> str:
        config, classes = self.config, f"{len(self.class_names)} classes" if self.class_names else "no classes"
        size = f"{config.resolution} px {grids.MODES[config.image_channels]}"
        parameters = f"{count_parameters(self.generator):,} parameters in G"
        return f"Pipeline({self.bundle.path or config.architecture}: {size}, {classes}, {parameters})"

    def to(
        self,
        device: torch.device | str | None = None,
        *,
        precision: Precision | None = None,
        batch_size: int | None = None,
    ) -> "Pipeline":
        """Moves the networks and sets how to draw; what is None stays.

        Args:
            device: Where to draw: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, `mps`.
            precision: Of convolutions and matrix products.
            batch_size: Images drawn at once, 1 to 4096; another number may round a byte differently.

        Returns:
            This pipeline.

        Raises:
            ConfigError: A device that is not here, or a precision or batch size that is not allowed.
        """
        if device is not None:
            place = pick_device(str(device))
            for network in (self.bundle.G, self.bundle.D):
                if network is not None:
                    network.to(place)
        old = self.sampler
        size = old.asked_batch_size if batch_size is None else batch_size
        self.sampler = Sampler(self.bundle.G, self.bundle.statistics, size, precision or old.precision)
        return self

    def __call__(
        self,
        classes: Classes = None,
        num_images: int = 1,
        truncation: float | None = None,
        threshold: float | None = None,
        seed: int = 0,
    ) -> Drawn:
        """Draws images of each class; image k of every class has the seed `seed + k`.

        Args:
            classes: Names, numbers or mixes (see `parse_classes`); None for one row of every class.
            num_images: Images of each class.
            truncation: In (0, 1], the published modules' convention (see `latents.draw`).
            threshold: Positive, the paper's convention; at most one of the two.
            seed: Seed of the first image of every class, 0 to 2^63 - 1.

        Raises:
            ConfigError: An unknown class, or a number outside what is allowed.
        """
        if num_images < 1:
            raise ConfigError(f"num_images is {num_images}; allowed is 1 or more.")
        mixes, seeds = parse_classes(classes, self.class_names), range(seed, seed + num_images)
        return self.draw([(mix, each) for mix in mixes for each in seeds], num_images, truncation, threshold)

    def draw(
        self, pairs: Sequence[Pair], columns: int, truncation: float | None = None, threshold: float | None = None
    ) -> Drawn:
        """Draws classes with their seeds, row by row; every row is one class, every column one seed.

        Args:
            pairs: At least one class or mix with its seed.
            columns: Pictures in a row of the sheet.
            truncation: See `__call__`.
            threshold: See `__call__`.

        Raises:
            ConfigError: A number outside what is allowed.
        """
        mixes, seeds = [mix for mix, _ in pairs], [seed for _, seed in pairs]
        x = self.sampler.draw(seeds, mixes, truncation, threshold)
        shared = self.recipe(truncation, threshold)
        recipes = [replace(shared, seed=seed, mix=mix.label) for mix, seed in pairs]
        images = _images(x)
        for image, recipe in zip(images, recipes, strict=True):
            image.info[CHUNK] = to_text(recipe)
        return Drawn(
            x=x,
            images=images,
            columns=columns,
            row_labels=[in_margin(mix) for mix in mixes[::columns]] if self.class_names else [],
            column_labels=grids.seed_labels(seeds[:columns], bool(self.class_names)),
            corner="seed",
            drawn_with=shared,
            recipes=recipes,
            names=[self.file_name(mix, seed) for mix, seed in pairs],
        )

    def file_name(self, mix: ClassMix, seed: int) -> str:
        """How the picture of a class and seed is called, `<class>_<seed>.png`."""
        if mix.label is None:
            return f"image_{seed:04}.png"
        name = self.class_names[mix.shares[0][0]] if len(mix.shares) == 1 else mix.label
        return f"{file_stem(name, self.class_names, mix.numbers)}_{seed:04}.png"

    def like(self, path: Path | str) -> Drawn:
        """Draws a picture again from the recipe in it: the same bytes on the same machine.

        Raises:
            ConfigError: The file has no undamaged recipe.
            ModelError: Another model drew it.
        """
        recipe = read_recipe(Path(path))
        if recipe.model != self.bundle.sha256:
            told = f"weights {recipe.model[:12]}, and this model's are {self.bundle.sha256[:12]}"
            raise ModelError(f"{path} was drawn by another model ({told}); give the model that drew it.")
        mixes = parse_classes("all" if recipe.mix is None else recipe.mix, self.class_names)
        if len(mixes) != 1:
            raise ConfigError(f"The recipe in {path} names {len(mixes)} classes; give another picture (--like).")
        old = self.sampler
        self.to(precision=recipe.precision, batch_size=recipe.batch_size)
        try:
            return self.draw([(mixes[0], recipe.seed)], 1, recipe.truncation, recipe.threshold)
        finally:
            self.sampler = old

    def interpolate(
        self,
        classes: Classes = None,
        seeds: Sequence[int] = (0,),
        steps: int = 9,
        loop: bool = False,
        truncation: float | None = None,
        threshold: float | None = None,
    ) -> Interpolation:
        """Draws the way over keypoints (class, seed): spherical in z, linear in the class embedding.

        Args:
            classes: One for all keypoints or one for each; None for every class.
            seeds: Likewise.
            steps: Pictures from one keypoint to the next, both included; at least 2.
            loop: Go back from the last keypoint to the first.
            truncation: See `__call__`.
            threshold: See `__call__`.

        Raises:
            ConfigError: Fewer than two keypoints, classes and seeds that do not go together, or a number outside
                what is allowed.
        """
        mixes, chosen = _keypoints(parse_classes(classes, self.class_names), list(seeds))
        if not 2 <= steps <= 10_000:
            raise ConfigError(f"--steps is {steps}; allowed is 2 to 10000.")
        z, c = latents.draw(chosen, self.generator.dim_z, truncation, threshold), embed(self.generator, mixes).cpu()
        legs = [(i, (i + 1) % len(chosen)) for i in range(len(chosen) if loop else len(chosen) - 1)]
        ways = [_way((z[a], c[a]), (z[b], c[b]), steps) for a, b in legs]
        x = self.sampler.render(torch.cat([z for z, _ in ways]), torch.cat([c for _, c in ways]), truncation, threshold)
        points = [f"{in_margin(mix)} ({seed})".strip() for mix, seed in zip(mixes, chosen, strict=True)]
        return Interpolation(
            x=x,
            images=_images(x),
            columns=steps,
            row_labels=[f"{points[a]} to {points[b]}" for a, b in legs],
            column_labels=[],
            corner="",
            drawn_with=self.recipe(truncation, threshold),
            loop=loop,
        )

    def truncation_curve(
        self,
        values: Sequence[float],
        classes: Classes = None,
        seeds: Sequence[int] = tuple(range(8)),
        by: Literal["truncation", "threshold"] = "truncation",
    ) -> Pictures:
        """Draws the same classes and seeds at several truncations: a row for each class and value.

        Args:
            values: Truncations or thresholds, at least one.
            classes: See `__call__`.
            seeds: Columns of the sheet.
            by: Which of the two conventions the values are of.

        Raises:
            ConfigError: An unknown class, no value, or a number outside what is allowed.
        """
        if not values or not seeds:
            raise ConfigError("There is nothing to draw; give at least one of --values and one of --seeds.")
        mixes = parse_classes(classes, self.class_names)
        rows = [(mix, value) for mix in mixes for value in values]
        parts = [
            self.sampler.draw(seeds, [mix] * len(seeds), *((value, None) if by == "truncation" else (None, value)))
            for mix, value in rows
        ]
        x = torch.cat(parts)
        return Pictures(
            x=x,
            images=_images(x),
            columns=len(seeds),
            row_labels=[(f"{in_margin(mix)}, " if len(mixes) > 1 else "") + f"{by} {value:g}" for mix, value in rows],
            column_labels=[str(seed) for seed in seeds],
            corner="seed",
            drawn_with=self.recipe(None, None),
        )

    def recipe(self, truncation: float | None, threshold: float | None) -> Recipe:
        """What all pictures of one call share; its seed and class mean nothing."""
        return Recipe(
            seed=0,
            truncation=truncation,
            threshold=threshold,
            model=self.bundle.sha256,
            precision=self.sampler.precision,
            batch_size=self.sampler.batch_size,
            biggan=__version__,
            torch=torch.__version__,
        )


def in_margin(mix: ClassMix) -> str:
    """A class as a sheet says it: by its label, or by number where the sheet's font lacks letters of it."""
    if mix.label is None:
        return ""
    text = mix.label if len(mix.shares) == 1 else mix.label.replace(",", ", ")
    return text if grids.legible(text) else f"class {mix.numbers}"


def _images(x: Tensor) -> list[Image.Image]:
    return grids.to_images(to_bytes(x))


def _keypoints(mixes: list[ClassMix], seeds: list[int]) -> tuple[list[ClassMix], list[int]]:
    """Classes and seeds of equal number, one of either standing for all."""
    count = max(len(mixes), len(seeds))
    if count < 2:
        raise ConfigError("An interpolation needs two ends; give two seeds (--seeds) or two classes (--from, --to).")
    if len(mixes) not in (1, count) or len(seeds) not in (1, count):
        raise ConfigError(f"{len(mixes)} classes and {len(seeds)} seeds do not pair up; give one, or {count} of each.")
    return mixes * (count // len(mixes)), seeds * (count // len(seeds))


def _way(start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor], steps: int) -> tuple[Tensor, Tensor]:
    """Latents (steps, dim_z) and conditions (steps, condition) from (z, c) to (z, c); the ends are exact."""
    times = [i / (steps - 1) for i in range(1, steps - 1)]
    z = [start[0], *(latents.slerp(start[0], end[0], t) for t in times), end[0]]
    c = [start[1], *(torch.lerp(start[1], end[1], t) for t in times), end[1]]
    return torch.stack(z), torch.stack(c)
