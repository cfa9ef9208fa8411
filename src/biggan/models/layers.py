"""The layers that both networks are made of: conditional normalisation, self-attention, initialisation.

Letters for shapes, here and in the networks: N images, C channels, H and W pixels, K classes, D dimensions of a
condition c. A layer computes in its input's precision; parameters and statistics stay float32.
"""

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biggan.distributed.collective import average
from biggan.distributed.processes import world_size
from biggan.errors import ConfigError
from biggan.models.own_moments import normalised
from biggan.models.spectral import SpectralConv2d, SpectralSettings, settle

Kind = Literal["batch", "instance", "none"]

FEW_KEYS = 256  # of attention in training, below which the scores are written


def affine(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """gain * x + bias in x's precision."""
    return torch.addcmul(bias.to(x.dtype), x, gain.to(x.dtype))


class Norm(nn.Module):
    """Normalisation with running statistics and no gain or bias of its own: (N, C, H, W) -> the same.

    Batch norm, instance norm (with running statistics, as BigGAN-PyTorch has it) or none. `momentum` is the weight
    of a batch in the running statistics, whose variance is the unbiased one; 0 leaves them alone. Batch moments are of
    this process's images, or of those of `replicas` neighbours (0 for all processes), which hold equal shares.
    """

    stored_mean: Tensor
    stored_var: Tensor

    def __init__(self, channels: int, kind: Kind, eps: float, replicas: int) -> None:
        super().__init__()
        self.kind, self.eps, self.replicas, self.momentum = kind, eps, replicas, 0.1
        if kind != "none":
            self.register_buffer("stored_mean", torch.zeros(channels))
            self.register_buffer("stored_var", torch.ones(channels))

    def normalise(self, x: Tensor, gain: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """x with mean 0 and variance 1: of the batch in training, by the stored statistics in evaluation.

        Args:
            x: (N, C, H, W).
            gain: (C,), by which the result is multiplied in the same kernel.
            bias: (C,), given with a gain and added after it.
        """
        over_replicas = self.training and self.kind == "batch" and self.replicas != 1 and world_size() > 1
        if self.kind == "none" or over_replicas:
            y = self._normalise_over_replicas(x) if over_replicas else x
            return y if gain is None or bias is None else affine(y, gain.view(-1, 1, 1), bias.view(-1, 1, 1))
        frozen = self.training and self.momentum == 0
        mean, var = (None, None) if frozen else (self.stored_mean, self.stored_var)
        if self.kind == "batch":
            if frozen and gain is None:  # so that moments are float32 where x is not, as with statistics to update
                gain, bias = torch.ones_like(self.stored_var), torch.zeros_like(self.stored_mean)
            return F.batch_norm(x, mean, var, gain, bias, self.training, self.momentum, self.eps)
        y = F.instance_norm(x, mean, var, gain, bias, self.training, self.momentum, self.eps)
        last = x.is_contiguous(memory_format=torch.channels_last)
        return y.contiguous(memory_format=torch.channels_last) if last else y  # it gives the other layout

    def _normalise_over_replicas(self, x: Tensor) -> Tensor:
        """Batch norm with moments over processes, which hold equal shares of the batch."""
        y, own_mean, own_var = normalised(x.float() if x.dtype == torch.bfloat16 else x, self.eps)
        mean, var = self._shared(own_mean, own_var)
        if self.momentum:
            count = x.numel() // x.shape[1] * (self.replicas or world_size())
            self.stored_mean.lerp_(mean.detach(), self.momentum)
            self.stored_var.lerp_(var.detach() * (count / (count - 1)), self.momentum)
        scale = torch.rsqrt(var + self.eps)
        factor, shift = scale * torch.sqrt(own_var + self.eps), scale * (own_mean - mean)
        return torch.addcmul(shift.view(-1, 1, 1), y, factor.view(-1, 1, 1)).to(x.dtype)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance (C,) of a batch over the processes that share it, in one exchange."""
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        return self._shared(mean, var)

    def _shared(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        """The moments of equal shares of a batch together.

        Squares are taken about the stored mean, which all processes have alike, lest they cancel.
        """
        if world_size() == 1 or self.replicas == 1:
            return mean, var
        apart = mean - self.stored_mean
        apart, square = average(torch.stack([apart, var + apart.square()]), self.replicas)
        return self.stored_mean + apart, (square - apart.square()).clamp_min(0)


class AffineNorm(Norm):
    """Normalisation with a learned gain (1 at the start) and bias (0) a channel."""

    def __init__(self, channels: int, kind: Kind, eps: float, replicas: int) -> None:
        super().__init__(channels, kind, eps, replicas)
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """x: (N, C, H, W) -> the same; c is not used."""
        return self.normalise(x, self.gain, self.bias)


class ConditionalNorm(Norm):
    """Normalisation whose gain and bias are functions of a condition: `norm(x) * (1 + gain(c)) + bias(c)`.

    Source: paper, Appendix B; conditional batch norm of de Vries et al. 2017.

    Args:
        gain: Layer (N, D) -> (N, C).
        bias: Layer (N, D) -> (N, C).
    """

    def __init__(self, channels: int, gain: nn.Module, bias: nn.Module, kind: Kind, eps: float, replicas: int) -> None:
        super().__init__(channels, kind, eps, replicas)
        self.gain = gain
        self.bias = bias

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x: (N, C, H, W), c: (N, D) -> (N, C, H, W)."""
        gain, bias = (y[:, :, None, None] for y in (1 + self.gain(c), self.bias(c)))
        return affine(self.normalise(x), gain, bias)


def norms(network: nn.Module) -> Iterator[tuple[str, Norm]]:
    """The normalising layers of a network that keep statistics, by name."""
    return (
        (name, module) for name, module in network.named_modules() if isinstance(module, Norm) and module.kind != "none"
    )


class ClassTable(nn.Embedding):
    """A row of `out_features` numbers for each class, mixed by weights: c (N, K) -> (N, out_features)."""

    def forward(self, c: Tensor) -> Tensor:
        return c @ self.weight


class Attention(nn.Module):
    """Self-attention over pixels, added with weight gamma (0 at the start): (N, C, H, W) -> the same.

    Source: Zhang et al. 2018 (SA-GAN) as in BigGAN-PyTorch: keys and values max-pooled by 2, no scaling, no biases.

    Raises:
        ConfigError: Fewer than 8 channels.
    """

    def __init__(self, channels: int, norm: SpectralSettings | None) -> None:
        super().__init__()
        if channels < 8:
            raise ConfigError(f"Attention needs 8 channels or more and would have {channels}; widen the network there.")
        self.theta = SpectralConv2d(channels, channels // 8, 1, bias=False, norm=norm)
        self.phi = SpectralConv2d(channels, channels // 8, 1, bias=False, norm=norm)
        self.g = SpectralConv2d(channels, channels // 2, 1, bias=False, norm=norm)
        self.o = SpectralConv2d(channels // 2, channels, 1, bias=False, norm=norm)
        self.gamma = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        query = self.theta(x).flatten(2).mT  # (N, HW, C/8)
        key = F.max_pool2d(self.phi(x), 2).flatten(2).mT  # (N, HW/4, C/8)
        value = F.max_pool2d(self.g(x), 2).flatten(2).mT  # (N, HW/4, C/2)
        y: Tensor = self.gamma * self.o(attended(query, key, value).mT.reshape(len(x), -1, *x.shape[2:]))
        return y + x


def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`softmax(query key') value`: (N, P, D), (N, Q, D), (N, Q, E) -> (N, P, E).

    Queries and keys are filled up with zeros to E numbers, which changes no product: torch's kernels for CPUs that
    never write the P x Q scores want D = E. With gradients few keys are left as they are, which is sooner done.
    """
    if key.shape[1] >= FEW_KEYS or not torch.is_grad_enabled():
        query, key = (F.pad(part, (0, value.shape[2] - part.shape[2])) for part in (query, key))
    q, k, v = (part.unsqueeze(1) for part in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0).squeeze(1)


@torch.no_grad()
def initialise(network: nn.Module, kind: Literal["ortho", "N02", "xavier"]) -> None:
    """Draws the weights of convolutions, linear layers and embeddings; biases keep torch's own start.

    Source: paper, Section 3 (orthogonal, Saxe et al. 2014); BigGAN-PyTorch `init_weights`.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            if kind == "ortho":
                nn.init.orthogonal_(module.weight)
            elif kind == "N02":
                nn.init.normal_(module.weight, 0, 0.02)
            else:
                nn.init.xavier_uniform_(module.weight)
    settle(network)
