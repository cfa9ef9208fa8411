"""What a picture was drawn from, kept in the picture: a PNG text chunk `biggan` that holds JSON.

Drawing from a recipe again is `pipeline.py`'s; here it is only written and read.
"""

import io
import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from biggan.atomic import write_bytes
from biggan.config_json import from_json
from biggan.errors import ConfigError

CHUNK = "biggan"
FILM_MARK = "biggan film "  # how the text in a film starts
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides the bytes of one picture."""

    seed: int
    """Image seed, 0 to 2^63 - 1."""
    mix: str | None = None
    """The class or mix, as `parse_classes` reads it (`"class"` in the JSON); None without classes."""
    truncation: float | None = None
    """Truncation in (0, 1], or None (`latents.draw`)."""
    threshold: float | None = None
    """Threshold, or None (`latents.draw`)."""
    model: str
    """SHA-256 of the weights."""
    precision: Precision = "float32"
    """Precision of convolutions and matrix products."""
    batch_size: int = 16
    """Images drawn at once: another number may round a byte differently."""
    biggan: str = ""
    """Version of this package."""
    torch: str = ""
    """Version of torch."""


def to_text(recipe: Recipe) -> str:
    """A recipe as the JSON in a picture."""
    values = {"class" if name == "mix" else name: value for name, value in asdict(recipe).items()}
    return json.dumps(values, ensure_ascii=False)


def png_bytes(image: Image.Image, text: str) -> bytes:
    """A picture as a PNG file whose chunk `biggan` holds a text."""
    info, buffer = PngInfo(), io.BytesIO()
    info.add_itxt(CHUNK, text)
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def save_png(image: Image.Image, path: Path, recipe: Recipe) -> None:
    """Writes a picture with its recipe.

    Raises:
        DiskFailed: The write failed; a file that was there is unchanged.
    """
    write_bytes(path, png_bytes(image, to_text(recipe)))


def is_ours(path: Path) -> bool:
    """Whether a file is a picture, sheet or film of this package, by what it says of itself."""
    return _said(path, ("PNG", "GIF", "WEBP")) is not None


def check_replaceable(path: Path) -> None:
    """Checks that a picture may be written to a path: what is there, if anything, is one of ours.

    Raises:
        ConfigError: It is not.
    """
    if path.exists() and not is_ours(path):
        raise ConfigError(f"{path} is there and is not a picture drawn by biggan; choose another --out.")


def read_recipe(path: Path) -> Recipe:
    """The recipe in a picture.

    Raises:
        ConfigError: The file is missing, not a PNG, a sheet, or its recipe is missing or damaged.
    """
    if not path.is_file():
        raise ConfigError(f"There is no picture {path}; give a PNG that `biggan sample` drew (--like).")
    text = _said(path, ("PNG",))
    if text is None:
        raise ConfigError(f"{path} has no recipe in it; give a PNG as `biggan sample` wrote it (--like).")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The recipe in {path} is damaged ({error}); give another picture (--like).") from error
    if isinstance(values, dict) and "sheet" in values:
        raise ConfigError(f"{path} is a sheet of many pictures; give one of the pictures (--like).")
    return _from_values(values, f"the recipe in {path}")


def _from_values(values: object, where: str) -> Recipe:
    if not isinstance(values, dict) or not {"seed", "model", "class"} <= values.keys() or "mix" in values:
        raise ConfigError(f"{where} lacks its seed, class or model; give another picture (--like).")
    recipe = from_json(Recipe, {"mix" if name == "class" else name: value for name, value in values.items()}, where)
    if not 1 <= recipe.batch_size <= 4096:
        raise ConfigError(f"{where} says batch_size {recipe.batch_size}; allowed is 1 to 4096.")
    return recipe


def _said(path: Path, formats: tuple[str, ...]) -> str | None:
    """What a picture of ours says of itself (a PNG's chunk, a GIF's comment, a WebP's XMP), without decoding it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # nothing is decompressed here
        try:
            with Image.open(path, formats=formats) as image:
                info = image.info
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None
    said = info.get(CHUNK, info.get("comment", info.get("xmp")))
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return str(text) if text is not None and (CHUNK in info or text.startswith(FILM_MARK)) else None
