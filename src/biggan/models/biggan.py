"""BigGAN's generator and discriminator (paper, Figure 15 and Tables 4 to 6), 32 to 512 px.

SA-GAN and SN-GAN are configurations of the same two networks. Not here: what they share with BigGAN-deep
(`network.py`), and BigGAN-deep, whose blocks differ (`biggan_deep.py`).
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biggan.config import Model
from biggan.models import network
from biggan.models.layers import Attention, initialise
from biggan.models.network import (
    BOTTOM,
    D_TABLE,
    G_TABLE,
    GeneratorStage,
    conditional_norm,
    embedded_size,
    of_each_layer,
    spectral_settings,
)
from biggan.models.recompute import run_block
from biggan.models.resample import DownConv2d, UpConv2d, add_doubled
from biggan.models.spectral import SpectralConv2d, SpectralLinear


def g_widths(config: Model) -> tuple[int, ...]:
    """Channels of G's first map and after each block."""
    return config.g_widths or tuple(config.g_channels * multiple for multiple in G_TABLE[config.resolution])


def d_widths(config: Model) -> tuple[int, ...]:
    """Channels after each block of D."""
    return config.d_widths or tuple(config.d_channels * multiple for multiple in D_TABLE[config.resolution])


class GeneratorBlock(nn.Module):
    """Residual block that doubles the resolution (Figure 15b): x (N, in, H, W), c (N, D) -> (N, out, 2H, 2W)."""

    def __init__(self, channels: int, out_channels: int, condition: int, config: Model) -> None:
        super().__init__()
        norm = spectral_settings(config, "generator")
        self.fused = config.fused_resampling
        self.conv1 = UpConv2d(channels, out_channels, fused=self.fused, norm=norm)
        self.conv2 = SpectralConv2d(out_channels, out_channels, 3, norm=norm)
        self.conv_sc = SpectralConv2d(channels, out_channels, 1, norm=norm)
        self.bn1 = conditional_norm(channels, condition, config)
        self.bn2 = conditional_norm(out_channels, condition, config)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        h = self.conv1(F.relu_(self.bn1(x, c)))
        h = self.conv2(F.relu_(self.bn2(h, c)))
        if self.fused:  # the 1×1 convolution commutes with doubling
            return add_doubled(h, self.conv_sc(x))
        y: Tensor = h + self.conv_sc(F.interpolate(x, scale_factor=2))
        return y


class Generator(network.Generator):
    """BigGAN's generator; see `network.Generator`.

    Raises:
        ConfigError: Attention where there are fewer than 8 channels.
    """

    def __init__(self, config: Model) -> None:
        super().__init__(config)
        widths, norm = g_widths(config), spectral_settings(config, "generator")
        self.chunk = config.dim_z // len(widths) if config.hierarchical_z else config.dim_z
        condition = embedded_size(config) + (self.chunk if config.hierarchical_z else 0)
        self.linear = SpectralLinear(self.chunk, widths[0] * BOTTOM**2, norm=norm)
        self.blocks = nn.ModuleList()
        for i, (channels, out_channels) in enumerate(itertools.pairwise(widths)):
            stage: list[nn.Module] = [GeneratorBlock(channels, out_channels, condition, config)]
            if BOTTOM * 2 ** (i + 1) in config.g_attention:
                stage.append(Attention(out_channels, norm))
            self.blocks.append(GeneratorStage(stage))
        self.output_layer = self.output_end(widths[-1])
        initialise(self, config.init)

    def conditions(self, z: Tensor, c: Tensor) -> list[Tensor]:
        zs, cs = (of_each_layer(x, self.num_layers) for x in (z, c))
        if not self.config.hierarchical_z:
            return [zs[0], *cs[1:]]
        chunks = [z[:, i * self.chunk : (i + 1) * self.chunk] for i, z in enumerate(zs)]
        return [chunks[0], *(torch.cat(pair, 1) for pair in zip(cs[1:], chunks[1:], strict=True))]


class DiscriminatorBlock(nn.Module):
    """Residual block, halving the resolution if `down` (Figure 15c): (N, in, H, W) -> (N, out, H/2, W/2)."""

    def __init__(self, channels: int, out_channels: int, hidden: int, first: bool, down: bool, config: Model) -> None:
        super().__init__()
        norm = spectral_settings(config, "discriminator")
        self.fused, self.first, self.down = config.fused_resampling, first, down
        self.conv1 = SpectralConv2d(channels, hidden, 3, norm=norm)
        if down:
            self.conv2: SpectralConv2d = DownConv2d(hidden, out_channels, fused=self.fused, norm=norm)
        else:
            self.conv2 = SpectralConv2d(hidden, out_channels, 3, norm=norm)
        if channels != out_channels or down:
            self.conv_sc = SpectralConv2d(channels, out_channels, 1, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu_(self.conv1(x if self.first else F.relu(x)))
        y: Tensor = self.conv2(h) + self.shortcut(x)
        return y

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


class Discriminator(network.Discriminator):
    """BigGAN's discriminator; see `network.Discriminator`.

    Raises:
        ConfigError: Attention where there are fewer than 8 channels.
    """

    def __init__(self, config: Model) -> None:
        super().__init__(config)
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
        self.make_head(widths[-1])
        initialise(self, config.init)

    def features(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = run_block(block, x, recompute=self.recompute)
        return x
