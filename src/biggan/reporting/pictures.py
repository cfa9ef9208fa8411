"""Pictures in the page itself: tiles in rows and columns as one small WebP, at their own size; the page magnifies them.

Tiles up to 64 px that are drawn for the page keep every byte; sheets of a run's history, and larger tiles, are
compressed as photographs are. Between tiles the picture is transparent, so that it suits light and dark. Not here: what
is drawn.
"""

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from biggan.sampling.grids import opaque, to_images

EXACT_TILE = 64  # pixels up to which tiles keep every byte
MOST_TILE = 128  # pixels of a tile; larger ones are reduced
WIDE = 720  # pixels on the page that a picture's rows are magnified to, about
MOST_PAGE = 1000  # pixels of a picture that is shown as it was found
QUALITY = 88  # of compression that is not exact
EFFORT = 75  # of compression that is exact; the most takes fifty times as long for a hundredth less


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is part of the page."""

    uri: str
    alt: str
    """What it shows, for those who do not see it."""
    width: int
    """On the page, in CSS pixels, where there is room."""
    height: int
    crisp: bool
    """Whether its pixels are to be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Tiles side by side under a heading."""

    title: str
    picture: Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of tiles with their labels, in columns side by side that share them."""

    labels: list[str]
    """Text of each row; empty for none."""
    columns: list[Column]


def tiled(x: Tensor, columns: int, alt: str) -> Picture:
    """Images (N, C, R, R) uint8 with 1 to 4 channels, N a multiple of `columns`, row by row."""
    return arranged([opaque(image, 1) for image in to_images(x)], columns, alt, exact=x.shape[-1] <= EXACT_TILE)


def arranged(images: Sequence[Image.Image], columns: int, alt: str, *, exact: bool) -> Picture:
    """Square RGB pictures of one size in rows of `columns`; `exact` keeps every byte of them."""
    size = images[0].width
    tile = min(size, MOST_TILE)
    step = tile + max(
        1, tile // 24
    )  # each tile has its gap to the right and below, so that columns of any number align
    rows = -(-len(images) // columns)
    page = Image.new("RGBA", (columns * step, rows * step), (0, 0, 0, 0))
    for i, image in enumerate(images):
        small = image if tile == size else image.resize((tile, tile), Image.Resampling.LANCZOS)
        page.paste(small, (i % columns * step, i // columns * step))
    factor = max(1, round(WIDE / 10 / tile))
    return Picture(_uri(page, exact), alt, page.width * factor, page.height * factor, crisp=tile <= EXACT_TILE)


def found(path: Path, alt: str) -> Picture | None:
    """A PNG as it was found, reduced if it is large; None where it cannot be read."""
    page = opened(path)
    if page is None:
        return None
    page.thumbnail((MOST_PAGE, MOST_PAGE), Image.Resampling.LANCZOS)
    return Picture(_uri(page, exact=False), alt, page.width, page.height, crisp=False)


def opened(path: Path) -> Image.Image | None:
    """A PNG of a sane size as RGB, None where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=("PNG",)) as image:
                return image.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
            return None


def _uri(image: Image.Image, exact: bool) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=exact, quality=EFFORT if exact else QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
