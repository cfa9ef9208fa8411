"""BigSleep's own draws, its way with a picture that is a prompt, and its names of files.

Where the numbers of `big_sleep.py` come from; `editing/` has draws and reading of its own.
"""

import random
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from biggan.editing.soft_latents import SPREAD, START
from biggan.errors import ConfigError

MOST_NAME = 200  # bytes of a file's name before its endings


def draw_latents(rows: int, dim_z: int, num_classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """BigSleep's latents: z (rows, dim_z) ~ N(0, 1), then class logits (rows, num_classes) ~ N(-3.9, 0.3)."""
    z = torch.zeros(rows, dim_z).normal_(generator=generator)
    return z, torch.zeros(rows, num_classes).normal_(START, SPREAD, generator=generator)


def draw_cuts(width: int, count: int, center_bias: bool, sizes: torch.Generator, offsets: random.Random) -> Tensor:
    """BigSleep's cuts: size, top and left of each, (count, 3); sizes by torch and offsets by Python, as there."""
    cuts = []
    for _ in range(count):
        share = torch.zeros(1).normal_(0.8, 0.3, generator=sizes).clip(0.5, 0.95)
        size = int(width * share)
        cuts.append([size, *_offsets(width - size, center_bias, offsets)])
    return torch.tensor(cuts)


def _offsets(room: int, center_bias: bool, draw: random.Random) -> Sequence[int]:
    if not center_bias:
        return draw.randint(0, room), draw.randint(0, room)
    biased = [int(draw.gauss(room / 2, room / 4)) for _ in range(2)]
    return [offset if 0 <= offset <= room else draw.randint(0, room) for offset in biased]


def clip_square(img: str | Image.Image, size: int) -> Tensor:
    """A picture as CLIP is shown one: its shorter side made `size`, the middle cut out; (1, 3, size, size) in [0, 1].

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        image = (Image.open(img) if isinstance(img, str) else img).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ConfigError(f"img {img} cannot be read ({error}); give a picture.") from error
    short = min(image.size)
    width, height = (size * side // short for side in image.size)
    left, top = (round((side - size) / 2) for side in (width, height))
    square = image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
    pixels = torch.frombuffer(bytearray(square.tobytes()), dtype=torch.uint8)
    return pixels.view(1, size, size, 3).permute(0, 3, 1, 2).float() / 255


def create_text_path(text: str | None = None, img: object = None, encoding: object = None) -> str:
    """How BigSleep calls the file of a prompt; separators of folders become underscores, and long names are cut."""
    name = text or ""
    if img is not None:
        name += "_" + ("".join(img.split(".")[:-1]).split("/")[-1] if isinstance(img, str) else "PIL_img")
    if encoding is not None:
        name = "your_encoding"
    for old, new in (("-", "_"), (",", ""), (" ", "_"), ("|", "--"), ("/", "_"), ("\\", "_"), ("\0", "")):
        name = name.replace(old, new)
    return name.strip("-_").encode()[:MOST_NAME].decode(errors="ignore")
