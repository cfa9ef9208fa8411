"""Spectral norm: the reference's numbers, and what must hold of any power iteration."""

import copy
import warnings

import pytest
import torch
from cases import assert_all_close, golden, part
from oracle import power_iteration
from torch import Tensor, nn

from biggan.models.spectral import (
    PART,
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
    SpectralSettings,
    advance,
    settle,
    vectors_held,
)

STEP = SpectralSettings(eps=1e-12)
FORWARD = SpectralSettings(eps=1e-12, per_forward=True)


def buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.named_buffers()}


def layers(norm: SpectralSettings | None) -> dict[str, tuple[nn.Module, Tensor]]:
    """One of each layer, with an input."""
    return {
        "conv": (SpectralConv2d(3, 5, 3, norm=norm), torch.randn(2, 3, 4, 4)),
        "linear": (SpectralLinear(7, 4, norm=norm), torch.randn(2, 7)),
        "embedding": (SpectralEmbedding(6, 9, norm=norm), torch.tensor([1, 5])),
    }


KINDS = ["conv", "linear", "embedding"]


# --- the reference's numbers ---


def test_three_singular_values_and_two_iterations_are_the_reference_s():
    units = part(golden("units/units"), "sn_conv")
    norm = SpectralSettings(num_values=3, num_iterations=2, eps=1e-6, per_forward=True)
    conv = SpectralConv2d(5, 7, 3, norm=norm)
    conv.load_state_dict(part(units, "init"))
    x = units["x"]

    before = buffers(conv)
    torch.testing.assert_close(conv.eval()(x), units["eval_out_from_init"], atol=1e-5, rtol=1e-5)
    assert_all_close(buffers(conv), before, atol=0)
    conv.train()
    for i in (1, 2):
        torch.testing.assert_close(conv(x), units[f"train_out_{i}"], atol=1e-5, rtol=1e-5)
        assert_all_close(buffers(conv), part(units, f"after_train_{i}"), atol=1e-5, rtol=1e-5)
    out = conv(x)
    torch.testing.assert_close(out, units["train_out_3"], atol=1e-5, rtol=1e-5)
    (gradient,) = torch.autograd.grad(out.square().sum(), conv.weight)
    expected = units["grad_weight_third_train_fwd_of_sum_out_squared"]
    torch.testing.assert_close(gradient, expected, atol=2e-5, rtol=1e-5)


def test_embedding_is_the_reference_s():
    units = part(golden("units/units"), "sn_embed")
    embed = SpectralEmbedding(6, 9, norm=SpectralSettings(eps=1e-6, per_forward=True))
    embed.load_state_dict({**part(units, "init"), "sv0": torch.ones(1)})
    torch.testing.assert_close(embed.train()(units["idx"]), units["train_out"], atol=1e-5, rtol=1e-5)
    after = {"u0": units["u0_after"], "sv0": units["sv0_after"]}
    assert_all_close(buffers(embed), after, atol=1e-5, rtol=1e-5)


# --- theorems ---


@pytest.mark.parametrize("kind", KINDS)
def test_the_normalised_weight_has_largest_singular_value_one(kind):
    layer, _ = layers(STEP)[kind]
    layer.double()
    for _ in range(500):
        advance(layer)
    sigma = torch.linalg.svdvals(layer.normalised_weight().detach().flatten(1))
    torch.testing.assert_close(sigma[0], torch.tensor(1.0).double(), atol=1e-9, rtol=0)
    true = torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]
    torch.testing.assert_close(layer.sv0[0], true, atol=1e-9, rtol=0)


def test_tracked_singular_values_become_the_largest_ones():
    layer = SpectralLinear(9, 6, norm=SpectralSettings(num_values=3, num_iterations=5, eps=1e-12)).double()
    for _ in range(400):
        advance(layer)
    found = torch.cat([layer.sv0, layer.sv1, layer.sv2])
    torch.testing.assert_close(found, torch.linalg.svdvals(layer.weight.detach())[:3], atol=1e-8, rtol=0)
    us = torch.cat([layer.u0, layer.u1, layer.u2])
    torch.testing.assert_close(us @ us.t(), torch.eye(3).double(), atol=1e-9, rtol=0)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_forward_uses_one_iteration_from_the_stored_vector(kind, training):
    layer, _ = layers(STEP)[kind]
    layer.double().train(training)
    w = layer.weight.detach().flatten(1)
    _, sigmas = power_iteration(w, [layer.u0], 1e-12)
    torch.testing.assert_close(layer.normalised_weight().flatten(1), w / sigmas[0], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_per_step_only_advance_writes(kind):
    layer, x = layers(STEP)[kind]
    before = buffers(layer)
    outputs = [layer.train()(x), layer(x), layer.eval()(x)]
    assert_all_close(buffers(layer), before, atol=0)
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    advance(nn.Sequential(layer))
    us, sigmas = power_iteration(layer.weight.flatten(1), [before["u0"]], 1e-12)
    assert_all_close(buffers(layer), {"u0": us[0], "sv0": sigmas[0]}, atol=1e-6)


@pytest.mark.parametrize("norm", [STEP, FORWARD], ids=["per_step", "per_forward"])
def test_while_vectors_are_held_forwards_and_gradients_are_the_same(norm):
    for layer, x in layers(norm).values():
        other = copy.deepcopy(layer)
        found, expected = [], []
        with vectors_held(nn.Sequential(layer)):
            for _ in range(2):
                with vectors_held(nn.Sequential(layer)):
                    found += [layer(x), *torch.autograd.grad(layer(x).cos().sum(), layer.weight)]
                assert (layer.held is None) == norm.per_forward  # held to the end of the outer block
        for _ in range(2):
            expected += [other(x), *torch.autograd.grad(other(x).cos().sum(), other.weight)]
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert_all_close(buffers(layer), buffers(other), atol=0)
        assert layer.held is None


def test_layers_side_by_side_iterate_as_each_alone():
    alone = [layer for norm in (STEP, SpectralSettings(num_values=2), FORWARD) for layer, _ in layers(norm).values()]
    together = copy.deepcopy(nn.ModuleList(alone))
    advance(together)
    for layer, other in zip(alone, together, strict=True):
        advance(layer)
        assert_all_close(buffers(other), buffers(layer), atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_per_forward_every_training_forward_writes_and_nothing_else_does(kind):
    layer, x = layers(FORWARD)[kind]
    for _ in range(2):
        before = buffers(layer)
        layer.train()(x)
        us, sigmas = power_iteration(layer.weight.flatten(1), [before["u0"]], 1e-12)
        assert_all_close(buffers(layer), {"u0": us[0], "sv0": sigmas[0]}, atol=1e-6)
    before = buffers(layer)
    layer.eval()(x)
    advance(layer)
    assert_all_close(buffers(layer), before, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_advance_then_forward_per_step_is_two_iterations_per_forward(kind):
    per_step, x = layers(STEP)[kind]
    per_forward, _ = layers(FORWARD)[kind]
    per_forward.load_state_dict(per_step.state_dict())
    advance(per_step)
    per_forward.train()(x)
    torch.testing.assert_close(per_step(x), per_forward(x), atol=1e-6, rtol=1e-6)


def test_two_iterations_at_once_are_two_in_a_row():
    once = SpectralLinear(7, 4, norm=SpectralSettings(num_values=2, num_iterations=2))
    twice = SpectralLinear(7, 4, norm=SpectralSettings(num_values=2))
    twice.load_state_dict(once.state_dict())
    advance(once)
    advance(twice)
    advance(twice)
    assert_all_close(buffers(once), buffers(twice), atol=1e-6)


@pytest.mark.parametrize("norm", [STEP, FORWARD], ids=["per_step", "per_forward"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_pass_through_sigma_and_not_through_its_vectors(kind, norm):
    layer, x = layers(norm)[kind]
    layer.double()
    x = x.double() if x.is_floating_point() else x
    weight = layer.weight.detach().clone().requires_grad_()
    _, sigmas = power_iteration(weight.flatten(1), [layer.u0.clone()], 1e-12)
    plain = copy.deepcopy(layers(None)[kind][0]).double()
    state = {"weight": weight / sigmas[0]} | ({} if kind == "embedding" else {"bias": layer.bias})
    (expected,) = torch.autograd.grad(torch.func.functional_call(plain, state, (x,)).cos().sum(), weight)
    (gradient,) = torch.autograd.grad(layer(x).cos().sum(), layer.weight)
    torch.testing.assert_close(gradient, expected, atol=1e-12, rtol=1e-10)
    # W / σ does not change with W's length, so neither does any function of it.
    torch.testing.assert_close((gradient * layer.weight).sum(), torch.tensor(0.0).double(), atol=1e-12, rtol=0)


def kept(per_forward: bool) -> SpectralConv2d:
    torch.manual_seed(0)
    return SpectralConv2d(3, 6, 3, norm=SpectralSettings(eps=1e-4, per_forward=per_forward, keep_v=True)).double()


def test_a_kept_pair_is_torch_s_spectral_norm_in_training_and_evaluation():
    ours = kept(per_forward=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        theirs = torch.nn.utils.spectral_norm(torch.nn.Conv2d(3, 6, 3, padding=1).double(), eps=1e-4)
    state = {"weight_orig": ours.weight, "bias": ours.bias, "weight_u": ours.u0[0], "weight_v": ours.v0[0]}
    theirs.load_state_dict({name: tensor.detach().clone() for name, tensor in state.items()})
    x = torch.randn(2, 3, 5, 5).double()
    for training in (False, True, True, False):
        torch.testing.assert_close(ours.train(training)(x), theirs.train(training)(x), atol=1e-12, rtol=0)
        torch.testing.assert_close(ours.u0[0], theirs.weight_u, atol=1e-12, rtol=0)
        torch.testing.assert_close(ours.v0[0], theirs.weight_v, atol=1e-12, rtol=0)


def test_settling_makes_the_kept_pair_the_singular_one_and_touches_no_other_layer():
    both = torch.nn.ModuleList([kept(per_forward=False), SpectralConv2d(3, 6, 3, norm=SpectralSettings()).double()])
    before = both[1].u0.clone()
    settle(both)
    settle(both)
    largest = torch.linalg.svdvals(both[0].normalised_weight().flatten(1))[0]
    torch.testing.assert_close(largest, torch.ones_like(largest), atol=1e-2, rtol=0)
    assert torch.equal(both[1].u0, before)


def test_filters_that_are_not_used_are_not_computed_and_count_in_sigma():
    few = SpectralConv2d(3, 6, 3, norm=SpectralSettings(), used=2)
    full = SpectralConv2d(3, 6, 3, norm=SpectralSettings())
    full.load_state_dict(few.state_dict())
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(few.eval()(x), full.eval()(x)[:, :2])


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_norm_it_is_torch_s_layer(kind):
    layer, x = layers(None)[kind]
    plain = {"conv": nn.Conv2d(3, 5, 3, padding=1), "linear": nn.Linear(7, 4), "embedding": nn.Embedding(6, 9)}[kind]
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), plain(x))
    assert not buffers(layer)


def test_state_names_and_shapes():
    conv = SpectralConv2d(3, 5, 3, bias=False, norm=SpectralSettings(num_values=2))
    shapes = {name: tuple(tensor.shape) for name, tensor in conv.state_dict().items()}
    assert shapes == {"weight": (5, 3, 3, 3), "u0": (1, 5), "sv0": (1,), "u1": (1, 5), "sv1": (1,)}
    assert layers(STEP)["embedding"][0].u0.shape == (1, 6)


def test_a_weight_divided_in_parts_is_the_quotient_rounded():
    layer = SpectralConv2d(300, 101, 3, norm=STEP)  # 272,700 numbers: a part of 97 filters, and a rest
    assert PART < layer.weight.numel() < 2 * PART
    quotient = layer.normalised_weight().detach()
    assert torch.equal(layer.normalised_weight(torch.bfloat16), quotient.bfloat16())
