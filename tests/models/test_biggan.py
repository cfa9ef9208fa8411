"""The networks against the reference's recorded numbers, and against the independent float64 oracle elsewhere."""

import math
from dataclasses import replace

import pytest
import torch
from cases import BIGGAN32, GOLDEN, GOLDEN_MODELS, assert_all_close, golden, part
from oracle import Network
from oracle_deep import DeepNetwork
from torch import Tensor, nn
from zoo import MODELS, SMALL, TINY, stir

from biggan.config import Model
from biggan.errors import ConfigError
from biggan.models.build import discriminator, generator, skeleton
from biggan.models.network import Generator

FUSED = pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
MODE = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])


def buffers(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.named_buffers()}


# --- the reference's numbers ---


@FUSED
@MODE
@pytest.mark.parametrize("name", GOLDEN_MODELS)
def test_generator_is_the_reference_s(name, training, fused):
    G = generator(replace(GOLDEN_MODELS[name], fused_resampling=fused)).train(training)
    G.load_state_dict(golden(f"{name}/G_init"))
    before, forward = buffers(G), golden(f"{name}/forward")
    x = G(forward["z"], G.embed(forward["y"]))
    atol = 2e-5 if name == "biggandeep64_attn32" else 1e-5  # the deep record's own rounding is 1.1e-5, by float64
    torch.testing.assert_close(x, forward["G_train_out" if training else "G_eval_out"], atol=atol, rtol=0)
    after = part(forward, "G_buf_after_train_fwd") if training else before
    assert buffers(G).keys() == after.keys()
    assert_all_close(buffers(G), after, atol=1e-5 * training, rtol=1e-5 * training)


@FUSED
@MODE
@pytest.mark.parametrize("name", GOLDEN_MODELS)
def test_discriminator_is_the_reference_s(name, training, fused):
    D = discriminator(replace(GOLDEN_MODELS[name], fused_resampling=fused)).train(training)
    D.load_state_dict(golden(f"{name}/D_init"))
    before, forward = buffers(D), golden(f"{name}/forward")
    logits = D(forward["x"], forward["y_real"])
    expected = forward["D_train_logits_real" if training else "D_eval_logits_real"]
    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=1e-5)
    if not training:
        logits = D(forward["G_eval_out"], forward["y"])
        torch.testing.assert_close(logits, forward["D_eval_logits_fake"], atol=2e-5, rtol=1e-5)
    after = part(forward, "D_buf_after_train_fwd") if training else before
    assert buffers(D).keys() == after.keys()
    assert_all_close(buffers(D), after, atol=1e-5 * training, rtol=1e-5 * training)


CIFAR = Model(
    resolution=32,
    num_classes=10,
    g_channels=64,
    d_channels=64,
    g_attention=(),
    d_attention=(),
    dim_z=128,
    hierarchical_z=False,
    shared_dim=0,
)


LISTINGS = {
    "biggan128_ch96_bs256x8": Model(),
    "biggan32_cifar_script": CIFAR,
    "biggandeep128_ch128": Model(architecture="biggan-deep", g_channels=128, d_channels=128, dim_z=128),
}


@pytest.mark.parametrize(("listing", "model"), LISTINGS.items())
def test_state_names_shapes_and_order_are_the_reference_s(listing, model):
    text = (GOLDEN / "listings" / f"{listing}.txt").read_text()
    G, D = skeleton(model)
    lines = []
    for title, network in (("## G", G), ("## D", D)):
        lines.append(title)
        lines += [f"{name} {list(t.shape)} float32" for name, t in network.state_dict().items()]
    assert lines == text.splitlines()


# --- the oracle's ---


def make(kind: type[nn.Module], model: Model, fused: bool, training: bool) -> nn.Module:
    network = kind(replace(model, fused_resampling=fused)).double().train(training)
    stir(network)
    return network


def oracle_of(model: Model, state: dict[str, Tensor], training: bool) -> Network:
    kind = DeepNetwork if model.architecture == "biggan-deep" else Network
    return kind(state, model, training)


def g_inputs(G: Generator) -> tuple[Tensor, Tensor]:
    count = 3 if G.config.resolution < 256 else 2
    y = torch.arange(count) % max(G.num_classes, 1)
    return torch.randn(count, G.dim_z).double(), G.embed(y).detach()


def d_inputs(model: Model) -> tuple[Tensor, Tensor | None]:
    count = 3 if model.resolution < 256 else 2
    x = torch.rand(count, model.image_channels, model.resolution, model.resolution).double() * 2 - 1
    return x, torch.arange(count) % model.num_classes if model.num_classes else None


@FUSED
@MODE
@pytest.mark.parametrize("name", MODELS)
def test_generator_is_the_oracle_s(name, training, fused):
    model = replace(MODELS[name], power_iteration="per_forward")
    G = make(generator, model, fused, training)
    z, c = g_inputs(G)
    oracle, before = oracle_of(model, G.state_dict(), training), buffers(G)
    expected = oracle.generate(z, c)
    x = G(z, c)
    assert x.shape == (len(z), model.image_channels, model.resolution, model.resolution)
    torch.testing.assert_close(x, expected, atol=1e-9, rtol=0)
    assert_all_close(buffers(G), before | oracle.written, atol=1e-9, rtol=1e-9)


@FUSED
@MODE
@pytest.mark.parametrize("name", MODELS)
def test_discriminator_is_the_oracle_s(name, training, fused):
    model = replace(MODELS[name], power_iteration="per_forward")
    D = make(discriminator, model, fused, training)
    x, y = d_inputs(model)
    oracle, before = oracle_of(model, D.state_dict(), training), buffers(D)
    expected = oracle.discriminate(x, y)
    logits = D(x) if y is None else D(x, y)
    assert logits.shape == (len(x), 1)
    torch.testing.assert_close(logits, expected, atol=1e-9, rtol=1e-9)
    assert_all_close(buffers(D), before | oracle.written, atol=1e-9, rtol=1e-9)


def leaves(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}


@FUSED
@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_the_oracle_s(name, fused):
    model = MODELS[name]
    G, D = make(generator, model, fused, True), make(discriminator, model, fused, True)
    z, c = g_inputs(G)
    g_leaves, d_leaves = leaves(G), leaves(D)
    x = oracle_of(model, G.state_dict() | g_leaves, True).generate(z, c)
    _, y = d_inputs(model)
    logits = oracle_of(model, D.state_dict() | d_leaves, True).discriminate(x, y)
    both = [tensor for name, tensor in [*g_leaves.items(), *d_leaves.items()] if name != "shared.weight"]
    expected = torch.autograd.grad(logits.square().sum(), both)
    ours = [p for name, p in [*G.named_parameters(), *D.named_parameters()] if name != "shared.weight"]
    gradients = torch.autograd.grad(D(G(z, c), y).square().sum(), ours)
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9 * max(1, float(theirs.abs().max())), rtol=1e-7)


# --- per optimizer step ---


@MODE
def test_per_step_no_forward_moves_a_spectral_vector(training):
    model = replace(BIGGAN32, power_iteration="per_step")
    G, D = make(generator, model, True, training), make(discriminator, model, True, training)
    before = [spectral_buffers(network) for network in (G, D)]
    z, c = g_inputs(G)
    first, second = (D(G(z, c), torch.arange(3)) for _ in range(2))
    assert torch.equal(first, second)
    for network, expected in zip((G, D), before, strict=True):
        assert expected
        assert_all_close(spectral_buffers(network), expected, atol=0)


def spectral_buffers(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in buffers(network).items() if "stored" not in name}


# --- embedding of classes ---


def test_embedding_reads_rows_of_the_shared_table():
    G = generator(TINY)
    y = torch.tensor([4, 0, 4])
    assert torch.equal(G.embed(y), G.shared.weight[y])


def test_embedding_without_a_shared_table_is_one_hot_and_mixes():
    G = generator(MODELS["tables"]).double().eval()
    c = G.embed(torch.tensor([2, 4]))
    assert torch.equal(c, torch.eye(5).double()[[2, 4]])
    z = torch.randn(1, G.dim_z).double()
    mixed = oracle_of(G.config, G.state_dict(), False).generate(z, c.mean(0, keepdim=True))
    torch.testing.assert_close(G(z, c.mean(0, keepdim=True)), mixed, atol=1e-9, rtol=0)


def test_unconditional_embedding_is_empty():
    G = generator(MODELS["unconditional"])
    assert G.embed(torch.zeros(3, dtype=torch.long)).shape == (3, 0)


# --- what the settings refuse or promise ---


@pytest.mark.parametrize("field", ["g_attention", "d_attention"])
def test_attention_on_fewer_than_8_channels_is_refused(field):
    model = replace(TINY, g_widths=(8, 8, 7, 8), d_widths=(7, 8, 8, 8), **{field: (16,)})
    with pytest.raises(ConfigError, match="8 channels"):
        (generator if field == "g_attention" else discriminator)(model)


def test_images_are_within_minus_one_and_one():
    G = generator(TINY).train()
    x = G(torch.full((4, 12), 50.0), G.embed(torch.arange(4)))
    assert x.abs().max() <= 1
    assert x.isfinite().all()


def test_each_image_in_evaluation_depends_on_its_own_inputs_only():
    G = make(generator, TINY, True, False)
    z, c = g_inputs(G)
    alone = torch.cat([G(z[i : i + 1], c[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(G(z, c), alone, atol=1e-12, rtol=0)


def test_statistics_put_in_are_the_ones_used():
    G = make(generator, TINY, True, False)
    names = [name for name in G.state_dict() if "stored" in name]
    row = {name: torch.rand_like(G.state_dict()[name]) + 0.5 for name in names}
    z, c = g_inputs(G)
    expected = oracle_of(TINY, G.state_dict() | row, False).generate(z, c)
    G.use_statistics(row)
    torch.testing.assert_close(G(z, c), expected, atol=1e-9, rtol=0)


def test_logits_are_a_linear_function_of_the_sum_over_pixels_plus_the_projection():
    D = make(discriminator, TINY, True, False)
    x, y = torch.rand(5, 3, 32, 32).double() * 2 - 1, torch.arange(5)
    each = torch.stack([D(x, torch.full_like(y, k)) for k in range(5)])  # (class, image, 1)
    free = discriminator(replace(TINY, num_classes=0)).double().eval()
    free.load_state_dict({name: t for name, t in D.state_dict().items() if not name.startswith("embed")})
    projections = (each - free(x)).squeeze(2)
    assert projections.shape == (5, 5)
    assert math.isclose(float(torch.linalg.matrix_rank(projections)), 5)
    torch.testing.assert_close(D(x, y), each[y, torch.arange(5)], atol=1e-12, rtol=0)


# --- bfloat16 ---


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_bfloat16_differs_by_its_rounding_and_leaves_state_and_gradients_in_float32(norm):
    model = replace(MODELS["attention everywhere"], norm=norm, power_iteration="per_forward")
    G, D = generator(model).train(), discriminator(model).train()
    stir(G), stir(D)
    z, c = torch.randn(8, 12), G.embed(torch.arange(8) % 5).detach()
    y = torch.arange(8) % 5
    expected = oracle_of(model, G.state_dict(), True).generate(z, c)
    scores = oracle_of(model, D.state_dict(), True).discriminate(expected, y)
    G.compute_dtype = D.compute_dtype = torch.bfloat16
    x = G(z, c)
    logits = D(expected.float(), y)
    D(x, y).sum().backward()
    assert {t.dtype for t in (x, logits)} == {torch.float32}
    for actual, exact in ((x, expected), (logits, scores)):
        assert (actual - exact).norm() < 0.05 * exact.norm()  # 2^-8 a rounding, over some twenty layers
    for network in (G, D):
        assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
        gradients = [p.grad for name, p in network.named_parameters() if name != "shared.weight"]
        assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients)
