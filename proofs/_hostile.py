"""Hostile data sets for `fuzz.py`: pictures and archives that explode, and names that lead outside."""

import gzip
import io
import shutil
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

MEGA = 2**20
ZEROS = bytes(MEGA)
GOOD = 12  # ordinary pictures in every set


@dataclass(frozen=True)
class Result:
    """What became of an explosive set: peak memory in MiB, seconds, and the packer's last word."""

    peak: float
    seconds: float
    said: str
    ended: bool


CHILD = """
import sys
from pathlib import Path
from biggan.config import Data
from biggan.data.packed import prepare
from biggan.errors import BigGANError
try:
    packed = prepare(sys.argv[1], 32, Data(), cache=Path(sys.argv[2]))
    print(f"packed {packed.num_images}, skipped {len(packed.skipped)}")
except BigGANError as error:
    print("refused:", str(error).replace(sys.argv[1], "DATA"))
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


def pack(source: Path) -> Result:
    """Packs a set in a process of its own, whose own high-water mark is read."""
    began = time.monotonic()
    command = [sys.executable, "-c", CHILD, str(source), str(source.parent / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) != 2:
        return Result(0, time.monotonic() - began, f"CRASH {done.stderr[-300:]!r}", False)
    return Result(int(lines[1]) / 1024, time.monotonic() - began, lines[0], True)


def good_picture(number: int) -> bytes:
    """A small grey PNG."""
    file = io.BytesIO()
    Image.new("L", (40, 40), 20 * number).save(file, "PNG")
    return file.getvalue()


def good_folder(folder: Path) -> Path:
    """A class folder `a` of ordinary pictures, to which hostile ones are added."""
    (folder / "a").mkdir(parents=True)
    for i in range(GOOD):
        (folder / "a" / f"{i}.png").write_bytes(good_picture(i))
    return folder


def deflated(size: int, unit: bytes = ZEROS) -> bytes:
    """`size` bytes of repeated `unit`, as a zlib stream made piece by piece."""
    packer = zlib.compressobj(9)
    pieces = [packer.compress(unit) for _ in range(size // len(unit))]
    return b"".join([*pieces, packer.flush()])


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, colour: int, data: bytes, *before: bytes) -> bytes:
    """A PNG of 8 bits whose pixels are a given zlib stream."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(before) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def small_pixels() -> bytes:
    """Pixels of an 8 x 8 grey PNG."""
    return zlib.compress(bytes(9 * 8))


def gif(width: int, height: int, frames: int) -> bytes:
    """A GIF of a given canvas with many frames of one pixel."""
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return head + frame * frames + b"\x3b"


def patched(kind: str, **where: bytes) -> bytes:
    """A small picture of a format with other bytes at offsets `at<offset>`, which claim a huge size."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    content = bytearray(file.getvalue())
    for name, new in where.items():
        place = int(name.removeprefix("at"))
        content[place : place + len(new)] = new
    return bytes(content)


def jpeg(width: int, height: int) -> bytes:
    """A progressive JPEG that claims a size and holds a small picture's scans."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    place = content.index(b"\xff\xc2") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def tiff(side: int) -> bytes:
    """A deflated TIFF of one strip, side x side grey."""
    data = deflated(side * side)
    tags = [(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 8), (262, 3, 1), (273, 4, 8), (278, 4, side)]
    tags += [(277, 3, 1), (279, 4, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in sorted(tags))
    place = 8 + len(data)
    return b"II*\0" + struct.pack("<I", place) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


PICTURES: dict[str, Callable[[], dict[str, bytes]]] = {
    "PNG of 30,000 x 30,000 zeros": lambda: {"x.png": png(30000, 30000, 0, deflated(30000 * 30001))},
    "8 PNGs of 12,000 x 12,000 RGBA zeros": lambda: dict.fromkeys(
        [f"x{i}.png" for i in range(8)], png(12000, 12000, 6, deflated(12000 * 48001))
    ),
    "8 PNGs of 7,000 x 7,000 RGBA zeros": lambda: dict.fromkeys(
        [f"x{i}.png" for i in range(8)], png(7000, 7000, 6, deflated(7000 * 28001, bytes(28001)))
    ),
    "8 PNGs of 13,500 x 13,500 grey zeros": lambda: dict.fromkeys(
        [f"x{i}.png" for i in range(8)], png(13500, 13500, 0, deflated(13500 * 13501, bytes(13501)))
    ),
    "PNG that claims 2^31 - 1 pixels a side": lambda: {"x.png": png(2**31 - 1, 2**31 - 1, 6, small_pixels())},
    "PNG with 1 GB of compressed text": lambda: {
        "x.png": png(8, 8, 0, small_pixels(), chunk(b"zTXt", b"k\0\0" + deflated(1000 * MEGA)))
    },
    "PNG with a 1 GB colour profile": lambda: {
        "x.png": png(8, 8, 0, small_pixels(), chunk(b"iCCP", b"k\0\0" + deflated(1000 * MEGA)))
    },
    "GIF of 65,535 x 65,535": lambda: {"x.gif": gif(65535, 65535, 1)},
    "GIF of 100,000 frames": lambda: {"x.gif": gif(2000, 2000, 100_000)},
    "progressive JPEG that claims 65,000 x 65,000": lambda: {"x.jpg": jpeg(65000, 65000)},
    "progressive JPEG that claims 12,000 x 12,000": lambda: {"x.jpg": jpeg(12000, 12000)},
    "deflated TIFF of 20,000 x 20,000": lambda: {"x.tif": tiff(20000)},
    "BMP that claims 60,000 x 60,000": lambda: {"x.bmp": patched("BMP", at18=struct.pack("<ii", 60000, 60000))},
    "lossless WebP that claims 16,384 x 16,384": lambda: {
        "x.webp": patched("WEBP", at21=struct.pack("<I", 16383 | 16383 << 14))
    },
}


def in_zip(path: Path, name: str, unit: bytes, count: int, before: bytes = b"", after: bytes = b"") -> Path:
    """A zip of ordinary pictures and one member: `before`, `count` times `unit`, `after`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(GOOD):
            archive.writestr(f"a/{i}.png", good_picture(i))
        with archive.open(name, "w", force_zip64=True) as member:
            member.write(before)
            for _ in range(count):
                member.write(unit)
            member.write(after)
    return path


def many_members(path: Path) -> Path:
    """A zip of 100,000 empty pictures."""
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(100_000):
            archive.writestr(f"{i}.png", b"")
    return path


def nested(path: Path) -> Path:
    """A zip in a zip in a zip, 6 deep, around 1 GB of zeros."""
    content = in_zip(path, "zeros", ZEROS, 1000).read_bytes()
    for _ in range(6):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for i in range(16):
                archive.writestr(f"{i}.zip", content)
        content = path.read_bytes() if path.stat().st_size < 50 * MEGA else content
    return path


def npz(path: Path, shape: tuple[int, ...], megabytes: int) -> Path:
    """An npz whose array claims a shape and holds zeros."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w", force_zip64=True) as file,
    ):
        file.write(header)
        for _ in range(megabytes):
            file.write(ZEROS)
    return path


def idx(path: Path, count: int, megabytes: int) -> Path:
    """A gzipped IDX file that claims `count` images of 28 x 28."""
    with gzip.open(path, "wb") as file:
        file.write(struct.pack(">IIII", 0x803, count, 28, 28))
        for _ in range(megabytes):
            file.write(ZEROS)
    return path


class _Zeros(io.RawIOBase):
    """A file of zeros without end."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return bytes(size)


def cifar_tar(path: Path, size: int) -> Path:
    """A tar.gz whose member data_batch_1 has `size` zeros."""
    with tarfile.open(path, "w:gz", compresslevel=9) as tar:
        member = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        member.size = size
        tar.addfile(member, _Zeros())
    return path


ARCHIVES: dict[str, Callable[[Path], Path]] = {
    "zip with a picture of 3 GB of zeros": lambda f: in_zip(f / "x.zip", "a/x.png", ZEROS, 3000),
    "zip with a dataset.json of 3 GB": lambda f: in_zip(f / "x.zip", "dataset.json", b" " * MEGA, 3000),
    "zip with a dataset.json of 60 MB of empty lists": lambda f: in_zip(
        f / "x.zip", "dataset.json", b"[]," * 2**18, 80, b'{"labels": [', b"[]]}"
    ),
    "zip with a dataset.json of 60 MB, 60 M deep": lambda f: in_zip(f / "x.zip", "dataset.json", b"[" * MEGA, 60),
    "zip with a dataset.json of 60 MB of labels": lambda f: in_zip(
        f / "x.zip", "dataset.json", b'["a/0.png",0],' * 2**16, 64, b'{"labels": [', b'["a/1.png", 0]]}'
    ),
    "zip with a labels.csv of 1 GB": lambda f: in_zip(f / "x.zip", "labels.csv", ZEROS, 1000),
    "zip with a labels.csv of 60 MB of rows": lambda f: in_zip(f / "x.zip", "labels.csv", b"a,b\n" * 2**18, 60),
    "zip of 100,000 members": lambda f: many_members(f / "x.zip"),
    "zips in zips, 6 deep": lambda f: nested(f / "x.zip"),
    "npz of 3 GB of zeros": lambda f: npz(f / "x.npz", (3_000_000, 32, 32), 3000),
    "npz that claims 10^12 images": lambda f: npz(f / "x.npz", (10**12, 32, 32, 3), 1),
    "IDX that claims 2^32 - 1 images": lambda f: idx(f / "train-images-idx3-ubyte.gz", 2**32 - 1, 1),
    "IDX of 3 GB of zeros": lambda f: idx(f / "train-images-idx3-ubyte.gz", 4_000_000, 3000),
    "CIFAR archive of 3 GB of zeros": lambda f: cifar_tar(f / "cifar-10-python.tar.gz", 3 * 10**9),
}


def explode(folder: Path) -> dict[str, Result]:
    """Makes each explosive set, packs it, and removes it."""
    results: dict[str, Result] = {}
    for name, pictures in PICTURES.items():
        place = good_folder(folder / "set")
        for file, content in pictures().items():
            (place / "a" / file).write_bytes(content)
        results[name] = pack(place)
        shutil.rmtree(folder)
    for name, archive in ARCHIVES.items():
        folder.mkdir()
        results[name] = pack(archive(folder))
        shutil.rmtree(folder)
    return results
