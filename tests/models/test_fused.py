"""Whole networks with fused and with plain resampling are one function: outputs and gradients, whatever their shape."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from biggan.config import Model
from biggan.models.build import build
from biggan.models.spectral import converge

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}  # of the length of a difference, as a share of the length


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Any small pair of networks, of 32 or 64 px."""
    resolution = draw(st.sampled_from([32, 32, 64]))
    slots, deep = resolution.bit_length() - 2, draw(st.booleans())
    step = 16 if deep else 4  # BigGAN-deep is four times as narrow inside its blocks
    widths = st.lists(st.integers(1, 4 if deep else 6).map(lambda n: step * n), min_size=slots, max_size=slots)
    shape = {"dim_z": slots * draw(st.integers(1, 3)), "shared_dim": draw(st.sampled_from([0, 5]))}
    if deep:
        kind = {"architecture": "biggan-deep", "wide_output": draw(st.booleans()), "g_depth": draw(st.integers(1, 2))}
        order = {"g_widths": sorted(draw(widths), reverse=True), "d_widths": sorted(draw(widths))}
    else:
        kind = {"hierarchical_z": draw(st.booleans()), "d_hidden": draw(st.sampled_from(["wide", "thin"]))}
        order = {"g_widths": draw(widths), "d_widths": draw(widths)}
    return Model(
        resolution=resolution,
        image_channels=draw(st.sampled_from([1, 3])),
        num_classes=draw(st.sampled_from([0, 3])),
        g_attention=(),
        d_attention=(),
        **shape,
        **kind,
        **{name: tuple(value) for name, value in order.items()},
    )


def results(model: Model, fused: bool, count: int, dtype: torch.dtype, seed: int) -> dict[str, Tensor]:
    """Images, logits on them, and the gradients of one weighted sum of both."""
    G, D = build(replace(model, fused_resampling=fused), seed)
    G.to(dtype).train(), D.to(dtype).train()
    converge(G), converge(D)
    draws = torch.Generator().manual_seed(seed)
    z = torch.randn(count, model.dim_z, generator=draws).to(dtype).requires_grad_()
    y = torch.randint(max(model.num_classes, 1), (count,), generator=draws)
    x = G(z, G.embed(y))
    logits = D(x, y if model.num_classes else None)
    weights = (torch.randn(t.shape, generator=draws).to(dtype) for t in (x, logits))
    sum((weight * t).sum() for weight, t in zip(weights, (x, logits), strict=True)).backward()
    leaves = [
        ("z", z),
        *((f"G.{k}", p) for k, p in G.named_parameters()),
        *((f"D.{k}", p) for k, p in D.named_parameters()),
    ]
    return {"x": x.detach(), "logits": logits.detach()} | {
        f"d{name}": p.grad for name, p in leaves if p.grad is not None
    }


@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float32", "float64"])
@settings(deadline=None, max_examples=5, derandomize=True)
@given(model=models(), count=st.integers(2, 5), seed=st.integers(0, 2**32))
def test_fused_is_plain_in_output_and_gradients(dtype: torch.dtype, model: Model, count: int, seed: int) -> None:
    """Or nearer to the truth than plain is: float32's sums of thousands, such as a bias's gradient, are off by 1e-4."""
    fused, plain = (results(model, form, count, dtype, seed) for form in (True, False))
    true = plain if dtype == torch.float64 else results(model, False, count, torch.float64, seed)
    assert fused.keys() == plain.keys() == true.keys()
    longest = max(float(t.norm()) for name, t in true.items() if name.startswith("d"))
    for name, expected in plain.items():
        nothing = float(true[name].norm()) < 1e-10 * longest  # such as the gradient of a bias before batch norm
        length = longest if nothing else float(expected.norm())
        apart = float((fused[name] - expected).norm())
        off, plain_off = (float((t.double() - true[name]).norm()) for t in (fused[name], expected))
        assert apart <= TOLERANCES[dtype] * length or off < plain_off, name
