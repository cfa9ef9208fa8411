"""A judge of drawn pictures that needs no download: a small classifier trained on the real ones, and a kernel distance.

Its numbers compare runs on one data set with each other; they are no one's FID or KID.
"""

import itertools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from biggan.config import Data
from biggan.data.packed import prepare

SAVED = Path(__file__).parent / "golden" / "judge.safetensors"


class Judge(nn.Module):
    """A small convolutional classifier: x (N, C, 32, 32) in [-1, 1] -> logits (N, K); `features` gives (N, 128)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        widths = (channels, 32, 64, 128)
        stages = [
            (nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2))
            for i, o in itertools.pairwise(widths)
        ]
        self.body = nn.Sequential(*(layer for stage in stages for layer in stage))
        self.head = nn.Linear(128, num_classes)

    def features(self, x: Tensor) -> Tensor:
        h: Tensor = self.body(x)
        return h.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


def train_judge(x: Tensor, y: Tensor, epochs: int = 12, seed: int = 0) -> Judge:
    """Trains a judge on real images x and labels y, with shifts of up to 2 px and mirroring."""
    torch.manual_seed(seed)
    judge = Judge(x.shape[1], int(y.max()) + 1).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(judge.parameters(), 3e-3, weight_decay=1e-2)
    batches = len(x) // 128
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * batches)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for i in range(batches):
            chosen = order[i * 128 : (i + 1) * 128]
            dx, dy = torch.randint(-2, 3, (2,)).tolist()
            seen = x[chosen].roll((dy, dx), (2, 3))
            loss = F.cross_entropy(judge(seen.flip(3) if torch.rand(()) < 0.5 else seen), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return judge.eval()


@torch.no_grad()
def recognised(judge: Judge, x: Tensor, y: Tensor) -> list[float]:
    """Share of the images of each class that the judge names rightly."""
    named = torch.cat([judge(part).argmax(1) for part in x.split(500)])
    return [float((named[y == k] == k).float().mean()) for k in range(int(y.max()) + 1)]


@torch.no_grad()
def kernel_distance(judge: Judge, x: Tensor, other: Tensor) -> float:
    """Unbiased squared MMD of the judge's features with the cubic kernel (Binkowski et al. 2018)."""
    a, b = (torch.cat([judge.features(part) for part in images.split(500)]).double() for images in (x, other))
    scale = torch.cat([a, b]).std(0).clamp_min(1e-6)
    a, b = a / scale, b / scale

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        return (p @ q.mT / p.shape[1] + 1) ** 3

    def off_diagonal(k: Tensor) -> Tensor:
        return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))

    return float(off_diagonal(kernel(a, a)) + off_diagonal(kernel(b, b)) - 2 * kernel(a, b).mean())


def bundled_images(name: str = "fashion-mnist") -> tuple[Tensor, Tensor]:
    """A bundled set's images x (N, 1, 32, 32) in [-1, 1] and labels y (N,)."""
    packed = prepare(name, 32, Data())
    return torch.from_numpy(np.array(packed.images)).permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(packed.labels)


def fashion_judge() -> Judge:
    """The saved judge of Fashion-MNIST."""
    judge = Judge(1, 10)
    judge.load_state_dict(load_file(SAVED))
    return judge.eval()


if __name__ == "__main__":
    judge = train_judge(*bundled_images())
    save_file({name: tensor.contiguous() for name, tensor in judge.state_dict().items()}, SAVED)
    shares = recognised(judge, *bundled_images("fashion-mnist-test"))
    print(f"accuracy on held-out real images {sum(shares) / 10:.3f}; by class {[round(share, 2) for share in shares]}")
