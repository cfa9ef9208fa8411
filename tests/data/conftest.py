"""Small pictures and sets of them."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biggan.config import Data
from biggan.data.packed import Packed, prepare

MakePicture = Callable[..., bytes]


@pytest.fixture
def picture() -> MakePicture:
    """Makes the bytes of a picture: a mode, a size, a colour or noise of a seed, a format and its options."""

    def make(
        mode: str = "RGB",
        size: tuple[int, int] = (40, 40),
        colour: object = None,
        seed: int = 0,
        format: str = "PNG",
        **options: object,
    ) -> bytes:
        if colour is not None:
            image = Image.new(mode, size, colour)  # type: ignore[arg-type]
        else:
            noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
            image = Image.fromarray(noise).convert(mode)
        out = io.BytesIO()
        image.save(out, format, **options)  # type: ignore[arg-type]
        return out.getvalue()

    return make


@pytest.fixture
def fill(picture: MakePicture) -> Callable[..., Path]:
    """Fills a folder: each name gets a picture of its own, or the content given."""

    def make(root: Path, *names: str, **contents: bytes) -> Path:
        for i, name in enumerate(names):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(seed=i))
        root.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (root / name).write_bytes(content)
        return root

    return make


@pytest.fixture
def zipped() -> Callable[[Path, dict[str, bytes]], Path]:
    """Writes a zip of the given members."""

    def make(path: Path, members: dict[str, bytes]) -> Path:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path

    return make


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Packed]:
    """Packs a source at 32 px, with a cache of the test's own."""

    def make(source: object, **settings: object) -> Packed:
        return prepare(str(source), 32, Data(**settings), cache=tmp_path / "cache")  # type: ignore[arg-type]

    return make
