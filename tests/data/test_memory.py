"""Pictures and archives made to explode are skipped or refused with a reason, below 300 MB of memory in all."""

import gzip
import io
import json
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

MOST = 300e6  # bytes

# getrusage would count the process that starts this one as well
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's figure of peak memory")

SCRIPT = """
import json, re, sys
from pathlib import Path
from biggan.config import Data
from biggan.data.packed import prepare
from biggan.errors import DataError
try:
    packed = prepare(sys.argv[1], int(sys.argv[2]), Data())
    said = {"kept": packed.num_images, "skipped": dict(packed.skipped)}
except DataError as error:
    said = {"error": str(error)}
most = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(json.dumps({**said, "memory": 1024 * int(most[1])}))
"""


def run(source: Path, resolution: int = 32) -> dict[str, object]:
    """Packs in a process of its own, and gives what came of it and the most memory it took."""
    words = [sys.executable, "-c", SCRIPT, str(source), str(resolution)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    print(source.name, said)
    assert said["memory"] < MOST
    return said


def png(width: int, height: int, channels: int = 3, interlaced: bool = False) -> bytes:
    """A PNG of zeros, as small as can be: the rows are compressed piece by piece."""
    colour = {1: 0, 3: 2, 4: 6}[channels]
    squeeze = zlib.compressobj(9)
    row = b"\0" * (1 + width * channels)
    data = b"".join(squeeze.compress(row) for _ in range(height)) + squeeze.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.fixture
def exploding(tmp_path: Path, picture: Callable[..., bytes]) -> Path:
    """A folder of pictures that decode to far too much, some that are merely large, and some good ones."""
    root = tmp_path / "set"
    root.mkdir()
    for i in range(12):
        (root / f"good{i}.png").write_bytes(picture(seed=i))
    giant = png(19_000, 3_000, 4)
    for width, height in ((19_000, 19_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)):
        size = struct.pack(">II", width, height)
        ihdr = b"IHDR" + size + giant[24:29]
        (root / f"bomb{width}.png").write_bytes(giant[:12] + ihdr + struct.pack(">I", zlib.crc32(ihdr)) + giant[33:])
    (root / "bombwide.png").write_bytes(giant)
    large = picture("RGB", (4000, 3000), (9, 9, 9), format="JPEG", progressive=True)
    for i in range(4):
        (root / f"large{i}.jpg").write_bytes(large)
        (root / f"large{i}.png").write_bytes(png(6_000, 4_000, 3))
    (root / "large.webp").write_bytes(picture("RGB", (4000, 3000), (9, 9, 9), format="WEBP", lossless=True, method=0))
    (root / "large.gif").write_bytes(picture("P", (5000, 4000), 0, format="GIF"))
    (root / "text.png").write_bytes(png(40, 40)[:33] + b"".join(_texts()) + png(40, 40)[33:])
    return root


def _texts() -> list[bytes]:
    content = b"Comment\0\0" + zlib.compress(b"\0" * 2**26, 9)
    return [struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))] * 4


@pytest.mark.parametrize("resolution", [32, 512])
def test_pictures_made_to_explode(exploding: Path, resolution: int) -> None:
    said = run(exploding, resolution)
    skipped = said["skipped"]
    assert isinstance(skipped, dict)
    assert {name for name in skipped if not name.startswith("text")} == {
        "bomb19000.png",
        "bomb60000.png",
        "bomb2147483647.png",
        "bombwide.png",
    }
    assert all(
        "too many pixels" in skipped[name] or "too large to decode" in skipped[name]
        for name in skipped
        if "bomb" in name
    )
    assert said["kept"] == 12 + 10 + ("text.png" not in skipped)


def test_zip_members_made_to_explode(tmp_path: Path, picture: Callable[..., bytes]) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for i in range(6):
            archive.writestr(f"good{i}.png", picture(seed=i))
        for name in ("zeros.png", "zeros.webp", "zeros.tif", "zeros.gif"):
            head = {
                "png": b"\x89PNG\r\n\x1a\n",
                "webp": b"RIFF\xff\xff\xff\x3fWEBPVP8L",
                "tif": b"II*\0",
                "gif": b"GIF89a",
            }
            with archive.open(name, "w") as member:
                member.write(head[name.split(".")[1]])
                for _ in range(300):
                    member.write(bytes(2**20))
    said = run(path)
    assert said["kept"] == 6
    assert isinstance(said["skipped"], dict)
    assert len(said["skipped"]) == 4


@pytest.mark.parametrize(("name", "content"), [("dataset.json", b"[],"), ("labels.csv", b"a,b\n")])
def test_lists_in_a_zip_made_to_explode(
    tmp_path: Path, picture: Callable[..., bytes], name: str, content: bytes
) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("good.png", picture())
        with archive.open(name, "w") as member:
            block = content * (2**20 // len(content))
            for _ in range(60):  # within what is read of a list that is not made to explode
                member.write(block)
    assert name in str(run(path)["error"])


def test_arrays_made_to_explode(tmp_path: Path) -> None:
    """300 MiB of zeros as IDX, as npz and in a tar with a CIFAR file's name."""
    zeros, count = bytes(2**20), 300
    head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in (count * 1024, 32, 32))
    with gzip.open(tmp_path / "train-images-idx3-ubyte.gz", "wb", 9) as file:
        file.write(head)
        for _ in range(count):
            file.write(zeros)
    npy = io.BytesIO()
    np.lib.format.write_array_header_1_0(npy, {"descr": "|u1", "fortran_order": False, "shape": (count * 1024, 32, 32)})
    npz = zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=9)
    with npz as archive, archive.open("x.npy", "w") as member:
        member.write(npy.getvalue())
        for _ in range(count):
            member.write(zeros)
    tar = tarfile.TarInfo("cifar/data_batch_1.bin")
    tar.size = count * 2**20
    with gzip.open(tmp_path / "x.tar.gz", "wb", 9) as file:
        file.write(tar.tobuf())
        for _ in range(count):
            file.write(zeros)
    for name in ("train-images-idx3-ubyte.gz", "x.npz", "x.tar.gz"):
        assert "times its size" in str(run(tmp_path / name)["error"])
