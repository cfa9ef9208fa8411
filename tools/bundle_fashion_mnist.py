"""Makes the bundled data set: a class-balanced, seeded choice of 10,000 + 2,000 images of Fashion-MNIST.

    python tools/bundle_fashion_mnist.py FOLDER src/biggan/data/bundled/fashion-mnist

FOLDER holds the four published IDX files (Debian: package `dataset-fashion-mnist`). The choice keeps the order of
the published files, and the same files always give the same bytes.
"""

import gzip
import sys
from pathlib import Path

import numpy as np

SEED = 2017
NUM_CLASSES = 10
IMAGES = {"train": 10_000, "t10k": 2_000}
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def main(source: Path, out: Path) -> None:
    for split, total in IMAGES.items():
        images = gzip.decompress((source / f"{split}-images-idx3-ubyte.gz").read_bytes())
        labels = np.frombuffer(gzip.decompress((source / f"{split}-labels-idx1-ubyte.gz").read_bytes()), np.uint8)[8:]
        pixels = np.frombuffer(images, np.uint8)[16:].reshape(len(labels), 28 * 28)
        random = np.random.default_rng(SEED)
        of_class = [np.flatnonzero(labels == name) for name in range(NUM_CLASSES)]
        chosen = np.sort(np.concatenate([random.choice(where, total // NUM_CLASSES, False) for where in of_class]))
        count = total.to_bytes(4, "big")
        for kind, head, rows in (
            ("images-idx3", images[:4] + count + images[8:16], pixels[chosen]),
            ("labels-idx1", bytes([0, 0, 8, 1]) + count, labels[chosen]),
        ):
            packed = gzip.compress(head + rows.tobytes(), 9, mtime=0)
            (out / f"{split}-{kind}-ubyte.gz").write_bytes(packed)
    (out / "classes.txt").write_text("\n".join(CLASSES) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
