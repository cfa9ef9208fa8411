"""A tiny feature network and packs, for tests that measure."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import biggan
from biggan.config import Data
from biggan.data.packed import Packed, prepare
from biggan.distributed.processes import rank, world_size
from biggan.evaluation.features import FeatureNetwork


class Small(nn.Module):
    """Pooled pixels and random sums of them: (N, 3, H, W) → (N, 16)."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body, self.fc = nn.Linear(48, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(F.adaptive_avg_pool2d(x, 4).flatten(1)))


def small_network(seed: int = 0) -> FeatureNetwork:
    """A feature network of sixteen features."""
    return FeatureNetwork("small", f"{seed:064}", 32, Small(seed))


def packed(place: Path, count: int = 60, classes: int = 3, seed: int = 0) -> Packed:
    """Grey noise at 32 px with labels in turn, each class with its own brightness."""
    write_images(place, count, classes, seed)
    return prepare(place, 32, Data(channels=1), cache=place.parent / "cache")


def write_images(place: Path, count: int, classes: int = 3, seed: int = 0) -> Path:
    """The archive of `packed`."""
    random = np.random.default_rng(seed)
    y = np.arange(count) % classes
    x = random.integers(0, 90, (count, 32, 32), dtype=np.uint8) + (60 * y[:, None, None]).astype(np.uint8)
    names = np.array(["T-shirt/top", "Bag", "Ankle boot"][:classes])
    np.savez(place, x=x, y=y, class_names=names)
    return place


ASKED = "kid30_train@efficientnet_lite0_32px,d30,pr30_train@efficientnet_lite0_32px"


def measure_together(folder: Path) -> None:
    """What several processes do in `evaluation/test_together.py`: one measures for all, all have the records."""
    shown: list[str] = []
    records = biggan.evaluate(
        folder / "model",
        folder / "images.npz",
        metrics=ASKED,
        cache=folder / f"cache{world_size()}",
        progress=lambda what, done, total: shown.append(what),
    )
    told = {"values": [record["values"] for record in records], "shown": shown}
    (folder / f"{rank()}.json").write_text(json.dumps(told))
