"""The small real data set inside the package: a part of Fashion-MNIST (MIT, see LICENSE-fashion-mnist).

1,000 training and 200 test images of each of ten classes, 28 x 28 grey, chosen at random from the published
60,000 and 10,000 with a fixed seed (`tools/bundle_fashion_mnist.py` makes the files). Source: Xiao, Rasul and
Vollgraf 2017 (arXiv 1708.07747). What is not here: the bundled model.
"""

from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parent / "fashion-mnist"
"""IDX files and the class names."""

NAMES: dict[str, Literal["train", "test"]] = {"fashion-mnist": "train", "fashion-mnist-test": "test"}
"""What can be given as `--data`, and the part it means."""
