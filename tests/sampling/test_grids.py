"""A sheet shows every picture whole, in its place, unstretched; its labels touch neither pictures nor edges."""

import io
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops, ImageSequence

from biggan.errors import ConfigError
from biggan.sampling import grids


def pictures(count: int, channels: int, size: int = 32) -> list[Image.Image]:
    return grids.to_images(torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_tensors_become_pictures_byte_for_byte(channels: int, mode: str) -> None:
    x = torch.randint(0, 256, (2, channels, 5, 5), dtype=torch.uint8)
    for image, tensor in zip(grids.to_images(x), x, strict=True):
        assert image.mode == mode
        assert image.tobytes() == tensor.permute(1, 2, 0).contiguous().numpy().tobytes()


def find(page: Image.Image, tile: Image.Image) -> list[tuple[int, int]]:
    """Left and top of every place at which a tile stands on a page."""
    whole, part = np.asarray(page, dtype=np.int32), np.asarray(tile, dtype=np.int32)
    height, width = part.shape[:2]
    first = np.argwhere((whole[: -height + 1, : -width + 1] == part[0, 0]).all(-1))
    return [(x, y) for y, x in first if np.array_equal(whole[y : y + height, x : x + width], part)]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("scale", [1, 3])
def test_every_picture_stands_once_in_its_row_and_column(channels: int, scale: int) -> None:
    images = pictures(6, channels, 16)
    page = grids.sheet(images, 3, ["a", "b"], ["0", "1", "2"], corner="seed", scale=scale)
    places = [find(page, grids.opaque(image, scale)) for image in images]
    assert all(len(place) == 1 for place in places)
    corners = [place[0] for place in places]
    lefts, tops = sorted({x for x, _ in corners}), sorted({y for _, y in corners})
    assert corners == [(x, y) for y, x in product(tops, lefts)]


def test_magnified_pixels_are_blocks_of_the_same_bytes() -> None:
    [image] = pictures(1, 3)
    big = np.asarray(grids.opaque(image, 4))
    assert np.array_equal(big, np.asarray(image).repeat(4, 0).repeat(4, 1))


def test_a_dark_picture_stays_dark_beside_a_bright_one() -> None:
    dark, bright = Image.new("L", (32, 32), 3), Image.new("L", (32, 32), 250)
    colours = grids.sheet([dark, bright], 2).getcolors()
    assert {(3,) * 3, (250,) * 3} <= {colour for _, colour in colours or []}


LABELS = [
    ["a", "b"],
    ["Ankle boot", "T-shirt/top"],
    ["a label of so many words that it cannot stand on one line, nor on two", "x" * 200],
    ["Crème brûlée", "q, g, j and y"],
]


@pytest.mark.parametrize("rows", LABELS)
@pytest.mark.parametrize("size", [16, 32, 128])
def test_labels_are_written_whole_beside_the_pictures(rows: list[str], size: int) -> None:
    images = [Image.new("L", (size, size), 255)] * 6
    columns = ["0", "1", "12345678901234567890"]
    bare = grids.sheet(images, 3)
    page = grids.sheet(images, 3, rows, columns, corner="seed")
    ink = ImageChops.invert(page.convert("L"))
    tile = size * grids.usual_scale(size)
    left, top, right, bottom = ink.getbbox() or (0, 0, 0, 0)
    margin = max(12, tile // 8)
    first_x, first_y = page.width - bare.width + margin, page.height - bare.height + margin
    assert min(left, top) >= 4  # nothing is cut at an edge
    assert max(right - page.width, bottom - page.height) <= -4
    assert ink.crop((first_x, first_y, page.width, page.height)).getbbox() is None  # nor lies on a picture
    for row in range(2):  # each label stands beside its own row, about its middle
        band = first_y + row * (tile + max(2, tile // 32))
        box = ink.crop((0, band, first_x, band + tile)).getbbox()
        assert box is not None
        assert abs((box[1] + box[3]) / 2 - tile / 2) < tile / 6


def test_letters_the_font_lacks_are_known() -> None:
    assert grids.legible("Ankle boot, 7:0.5")
    assert grids.legible("Crème brûlée")
    assert not grids.legible("日本")
    assert not grids.legible("Ж")


@pytest.mark.parametrize("scale", [0, -1, 65])
def test_scales_outside_their_range_are_refused(scale: int) -> None:
    with pytest.raises(ConfigError, match="allowed is 1 to 64"):
        grids.sheet(pictures(1, 1), 1, scale=scale)


def test_a_sheet_too_large_to_look_at_is_refused() -> None:
    with pytest.raises(ConfigError, match="too large"):
        grids.sheet([Image.new("L", (512, 512))] * 100, 10, scale=4)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", [".webp", ".gif"])
def test_a_film_shows_each_frame_for_its_time_and_repeats(channels: int, kind: str) -> None:
    frames = pictures(4, channels, 16)
    with Image.open(io.BytesIO(grids.film(frames, kind, "said", scale=2, fps=10))) as film:
        shown = [(frame.convert("RGB"), frame.info.get("duration")) for frame in ImageSequence.Iterator(film)]
        assert film.info["loop"] == 0
    assert len(shown) == 4
    for (frame, duration), image in zip(shown, frames, strict=True):
        assert duration == 100
        if channels == 1 or kind == ".webp":  # a GIF has 256 colours
            assert frame.tobytes() == grids.opaque(image, 2).tobytes()


@pytest.mark.parametrize("fps", [0, -1, 51, float("nan")])
def test_rates_that_no_viewer_shows_are_refused(fps: float) -> None:
    with pytest.raises(ConfigError, match="--fps"):
        grids.film(pictures(2, 1), ".gif", "", fps=fps)


@pytest.mark.parametrize("size", [16, 32, 128])
@pytest.mark.parametrize("labels", [([], []), (["a", "b"], ["0", "1", "2"])])
def test_a_sheet_can_be_cut_into_its_pictures(size: int, labels: tuple[list[str], list[str]]) -> None:
    images = [image.convert("RGB") for image in pictures(6, 3, size)]
    cuts = grids.cut(grids.sheet(images, 3, *labels), size, 3, 2)
    assert [cut.tobytes() for cut in cuts] == [image.tobytes() for image in images]
    assert grids.cut(Image.new("RGB", (90, 60)), size, 3, 2) == []
