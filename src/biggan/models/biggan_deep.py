"""BigGAN-deep's generator and discriminator (paper, Appendix B, Figure 16 and Tables 7 to 9), 32 to 512 px.

Blocks are bottlenecks of four convolutions, and shortcuts have no weights but where D gains channels: G drops channels
and D adds them. Every layer of G is given the whole z beside the embedded class. The authors' PyTorch variant ([y, z],
an output of as many filters as the image has channels) and the published generators ([z, y], `wide_output`) are
settings of one network; so is any depth, and an explicit list of blocks. State-dict names are BigGAN-PyTorch's.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biggan.config import Model
from biggan.errors import ConfigError
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
from biggan.models.resample import UpConv2d, add_doubled
from biggan.models.spectral import SpectralConv2d, SpectralLinear

BOTTLENECK = 4  # how much narrower a block is inside


class Block(NamedTuple):
    """A line of a layout."""

    channels: int
    out_channels: int
    resample: bool
    """Whether it doubles (G) or halves (D) the resolution."""
    attention: bool
    """Whether self-attention follows."""


def g_layout(config: Model) -> list[Block]:
    """G's blocks in order, by `g_blocks` or the table.

    Raises:
        ConfigError: A block gains channels, which G's shortcuts cannot.
    """
    if config.g_blocks:
        blocks = _read(config.g_blocks, "up")
    else:
        table = (config.g_channels * multiple for multiple in G_TABLE[config.resolution])
        blocks, resolution = [], BOTTOM
        for channels, out_channels in itertools.pairwise(config.g_widths or table):
            blocks += [Block(channels, channels, False, False)] * (config.g_depth - 1)
            resolution *= 2
            blocks.append(Block(channels, out_channels, True, resolution in config.g_attention))
    _require_fitting(blocks, "G", shrinking=True)
    return blocks


def d_layout(config: Model) -> list[list[Block]]:
    """D's stages in order, each a list of blocks, by `d_blocks` (a stage begins with each halving) or the table.

    Raises:
        ConfigError: A block loses channels, or no table has this resolution.
    """
    if config.d_blocks:
        blocks = _read(config.d_blocks, "down")
        starts = [0, *(i for i, block in enumerate(blocks) if block.resample and i), len(blocks)]
        stages = [blocks[start:end] for start, end in itertools.pairwise(starts)]
    elif config.resolution in D_TABLE:
        table = (config.d_channels * multiple for multiple in D_TABLE[config.resolution])
        stages, resolution = [], config.resolution
        for i, (channels, out_channels) in enumerate(itertools.pairwise(config.d_widths or table)):
            down = i < 2 or config.resolution > 32
            resolution //= 1 + down
            stage = [Block(channels, out_channels, down, False)]
            stage += [Block(out_channels, out_channels, False, False)] * (config.d_depth - 1)
            stage[-1] = stage[-1]._replace(attention=resolution in config.d_attention)
            stages.append(stage)
    else:
        raise ConfigError(f"D has no table of widths at {config.resolution} px; list its blocks with --d-blocks.")
    _require_fitting(list(itertools.chain(*stages)), "D", shrinking=False)
    return stages


def _read(words: Sequence[str], step: str) -> list[Block]:
    """Blocks from words such as `64`, `64up` and `attention`, the first being the channels before all blocks."""
    channels, blocks = int(words[0]), list[Block]()
    for word in words[1:]:
        if word == "attention":
            blocks[-1] = blocks[-1]._replace(attention=True)
        else:
            out_channels = int(word.removesuffix(step))
            blocks.append(Block(channels, out_channels, word.endswith(step), False))
            channels = out_channels
    return blocks


def _require_fitting(blocks: Sequence[Block], network: str, shrinking: bool) -> None:
    for channels, out_channels, _, _ in blocks:
        larger, smaller = (channels, out_channels) if shrinking else (out_channels, channels)
        if larger < smaller:
            change, flag = ("fall or stay", "--g-widths") if shrinking else ("rise or stay", "--d-widths")
            course = f"from {channels} to {out_channels} channels"
            raise ConfigError(f"{network} of BigGAN-deep would go {course}, and they must {change}; change {flag}.")
        if (channels if shrinking else out_channels) < BOTTLENECK:
            raise ConfigError(f"{network} of BigGAN-deep needs {BOTTLENECK} channels or more in every block; widen it.")


class GeneratorBlock(nn.Module):
    """Bottleneck block (Figure 16b): x (N, in, H, W), c (N, D) -> (N, out, H, W), or (N, out, 2H, 2W)."""

    def __init__(self, block: Block, condition: int, config: Model) -> None:
        super().__init__()
        norm, hidden = spectral_settings(config, "generator"), block.channels // BOTTLENECK
        self.out_channels, self.up = block.out_channels, block.resample
        self.conv1 = SpectralConv2d(block.channels, hidden, 1, norm=norm)
        if self.up:
            self.conv2: SpectralConv2d = UpConv2d(hidden, hidden, fused=config.fused_resampling, norm=norm)
        else:
            self.conv2 = SpectralConv2d(hidden, hidden, 3, norm=norm)
        self.conv3 = SpectralConv2d(hidden, hidden, 3, norm=norm)
        self.conv4 = SpectralConv2d(hidden, block.out_channels, 1, norm=norm)
        self.bn1 = conditional_norm(block.channels, condition, config)
        self.bn2 = conditional_norm(hidden, condition, config)
        self.bn3 = conditional_norm(hidden, condition, config)
        self.bn4 = conditional_norm(hidden, condition, config)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        h = self.conv1(F.relu_(self.bn1(x, c)))
        h = self.conv2(F.relu_(self.bn2(h, c)))
        h = self.conv3(F.relu_(self.bn3(h, c)))
        h = self.conv4(F.relu_(self.bn4(h, c)))
        shortcut = x[:, : self.out_channels]
        return add_doubled(h, shortcut) if self.up else h + shortcut


class Generator(network.Generator):
    """BigGAN-deep's generator; see `network.Generator`.

    Raises:
        ConfigError: Widths that do not fit the blocks, or attention where there are fewer than 8 channels.
    """

    def __init__(self, config: Model) -> None:
        super().__init__(config)
        layout, norm = g_layout(config), spectral_settings(config, "generator")
        condition = embedded_size(config) + config.dim_z
        self.linear = SpectralLinear(condition, layout[0].channels * BOTTOM**2, norm=norm)
        self.blocks = nn.ModuleList()
        for block in layout:
            stage: list[nn.Module] = [GeneratorBlock(block, condition, config)]
            if block.attention:
                stage.append(Attention(block.out_channels, norm))
            self.blocks.append(GeneratorStage(stage))
        channels = layout[-1].out_channels
        if config.wide_output and channels < config.image_channels:
            few = f"{channels} channels at the end and images have {config.image_channels}"
            raise ConfigError(f"--wide-output does not go with G's {few}; widen G or leave it out.")
        self.output_layer = self.output_end(channels)
        initialise(self, config.init)

    def conditions(self, z: Tensor, c: Tensor) -> list[Tensor]:
        pair = (c, z) if self.config.condition == "yz" else (z, c)
        first, second = (of_each_layer(x, self.num_layers) for x in pair)
        return [torch.cat(parts, 1) for parts in zip(first, second, strict=True)]


class DiscriminatorBlock(nn.Module):
    """Bottleneck block (Figure 16c): (N, in, H, W) -> (N, out, H, W), or (N, out, H/2, W/2)."""

    def __init__(self, block: Block, config: Model) -> None:
        super().__init__()
        norm, hidden = spectral_settings(config, "discriminator"), block.out_channels // BOTTLENECK
        self.down = block.resample
        self.conv1 = SpectralConv2d(block.channels, hidden, 1, norm=norm)
        self.conv2 = SpectralConv2d(hidden, hidden, 3, norm=norm)
        self.conv3 = SpectralConv2d(hidden, hidden, 3, norm=norm)
        self.conv4 = SpectralConv2d(hidden, block.out_channels, 1, norm=norm)
        if block.out_channels > block.channels:
            self.conv_sc = SpectralConv2d(block.channels, block.out_channels - block.channels, 1, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.relu(x))
        h = self.conv2(F.relu_(h))
        h = F.relu_(self.conv3(F.relu_(h)))
        h = self.conv4(F.avg_pool2d(h, 2) if self.down else h)
        y: Tensor = h + self.shortcut(x)
        return y

    def shortcut(self, x: Tensor) -> Tensor:
        """x, halved in resolution where the block does, and the channels it gains beside it."""
        x = F.avg_pool2d(x, 2) if self.down else x
        return torch.cat([x, self.conv_sc(x)], 1) if hasattr(self, "conv_sc") else x


class Discriminator(network.Discriminator):
    """BigGAN-deep's discriminator; see `network.Discriminator`.

    Raises:
        ConfigError: As `Generator`, or a resolution without a table.
    """

    def __init__(self, config: Model) -> None:
        super().__init__(config)
        layout, norm = d_layout(config), spectral_settings(config, "discriminator")
        self.input_conv = SpectralConv2d(config.image_channels, layout[0][0].channels, 3, norm=norm)
        self.blocks = nn.ModuleList()
        for blocks in layout:
            stage: list[nn.Module] = []
            for block in blocks:
                stage.append(DiscriminatorBlock(block, config))
                if block.attention:
                    stage.append(Attention(block.out_channels, norm))
            self.blocks.append(nn.Sequential(*stage))
        self.make_head(layout[-1][-1].out_channels)
        initialise(self, config.init)

    def features(self, x: Tensor) -> Tensor:
        x = self.input_conv(x)
        for block in self.blocks:
            x = run_block(block, x, recompute=self.recompute)
        return x
