"""A contact sheet of real images. What is not here: sheets of drawn images (`biggan.sampling.grids`)."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from biggan.data.records import Labels, Pixels
from biggan.data.shards import Shards

COLUMNS = 10
LEAST = 64  # pixels an image takes on the sheet at least; whole multiples of its size
GAP = 2
MARGIN, LONGEST = 140, 20  # pixels and characters for the class name
PAPER, INK = (255, 255, 255), (0, 0, 0)


def draw_sheet(images: Pixels | Shards, labels: Labels | None, class_names: list[str], rows: int) -> Image.Image:
    """Rows of ten images (N, R, R, C) spread evenly over each class, or over all images."""
    places = [np.arange(len(images))] if labels is None else [np.flatnonzero(labels == k) for k in range(rows)]
    chosen = [_spread(where, COLUMNS if labels is not None else COLUMNS * rows) for where in places if len(where)]
    lines = [part for row in chosen for part in np.split(row, range(COLUMNS, len(row), COLUMNS))]
    side = images.shape[1] * max(1, -(-LEAST // images.shape[1]))
    margin = MARGIN if labels is not None else 0
    sheet = Image.new("RGB", (margin + COLUMNS * (side + GAP) + GAP, len(lines) * (side + GAP) + GAP), PAPER)
    write = ImageDraw.Draw(sheet)
    for line, row in enumerate(lines):
        top = GAP + line * (side + GAP)
        if labels is not None:
            name = class_names[labels[row[0]]][:LONGEST]
            write.text((6, top + side // 2), name, INK, ImageFont.load_default(13), anchor="lm")
        for column, i in enumerate(row):
            _paste(sheet, images[i], (margin + GAP + column * (side + GAP), top), side)
    return sheet


def _spread(where: Labels, count: int) -> Labels:
    return where[np.unique(np.linspace(0, len(where) - 1, min(count, len(where))).astype(np.int64))]


def _paste(sheet: Image.Image, pixels: Pixels, corner: tuple[int, int], side: int) -> None:
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))
    large = picture.resize((side, side), Image.Resampling.NEAREST)
    sheet.paste(large, corner, large if large.mode == "RGBA" else None)
