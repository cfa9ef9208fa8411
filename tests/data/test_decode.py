"""Every kind of picture becomes the square that its pixels mean."""

import contextlib
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from biggan.config import Data
from biggan.data.decode import TURNS, Decoded, Unreadable, _averaged, decode, shorter_side, square
from biggan.errors import ConfigError

MakePicture = Callable[..., bytes]

pytestmark = pytest.mark.filterwarnings("ignore")  # as `packing.py` has it: Pillow warns of much that is read


def decoded(content: bytes, resolution: int = 32, **settings: object) -> Decoded:
    return decode(io.BytesIO(content), square(resolution, Data(**settings)))  # type: ignore[arg-type]


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def constant(result: Decoded) -> list[int]:
    """The one colour that all pixels have."""
    colours = np.unique(result.pixels.reshape(-1, result.pixels.shape[2]), axis=0)
    assert len(colours) == 1
    return [int(value) for value in colours[0]]


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, [255, 255, 255]),
        ("L", 77, [77, 77, 77]),
        ("LA", (200, 255), [200, 200, 200]),
        ("LA", (200, 0), [10, 20, 30]),
        ("RGB", (1, 2, 3), [1, 2, 3]),
        ("RGBA", (1, 2, 3, 255), [1, 2, 3]),
        ("RGBA", (1, 2, 3, 0), [10, 20, 30]),
        ("RGBA", (255, 255, 255, 51), [59, 67, 75]),  # 0.2 x 255 + 0.8 x background
        ("I;16", 257 * 99, [99, 99, 99]),
    ],
)
def test_solid_pngs_keep_their_colour_over_the_background(
    picture: MakePicture, mode: str, colour: object, expected: list[int]
) -> None:
    for size in ((32, 32), (500, 300), (5, 9)):
        got = constant(decoded(picture(mode, size, colour), background="#0a141e"))
        np.testing.assert_allclose(got, expected, atol=1)


def test_palettes_with_and_without_transparency() -> None:
    image = Image.new("P", (64, 64), 1)
    image.putpalette([0, 0, 0, 9, 8, 7])
    assert constant(decoded(saved(image))) == [9, 8, 7]
    assert constant(decoded(saved(image, transparency=1), background="red")) == [255, 0, 0]
    assert constant(decoded(saved(Image.new("RGB", (64, 64), (5, 6, 7)), transparency=(5, 6, 7)))) == [255, 255, 255]


def test_sixteen_bits_are_scaled_by_257() -> None:
    levels = np.repeat(np.arange(0, 256, 8, dtype=np.uint16) * 257, 32).reshape(32, 32)
    pixels = decoded(saved(Image.fromarray(levels))).pixels
    assert (pixels[..., 0] == levels // 257).all()


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_shown_in_its_colour(picture: MakePicture, format: str) -> None:
    got = constant(decoded(picture("CMYK", (64, 64), (255, 0, 0, 0), format=format)))
    np.testing.assert_allclose(got, [0, 255, 255], atol=2)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format_is_read(picture: MakePicture, format: str) -> None:
    assert decoded(picture("RGB", (70, 70), (255, 255, 255), format=format)).pixels.min() >= 254


def quadrants(size: int = 64) -> Image.Image:
    pixels = np.zeros((size, size, 3), np.uint8)
    half = size // 2
    pixels[:half, :half], pixels[:half, half:], pixels[half:, :half] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return Image.fromarray(pixels)


INVERSE = {**TURNS, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotated_pictures_stand_upright(format: str, orientation: int) -> None:
    upright = decoded(saved(quadrants())).pixels.astype(int)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = quadrants().transpose(INVERSE[orientation]) if orientation > 1 else quadrants()
    options = {"quality": 100, "subsampling": 0} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    turned = decoded(saved(stored, format, exif=exif, **options)).pixels
    assert np.abs(turned - upright).max() <= 6  # the two passes of the resampling round in another order


def test_damaged_exif_counts_as_none(picture: MakePicture) -> None:
    content = picture(format="JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff" * 50)
    assert decoded(content).pixels.shape == (32, 32, 3)


def stripes(width: int, height: int) -> Image.Image:
    """Red, green and blue thirds along the longer side."""
    pixels = np.zeros((height, width, 3), np.uint8)
    along = pixels if height >= width else pixels.swapaxes(0, 1)
    third = len(along) // 3
    along[:third, :, 0] = along[third : 2 * third, :, 1] = along[2 * third :, :, 2] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(192, 64), (64, 192), (1920, 640)])
def test_cropping_keeps_the_centre_and_padding_keeps_all(size: tuple[int, int]) -> None:
    cut = decoded(saved(stripes(*size)))
    assert cut.cropped
    assert constant(cut) == [0, 255, 0]
    padded = decoded(saved(stripes(*size)), crop="pad", background="#808080").pixels
    along = padded if size[1] > size[0] else padded.swapaxes(0, 1)
    assert (along[:, :10] == 128).all()
    assert (along[:, 22:] == 128).all()
    assert along[5, 16, 0] > 250
    assert along[16, 16, 1] > 250
    assert along[27, 16, 2] > 250


def test_square_pictures_are_neither_cropped_nor_padded(picture: MakePicture) -> None:
    for crop in ("center", "pad"):
        assert not decoded(picture(size=(99, 99)), crop=crop).cropped


def test_alpha_is_kept_where_four_channels_are_wanted(picture: MakePicture) -> None:
    assert constant(decoded(picture("RGBA", (64, 64), (255, 0, 0, 128)), channels=4)) == [255, 0, 0, 128]
    padded = decoded(picture("RGB", (64, 32), (255, 0, 0)), channels=4, crop="pad").pixels
    assert padded[16, 16].tolist() == [255, 0, 0, 255]
    assert padded[0, 0, 3] == 0


def test_colour_under_transparent_pixels_does_not_bleed() -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., 1] = 255  # green that no one should see
    pixels[:, :32] = (255, 0, 0, 255)
    got = decoded(saved(Image.fromarray(pixels)), background="black").pixels
    assert got[..., 1].max() == 0


def test_one_channel_is_the_luma_of_colour(picture: MakePicture) -> None:
    assert constant(decoded(picture("RGB", (64, 64), (255, 0, 0)), channels=1)) == [76]


@pytest.mark.parametrize("factor", [2, 8, 31])
def test_fine_patterns_average_out_instead_of_aliasing(factor: int) -> None:
    side = 32 * factor
    board = (np.indices((side, side)).sum(0) % 2 * 255).astype(np.uint8)
    pixels = decoded(saved(Image.fromarray(board)), channels=1).pixels
    assert abs(pixels[2:-2, 2:-2].astype(int) - 127).max() <= 3


def test_averaging_in_strips_equals_averaging_at_once() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1001, 1403, 3), np.uint8)
    image = Image.fromarray(noise)
    whole = image.crop((201, 0, 1202, 1001)).reduce(7)
    assert _averaged(image, (201, 0, 1202, 1001), 7).tobytes() == whole.tobytes()


@pytest.mark.parametrize("size", [(1, 1), (1, 1000), (1000, 1), (31, 31)])
def test_tiny_pictures_are_enlarged_and_said_so(picture: MakePicture, size: tuple[int, int]) -> None:
    result = decoded(picture("RGB", size, (9, 9, 9)))
    assert result.enlarged
    assert constant(result) == [9, 9, 9]
    assert decoded(picture("RGB", size, (9, 9, 9)), crop="pad").pixels.shape == (32, 32, 3)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_huge_jpegs_give_the_picture(options: dict[str, bool]) -> None:
    content = saved(quadrants(64).resize((4800, 4000), Image.Resampling.NEAREST), "JPEG", **options)
    pixels = decoded(content).pixels
    assert pixels[4, 4].tolist() == pytest.approx([254, 0, 0], abs=3)
    assert pixels[28, 28].tolist() == pytest.approx([0, 0, 0], abs=3)


def test_only_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    for format in ("GIF", "WEBP", "PNG"):
        content = saved(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
        np.testing.assert_allclose(constant(decoded(content)), [255, 0, 0], atol=2)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello", "is not a JPEG"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "."),
        (b"\xff\xd8\xff\xe0" + b"\xff" * 40, "."),
        (b"RIFF\x10\0\0\0WEBPVP8 " + b"\0" * 40, "."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "is not a JPEG"),
    ],
)
def test_other_content_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        decoded(content)


def test_pictures_cut_short_are_refused_with_the_reason(picture: MakePicture) -> None:
    for format in ("JPEG", "PNG", "WEBP", "BMP", "TIFF"):
        content = picture(size=(80, 80), format=format)
        with pytest.raises(Unreadable):
            decoded(content[: len(content) // 2])


def test_thirty_two_bits_a_channel_are_refused() -> None:
    for array in (np.ones((40, 40), np.float32), np.full((40, 40), 70_000, np.int32)):
        with pytest.raises(Unreadable, match="32 bits"):
            decoded(saved(Image.fromarray(array), "TIFF"))


def test_mutated_pictures_are_read_or_refused_and_nothing_else(picture: MakePicture) -> None:
    random = np.random.default_rng(0)
    for format in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
        content = picture(size=(36, 36), format=format)
        for _ in range(60):
            mutant = bytearray(content)
            for place in random.integers(0, len(mutant), 3):
                mutant[place] = random.integers(256)
            with contextlib.suppress(Unreadable):
                assert decoded(bytes(mutant)).pixels.shape == (32, 32, 3)


def test_arrays_of_28_px_get_two_zero_pixels_on_each_side_at_32() -> None:
    array = np.random.default_rng(0).integers(1, 256, (28, 28), np.uint8)
    got = decode(array, square(32, Data(channels=1))).pixels[..., 0]
    assert (got[2:30, 2:30] == array).all()
    assert got.sum() == array.sum()


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 1), (32, 32, 3), (32, 32, 4)])
def test_arrays_of_the_training_size_keep_their_bytes(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    channels = shape[2] if len(shape) == 3 else 1
    if channels == 4:
        array[..., 3] = 255
    got = decode(array, square(32, Data(channels=channels))).pixels
    assert (got == array.reshape(32, 32, channels)).all()


def test_a_background_that_is_no_colour_is_refused_by_its_flag() -> None:
    with pytest.raises(ConfigError, match="--background is 'blurple'"):
        square(32, Data(background="blurple"))


def test_the_shorter_side_is_known_without_decoding() -> None:
    image = Image.new("RGB", (300, 41))
    cut = saved(image)[:60]  # a head without pixels
    for content in (saved(image), saved(image, "JPEG"), saved(image, "WEBP"), cut):
        assert shorter_side(io.BytesIO(content)) == 41
    assert shorter_side(np.zeros((7, 9, 3), np.uint8)) == 7
    for content in (b"", b"no picture", saved(image)[:9]):
        with pytest.raises(Unreadable):
            shorter_side(io.BytesIO(content))
