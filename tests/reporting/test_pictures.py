"""Pictures of the page hold the pixels they were made of, and damaged files are no pictures."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from biggan.reporting.pictures import MOST_TILE, Picture, found, tiled
from biggan.sampling.grids import opaque, to_images


def decoded(picture: Picture) -> Image.Image:
    head, _, content = picture.uri.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_small_tiles_keep_every_byte(channels: int) -> None:
    x = torch.randint(0, 256, (6, channels, 32, 32), dtype=torch.uint8)
    page = decoded(tiled(x, 3, "noise")).convert("RGBA")
    step = page.width // 3
    assert page.size == (3 * step, 2 * step)
    for i, image in enumerate(to_images(x)):
        left, top = i % 3 * step, i // 3 * step
        tile = page.crop((left, top, left + 32, top + 32))
        assert np.array_equal(np.asarray(tile)[..., :3], np.asarray(opaque(image, 1)))
        assert page.getpixel((left + 32, top)) == (0, 0, 0, 0)


def test_large_tiles_are_reduced_and_not_shown_as_pixels() -> None:
    picture = tiled(torch.randint(0, 256, (2, 3, 256, 256), dtype=torch.uint8), 2, "noise")
    assert decoded(picture).height <= MOST_TILE + 8
    assert not picture.crisp


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<svg onload='alert(1)'/>"])
def test_what_is_no_png_is_no_picture(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert found(tmp_path / "a.png", "") is None
    assert found(tmp_path / "none.png", "") is None
