"""A fixed random network, whose features tell pictures apart well enough to watch a run, and need no download.

Convolutions that were never trained keep what a picture is made of: where edges, patches and colours are. Distances
between sets of such features order good and bad generators of one data set (Naeem et al. 2020, Section 4, use a
random network for data unlike ImageNet); they mean nothing between data sets.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 32  # pixels at which the network sees images
WIDTHS = (32, 64, 64)  # filters of each layer
PARTS = 2  # each layer's maps are averaged over PARTS x PARTS fields


class RandomFeatures(nn.Module):
    """Three layers of orthogonal filters of stride two, ReLU after each, always the same.

    Args:
        channels: Of the images, 1 to 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for layer, width in enumerate(WIDTHS):
            self.register_buffer(f"filters{layer}", _orthogonal(width, channels, generator))
            channels = width

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, R, R) in [-1, 1] → features (N, 640), float32."""
        h, parts = F.adaptive_avg_pool2d(x.float(), SIZE), []
        for layer in range(len(WIDTHS)):
            h = F.relu(F.conv2d(h, self.get_buffer(f"filters{layer}"), stride=2, padding=1))
            parts.append(F.adaptive_avg_pool2d(h, PARTS).flatten(1))
        return torch.cat(parts, 1)


def _orthogonal(width: int, channels: int, generator: torch.Generator) -> Tensor:
    """Filters (width, channels, 3, 3) with orthonormal rows or columns, times √2 to make up for ReLU."""
    normal = torch.randn(max(width, 9 * channels), min(width, 9 * channels), generator=generator)
    columns = torch.linalg.qr(normal).Q
    matrix = columns if width > 9 * channels else columns.T
    filters: Tensor = matrix.reshape(width, channels, 3, 3) * 2**0.5
    return filters
