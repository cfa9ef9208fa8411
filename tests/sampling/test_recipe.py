"""A recipe comes back from its picture as it went in; a picture without a sound one is refused."""

import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from biggan.errors import ConfigError
from biggan.sampling.recipe import Recipe, is_ours, png_bytes, read_recipe, save_png

RECIPE = Recipe(seed=2**63 - 1, mix="Größe:0.7,日本:0.3", truncation=0.1, model="ab" * 32, biggan="1", torch="2")
IMAGE = Image.new("L", (4, 4), 7)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_recipe_comes_back_from_its_picture(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (4, 4))
    save_png(image, tmp_path / "a.png", RECIPE)
    assert read_recipe(tmp_path / "a.png") == RECIPE
    assert is_ours(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as back:
        assert back.mode == mode
        assert back.tobytes() == image.tobytes()


def test_the_chunk_is_json_under_the_name_biggan(tmp_path: Path) -> None:
    save_png(IMAGE, tmp_path / "a.png", replace(RECIPE, mix=None))
    with Image.open(tmp_path / "a.png") as image:
        values = json.loads(str(image.info["biggan"]))
    assert values["class"] is None
    assert {"seed", "truncation", "threshold", "model", "precision", "biggan", "torch"} <= values.keys()


def huge_png() -> bytes:
    """A PNG that promises a million by a million pixels."""
    head = struct.pack(">IIBBBBB", 10**6, 10**6, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


GOOD = {"seed": 1, "class": None, "model": "ab"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no recipe"),
        (b"hello", "no recipe"),
        (png_bytes(IMAGE, "x")[:60], "no recipe"),
        (huge_png(), "no recipe"),
        (png_bytes(IMAGE, "no json"), "damaged"),
        (png_bytes(IMAGE, "[" * 100_000), "damaged"),
        (png_bytes(IMAGE, "7"), "lacks"),
        (png_bytes(IMAGE, "{}"), "lacks"),
        (png_bytes(IMAGE, json.dumps({"sheet": True})), "sheet of many"),
        (png_bytes(IMAGE, json.dumps({**GOOD, "seed": "1"})), "seed must be of type int"),
        (png_bytes(IMAGE, json.dumps({**GOOD, "truncation": [1]})), "truncation must be of type float"),
        (png_bytes(IMAGE, json.dumps({**GOOD, "precision": "int8"})), "allowed is float32, bfloat16"),
        (png_bytes(IMAGE, json.dumps({**GOOD, "batch_size": 10**9})), "batch_size"),
        (png_bytes(IMAGE, json.dumps({**GOOD, "sed": 1})), "unknown field 'sed'"),
        (png_bytes(IMAGE, json.dumps({**GOOD, "mix": "x"})), "lacks"),
    ],
)
def test_a_picture_without_a_sound_recipe_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_recipe(tmp_path / "a.png")


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no.png"):
        with pytest.raises(ConfigError, match="There is no picture"):
            read_recipe(path)


def test_other_peoples_pictures_are_not_ours(tmp_path: Path) -> None:
    for name in ("a.png", "a.gif", "a.webp", "a.jpg"):
        IMAGE.save(tmp_path / name)
        assert not is_ours(tmp_path / name)
