"""The judge of learning runs: a real network's features of drawn and of held-out real images, always the same ones.

1,000 test images by `default_rng(0)`, 3,000 training images drawn next from the same generator, EfficientNet-Lite
features at 96 px in bfloat16, a kernel distance without scaling and a ridge probe. Grey is repeated to three channels
for the features only. Real images' features are kept in a folder, as they never change.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from biggan.data.packed import Packed
from biggan.evaluation.distances import kernel_distance
from biggan.evaluation.features import FeatureNetwork, efficientnet_lite
from biggan.evaluation.manifolds import manifolds
from biggan.sampling.pipeline import Pipeline

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bfloat16_arithmetic import bfloat16_arithmetic

DRAWN, HELD_OUT, PROBED = 1_000, 1_000, 3_000  # images: drawn, of the test set, of the training set for the probe
SIZE = 96  # pixels at which the network sees images
PENALTY = 300.0  # of the ridge regression
FIRST_SEED = 1_000  # of the drawn images


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says of drawn images, beside what it says of real ones."""

    kid: float
    """Unbiased squared MMD to the test images, kernel (a·b / D + 1)³, over all pairs."""
    recognised: float
    """Share that the probe calls by the class asked for."""
    least_recognised: float
    """The same of the worst class."""
    coverage: float
    """Share of the test images that have a drawn one in their neighbourhood (k = 5)."""
    coverage_of_real: float
    """The same for as many other test images."""
    diversity: float
    """Mean distance of two drawn images of a class, as a share of that of two test images of it; mean over classes."""


class Judge:
    """Real features, and what follows from them.

    Args:
        train: The training images, at the size that is drawn.
        test: The test images.
        variant: 0, or 2 for the second judge.
        kept: A folder for the features of real images.
    """

    def __init__(self, train: Packed, test: Packed, variant: int = 0, kept: Path | None = None) -> None:
        self.network: FeatureNetwork = efficientnet_lite(variant, SIZE)
        generator = np.random.default_rng(0)
        order = generator.permutation(test.num_images)
        held_out, others = order[:HELD_OUT], order[HELD_OUT : 2 * HELD_OUT]
        probed = generator.permutation(train.num_images)[:PROBED]
        name = f"lite{variant}-{train.sha256[:12]}-{test.sha256[:12]}.safetensors"
        found = self._real(
            kept and kept / name, {"real": (test, held_out), "others": (test, others), "probed": (train, probed)}
        )
        self.real, self.others = found["real"], found["others"]
        self.labels = torch.from_numpy(_labels(test)[held_out])
        self.num_classes = train.num_classes
        probed_labels = torch.from_numpy(_labels(train)[probed])
        self.mean, self.deviation = found["probed"].mean(0), found["probed"].std(0).clamp_min(1e-6)
        inputs = self._inputs(found["probed"])
        targets = 2 * F.one_hot(probed_labels, self.num_classes).double() - 1
        gram = inputs.T @ inputs + PENALTY * torch.eye(inputs.shape[1], dtype=torch.float64)
        self.weight = torch.linalg.solve(gram, inputs.T @ targets)

    def _real(self, path: Path | None, wanted: dict[str, tuple[Packed, np.ndarray]]) -> dict[str, Tensor]:
        if path and path.exists():
            return {name: features.double() for name, features in load_file(path).items()}
        found = {name: self.features(_pixels(packed, places)) for name, (packed, places) in wanted.items()}
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(found, path)
        return found

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Images (N, 1 or 3, R, R) in [-1, 1] → (N, 1280), float64; the network runs in bfloat16 autocast."""
        parts = []
        for part in x.clamp(-1, 1).split(50):
            with torch.autocast("cpu", torch.bfloat16), bfloat16_arithmetic():
                parts.append(self.network.features(part.contiguous(memory_format=torch.channels_last)).double())
        return torch.cat(parts)

    def _inputs(self, features: Tensor) -> Tensor:
        return F.pad((features - self.mean) / self.deviation, (0, 1), value=1.0)

    def named(self, features: Tensor) -> Tensor:
        """Features (N, 1280) → the class that the probe gives each, (N,)."""
        scores: Tensor = self._inputs(features) @ self.weight
        return scores.argmax(1)

    def verdict(self, x: Tensor, y: Tensor) -> Verdict:
        """Of drawn images x (N, C, R, R) in [-1, 1], asked for as the classes y (N,)."""
        features = self.features(x)
        right = (self.named(features) == y).double()
        shares = [float(right[y == k].mean()) for k in range(self.num_classes)]
        return Verdict(
            kid=kernel_distance(self.real, features).value,
            recognised=float(right.mean()),
            least_recognised=min(shares),
            coverage=manifolds(self.real, features).coverage,
            coverage_of_real=manifolds(self.real, self.others).coverage if len(self.others) > 5 else float("nan"),
            diversity=float((_within(features, y, self.num_classes) / self._within).nanmean()),
        )

    @property
    def _within(self) -> Tensor:
        return _within(self.real, self.labels, self.num_classes)

    def of_real(self) -> dict[str, float]:
        """KID and recognition of real images: other test images, and the test images themselves."""
        right = self.named(self.real) == self.labels
        return {"kid": kernel_distance(self.real, self.others).value, "recognised": float(right.double().mean())}

    def of_model(self, pipe: Pipeline) -> Verdict:
        """Of as many drawn images of each class, without truncation and with standing statistics."""
        each = DRAWN // self.num_classes
        return self.verdict(
            pipe(num_images=each, seed=FIRST_SEED).x, torch.arange(self.num_classes).repeat_interleave(each)
        )


def _labels(packed: Packed) -> np.ndarray:
    assert packed.labels is not None
    return packed.labels


def _pixels(packed: Packed, places: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(packed.images[places])).permute(0, 3, 1, 2).float() / 127.5 - 1


def _within(features: Tensor, y: Tensor, num_classes: int) -> Tensor:
    """Mean distance of two images of each class, (K,); NaN for a class of fewer than two."""
    return torch.stack([torch.pdist(features[y == k]).mean() for k in range(num_classes)])
