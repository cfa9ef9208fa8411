"""What a pipeline hands back: pictures that know their recipes, lay themselves out, save and show themselves.

Not here: drawing (`pipeline.py`), and how a sheet or film is made (`grids.py`).
"""

import json
import re
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from biggan.atomic import write_bytes
from biggan.errors import ConfigError
from biggan.sampling import grids
from biggan.sampling.recipe import FILM_MARK, Recipe, png_bytes, save_png

SHEET_ENDINGS, FILM_ENDINGS = (".png",), (".webp", ".gif")
MOST_NAME = 120  # bytes of a file's name before its seed


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures in rows and columns; a notebook shows them as a sheet."""

    x: Tensor
    """The images as G gave them, (N, C, H, W) float32 in [-1, 1], row by row."""
    images: list[Image.Image]
    """The same as pictures: grey, grey and alpha, RGB or RGBA."""
    columns: int
    """Pictures in a row of the sheet."""
    row_labels: list[str]
    """Text left of each row; empty for none."""
    column_labels: list[str]
    """Text above each column; empty for none."""
    corner: str
    """What the column labels are."""
    drawn_with: Recipe
    """What all of them share; its seed and class mean nothing."""

    def sheet(self, scale: int | None = None) -> Image.Image:
        """All pictures on one labelled page (see `grids.sheet`)."""
        labels = (self.row_labels, self.column_labels)
        return grids.sheet(self.images, self.columns, *labels, corner=self.corner, scale=scale)

    def save_sheet(self, path: Path | str, scale: int | None = None) -> None:
        """Writes the sheet as a PNG, replacing an older one.

        Raises:
            ConfigError: The name does not end in .png, or the sheet would be too large.
            DiskFailed: The write failed.
        """
        place = Path(path)
        if place.suffix.lower() not in SHEET_ENDINGS:
            raise ConfigError(f"A sheet is a PNG, and {place.name!r} is none; name it .png (--out).")
        write_bytes(place, png_bytes(self.sheet(scale), sheet_text(self.drawn_with)))

    def _repr_png_(self) -> bytes:
        return png_bytes(self.sheet(), sheet_text(self.drawn_with))


@dataclass(frozen=True, kw_only=True)
class Drawn(Pictures):
    """Pictures of classes and seeds, each with its recipe, also in `image.info["biggan"]`."""

    recipes: list[Recipe]
    """What each was drawn from."""
    names: list[str]
    """File names `<class>_<seed>.png`."""

    @property
    def seeds(self) -> list[int]:
        """The seed of each."""
        return [recipe.seed for recipe in self.recipes]

    @property
    def labels(self) -> list[str]:
        """The class or mix of each; empty text in a model without classes."""
        return [recipe.mix or "" for recipe in self.recipes]

    def save(self, folder: Path | str) -> list[Path]:
        """Writes every picture with its recipe into a folder, replacing what bears its name.

        Raises:
            DiskFailed: A write failed.
        """
        paths = [Path(folder) / name for name in self.names]
        for image, path, recipe in zip(self.images, paths, self.recipes, strict=True):
            save_png(image, path, recipe)
        return paths

    def __repr__(self) -> str:
        size = f"{self.images[0].width} px {self.images[0].mode}"
        return f"Drawn({len(self.images)} images, {size}, {', '.join(map(repr, dict.fromkeys(self.labels)))})"


@dataclass(frozen=True, kw_only=True)
class Interpolation(Pictures):
    """The way over several keypoints: a row of the sheet is the way from one to the next, both included."""

    loop: bool
    """Whether the last row leads back to the first keypoint."""

    def frames(self) -> list[Image.Image]:
        """The pictures in order without those that two rows share; repeats seamlessly if it is a loop."""
        kept = [image for i, image in enumerate(self.images) if (i + 1) % self.columns]
        return kept if self.loop else [*kept, self.images[-1]]

    def save(self, path: Path | str, scale: int | None = None, fps: float = 12) -> None:
        """Writes a sheet (.png) or a film (.webp, .gif), by the name's ending.

        Args:
            path: The file, replaced if there.
            scale: Whole factor of magnification; None for `grids.usual_scale`.
            fps: Pictures of a film a second.

        Raises:
            ConfigError: Another ending, or a scale or rate that is not allowed.
            DiskFailed: The write failed.
        """
        place = Path(path)
        kind = place.suffix.lower()
        if kind in FILM_ENDINGS:
            write_bytes(place, grids.film(self.frames(), kind, FILM_MARK + sheet_text(self.drawn_with), scale, fps))
        elif kind in SHEET_ENDINGS:
            self.save_sheet(place, scale)
        else:
            raise ConfigError(f"{place.name!r} ends neither in .png nor in .webp or .gif; rename it (--out).")


def sheet_text(recipe: Recipe) -> str:
    """What a sheet's PNG says of itself: what all its pictures share."""
    shared = {name: value for name, value in asdict(recipe).items() if name not in ("seed", "mix", "batch_size")}
    return json.dumps({"sheet": True, **shared})


def file_stem(name: str, class_names: Sequence[str], numbers: str) -> str:
    """The part of a file's name that says the class: safe on every system, and one class's alone.

    Args:
        name: The class's name, or a mix's label.
        class_names: All names of the model.
        numbers: The class by number (`ClassMix.numbers`), appended where another's stem would be the same.
    """
    stem = _safe(name)
    alike = sum(_safe(other).casefold() == stem.casefold() for other in class_names)
    return stem if stem and alike <= 1 else f"{stem or 'class'}~{_safe(numbers)}"


def _safe(text: str) -> str:
    stem = re.sub(r"[^\w.+-]+", "-", unicodedata.normalize("NFC", text)).strip("-.")
    if len(stem.encode()) <= MOST_NAME:
        return stem
    return f"{stem.encode()[:MOST_NAME].decode(errors='ignore')}~{zlib.crc32(text.encode()):08x}"
