"""The Inception network of 2015, whose numbers alone are called FID, KID and IS, from a file that the user has.

The file is the one that pytorch-fid (`pt_inception-2015-12-05-6726825d.pth`) and torch-fidelity
(`weights-inception-2015-12-05-6726825d.pth`) load: TensorFlow's weights, 1,008 outputs, byte for byte the same. With
random weights this network equals torch-fidelity's tensor for tensor (tests). Not here: what is computed from features.
Source: Szegedy et al. 2016; the graph of 2015-12-05, as torch-fidelity 0.4 has it.
"""

import hashlib
import io
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biggan.errors import ModelError
from biggan.evaluation.features import FeatureNetwork

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of the file; its name's last part begins it. No such file can be had where this is built: the sum is the one that
public evaluation code compares the file with."""
BYTES = 95_628_359
SIZE = 299
HINT = "pt_inception-2015-12-05-6726825d.pth of pytorch-fid, or the same file of torch-fidelity"


def inception(path: Path) -> "Inception":
    """The network with the weights of a file, on the CPU, frozen and in evaluation mode.

    Raises:
        ModelError: The file is missing, or is not that very file.
    """
    try:
        content = path.read_bytes() if path.stat().st_size == BYTES else b""
    except OSError as error:
        raise ModelError(f"--inception {path} cannot be read ({error.strerror}); give {HINT}.") from error
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ModelError(f"--inception {path} is another file (its SHA-256 differs); give {HINT}.")
    return from_content(content)


def from_content(content: bytes) -> "Inception":
    """The network with the weights in the content of such a file, which is trusted to be one."""
    net = InceptionV3()
    net.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    net.to(memory_format=torch.channels_last)
    return Inception("inception-2015-12-05", hashlib.sha256(content).hexdigest(), SIZE, net)


class Inception(FeatureNetwork):
    """What is done to an image first: grey is repeated to three channels, 127.5 (x + 1), resize to 299 x 299 as in
    TensorFlow 1 (bilinear, corner to corner of the pixel grid, no antialiasing), (v - 128) / 128."""

    resize = "bilinear as in TensorFlow 1"

    def prepare(self, x: Tensor) -> Tensor:
        """Images in [-1, 1], (N, 1 or 3, H, W) → what the network sees, (N, 3, 299, 299)."""
        return (resize_as_tensorflow(127.5 * (x + 1).expand(-1, 3, -1, -1), self.size) - 128) / 128

    def scores(self, features: Tensor) -> Tensor:
        """Features (N, 2048) → (N, 1008): without the bias, as the Inception score has always been computed."""
        fc = self.net.get_submodule("fc")
        return F.linear(features, fc.get_parameter("weight"))


def resize_as_tensorflow(x: Tensor, size: int) -> Tensor:
    """(N, C, H, W) → (N, C, size, size): `tf.image.resize_bilinear` of TensorFlow 1, corners not aligned.

    Output pixel i lies at i x H / size of the input, not at its centre, so all is moved up and left by half a pixel.
    """
    (above, below, down), (left, right, across) = (_places(x.shape[axis], size, x) for axis in (2, 3))
    upper, lower = x[:, :, above], x[:, :, below]
    upper = upper[..., left] + (upper[..., right] - upper[..., left]) * across
    lower = lower[..., left] + (lower[..., right] - lower[..., left]) * across
    return upper + (lower - upper) * down[:, None]


def _places(length: int, size: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each output pixel of an axis the two input pixels, and the share of the second."""
    at = torch.arange(size, dtype=like.dtype, device=like.device) * torch.tensor(length / size, dtype=torch.float32)
    low = at.long()
    return low, (low + 1).clamp_max(length - 1), at - low


class InceptionV3(nn.Module):
    """Modules are named as the file's tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = Wide(192, 32), Wide(256, 64), Wide(288, 64)
        self.Mixed_6a = Halving35(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (Cross(768, c) for c in (128, 160, 160, 192))
        self.Mixed_7a = Halving17(768)
        self.Mixed_7b, self.Mixed_7c = Split(1280, maximum=False), Split(2048, maximum=True)
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, 299, 299) → (N, 2048)."""
        h = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        h = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(h, 3, 2)))
        h = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(h, 3, 2))))
        h = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(h)))))
        h = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(h)))
        return F.adaptive_avg_pool2d(h, 1).flatten(1)


class Convolution(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _row(before: int, after: int, width: int = 7) -> Convolution:
    return Convolution(before, after, (1, width), padding=(0, width // 2))


def _column(before: int, after: int, width: int = 7) -> Convolution:
    return Convolution(before, after, (width, 1), padding=(width // 2, 0))


def _average(x: Tensor) -> Tensor:
    """TensorFlow's: zeros at the border do not count."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class Wide(nn.Module):
    """35 x 35: four branches; torchvision's InceptionA."""

    def __init__(self, before: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(before, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = Convolution(before, 48, 1), Convolution(48, 64, 5, padding=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Convolution(before, 64, 1), Convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Convolution(96, 96, 3, padding=1)
        self.branch_pool = Convolution(before, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        five = self.branch5x5_2(self.branch5x5_1(x))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(_average(x))], 1)


class Halving35(nn.Module):
    """35 x 35 → 17 x 17; torchvision's InceptionB."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3 = Convolution(before, 384, 3, stride=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Convolution(before, 64, 1), Convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Convolution(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class Cross(nn.Module):
    """17 x 17: rows and columns of seven; torchvision's InceptionC."""

    def __init__(self, before: int, inner: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(before, 192, 1)
        self.branch7x7_1, self.branch7x7_2 = Convolution(before, inner, 1), _row(inner, inner)
        self.branch7x7_3 = _column(inner, 192)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = Convolution(before, inner, 1), _column(inner, inner)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = _row(inner, inner), _column(inner, inner)
        self.branch7x7dbl_5 = _row(inner, 192)
        self.branch_pool = Convolution(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_average(x))], 1)


class Halving17(nn.Module):
    """17 x 17 → 8 x 8; torchvision's InceptionD."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Convolution(before, 192, 1), Convolution(192, 320, 3, stride=2)
        self.branch7x7x3_1, self.branch7x7x3_2 = Convolution(before, 192, 1), _row(192, 192)
        self.branch7x7x3_3, self.branch7x7x3_4 = _column(192, 192), Convolution(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)


class Split(nn.Module):
    """8 x 8: branches that fork into a row and a column; torchvision's InceptionE.

    The last one takes maxima where the one before takes averages: so has the graph of 2015.
    """

    def __init__(self, before: int, maximum: bool) -> None:
        super().__init__()
        self.maximum = maximum
        self.branch1x1 = Convolution(before, 320, 1)
        self.branch3x3_1, self.branch3x3_2a = Convolution(before, 384, 1), _row(384, 384, 3)
        self.branch3x3_2b = _column(384, 384, 3)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Convolution(before, 448, 1), Convolution(448, 384, 3, padding=1)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = _row(384, 384, 3), _column(384, 384, 3)
        self.branch_pool = Convolution(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        forks = [self.branch3x3_2a(three), self.branch3x3_2b(three)]
        forks += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.maximum else _average(x)
        return torch.cat([self.branch1x1(x), *forks, self.branch_pool(pooled)], 1)
