"""BigGAN's generator and discriminator (paper, Figure 15 and Tables 4 to 6), 32 to 512 px.

SA-GAN and SN-GAN are configurations of the same two networks. State-dict names are BigGAN-PyTorch's. The generator
takes embedded classes, `G(z, G.embed(y))`, so that mixing and editing classes needs no special path.
Not here: BigGAN-deep, whose blocks differ.
"""

import itertools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biggan.config import Model
from biggan.models.layers import AffineNorm, Attention, ClassTable, ConditionalNorm, Norm, initialise, norms
from biggan.models.resample import down_conv, up_conv
from biggan.models.spectral import SpectralConv2d, SpectralEmbedding, SpectralLinear, SpectralSettings

BOTTOM = 4  # pixels of G's first map
OUTPUT_NORM_EPS = 1e-5  # the last batch norm's, whatever `norm_eps` is (as in BigGAN-PyTorch)

G_TABLE = {  # channels of the first map, then after each block, which doubles the resolution
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
D_TABLE = {  # channels after each block; every block halves the resolution but the last (at 32 px the last two)
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}


def g_widths(config: Model) -> tuple[int, ...]:
    """Channels of G's first map and after each block."""
    return config.g_widths or tuple(config.g_channels * multiple for multiple in G_TABLE[config.resolution])


def d_widths(config: Model) -> tuple[int, ...]:
    """Channels after each block of D."""
    return config.d_widths or tuple(config.d_channels * multiple for multiple in D_TABLE[config.resolution])


def spectral_settings(config: Model, network: str) -> SpectralSettings | None:
    """How `network` ('generator' or 'discriminator') is spectrally normalised, if it is."""
    if config.spectral_norm not in ("both", network):
        return None
    per_forward = config.power_iteration == "per_forward"
    return SpectralSettings(config.num_singular_values, config.num_power_iterations, config.sn_eps, per_forward)


class GeneratorBlock(nn.Module):
    """Residual block that doubles the resolution (Figure 15b): x (N, in, H, W), c (N, D) -> (N, out, 2H, 2W)."""

    def __init__(self, channels: int, out_channels: int, condition: int, config: Model) -> None:
        super().__init__()
        norm = spectral_settings(config, "generator")
        self.fused = config.fused_resampling
        self.conv1 = SpectralConv2d(channels, out_channels, 3, norm=norm)
        self.conv2 = SpectralConv2d(out_channels, out_channels, 3, norm=norm)
        self.conv_sc = SpectralConv2d(channels, out_channels, 1, norm=norm)
        self.bn1 = conditional_norm(channels, condition, config)
        self.bn2 = conditional_norm(out_channels, condition, config)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        h = F.relu_(self.bn1(x, c))
        if self.fused:
            h = up_conv(h, self.conv1.normalised_weight(), self.conv1.bias)
            shortcut = F.interpolate(self.conv_sc(x), scale_factor=2)
        else:
            h = self.conv1(F.interpolate(h, scale_factor=2))
            shortcut = self.conv_sc(F.interpolate(x, scale_factor=2))
        h = self.conv2(F.relu_(self.bn2(h, c)))
        y: Tensor = h + shortcut
        return y


class GeneratorStage(nn.ModuleList):
    """A block, then attention where its resolution has it; the condition goes to the block."""

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        block, *attention = self
        h: Tensor = block(x, c)
        for layer in attention:
            h = layer(h)
        return h


def conditional_norm(channels: int, condition: int, config: Model) -> Norm:
    """The norm of a G block: conditional on `condition` numbers, plain affine where there are none."""
    settings = (config.norm, config.norm_eps, config.cross_replica)
    if condition == 0:
        return AffineNorm(channels, *settings)
    if config.shared_dim == 0 and not config.hierarchical_z:
        return ConditionalNorm(channels, ClassTable(condition, channels), ClassTable(condition, channels), *settings)
    norm = spectral_settings(config, "generator")
    gain, bias = (SpectralLinear(condition, channels, bias=False, norm=norm) for _ in range(2))
    return ConditionalNorm(channels, gain, bias, *settings)


class Generator(nn.Module):
    """BigGAN's generator: z (N, dim_z), c (N, condition) -> x (N, channels, R, R) in [-1, 1].

    Attributes:
        config: What it was made from.
        dim_z: Latent dimensions.
        num_classes: Classes, 0 when unconditional.
        compute_dtype: Precision of convolutions; None for the parameters' own.

    Raises:
        ConfigError: Attention where there are fewer than 8 channels.
    """

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.config, self.dim_z, self.num_classes = config, config.dim_z, config.num_classes
        self.compute_dtype: torch.dtype | None = None
        widths, norm = g_widths(config), spectral_settings(config, "generator")
        embedded = (config.shared_dim or config.num_classes) if config.num_classes else 0
        self.chunk = config.dim_z // len(widths) if config.hierarchical_z else config.dim_z
        condition = embedded + (self.chunk if config.hierarchical_z else 0)
        if config.num_classes and config.shared_dim:
            self.shared = nn.Embedding(config.num_classes, config.shared_dim)
        self.linear = SpectralLinear(self.chunk, widths[0] * BOTTOM**2, norm=norm)
        self.blocks = nn.ModuleList()
        for i, (channels, out_channels) in enumerate(itertools.pairwise(widths)):
            stage: list[nn.Module] = [GeneratorBlock(channels, out_channels, condition, config)]
            if BOTTOM * 2 ** (i + 1) in config.g_attention:
                stage.append(Attention(out_channels, norm))
            self.blocks.append(GeneratorStage(stage))
        self.output_layer = nn.Sequential(
            AffineNorm(widths[-1], "batch", OUTPUT_NORM_EPS, config.cross_replica),
            nn.ReLU(inplace=True),
            SpectralConv2d(widths[-1], config.image_channels, 3, norm=norm),
        )
        initialise(self, config.init)

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

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        chunks = torch.split(z, self.chunk, 1)
        h = self.linear(chunks[0]).view(len(z), -1, BOTTOM, BOTTOM)
        h = h.to(dtype=self.compute_dtype or h.dtype, memory_format=torch.channels_last)
        for i, stage in enumerate(self.blocks):
            h = stage(h, torch.cat([c, chunks[i + 1]], 1) if self.config.hierarchical_z else c)
        return torch.tanh(self.output_layer(h).to(z.dtype))

    def use_statistics(self, row: Mapping[str, Tensor]) -> None:
        """Puts a row of statistics (name of a buffer -> (C,)) into the running means and variances."""
        for name, _ in norms(self):
            for part in ("stored_mean", "stored_var"):
                self.get_buffer(f"{name}.{part}").copy_(row[f"{name}.{part}"])


class DiscriminatorBlock(nn.Module):
    """Residual block, halving the resolution if `down` (Figure 15c): (N, in, H, W) -> (N, out, H/2, W/2)."""

    def __init__(self, channels: int, out_channels: int, hidden: int, first: bool, down: bool, config: Model) -> None:
        super().__init__()
        norm = spectral_settings(config, "discriminator")
        self.fused, self.first, self.down = config.fused_resampling, first, down
        self.conv1 = SpectralConv2d(channels, hidden, 3, norm=norm)
        self.conv2 = SpectralConv2d(hidden, out_channels, 3, norm=norm)
        if channels != out_channels or down:
            self.conv_sc = SpectralConv2d(channels, out_channels, 1, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu_(self.conv1(x if self.first else F.relu(x)))
        if not self.down:
            h = self.conv2(h)
        elif self.fused:
            h = down_conv(h, self.conv2.normalised_weight(), self.conv2.bias)
        else:
            h = F.avg_pool2d(self.conv2(h), 2)
        return h + self.shortcut(x)

    def shortcut(self, x: Tensor) -> Tensor:
        """The 1×1 path; it commutes with pooling, so it runs on the smaller map unless asked to be plain."""
        if not hasattr(self, "conv_sc"):
            return x
        early = self.down and (self.first or self.fused)
        h: Tensor = self.conv_sc(F.avg_pool2d(x, 2) if early else x)
        return F.avg_pool2d(h, 2) if self.down and not early else h


def d_hidden(config: Model, channels: int, out_channels: int, first: bool) -> int:
    """Hidden width of a D block, by `config.d_hidden`."""
    if config.d_hidden == "wide" or (first and config.d_hidden == "thin"):
        return out_channels
    return channels


class Discriminator(nn.Module):
    """Projection discriminator (Miyato & Koyama 2018): x (N, channels, R, R) in [-1, 1], y (N,) -> logits (N, 1).

    Attributes and errors as `Generator`; an unconditional one takes no y.
    """

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.config, self.num_classes = config, config.num_classes
        self.compute_dtype: torch.dtype | None = None
        widths, norm = (config.image_channels, *d_widths(config)), spectral_settings(config, "discriminator")
        num_down = len(widths) - 2 if config.resolution > 32 else 2
        self.blocks = nn.ModuleList()
        resolution = config.resolution
        for i, (channels, out_channels) in enumerate(itertools.pairwise(widths)):
            hidden, down = d_hidden(config, channels, out_channels, i == 0), i < num_down
            stage: list[nn.Module] = [DiscriminatorBlock(channels, out_channels, hidden, i == 0, down, config)]
            resolution //= 1 + down
            if resolution in config.d_attention:
                stage.append(Attention(out_channels, norm))
            self.blocks.append(nn.Sequential(*stage))
        self.linear = SpectralLinear(widths[-1], 1, norm=norm)
        if config.num_classes:
            self.embed = SpectralEmbedding(config.num_classes, widths[-1], norm=norm)
        initialise(self, config.init)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = x.to(dtype=self.compute_dtype or x.dtype, memory_format=torch.channels_last)
        for block in self.blocks:
            h = block(h)
        h = F.relu(h).sum((2, 3), dtype=x.dtype)  # (N, C)
        logits: Tensor = self.linear(h)
        return logits if y is None else logits + (self.embed(y) * h).sum(1, keepdim=True)
