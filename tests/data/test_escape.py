"""Names made to lead outside read nothing outside and write nothing there, in a zip, a dataset.json or a labels.csv."""

import csv
import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biggan.data.packed import Packed

Load = Callable[..., Packed]
MakePicture = Callable[..., bytes]

SECRET = (255, 0, 255)
STEPS = [
    "../",
    "..\\",
    "../../",
    "a/../../",
    "a\\..\\..\\",
    "./../",
    ".//..//",
    "//",
    "///",
    "\\\\",
    "/./",
    "~/",
    "~root/",
]
DRIVES = [
    "C:\\",
    "C:/",
    "c:",
    "Z:\\..\\",
    "\\\\?\\C:\\",
    "\\\\host\\share\\",
    "file:///",
    "//host/share/",
    "NUL:",
    "LPT1:/",
]
ODD = ["%2e%2e/", "..%2f", "\u2025/", "\uff0e\uff0e/", "..\u2215", "..\u2044", "..;/", ".../", "....//", " ../", "../ "]
MARKS = ["", "\0", "a\0", "x" * 10_000, "\u202e", "\n", "\r\n", "\x1b[2J"]


def names(outside: Path) -> list[str]:
    """Names for the picture `outside`, each by another way."""
    ways = [prefix + outside.name for prefix in STEPS + DRIVES + ODD]
    ways += [prefix + "outside/" + outside.name for prefix in STEPS + DRIVES + ODD]
    ways += [prefix * depth + outside.name for prefix in ("../", "..\\", "./../") for depth in range(2, 22)]
    ways += ["a/" * depth + "../" * (depth + 1) + "outside/" + outside.name for depth in range(1, 21)]
    ways += ["../" * depth + str(outside)[1:] for depth in range(1, 21)]
    ways += [mark + way for mark in MARKS for way in (str(outside), "../outside/" + outside.name, outside.name)]
    ways += [str(outside) + end for end in ("", "\0.png", "\0", "/", "/.", " ", ".", "::$DATA", "/../secret.png")]
    ways += ["file://" + str(outside), "/proc/self/root" + str(outside), "/proc/self/cwd/" + outside.name]
    return list(dict.fromkeys(ways))


@pytest.fixture
def outside(tmp_path: Path, picture: MakePicture) -> Path:
    """A picture that must not be found, beside the data."""
    (tmp_path / "outside").mkdir()
    for place in (tmp_path / "outside/secret.png", tmp_path / "secret.png"):
        place.write_bytes(picture("RGB", (40, 40), SECRET))
    return tmp_path / "outside/secret.png"


def tree(root: Path, *own: Path) -> dict[str, bytes]:
    """All files below a folder but those of the data themselves."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if not any(path.is_relative_to(mine) for mine in own)}


def is_secret(packed: Packed) -> np.ndarray:
    return (
        (packed.images[..., :3] == SECRET).all((1, 2, 3)) if packed.channels > 1 else np.zeros(packed.num_images, bool)
    )


def test_there_are_two_hundred_ways(outside: Path) -> None:
    assert len(names(outside)) >= 200


@pytest.mark.parametrize("kind", ["dataset.json", "labels.csv"])
@pytest.mark.parametrize("in_zip", [False, True])
def test_listed_names_cannot_lead_outside(
    tmp_path: Path, outside: Path, picture: MakePicture, load: Load, kind: str, in_zip: bool
) -> None:
    ways = names(outside)
    good = [f"good{i}.png" for i in range(len(ways) + 5)]
    table = io.StringIO()
    csv.writer(table).writerows([name, "a"] for name in ways + good)
    listed = {"labels": [[name, 0] for name in ways + good]}
    members = {name: picture(size=(2, 2), seed=i) for i, name in enumerate(good)}
    members[kind] = (json.dumps(listed) if kind == "dataset.json" else table.getvalue()).encode()
    data, packs = tmp_path / "set", tmp_path / "set/.biggan"
    if in_zip:
        data, packs = tmp_path / "set.zip", tmp_path / "set.zip.biggan"
        with zipfile.ZipFile(data, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        data.mkdir()
        for name, content in members.items():
            (data / name).write_bytes(content)
    before = tree(tmp_path)
    packed = load(data)
    assert packed.num_images == len(good)
    assert len(packed.skipped) == len(ways)
    assert not is_secret(packed).any()
    assert tree(tmp_path, packs) == before


@pytest.mark.filterwarnings("ignore:Duplicate name")  # names are cut at NUL when they are written
def test_members_of_a_zip_cannot_lead_outside(tmp_path: Path, outside: Path, picture: MakePicture, load: Load) -> None:
    """A member is a picture of its own whatever its name; none is written anywhere, and no class gets its name."""
    ways = names(outside)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for i, way in enumerate(ways):
            archive.writestr(zipfile.ZipInfo(way), picture(size=(2, 2), seed=i))
        for i in range(len(ways)):
            archive.writestr(f"a/{i}.png", picture(size=(2, 2), seed=i))
    before = tree(tmp_path)
    packed = load(tmp_path / "set.zip")
    assert not is_secret(packed).any()
    assert not {"..", "", "C:", "~"} & set(packed.class_names)
    assert tree(tmp_path, tmp_path / "set.zip.biggan") == before
    led = [name for name, reason in packed.skipped if "leads outside" in reason or "1,000 characters" in reason]
    assert len(led) >= 150


def test_links_in_a_zip_are_not_followed(tmp_path: Path, outside: Path, picture: MakePicture, load: Load) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for i, target in enumerate([str(outside), "../outside/secret.png", "/etc/passwd", "good.png"]):
            link = zipfile.ZipInfo(f"link{i}.png")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, target)
        for i in range(4):
            archive.writestr(f"good{i}.png", picture(seed=i))
    packed = load(tmp_path / "set.zip")
    assert packed.num_images == 4
    assert packed.skipped == [(f"link{i}.png", "is a link") for i in range(4)]


def test_the_secret_would_be_recognised(tmp_path: Path, outside: Path, load: Load) -> None:
    assert Image.open(outside).getpixel((0, 0)) == SECRET
    assert is_secret(load(outside.parent)).all()
