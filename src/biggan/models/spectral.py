"""Spectral normalisation (Miyato et al. 2018) with BigGAN-PyTorch's semantics: power iteration, σ(W), three layers.

A weight is seen as a matrix W, (out, rest). One power iteration from the stored u, (1, out), is
`v = unit(u W)`, `u' = unit(v Wᵀ)`, `σ = v Wᵀ u'ᵀ`; the layer uses W / σ, and gradients pass through σ but not
through u' and v. Every forward, in evaluation too, makes that iteration; whether it writes u' back is the question:

* per forward: each training-mode forward writes (the reference);
* per step: only `advance` writes, once an optimizer step, so that splitting a batch changes nothing; within
  `vectors_held` the forwards of a step share one iteration, which is the same for all.

A layer that keeps v too (`sn_vectors: uv`, as torch and the published deep generators do) takes σ = v Wᵀ uᵀ of the
stored pair wherever it does not write. With several singular values the k-th u and v are made orthogonal to the
earlier ones; only σ₀ normalises. Not here: torch's parametrization, which has other state names.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from biggan.models.products import convolved, suits_product

PART = 2**18  # numbers of a weight that are divided at once, a megabyte
SETTLING = 15  # iterations with which a kept pair settles on new weights, as in torch's parametrization


@dataclass(frozen=True, slots=True)
class SpectralSettings:
    """How a network's weights are normalised; fields as in `config.Model`."""

    num_values: int = 1
    num_iterations: int = 1
    eps: float = 1e-6
    per_forward: bool = False
    keep_v: bool = False


class Singular(NamedTuple):
    """A singular value of a weight and its vectors, as a power iteration finds them."""

    u: Tensor
    """Left, (1, out), of length one."""
    v: Tensor
    """Right, (1, rest), of length one."""
    sigma: Tensor
    """v Wᵀ uᵀ, ()."""


def _units(xs: list[Tensor], earlier: list[list[Tensor]], eps: float) -> list[Tensor]:
    """Each x (1, n) made orthogonal to its unit rows in `earlier` and of length one (eps bounds the divisor)."""
    for ys in earlier:
        xs = [x - (x @ y.mT) * y for x, y in zip(xs, ys, strict=True)]
    lengths = torch._foreach_norm(xs)
    torch._foreach_clamp_min_(lengths, eps)
    return list(torch._foreach_div(xs, lengths))


@torch.no_grad()
def power_iterations(weights: Sequence[Tensor], us: Sequence[Sequence[Tensor]], eps: float) -> list[list[Singular]]:
    """One power iteration of each singular value of several weights, side by side.

    Args:
        weights: W of each, (out, rest).
        us: The left vectors of each so far, (1, out), the first singular value's first.
        eps: Smallest length to divide by.

    Returns:
        Those of each weight.
    """
    new_us: list[list[Tensor]] = []
    new_vs: list[list[Tensor]] = []
    found: list[list[Singular]] = [[] for _ in weights]
    for kth in zip(*us, strict=True):
        new_vs.append(_units([u @ w for u, w in zip(kth, weights, strict=True)], new_vs, eps))
        xs = [v @ w.mT for v, w in zip(new_vs[-1], weights, strict=True)]
        new_us.append(_units(xs, new_us, eps))
        for values, u, v, x in zip(found, new_us[-1], new_vs[-1], xs, strict=True):
            values.append(Singular(u, v, (x @ u.mT).squeeze()))
    return found


def _divided(weight: Tensor, sigma: Tensor, dtype: torch.dtype) -> Tensor:
    """W / σ in a precision; on a CPU a part at a time, so that what is yet to be rounded stays in the caches."""
    if dtype == weight.dtype or weight.device.type != "cpu" or torch.compiler.is_compiling():
        return (weight / sigma).to(dtype)
    out, rows = torch.empty_like(weight, dtype=dtype), PART // weight[0].numel() or 1
    for part, rounded in zip(weight.split(rows), out.split(rows), strict=True):
        rounded.copy_(part / sigma)
    return out


class _Normalised(torch.autograd.Function):
    """W / σ for σ = v Wᵀ uᵀ, in a precision to compute in.

    From the gradient Γ of W / σ that of W is Γ/σ − ⟨Γ, W⟩/σ² uᵀv: half of the passes over wide weights, and one more
    tensor of their size, where autograd goes through the quotient and σ one by one. It is differentiated once.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, u: Tensor, v: Tensor, sigma: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(weight, u, v, sigma)
        return _divided(weight, sigma, dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        weight, u, v, sigma = ctx.saved_tensors
        own = torch.empty_like(weight, memory_format=torch.contiguous_format).copy_(gradient).div_(sigma)
        along = torch.dot(own.flatten(), weight.flatten()) / sigma
        own.flatten(1).addr_(-along * u[0], v[0])
        return own, None, None, None, None


class _Spectral(nn.Module):
    """What the three layers share: the buffers u0, sv0, … and the normalised weight."""

    weight: Tensor
    norm: SpectralSettings | None
    held: Singular | None = None

    def _prepare(self, norm: SpectralSettings | None) -> None:
        self.norm = norm
        for i in range(norm.num_values if norm else 0):
            self.register_buffer(f"u{i}", torch.randn(1, self.weight.shape[0]))
            self.register_buffer(f"sv{i}", torch.ones(1))
        if norm and norm.keep_v:
            self.register_buffer("v0", torch.randn(1, self.weight[0].numel()))

    def left_vectors(self, count: int) -> list[Tensor]:
        """The stored u of the first singular values."""
        return [self.get_buffer(f"u{i}") for i in range(count)]

    def normalised_weight(self, dtype: torch.dtype | None = None) -> Tensor:
        """W / σ₀(W), of W's shape, in `dtype` or its own; W itself where the layer is not normalised."""
        dtype = dtype or self.weight.dtype
        if self.norm is None:
            return self.weight.to(dtype)
        normalised: Tensor = _Normalised.apply(self.weight, *(self.held or self._singular(self.norm)), dtype)
        return normalised

    def _singular(self, norm: SpectralSettings) -> Singular:
        writes = self.training and norm.per_forward
        return (_write if writes else _first)(norm, [self])[0]


def _layers(network: nn.Module) -> dict[SpectralSettings, list[_Spectral]]:
    """A network's normalised layers by their settings."""
    found: dict[SpectralSettings, list[_Spectral]] = {}
    for module in network.modules():
        if isinstance(module, _Spectral) and module.norm:
            found.setdefault(module.norm, []).append(module)
    return found


@torch.no_grad()
def _first(norm: SpectralSettings, layers: Sequence[_Spectral]) -> list[Singular]:
    """The first singular value of each layer with which to compute where nothing is written."""
    matrices = [layer.weight.flatten(1) for layer in layers]
    if norm.keep_v:
        pairs = [(layer.get_buffer("u0"), layer.get_buffer("v0")) for layer in layers]
        return [Singular(u, v, (v @ w.mT @ u.mT).squeeze()) for (u, v), w in zip(pairs, matrices, strict=True)]
    found = power_iterations(matrices, [layer.left_vectors(1) for layer in layers], norm.eps)
    return [values[0] for values in found]


@torch.no_grad()
def _write(norm: SpectralSettings, layers: Sequence[_Spectral]) -> list[Singular]:
    """Iterates, stores each layer's u and singular values, and gives the first ones."""
    matrices = [layer.weight.flatten(1) for layer in layers]
    for _ in range(norm.num_iterations):
        found = power_iterations(matrices, [layer.left_vectors(norm.num_values) for layer in layers], norm.eps)
        for layer, values in zip(layers, found, strict=True):
            for i, (u, _, sigma) in enumerate(values):
                layer.get_buffer(f"u{i}").copy_(u)
                layer.get_buffer(f"sv{i}").fill_(sigma)
            if norm.keep_v:
                layer.get_buffer("v0").copy_(values[0].v)
    return [values[0] for values in found]


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
        weight, bias = self.normalised_weight(dtype), None if self.bias is None else self.bias.to(dtype)
        if self.used is None:
            return weight, bias
        return weight[: self.used], None if bias is None else bias[: self.used]

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight_and_bias(x.dtype)
        if suits_product(x, weight):
            return convolved(x, weight, bias, self.kernel_size[0] // 2)
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


@contextlib.contextmanager
def vectors_held(*networks: nn.Module) -> Iterator[None]:
    """Within, all forwards of a layer share one power iteration, unless each writes its own.

    No forward may follow a move of the weights. Layers that are held already stay so, to the end of the outer block.
    """
    groups = [
        (norm, layers)
        for network in networks
        for norm, layers in _layers(network).items()
        if not norm.per_forward and layers[0].held is None
    ]
    try:
        for norm, layers in groups:
            for layer, found in zip(layers, _first(norm, layers), strict=True):
                layer.held = found
        yield
    finally:
        for _, layers in groups:
            for layer in layers:
                layer.held = None


def advance(network: nn.Module) -> None:
    """One written power iteration of every per-step layer in `network` (once an optimizer step)."""
    for norm, layers in _layers(network).items():
        if not norm.per_forward:
            _write(norm, layers)


def settle(network: nn.Module) -> None:
    """Brings the pairs that layers of `network` keep near their weights' own, as evaluation takes them as they are.

    For weights that were set otherwise than by steps.
    """
    for norm, layers in _layers(network).items():
        if norm.keep_v and not layers[0].weight.is_meta:
            _converge(norm, layers)


def converge(network: nn.Module) -> None:
    """Brings the vectors of every layer near its weight's singular vectors, after weights were put in."""
    for norm, layers in _layers(network).items():
        _converge(norm, layers)


def _converge(norm: SpectralSettings, layers: Sequence[_Spectral]) -> None:
    for _ in range(SETTLING):
        _write(norm, layers)
