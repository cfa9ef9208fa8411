"""One picture -> one uint8 square at training size.

A picture is cut to its central square (or padded), made smaller by averaging whole blocks and then by Lanczos
resampling (antialiased), turned upright by its EXIF orientation, and put over the background where it is
transparent, in premultiplied colour. Pictures smaller than the training size are enlarged by Lanczos, except 28 x 28
arrays at 32 px (the MNIST family), which get two zero pixels on each side. Only the first frame of an animation
counts; colour profiles are not applied. Memory is bounded whatever a file claims.

What is not here: files and labels (`listing.py`), threads (`packing.py`).
"""

import contextlib
import ctypes
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageColor, UnidentifiedImageError

from biggan.config import Data
from biggan.data.records import Pixels, clean
from biggan.errors import ConfigError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MEMORY = 214_000_000  # bytes that all pictures being decoded may take together
LARGE = 32_000_000  # bytes of a picture after which freed memory is given back at once
BYTES_PER_PIXEL = {"WEBP": 17, "TIFF": 8, "GIF": 4, "BMP": 4}  # decoders that hold several copies
MULTI_SCAN = 6  # bytes per full-size pixel that libjpeg keeps for progressive and multi-scan files
NARROW = {"1": 1, "L": 1, "P": 1, "I;16": 2}  # bytes per pixel of modes that are not four bytes wide
MOST_WEBP = 16 * 2**20  # bytes of a WebP file, which is read whole before its size in pixels is known
STRIP = 2**18  # pixels that are converted at once
GAP = 3  # block averaging leaves about this many times the final size to Lanczos
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


logging.getLogger("PIL").addHandler(logging.NullHandler())  # the reason for a skipped file says what matters


class Unreadable(Exception):
    """A picture that is skipped; the message is the reason, without its name."""


@dataclass(frozen=True, slots=True)
class Square:
    """What is wanted: side in pixels, 1 (grey), 3 (RGB) or 4 (RGBA) channels, cut or padded, over which colour."""

    resolution: int
    channels: int
    pad: bool
    background: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A square (R, R, C) of uint8, and what was done to get it."""

    pixels: Pixels
    cropped: bool
    enlarged: bool


def square(resolution: int, data: Data) -> Square:
    """What the settings ask for; three channels where the data are to decide.

    Raises:
        ConfigError: The background is not a colour.
    """
    try:
        colour = ImageColor.getrgb(data.background)
    except ValueError as error:
        given = clean(data.background)
        raise ConfigError(f"--background is {given!r}; allowed is a colour's name or #rrggbb.") from error
    return Square(resolution, data.channels or 3, data.crop == "pad", colour[:3])


class _Budget:
    """Lets threads hold up to `total` bytes together; the others wait."""

    def __init__(self, total: int) -> None:
        self.total = self.free = total
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, size: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: self.free >= size)
            self.free -= size
        try:
            yield
        finally:
            with self.changed:
                self.free += size
                self.changed.notify_all()


_budget = _Budget(MEMORY)


def decode(picture: BinaryIO | Pixels, want: Square) -> Decoded:
    """Makes the square of an open picture file, which is closed, or of an array (H, W) or (H, W, C).

    Raises:
        Unreadable: With the reason.
    """
    if isinstance(picture, np.ndarray):
        return _from_array(picture, want)
    try:
        with picture:
            return _from_file(picture, want)
    except Unreadable:
        raise
    except UnidentifiedImageError as error:
        raise Unreadable("is not a JPEG, PNG, WebP, BMP, GIF or TIFF picture") from error
    except Image.DecompressionBombError as error:
        raise Unreadable("has too many pixels") from error
    except Exception as error:  # on damaged files Pillow raises nearly every exception there is
        raise Unreadable(clean(str(error) or type(error).__name__)) from error


def shorter_side(picture: BinaryIO | Pixels) -> int:
    """Pixels of the shorter side of an open picture file, which is closed, or of an array, without decoding it.

    Raises:
        Unreadable: With the reason.
    """
    if isinstance(picture, np.ndarray):
        return int(min(picture.shape[:2]))
    try:
        with picture:
            _check_head(picture)
            return min(Image.open(picture, formats=FORMATS).size)
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(clean(str(error) or type(error).__name__)) from error


def _from_file(file: BinaryIO, want: Square) -> Decoded:
    _check_head(file)
    image = Image.open(file, formats=FORMATS)
    size = image.size
    cost = _draft(image, file, want)
    if cost > MEMORY:
        raise Unreadable(f"is too large to decode ({size[0]} x {size[1]} pixels)")
    with _budget.take(cost):
        try:
            return _finish(image, size, want)
        finally:
            del image  # with its pixels, before others may take the memory
            if cost > LARGE:
                _give_back()


def _give_back() -> None:
    """Returns freed memory to the system where the C library is glibc, which else keeps blocks of Pillow's size."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _check_head(file: BinaryIO) -> None:
    head = file.read(4)
    if not head:
        raise Unreadable("is empty")
    size = file.seek(0, 2)
    file.seek(0)
    if head == b"RIFF" and size > MOST_WEBP:
        raise Unreadable(f"is a WebP file of {size >> 20} MiB; at most {MOST_WEBP >> 20} MiB are read")


def _draft(image: Image.Image, file: BinaryIO, want: Square) -> int:
    """Sets a JPEG to decode at a fraction of its size; the bytes that decoding will take."""
    area = image.width * image.height
    kept = 0
    if image.format in ("JPEG", "MPO"):
        kept = 0 if _single_scan(image, file) else area * MULTI_SCAN
        scale = GAP * want.resolution / (max(image.size) if want.pad else min(image.size))
        image.draft(image.mode, (max(1, round(image.width * scale)), max(1, round(image.height * scale))))
        area = image.width * image.height
    elif image.format == "TIFF":
        place = file.tell()
        kept = file.seek(0, 2)  # its decoder may read it whole
        file.seek(place)
    each = max(BYTES_PER_PIXEL.get(image.format or "", 1), NARROW.get(image.mode, 4))
    cut = area if want.pad else min(image.size) ** 2
    return kept + area * each + 4 * cut // _factor(image, want) ** 2


def _single_scan(image: Image.Image, file: BinaryIO) -> bool:
    """Whether a JPEG's first scan holds all of it, by the header that Pillow has just read past."""
    bands = len(image.getbands())
    end = file.tell()
    file.seek(max(0, end - 8 - 2 * bands))
    head = file.read(5)
    file.seek(end)
    return "progressive" not in image.info and head == bytes([0xFF, 0xDA, 0, 6 + 2 * bands, bands])


def _finish(image: Image.Image, size: tuple[int, int], want: Square) -> Decoded:
    cropped, shorter = size[0] != size[1], max(size) if want.pad else min(size)
    small = _scaled(image, want)
    with contextlib.suppress(Exception):  # damaged EXIF: as if there were none
        small = small.transpose(TURNS[image.getexif()[ORIENTATION]])
    coloured = _coloured(small, want)
    if coloured.size != (want.resolution, want.resolution):
        coloured = _padded(coloured, want)
    pixels = np.array(coloured).reshape(want.resolution, want.resolution, want.channels)
    return Decoded(pixels, cropped, shorter < want.resolution)


def _factor(image: Image.Image, want: Square) -> int:
    """Side of the blocks that are averaged before Lanczos."""
    return max(1, round((max(image.size) if want.pad else min(image.size)) / (GAP * want.resolution)))


def _scaled(image: Image.Image, want: Square) -> Image.Image:
    """The central square (or all) at the wanted size, in mode L, RGB or RGBa."""
    left = top = 0
    width, height = image.size
    if not want.pad:
        left, top = (width - min(image.size)) // 2, (height - min(image.size)) // 2
        width = height = min(image.size)
    longest, factor = max(width, height), _factor(image, want)
    target = (max(1, round(want.resolution * width / longest)), max(1, round(want.resolution * height / longest)))
    blocks = _averaged(image, (left, top, left + width, top + height), factor)
    return blocks.resize(target, Image.Resampling.LANCZOS, (0, 0, width / factor, height / factor))


def _averaged(image: Image.Image, box: tuple[int, int, int, int], factor: int) -> Image.Image:
    """A box of the image with blocks of factor x factor pixels averaged, in strips to save memory."""
    left, top, right, bottom = box
    rows = max(1, STRIP // ((right - left) * factor)) * factor
    out = None
    for y in range(top, bottom, rows):
        strip = _plain(image.crop((left, y, right, min(y + rows, bottom)))).reduce(factor)
        if out is None:
            out = Image.new(strip.mode, (strip.width, -(-(bottom - top) // factor)))
        out.paste(strip, (0, (y - top) // factor))
    assert out is not None
    return out


def _plain(image: Image.Image) -> Image.Image:
    """Any mode as L, RGB or RGBa (premultiplied)."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise Unreadable("has 32 bits a channel; 8 and 16 are read")
    if image.has_transparency_data:
        return image.convert("RGBA").convert("RGBa")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _coloured(small: Image.Image, want: Square) -> Image.Image:
    """L, RGB or RGBa as the wanted channels, over the background unless alpha is wanted."""
    if small.mode == "RGBa":
        if want.channels == 4:
            return small.convert("RGBA")
        values = np.asarray(small).astype(np.uint32)
        behind = ((255 - values[..., 3:]) * np.array(want.background, np.uint32) + 127) // 255
        small = Image.fromarray(np.minimum(values[..., :3] + behind, 255).astype(np.uint8))
    return small.convert(MODES[want.channels])


def _padded(image: Image.Image, want: Square) -> Image.Image:
    """The image in the middle of a square of the background, which is transparent where alpha is wanted."""
    red, green, blue = want.background
    colour = Image.new("RGBA", (want.resolution, want.resolution), (red, green, blue, 0))
    out = colour.convert("RGB").convert(image.mode) if want.channels != 4 else colour
    out.paste(image, ((want.resolution - image.width) // 2, (want.resolution - image.height) // 2))
    return out


def _from_array(array: Pixels, want: Square) -> Decoded:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.shape[:2] == (28, 28) and want.resolution == 32:
        array = np.pad(array, [(2, 2), (2, 2)] + [(0, 0)] * (array.ndim - 2))
    if array.shape[:2] == (want.resolution, want.resolution) and array.ndim == 2 and want.channels < 4:
        return Decoded(np.repeat(array[..., None], want.channels, 2), False, False)
    height, width = array.shape[:2]
    return _finish(Image.fromarray(np.ascontiguousarray(array)), (width, height), want)
