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


def _units(xs: list[Tensor], earlier: list[list[Tensor]], eps: float) -> list[Tensor]:
    """Each x (1, n) made orthogonal to its unit rows in `earlier` and of length one (eps bounds the divisor)."""
    for ys in earlier:
        xs = [x - (x @ y.mT) * y for x, y in zip(xs, ys, strict=True)]
    lengths = torch._foreach_norm(xs)
    torch._foreach_clamp_min_(lengths, eps)
    return list(torch._foreach_div(xs, lengths))


@torch.no_grad()
def power_iterations(
    weights: Sequence[Tensor], us: Sequence[Sequence[Tensor]], eps: float
) -> tuple[list[tuple[Tensor, ...]], list[tuple[Tensor, ...]]]:
    """One power iteration of each singular pair of several weights, side by side.

    Args:
        weights: W of each, (out, rest).
        us: The left vectors of each so far, (1, out), the first singular value's first.
        eps: Smallest length to divide by.

    Returns:
        New left vectors (1, out) and right vectors (1, rest) of each weight, of length one.
    """
    new_us: list[list[Tensor]] = []
    new_vs: list[list[Tensor]] = []
    for kth in zip(*us, strict=True):
        new_vs.append(_units([u @ w for u, w in zip(kth, weights, strict=True)], new_vs, eps))
        new_us.append(_units([v @ w.mT for v, w in zip(new_vs[-1], weights, strict=True)], new_us, eps))
    return list(zip(*new_us, strict=True)), list(zip(*new_vs, strict=True))


class _Spectral(nn.Module):
    """What the three layers share: the buffers u0, sv0, … and the normalised weight."""

    weight: Tensor
    norm: SpectralSettings | None
    pair: tuple[Tensor, Tensor] | None = None

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

    def normalised_weight(self) -> Tensor:
        """W / σ₀(W), of W's shape; W itself where the layer is not normalised."""
        if self.norm is None:
            return self.weight
        u, v = self.pair or self._find_pair(self.norm)
        return self.weight / (v @ self.weight.flatten(1).mT @ u.mT).squeeze()

    def _find_pair(self, norm: SpectralSettings) -> tuple[Tensor, Tensor]:
        writes = self.training and norm.per_forward
        return (_write if writes else _pairs)(norm, [self])[0]


def _layers(network: nn.Module) -> dict[SpectralSettings, list[_Spectral]]:
    """A network's normalised layers by their settings."""
    found: dict[SpectralSettings, list[_Spectral]] = {}
    for module in network.modules():
        if isinstance(module, _Spectral) and module.norm:
            found.setdefault(module.norm, []).append(module)
    return found


def _pairs(norm: SpectralSettings, layers: Sequence[_Spectral]) -> list[tuple[Tensor, Tensor]]:
    """u and v of each layer with which to compute where nothing is written."""
    if norm.keep_v:
        return [(layer.get_buffer("u0"), layer.get_buffer("v0")) for layer in layers]
    matrices = [layer.weight.flatten(1) for layer in layers]
    us, vs = power_iterations(matrices, [layer.left_vectors(1) for layer in layers], norm.eps)
    return [(u, v) for (u,), (v,) in zip(us, vs, strict=True)]


@torch.no_grad()
def _write(norm: SpectralSettings, layers: Sequence[_Spectral]) -> list[tuple[Tensor, Tensor]]:
    """Iterates, stores each layer's u and singular values, and gives their first pairs."""
    matrices = [layer.weight.flatten(1) for layer in layers]
    for _ in range(norm.num_iterations):
        us, vs = power_iterations(matrices, [layer.left_vectors(norm.num_values) for layer in layers], norm.eps)
        for layer, matrix, lefts, rights in zip(layers, matrices, us, vs, strict=True):
            for i, (u, v) in enumerate(zip(lefts, rights, strict=True)):
                layer.get_buffer(f"u{i}").copy_(u)
                layer.get_buffer(f"sv{i}").copy_((v @ matrix.mT @ u.mT).reshape(1))
            if norm.keep_v:
                layer.get_buffer("v0").copy_(rights[0])
    return [(lefts[0], rights[0]) for lefts, rights in zip(us, vs, strict=True)]


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


@contextlib.contextmanager
def vectors_held(*networks: nn.Module) -> Iterator[None]:
    """Within, all forwards of a layer share one power iteration, unless each writes its own.

    No forward may follow a move of the weights. Layers that are held already stay so, to the end of the outer block.
    """
    groups = [
        (norm, layers)
        for network in networks
        for norm, layers in _layers(network).items()
        if not norm.per_forward and layers[0].pair is None
    ]
    try:
        for norm, layers in groups:
            for layer, pair in zip(layers, _pairs(norm, layers), strict=True):
                layer.pair = pair
        yield
    finally:
        for _, layers in groups:
            for layer in layers:
                layer.pair = None


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
