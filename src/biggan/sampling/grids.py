"""Pictures on one page or in one film: labelled sheets, strips, animations.

Everything here takes finished pictures; nothing is ever stretched to a sheet's own range. Which pictures to draw is
`pipeline.py`'s affair.
"""

import io
import string
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from biggan.errors import ConfigError

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
LEAST_TILE = 96  # pixels: smaller pictures are magnified on a sheet
MOST_PIXELS = 120_000_000  # of a sheet's pictures; viewers choke on more
PAPER, INK, FAINT = (255, 255, 255), (34, 34, 34), (120, 120, 120)
CHECKER = (218, 218, 218)  # every other square behind transparent pixels


def to_images(x: Tensor) -> list[Image.Image]:
    """Images (N, C, H, W) uint8 with 1 to 4 channels as pictures: grey, grey and alpha, RGB, RGBA."""
    arrays = x.permute(0, 2, 3, 1).contiguous().numpy()
    if x.shape[1] == 1:
        arrays = arrays[..., 0]
    return [Image.fromarray(array, MODES[x.shape[1]]) for array in arrays]


def usual_scale(size: int) -> int:
    """The whole factor by which pictures of `size` pixels are magnified on a sheet unless told."""
    return max(1, -(-LEAST_TILE // size))


def check_room(count: int, size: int, scale: int | None = None) -> int:
    """The factor by which a sheet of `count` pictures of `size` pixels magnifies them.

    Raises:
        ConfigError: The scale is not from 1 to 64, or all pictures together have more than 120 million pixels.
    """
    factor = usual_scale(size) if scale is None else scale
    if not 1 <= factor <= 64:
        raise ConfigError(f"--scale is {factor}; allowed is 1 to 64.")
    if count * (size * factor) ** 2 > MOST_PIXELS:
        told = f"{count:,} pictures of {size * factor} pixels"
        raise ConfigError(f"A sheet of {told} is too large; ask for fewer pictures or a lower --scale.")
    return factor


def opaque(image: Image.Image, scale: int) -> Image.Image:
    """A picture magnified by whole pixels, in RGB, transparent parts over a chequered ground."""
    image = _magnified(image, scale)
    if image.mode not in ("LA", "RGBA"):
        return image.convert("RGB")
    ground, cell = Image.new("RGB", image.size, PAPER), max(4, image.width // 12)
    pen = ImageDraw.Draw(ground)
    for top in range(0, image.height, cell):
        for left in range(top // cell % 2 * cell, image.width, 2 * cell):
            pen.rectangle((left, top, left + cell - 1, top + cell - 1), CHECKER)
    ground.paste(image.convert("RGB"), mask=image.getchannel("A"))
    return ground


def sheet(
    images: Sequence[Image.Image],
    columns: int,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    *,
    corner: str = "",
    scale: int | None = None,
) -> Image.Image:
    """Square pictures in rows, with labels in the margins.

    Args:
        images: At least one, all of one size, row by row.
        columns: Pictures in a row.
        row_labels: Text to the left of each row; none for no such margin.
        column_labels: Text above each column; none for no such margin.
        corner: What the column labels are, left of them.
        scale: Whole factor of magnification; None for `usual_scale`.

    Returns:
        An RGB picture on white.

    Raises:
        ConfigError: See `check_room`.
    """
    factor = check_room(len(images), images[0].width, scale)
    layout = _Layout(images[0].width * factor, row_labels, column_labels, corner)
    page = layout.blank(columns, -(-len(images) // columns))
    for i, image in enumerate(images):
        page.paste(opaque(image, factor), layout.place(i // columns, i % columns))
    layout.label(ImageDraw.Draw(page))
    return page


def cut(page: Image.Image, size: int, columns: int, rows: int) -> list[Image.Image]:
    """The pictures on a sheet that was made at the usual scale, at their own size, row by row, without its labels.

    Args:
        page: What `sheet` gave.
        size: Height and width of a picture.
        columns: Pictures in a row.
        rows: Rows of the sheet.

    Returns:
        RGB pictures; none where the page is no such sheet.
    """
    tile = size * usual_scale(size)
    gap, margin = _spaces(tile)
    left, top = (
        length - margin + gap - count * (tile + gap) for length, count in zip(page.size, (columns, rows), strict=True)
    )
    if min(left, top) < margin:
        return []
    places = [(left + i * (tile + gap), top + k * (tile + gap)) for k in range(rows) for i in range(columns)]
    crops = (page.crop((x, y, x + tile, y + tile)) for x, y in places)
    return [crop.convert("RGB").resize((size, size), Image.Resampling.NEAREST) for crop in crops]


def _spaces(tile: int) -> tuple[int, int]:
    """The gap between pictures and the margin around them."""
    return max(2, tile // 32), max(12, tile // 8)


class _Layout:
    """Where things are on a sheet; lengths in pixels."""

    def __init__(self, tile: int, row_labels: Sequence[str], column_labels: Sequence[str], corner: str) -> None:
        self.tile, (self.gap, self.margin) = tile, _spaces(tile)
        self.font = _font(max(13, min(tile // 6, 40)))
        self.line = sum(self.font.getmetrics())
        most, room = max(1, tile // self.line), 2 * max(tile, LEAST_TILE)
        self.rows = ["\n".join(_wrap(_plain(label), self.font, room, most)) for label in row_labels]
        self.columns = [_fit(_plain(label), self.font, tile) for label in column_labels]
        self.corner = _fit(corner, self.font, room) if row_labels and column_labels else ""
        widest = max(self.font.getlength(text) for text in "\n".join([*self.rows, self.corner]).split("\n"))
        self.left = self.margin + (int(widest + 1) + self.margin if row_labels else 0)
        self.top = self.margin + (self.line + self.gap if column_labels else 0)

    def place(self, row: int, column: int) -> tuple[int, int]:
        """Left and top of a picture."""
        step = self.tile + self.gap
        return self.left + column * step, self.top + row * step

    def blank(self, columns: int, rows: int) -> Image.Image:
        """An empty page of the right size."""
        width, height = (end - self.gap + self.margin for end in self.place(rows, columns))
        if width * height > MOST_PIXELS:
            raise ConfigError(
                f"A sheet of {width} x {height} pixels is too large; ask for fewer pictures or lower --scale."
            )
        return Image.new("RGB", (width, height), PAPER)

    def label(self, pen: ImageDraw.ImageDraw) -> None:
        """Writes the labels: those of rows flush right before the first picture, those of columns centred above."""
        right, base = self.left - self.margin, self.top - 2 * self.gap
        for row, text in enumerate(self.rows):
            middle = self.place(row, 0)[1] + self.tile / 2
            pen.multiline_text((right, middle), text, INK, self.font, anchor="rm", align="right")
        for column, text in enumerate(self.columns):
            pen.text((self.place(0, column)[0] + self.tile / 2, base), text, FAINT, self.font, anchor="ms")
        pen.text((right, base), self.corner, FAINT, self.font, anchor="rs")


def seed_labels(seeds: Sequence[int], with_corner: bool) -> list[str]:
    """Labels for columns of seeds: bare numbers where a corner says what they are."""
    return [str(seed) if with_corner else f"seed {seed}" for seed in seeds]


def film(frames: Sequence[Image.Image], kind: str, text: str, scale: int | None = None, fps: float = 12) -> bytes:
    """Pictures as an endlessly repeating film, the content of a file.

    Args:
        frames: At least one, of one size.
        kind: `".webp"` (lossless) or `".gif"` (at most 256 colours a frame).
        text: What the file says of itself, as a GIF's comment or a WebP's XMP.
        scale: Whole factor of magnification; None for `usual_scale`.
        fps: Frames a second, above 0 and up to 50, as fast as viewers show a GIF.

    Raises:
        ConfigError: The scale or rate is not allowed.
    """
    if not 0 < fps <= 50:
        raise ConfigError(f"--fps is {fps:g}; allowed is above 0 and up to 50.")
    factor = check_room(1, frames[0].width, scale)
    pages = [_magnified(frame, factor) if frame.mode == "L" else opaque(frame, factor) for frame in frames]
    buffer, duration = io.BytesIO(), round(1000 / fps)  # milliseconds
    options: dict[str, Any] = {"save_all": True, "append_images": pages[1:], "duration": duration, "loop": 0}
    options |= {"lossless": True, "xmp": text.encode()} if kind == ".webp" else {"comment": text.encode()}
    pages[0].save(buffer, kind[1:], **options)
    return buffer.getvalue()


def legible(text: str) -> bool:
    """Whether the sheet's font has every letter of a text, accents aside."""
    return all(character in string.printable for character in _plain(text))


def _plain(text: str) -> str:
    """A text without the accents that the font lacks, on one line."""
    decomposed = unicodedata.normalize("NFKD", " ".join(text.split()))
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _magnified(image: Image.Image, scale: int) -> Image.Image:
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _fit(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """A text cut to a width, with an ellipsis where something was cut."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text.rstrip() + "…"


def _wrap(text: str, font: ImageFont.FreeTypeFont, room: float, most: int) -> list[str]:
    """A text in at most `most` lines of a width, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(lines) < most and lines[-1] and font.getlength(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return [_fit(line, font, room) for line in lines]
