"""An inference-ready generator: the same function of z and c, with all that G's weights decide worked out beforehand.

A copy of G whose layers are constants: weights divided by σ, kernels of fused resampling built, of the last layer the
filters alone that make the image, in the precision to compute in and channels_last; normalisation by one row of
statistics, folded with gain and bias into one scale and shift a channel, which are affine functions of the condition:

    (x − mean) · r · (1 + A c) + B c  =  x · (r + r A c) + (B − mean r A) c − mean r,    r = 1 / sqrt(var + eps)

What is made is a `Generator` and called as one, in any mode. Gradients reach z and c, and no weight. It does not follow
G: make another when G has moved; its own weights must not be written to.

On a CPU each kernel is kept a second time, from its first use without gradients on, in the order that oneDNN reads:
torch's convolutions reorder it at each use, most of the time of a single picture. The order is for one shape of batch;
another shape finds its own anew.
"""

import copy
from collections.abc import Callable, Mapping
from functools import cache
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biggan.models.biggan import GeneratorBlock
from biggan.models.layers import AffineNorm, Attention, ClassTable, ConditionalNorm, Norm, attended, norms
from biggan.models.network import BOTTOM, Generator
from biggan.models.resample import UpConv2d, up_kernel
from biggan.models.spectral import SpectralConv2d, SpectralLinear

OPERATORS = (  # of torch's own use, so not there for sure
    "_convolution_pointwise",
    "_convolution_transpose_pointwise",
    "_reorder_convolution_weight",
    "_reorder_convolution_transpose_weight",
)


def inference_ready(
    G: Generator, row: Mapping[str, Tensor] | None = None, dtype: torch.dtype | None = None
) -> Generator:
    """G made ready to draw in evaluation mode.

    Args:
        G: The generator; it is left as it is.
        row: Statistics to normalise by, name of a buffer -> (C,); None for those in G.
        dtype: Precision of convolutions and matrix products; None for the parameters' own.

    Returns:
        The same function of z and c: equal in float32 to about 1e-6, whatever G's mode and `fused_resampling`.
    """
    return Ready(G, dtype).at(own_row(G) if row is None else row)


def own_row(G: Generator) -> dict[str, Tensor]:
    """The statistics that are in G's buffers; no copies."""
    parts = ("stored_mean", "stored_var")
    return {f"{name}.{part}": norm.get_buffer(part) for name, norm in norms(G) for part in parts}


class Ready:
    """What of an inference-ready generator no row of statistics changes; arguments as `inference_ready`."""

    @torch.no_grad()
    def __init__(self, G: Generator, dtype: torch.dtype | None = None) -> None:
        own, modes = G.linear.weight.dtype, [(module, module.training) for module in G.modules()]

        def prepared(module: nn.Module, name: str) -> nn.Module | None:
            if isinstance(module, SpectralConv2d):
                return _Convolution(module, dtype or own)
            if isinstance(module, SpectralLinear):
                return _Linear(module)
            if isinstance(module, Attention):
                return _Attention(module, dtype or own)
            return _Unfolded(module, name) if isinstance(module, Norm) else None

        try:
            self._base = cast(Generator, _copied(G.eval(), prepared))  # in evaluation no layer writes
        finally:
            for module, mode in modes:
                module.training = mode
        self._base.compute_dtype = dtype

    def at(self, row: Mapping[str, Tensor]) -> Generator:
        """The inference-ready generator with a row of statistics; the rest is shared with those of other rows."""

        def placed(module: nn.Module, _: str) -> nn.Module | None:
            if isinstance(module, _Unfolded):
                return module.at(row)
            return None if any(isinstance(part, _Unfolded) for part in module.modules()) else module

        return cast(Generator, _copied(self._base, placed))


Change = Callable[[nn.Module, str], nn.Module | None]
"""From a module and its name to what takes its place, if anything does."""


def _copied(module: nn.Module, changed: Change, name: str = "") -> nn.Module:
    """A module with some of its parts changed; what holds them is copied as it stands, without hooks."""
    found = changed(module, name)
    if found is not None:
        return found
    found = copy.copy(module)
    nn.Module.__init__(found)  # with nothing in it; its settings stay
    for key, part in module.named_children():
        found.add_module(key, _copied(part, changed, f"{name}.{key}".lstrip(".")))
    for key, parameter in module.named_parameters(recurse=False):
        found.register_parameter(key, _constant(parameter, parameter, parameter.dtype))
    if isinstance(found, GeneratorBlock):
        found.fused = True
    return found.eval()


def _constant(x: Tensor, source: Tensor, dtype: torch.dtype) -> nn.Parameter:
    """What was made from a source, in a memory of its own, that no gradient reaches."""
    layout = torch.channels_last if x.dim() == 4 else torch.contiguous_format
    made = x.detach().to(dtype).contiguous(memory_format=layout)
    shared = made.untyped_storage().data_ptr() == source.untyped_storage().data_ptr()
    return nn.Parameter(made.clone() if shared else made, requires_grad=False)


class _Linear(nn.Module):
    def __init__(self, linear: SpectralLinear) -> None:
        super().__init__()
        self.weight = _constant(linear.normalised_weight(), linear.weight, linear.weight.dtype)
        self.bias = _constant(linear.bias, linear.bias, linear.bias.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class _Convolution(nn.Module):
    """A convolution with its kernel, times a number; transposed, with stride 2, where it doubles the resolution."""

    bias: nn.Parameter | None

    def __init__(self, conv: SpectralConv2d, dtype: torch.dtype, times: Tensor | None = None) -> None:
        super().__init__()
        weight, bias = conv.weight_and_bias(conv.weight.dtype)
        weight = weight if times is None else times * weight
        self.doubles, self.padding = isinstance(conv, UpConv2d), cast(tuple[int, int], conv.padding)
        self.weight = _constant(up_kernel(weight) if self.doubles else weight, conv.weight, dtype)
        self.bias = None if bias is None else _constant(bias, cast(Tensor, conv.bias), dtype)
        self.ordered = _Ordered()

    def forward(self, x: Tensor) -> Tensor:
        if self.doubles and x.shape[2] * x.shape[3] <= BOTTOM**2:
            return doubled_by_product(x, self.weight, self.bias)
        if _takes_order(x):
            return self.ordered.convolved(x, self.weight, self.bias, self.padding, self.doubles)
        if self.doubles:
            return F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)


def _takes_order(x: Tensor) -> bool:
    """Whether a convolution of x can take its kernel in oneDNN's order: on a CPU, where nothing is recorded of it."""
    if x.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling() or torch._C._is_tracing():
        return False
    return _has_orders(x.dtype) and torch._C._get_mkldnn_enabled()


@cache
def _has_orders(dtype: torch.dtype) -> bool:
    """Whether torch's oneDNN has kernels in order here: on x86, where this was tried."""
    there = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX")
    if not there or not all(hasattr(torch.ops.mkldnn, name) for name in OPERATORS):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


class _Ordered:
    """A kernel in oneDNN's order for maps of one shape, found when they come; a copy finds its own."""

    found: tuple[torch.Size, Tensor] | None = None  # of one piece, for threads that draw at once

    def __deepcopy__(self, memo: object) -> "_Ordered":
        return _Ordered()

    def __reduce__(self) -> tuple[type["_Ordered"], tuple[()]]:
        return _Ordered, ()

    def convolved(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int], doubles: bool
    ) -> Tensor:
        """`conv2d`, or if `doubles` `conv_transpose2d` with stride 2 and padding 1."""
        ops, one = torch.ops.mkldnn, (1, 1)
        reorder, convolve = ops._reorder_convolution_weight, ops._convolution_pointwise
        form: tuple[object, ...] = (padding, one, one, 1)  # stride, dilation, groups
        if doubles:
            reorder, convolve = ops._reorder_convolution_transpose_weight, ops._convolution_transpose_pointwise
            form = (one, (0, 0), (2, 2), one, 1)  # the second is the output's padding
        found = self.found
        if found is None or found[0] != x.shape:
            found = self.found = x.shape, reorder(weight, *form, x.shape)
        y: Tensor = convolve(x, found[1], bias, *form, "none", [], "")
        return y


def doubled_by_product(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """`conv_transpose2d` with stride 2, padding 1 and a kernel (in, out, 4, 4), as one matrix product.

    On the first map, where the kernel is far larger than what it is used on, half of the time, as torch's convolution
    rearranges the kernel at each use. (N, in, H, W) -> (N, out, 2H, 2W), channels_last. Kernels that learn have no wide
    form there (`products.py`).
    """
    count, channels, height, width = x.shape
    matrix = kernel.permute(0, 2, 3, 1).reshape(channels, -1)
    parts = (x.permute(0, 2, 3, 1).reshape(-1, channels) @ matrix).view(count, height, width, 4, 4, -1)
    precise = torch.promote_types(x.dtype, torch.float32)
    out = parts.new_zeros(count, 2 * height + 2, 2 * width + 2, parts.shape[-1], dtype=precise)
    for row in range(4):
        for column in range(4):
            out[:, row : row + 2 * height : 2, column : column + 2 * width : 2] += parts[:, :, :, row, column]
    inner = out[:, 1:-1, 1:-1] if bias is None else out[:, 1:-1, 1:-1] + bias
    return inner.to(x.dtype).permute(0, 3, 1, 2)


class _Attention(nn.Module):
    """Self-attention as `layers.Attention`, its weight gamma in that of the last convolution."""

    def __init__(self, attention: Attention, dtype: torch.dtype) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (_Convolution(c, dtype) for c in (attention.theta, attention.phi, attention.g))
        self.o = _Convolution(attention.o, dtype, attention.gamma)

    def forward(self, x: Tensor) -> Tensor:
        query = self.theta(x).flatten(2).mT
        key, value = (F.max_pool2d(conv(x), 2).flatten(2).mT for conv in (self.phi, self.g))
        seen = attended(query, key, value)
        y: Tensor = x + self.o(seen.mT.reshape(len(x), -1, *x.shape[2:]))
        return y


class _Unfolded(nn.Module):
    """A norm without statistics: its gain is a + A c and its bias b + B c."""

    def __init__(self, norm: Norm, name: str) -> None:
        super().__init__()
        self.name, self.eps, self.normalises = name, norm.eps, norm.kind != "none"
        if isinstance(norm, ConditionalNorm):
            self.A, self.B = (_matrix(layer).detach().clone() for layer in (norm.gain, norm.bias))
            self.a, self.b = self.A.new_ones(len(self.A)), self.A.new_zeros(len(self.A))
        else:
            assert isinstance(norm, AffineNorm)
            self.a, self.b = (parameter.detach().clone() for parameter in (norm.gain, norm.bias))
            self.A = self.B = self.a.new_zeros(len(self.a), 0)

    def at(self, row: Mapping[str, Tensor]) -> "_ScaleAndShift":
        """The norm with its statistics in a row."""
        mean, r = torch.zeros_like(self.a), torch.ones_like(self.a)
        if self.normalises:
            mean = row[f"{self.name}.stored_mean"].to(mean)
            r = torch.rsqrt(row[f"{self.name}.stored_var"].to(r) + self.eps)
        weight = torch.cat([r[:, None] * self.A, self.B - (mean * r)[:, None] * self.A])
        bias = torch.cat([r * self.a, self.b - mean * r * self.a])
        return _ScaleAndShift(weight, bias, alone=not self.name.endswith("bn1"))


def _matrix(layer: nn.Module) -> Tensor:
    """The (C, D) of a norm's gain or bias layer."""
    if isinstance(layer, ClassTable):
        return layer.weight.mT
    assert isinstance(layer, SpectralLinear)
    return layer.normalised_weight()


class _ScaleAndShift(nn.Module):
    """x (N, C, H, W) times a scale plus a shift, affine functions of c (N, D): weight (2C, D), bias (2C,).

    Nothing else makes use of x if `alone`: then, without gradients, the result is in its memory.
    """

    def __init__(self, weight: Tensor, bias: Tensor, alone: bool) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(part, requires_grad=False) for part in (weight, bias))
        self.alone = alone

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        constant = c is None or self.weight.shape[1] == 0
        both = self.bias[None] if constant else F.linear(cast(Tensor, c), self.weight, self.bias)
        scale, shift = both.to(x.dtype)[:, :, None, None].chunk(2, 1)
        if self.alone and not torch.is_grad_enabled():
            return torch.addcmul(shift, x, scale, out=x)
        return torch.addcmul(shift, x, scale)
