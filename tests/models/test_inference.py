"""An inference-ready generator is the same function as the one it was made from, and apart from it."""

import copy
import pickle
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from cases import GOLDEN_MODELS, golden
from tiny_models import MODEL, make_bundle
from torch import Tensor, nn
from zoo import DEEP, MODELS, PUBLISHED, TINY, stir

from biggan.config import Model
from biggan.models.build import generator
from biggan.models.inference import Ready, _Convolution, _has_orders, doubled_by_product, inference_ready
from biggan.models.network import Generator


def made(model: Model) -> Generator:
    """A generator whose every term counts, near enough to its singular vectors to draw from."""
    G = generator(model)
    stir(G)
    return G.eval()


def inputs(G: Generator, count: int = 3) -> tuple[Tensor, Tensor]:
    y = torch.arange(count) % max(G.num_classes, 1)
    return torch.randn(count, G.dim_z, dtype=G.linear.weight.dtype), G.embed(y).detach()


def apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.resolution <= 128])
def test_it_is_the_same_function_of_latents_and_classes(name: str) -> None:
    for dtype, rounding in ((torch.float32, 1e-5), (torch.float64, 1e-13)):
        G = made(replace(MODELS[name], fused_resampling=False)).to(dtype)
        z, c = inputs(G)
        with torch.no_grad():
            assert apart(inference_ready(G)(z, c), G(z, c)) < rounding


@pytest.mark.parametrize("model", [TINY, DEEP], ids=["biggan", "deep"])
@pytest.mark.parametrize("own", [False, True], ids=["one condition", "one a layer"])
def test_gradients_reach_latents_and_classes_and_no_weight(model: Model, own: bool) -> None:
    G = made(model).double()
    ready = inference_ready(G)
    z, c = (part[:, None].repeat(1, G.num_layers, 1) if own else part for part in inputs(G))
    seed = torch.randn(3, 3, 32, 32).double()
    found = []
    for network in (ready, G):
        leaves = [part.clone().requires_grad_() for part in (z, c)]
        (network(*leaves) * seed).sum().backward()
        found.append([leaf.grad for leaf in leaves])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in ready.parameters())


@pytest.mark.parametrize("model", [MODEL, replace(MODEL, architecture="biggan-deep")], ids=["biggan", "deep"])
def test_it_normalises_by_the_row_it_is_given(model: Model) -> None:
    bundle = make_bundle(model)
    G, ready, (z, c) = bundle.G, Ready(bundle.G), inputs(bundle.G)
    rows = [bundle.statistics.row()]
    rows += [bundle.statistics.row(truncation=place) for place in (0.02, 0.3, 0.5, 1.0)]
    rows += [bundle.statistics.row(threshold=place) for place in (0.5, 1.1, 1.9)]
    with torch.no_grad():
        drawn = [ready.at(row)(z, c) for row in rows]
        for row, x in zip(rows, drawn, strict=True):
            G.use_statistics(row)
            assert apart(x, G(z, c)) < 1e-5
    assert len({float(x.sum()) for x in drawn}) == len(rows)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4)])
@pytest.mark.parametrize("biased", [False, True])
def test_a_matrix_product_makes_the_transposed_convolution(size: tuple[int, int], biased: bool) -> None:
    x, kernel = torch.randn(2, 3, *size).double(), torch.randn(3, 5, 4, 4).double()
    bias = torch.randn(5).double() if biased else None
    expected = F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)
    torch.testing.assert_close(doubled_by_product(x, kernel, bias), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", GOLDEN_MODELS)
def test_it_draws_the_reference_s_pictures(name: str) -> None:
    G = generator(GOLDEN_MODELS[name]).eval()
    G.load_state_dict(golden(f"{name}/G_init"))
    forward = golden(f"{name}/forward")
    with torch.no_grad():
        x = inference_ready(G)(forward["z"], G.embed(forward["y"]))
    torch.testing.assert_close(x, forward["G_eval_out"], atol=2e-5, rtol=0)


@pytest.mark.parametrize("model", [replace(TINY, power_iteration="per_forward"), PUBLISHED], ids=["biggan", "deep"])
def test_making_and_drawing_leave_the_generator_as_it_is(model: Model) -> None:
    G = made(model).train()
    G.output_layer.eval()
    G.compute_dtype = torch.bfloat16
    before = {name: tensor.clone() for name, tensor in G.state_dict().items()}
    modes = [module.training for module in G.modules()]
    inference_ready(G)(*inputs(G))
    assert [module.training for module in G.modules()] == modes
    assert G.compute_dtype is torch.bfloat16
    assert all(parameter.requires_grad for parameter in G.parameters())
    assert G.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in G.state_dict().items())


def test_it_does_not_follow_the_generator() -> None:
    G = made(replace(TINY, spectral_norm="none", g_widths=(8, 8, 8, 8), g_attention=(16,)))
    z, c = inputs(G)
    ready = inference_ready(G)
    with torch.no_grad():
        x = ready(z, c)
        for tensor in G.state_dict().values():
            tensor.add_(1)
        assert torch.equal(ready(z, c), x)


def test_rows_of_statistics_share_the_kernels() -> None:
    bundle = make_bundle()
    ready = Ready(bundle.G)
    parts = [dict(ready.at(bundle.statistics.row(place)).named_parameters()) for place in (None, 0.5)]
    kernels = [name for name, parameter in parts[0].items() if parameter.dim() == 4]
    assert len(kernels) == 10  # three blocks of three, and the output
    assert all(parts[0][name] is parts[1][name] for name in kernels)


@pytest.mark.parametrize("name", ["unconditional", "attention everywhere", "deep", "deep, as published"])
def test_in_bfloat16_it_is_as_near_as_the_plain_form(name: str) -> None:
    G = made(MODELS[name])
    z, c = inputs(G, 8)
    with torch.no_grad():
        exact = G(z, c)
        ready = inference_ready(G, dtype=torch.bfloat16)(z, c)
        G.compute_dtype = torch.bfloat16
        assert ready.dtype == torch.float32
        assert 0 < apart(ready, exact) < 2 * apart(G(z, c), exact)


def test_it_holds_the_filters_alone_that_make_the_image() -> None:
    ready = inference_ready(made(PUBLISHED))
    output: nn.Module = ready.output_layer[-1]
    assert output.get_parameter("weight").shape[0] == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("model", [TINY, DEEP], ids=["biggan", "deep"])
def test_kernels_in_order_draw_what_torch_s_convolutions_do_whatever_was_drawn_before(
    model: Model, dtype: torch.dtype
) -> None:
    G = made(model)
    first, second = (inference_ready(G, dtype=dtype) for _ in range(2))
    z, c = inputs(G, 5)
    with torch.no_grad():
        second(z[:1], c[:1])
        x = first(z, c)
        assert torch.equal(second(z, c), x)
        assert torch.equal(copy.deepcopy(second)(z, c), x)
        assert torch.equal(pickle.loads(pickle.dumps(second))(z, c), x)
    found = [module.ordered.found for module in second.modules() if isinstance(module, _Convolution)]
    if _has_orders(dtype):
        assert {shape[0] for shape, _ in filter(None, found)} == {5}
    assert apart(x, first(z, c).detach()) < (1e-5 if dtype == torch.float32 else 1e-2)  # of torch's, as it records


def test_an_export_has_torch_s_own_convolutions() -> None:
    G = made(TINY)
    ready, (z, c) = inference_ready(G), inputs(G, 2)
    with torch.no_grad():
        ready(z, c)
        program = torch.export.export(ready, (z, c))
        assert apart(program.module()(z, c), ready(z, c)) < 1e-5
    calls = {str(node.target) for node in program.graph.nodes}
    assert not any("mkldnn" in call for call in calls)
    assert "aten.conv2d.default" in calls
