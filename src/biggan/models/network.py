"""What the two architectures have in common: the frame of a generator and of a discriminator.

G turns latents and embedded classes into one condition a layer (`conditions`, where the architectures differ), and
conditions into images (`synthesise`). `G(z, G.embed(y))` does both; editing and text guidance step in between. D turns
images into features (where they differ) and features into logits. State-dict names are BigGAN-PyTorch's.
Not here: the blocks (`biggan.py`, `biggan_deep.py`), and which architecture a config asks for (`build.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biggan.config import Model
from biggan.models.layers import AffineNorm, ClassTable, ConditionalNorm, Norm, norms
from biggan.models.recompute import run_block
from biggan.models.spectral import SpectralConv2d, SpectralEmbedding, SpectralLinear, SpectralSettings

BOTTOM = 4  # pixels of G's first map

G_TABLE = {  # G's channels in the first map, then after each doubling, by resolution (paper, Tables 4 to 9)
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
D_TABLE = {  # D's channels after each block; BigGAN-deep: of its first convolution, then after each stage
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}


def spectral_settings(config: Model, network: str) -> SpectralSettings | None:
    """How `network` ('generator' or 'discriminator') is spectrally normalised, if it is."""
    if config.spectral_norm not in ("both", network):
        return None
    per_forward, keep_v = config.power_iteration == "per_forward", config.sn_vectors == "uv"
    return SpectralSettings(config.num_singular_values, config.num_power_iterations, config.sn_eps, per_forward, keep_v)


def conditional_norm(channels: int, condition: int, config: Model) -> Norm:
    """The norm of a G block: conditional on `condition` numbers, plain affine where there are none."""
    settings = (config.norm, config.norm_eps, config.norm_replicas)
    if condition == 0:
        return AffineNorm(channels, *settings)
    if config.shared_dim == 0 and not config.hierarchical_z:
        return ConditionalNorm(channels, ClassTable(condition, channels), ClassTable(condition, channels), *settings)
    norm = spectral_settings(config, "generator")
    gain, bias = (SpectralLinear(condition, channels, bias=False, norm=norm) for _ in range(2))
    return ConditionalNorm(channels, gain, bias, *settings)


def embedded_size(config: Model) -> int:
    """Dimensions of an embedded class: the shared embedding's, one a class without it, 0 when unconditional."""
    return (config.shared_dim or config.num_classes) if config.num_classes else 0


class GeneratorStage(nn.ModuleList):
    """A block, then attention where its resolution has it; the condition goes to the block."""

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        block, *attention = self
        h: Tensor = block(x, c)
        for layer in attention:
            h = layer(h)
        return h


class Generator(nn.Module, ABC):
    """A generator: z (N, dim_z), c (N, condition) -> x (N, channels, R, R) in [-1, 1].

    Attributes:
        config: What it was made from.
        dim_z: Latent dimensions.
        num_classes: Classes, 0 when unconditional.
        num_layers: Layers that take a condition: the first, then each block.
        compute_dtype: Precision of convolutions; None for the parameters' own.
        recompute: Keep the blocks' inputs alone for the backward pass (`recompute.py`).
    """

    linear: SpectralLinear
    blocks: nn.ModuleList
    output_layer: nn.Sequential

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.config, self.dim_z, self.num_classes = config, config.dim_z, config.num_classes
        self.compute_dtype: torch.dtype | None = None
        self.recompute = False
        if config.num_classes and config.shared_dim:
            self.shared = nn.Embedding(config.num_classes, config.shared_dim)

    def output_end(self, channels: int) -> nn.Sequential:
        """The last layers: normalise, ReLU, convolve to the image's channels."""
        config, norm = self.config, spectral_settings(self.config, "generator")
        filters = channels if config.wide_output else config.image_channels
        return nn.Sequential(
            AffineNorm(channels, "batch", config.output_norm_eps, config.norm_replicas),
            nn.ReLU(inplace=True),
            SpectralConv2d(channels, filters, 3, norm=norm, used=config.image_channels),
        )

    @property
    def num_layers(self) -> int:
        return 1 + len(self.blocks)

    def embed(self, y: Tensor) -> Tensor:
        """Class labels y (N,) int64 as conditions c (N, condition).

        The shared embedding's rows; one-hot vectors where every layer has its own table; (N, 0) when unconditional.
        """
        if self.num_classes == 0:
            return self.linear.weight.new_zeros(len(y), 0)
        if self.config.shared_dim == 0:
            return F.one_hot(y, self.num_classes).to(self.linear.weight.dtype)
        embedded: Tensor = self.shared(y)
        return embedded

    @abstractmethod
    def conditions(self, z: Tensor, c: Tensor) -> list[Tensor]:
        """What each layer is given.

        Args:
            z: Latents (N, dim_z), or (N, num_layers, dim_z) for latents of each layer's own.
            c: Embedded classes (N, condition) or (N, num_layers, condition).

        Returns:
            num_layers tensors (N, D), in order.
        """

    def synthesise(self, conditions: Sequence[Tensor]) -> Tensor:
        """Images (N, channels, R, R) in [-1, 1] of what `conditions` gives."""
        first, *others = conditions
        h = self.linear(first).view(len(first), -1, BOTTOM, BOTTOM)
        h = h.to(dtype=self.compute_dtype or h.dtype, memory_format=torch.channels_last)
        for stage, c in zip(self.blocks, others, strict=True):
            h = run_block(stage, h, c, recompute=self.recompute)
        return torch.tanh(self.output_layer(h).to(first.dtype))

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self.synthesise(self.conditions(z, c))

    def use_statistics(self, row: Mapping[str, Tensor]) -> None:
        """Puts a row of statistics (name of a buffer -> (C,)) into the running means and variances."""
        for name, _ in norms(self):
            for part in ("stored_mean", "stored_var"):
                self.get_buffer(f"{name}.{part}").copy_(row[f"{name}.{part}"])


def of_each_layer(x: Tensor, num_layers: int) -> Sequence[Tensor]:
    """x (N, D) or (N, num_layers, D) as one (N, D) a layer."""
    return x.unbind(1) if x.dim() == 3 else [x] * num_layers


class Discriminator(nn.Module, ABC):
    """Projection discriminator (Miyato & Koyama 2018): x (N, channels, R, R) in [-1, 1], y (N,) -> logits (N, 1).

    Attributes as `Generator`; an unconditional one takes no y.
    """

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.config, self.num_classes = config, config.num_classes
        self.compute_dtype: torch.dtype | None = None
        self.recompute = False

    def make_head(self, channels: int) -> None:
        """Adds the last layers, which see `channels` features."""
        norm = spectral_settings(self.config, "discriminator")
        self.linear = SpectralLinear(channels, 1, norm=norm)
        if self.num_classes:
            self.embed = SpectralEmbedding(self.num_classes, channels, norm=norm)

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """The last feature map (N, C, H, W), before its ReLU, of images in the precision to compute in."""

    def forward(self, x: Tensor, y: Tensor | None = None, scores: bool = False) -> Tensor:
        """With `scores` what each class would add to the logit follows it: (N, 1 + num_classes)."""
        h = self.features(x.to(dtype=self.compute_dtype or x.dtype, memory_format=torch.channels_last))
        h = F.relu(h).sum((2, 3), dtype=x.dtype)  # (N, C)
        logits: Tensor = self.linear(h)
        if y is not None:
            logits = logits + (self.embed(y) * h).sum(1, keepdim=True)
        if scores:
            logits = torch.cat([logits, h @ self.embed(torch.arange(self.num_classes, device=h.device)).mT], 1)
        return logits
