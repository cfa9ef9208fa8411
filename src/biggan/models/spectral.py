"""Spectral normalisation (Miyato et al. 2018) with BigGAN-PyTorch's semantics: power iteration, σ(W), three layers.

A weight is seen as a matrix W, (out, rest). One power iteration from the stored u, (1, out), is
`v = unit(u W)`, `u' = unit(v Wᵀ)`, `σ = v Wᵀ u'ᵀ`; the layer uses W / σ, and gradients pass through σ but not
through u' and v. Every forward, in evaluation too, makes that iteration; whether it writes u' back is the question:

* per forward: each training-mode forward writes (the reference);
* per step: only `advance` writes, once an optimizer step, so that splitting a batch changes nothing.

A layer that keeps v too (`sn_vectors: uv`, as torch and the published deep generators do) takes σ = v Wᵀ uᵀ of the
stored pair wherever it does not write. With several singular values the k-th u and v are made orthogonal to the
earlier ones; only σ₀ normalises. Not here: torch's parametrization, which has other state names.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SETTLING = 15  # iterations with which a kept pair settles on new weights, as in torch's parametrization


@dataclass(frozen=True, slots=True)
class SpectralSettings:
    """How a network's weights are normalised; fields as in `config.Model`."""

    num_values: int = 1
    num_iterations: int = 1
    eps: float = 1e-6
    per_forward: bool = False
    keep_v: bool = False


def _unit(x: Tensor, earlier: list[Tensor], eps: float) -> Tensor:
    """`x` (1, n) made orthogonal to the unit rows `earlier` and of length one (eps bounds the divisor)."""
    for y in earlier:
        x = x - (x @ y.mT) * y
    return F.normalize(x, eps=eps)


@torch.no_grad()
def power_iteration(weight: Tensor, us: list[Tensor], eps: float) -> tuple[list[Tensor], list[Tensor]]:
    """One power iteration of each singular pair.

    Args:
        weight: W, (out, rest).
        us: The left vectors so far, each (1, out).
        eps: Smallest length to divide by.

    Returns:
        New left vectors (1, out) and right vectors (1, rest), of length one.
    """
    new_us: list[Tensor] = []
    new_vs: list[Tensor] = []
    for u in us:
        new_vs.append(_unit(u @ weight, new_vs, eps))
        new_us.append(_unit(new_vs[-1] @ weight.mT, new_us, eps))
    return new_us, new_vs


class _Spectral(nn.Module):
    """What the three layers share: the buffers u0, sv0, … and the normalised weight."""

    weight: Tensor
    norm: SpectralSettings | None

    def _prepare(self, norm: SpectralSettings | None) -> None:
        self.norm = norm
        for i in range(norm.num_values if norm else 0):
            self.register_buffer(f"u{i}", torch.randn(1, self.weight.shape[0]))
            self.register_buffer(f"sv{i}", torch.ones(1))
        if norm and norm.keep_v:
            self.register_buffer("v0", torch.randn(1, self.weight[0].numel()))

    def _us(self, norm: SpectralSettings) -> list[Tensor]:
        return [self.get_buffer(f"u{i}") for i in range(norm.num_values)]

    def _write(self, norm: SpectralSettings) -> tuple[Tensor, Tensor]:
        """Iterates, stores u and the singular values, and gives the first pair."""
        matrix = self.weight.detach().flatten(1)
        for _ in range(norm.num_iterations):
            us, vs = power_iteration(matrix, self._us(norm), norm.eps)
            for i, (u, v) in enumerate(zip(us, vs, strict=True)):
                self.get_buffer(f"u{i}").copy_(u)
                self.get_buffer(f"sv{i}").copy_((v @ matrix.mT @ u.mT).reshape(1))
            if norm.keep_v:
                self.get_buffer("v0").copy_(vs[0])
        return us[0], vs[0]

    def settle(self) -> None:
        """Brings a kept pair near the weight's singular vectors, since evaluation takes it as it is."""
        if self.norm and self.norm.keep_v and not self.weight.is_meta:
            self.converge()

    def converge(self) -> None:
        """Writes as many rounds of power iterations as bring any vectors near the weight's."""
        if self.norm:
            for _ in range(SETTLING):
                self._write(self.norm)

    def advance(self) -> None:
        """Writes one round of power iterations, unless every forward does so already."""
        if self.norm and not self.norm.per_forward:
            self._write(self.norm)

    def normalised_weight(self) -> Tensor:
        """W / σ₀(W), of W's shape; W itself where the layer is not normalised."""
        if self.norm is None:
            return self.weight
        if self.training and self.norm.per_forward:
            u, v = self._write(self.norm)
        elif self.norm.keep_v:
            u, v = self.get_buffer("u0"), self.get_buffer("v0")
        else:
            us, vs = power_iteration(self.weight.flatten(1), self._us(self.norm)[:1], self.norm.eps)
            u, v = us[0], vs[0]
        return self.weight / (v @ self.weight.flatten(1).mT @ u.mT).squeeze()


class SpectralConv2d(_Spectral, nn.Conv2d):
    """2-D convolution with weight W / σ; state: weight, bias, u0, sv0.

    x: (N, in, H, W) -> (N, out, H', W'), in x's precision. Of `used` filters, if not all, only the first are computed.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        norm: SpectralSettings | None,
        used: int | None = None,
    ) -> None:
        nn.Conv2d.__init__(self, channels, out_channels, kernel_size, padding=kernel_size // 2, bias=bias)
        self._prepare(norm)
        self.used = used

    def weight_and_bias(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """The normalised weight and the bias, for computing in `dtype`."""
        bias = None if self.bias is None else self.bias[: self.used].to(dtype)
        return self.normalised_weight()[: self.used].to(dtype), bias

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight_and_bias(x.dtype)
        return F.conv2d(x, weight, bias, padding=self.padding)


class SpectralLinear(_Spectral, nn.Linear):
    """Linear layer with weight W / σ; (N, in) -> (N, out)."""

    def __init__(self, features: int, out_features: int, *, bias: bool = True, norm: SpectralSettings | None) -> None:
        nn.Linear.__init__(self, features, out_features, bias=bias)
        self._prepare(norm)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.normalised_weight(), self.bias)


class SpectralEmbedding(_Spectral, nn.Embedding):
    """Embedding table W / σ with a row a class; y (N,) int64 -> (N, dim)."""

    def __init__(self, num_embeddings: int, dim: int, *, norm: SpectralSettings | None) -> None:
        nn.Embedding.__init__(self, num_embeddings, dim)
        self._prepare(norm)

    def forward(self, y: Tensor) -> Tensor:
        return F.embedding(y, self.normalised_weight())


@torch.no_grad()
def advance(network: nn.Module) -> None:
    """One written power iteration of every per-step layer in `network` (once an optimizer step)."""
    for module in network.modules():
        if isinstance(module, _Spectral):
            module.advance()


def settle(network: nn.Module) -> None:
    """Power iterations on every layer of `network` that keeps v; after its weights were set otherwise than by steps."""
    for module in network.modules():
        if isinstance(module, _Spectral):
            module.settle()


@torch.no_grad()
def converge(network: nn.Module) -> None:
    """Brings the vectors of every layer near its weight's singular vectors, after weights were put in."""
    for module in network.modules():
        if isinstance(module, _Spectral):
            module.converge()
