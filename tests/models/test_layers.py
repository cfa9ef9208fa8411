"""Conditional norms, attention and initialisation: the reference's numbers, closed forms, and two processes as one."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cases import assert_all_close, golden, part
from safetensors.torch import load_file
from torch import Tensor, nn

from biggan.config import Model
from biggan.models.biggan import Discriminator, Generator
from biggan.models.layers import (
    FEW_KEYS,
    AffineNorm,
    Attention,
    ClassTable,
    ConditionalNorm,
    attended,
    initialise,
)
from biggan.models.spectral import SpectralSettings

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


# --- conditional norms ---


def reference_norm(kind: str) -> tuple[ConditionalNorm, dict[str, Tensor]]:
    units = part(golden("units/units"), "ccbn")
    norm = ConditionalNorm(6, nn.Linear(5, 6, bias=False), nn.Linear(5, 6, bias=False), kind, 1e-5, False)
    norm.load_state_dict({name: units[name] for name in ("gain.weight", "bias.weight")}, strict=False)
    return norm, units


@pytest.mark.parametrize(("kind", "name"), [("batch", "bn"), ("instance", "in"), ("none", "nonorm")])
def test_conditional_norms_are_the_reference_s(kind, name):
    norm, units = reference_norm(kind)
    torch.testing.assert_close(norm.train()(units["x"], units["y"]), units[f"{name}/train_out"], **CLOSE)
    assert_all_close(dict(norm.named_buffers()), part(units, f"{name}/after"), **CLOSE)
    torch.testing.assert_close(norm.eval()(units["x"], units["y"]), units[f"{name}/eval_out_after"], **CLOSE)


def test_mybn_is_batch_norm_with_the_biased_variance_stored():
    norm, units = reference_norm("batch")
    torch.testing.assert_close(norm.train()(units["x"], units["y"]), units["mybn/train_out"], **CLOSE)
    count = units["x"].numel() / 6
    norm.stored_var.sub_(0.9).mul_((count - 1) / count).add_(0.9)
    after = {"stored_mean": units["mybn/after/bn.stored_mean"], "stored_var": units["mybn/after/bn.stored_var"]}
    assert_all_close(dict(norm.named_buffers()), after, **CLOSE)
    torch.testing.assert_close(norm.eval()(units["x"], units["y"]), units["mybn/eval_out_after"], **CLOSE)


@pytest.mark.parametrize("kind", ["batch", "instance"])
def test_without_condition_a_norm_has_moments_zero_and_one(kind):
    norm = AffineNorm(4, kind, 1e-12, False).double().train()
    x = norm(3 + 5 * torch.randn(6, 4, 8, 8).double())
    dims = (0, 2, 3) if kind == "batch" else (2, 3)
    assert x.mean(dims).abs().max() < 1e-10
    assert (x.var(dims, correction=0) - 1).abs().max() < 1e-8


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("kind", ["batch", "instance"])
def test_momentum_is_the_weight_of_a_batch_in_the_running_moments(kind, momentum):
    norm = AffineNorm(3, kind, 1e-5, False).double().train()
    norm.momentum = momentum
    norm.stored_mean.fill_(2.0), norm.stored_var.fill_(4.0)
    x = torch.randn(5, 3, 4, 4).double()
    norm(x)
    means = x.mean((0, 2, 3))
    variances = x.var((0, 2, 3)) if kind == "batch" else x.var((2, 3)).mean(0)
    torch.testing.assert_close(norm.stored_mean, 2 + momentum * (means - 2), atol=1e-12, rtol=0)
    torch.testing.assert_close(norm.stored_var, 4 + momentum * (variances - 4), atol=1e-12, rtol=0)


def test_moments_are_float32_also_where_they_are_not_kept():
    x = (3 + torch.randn(8, 4, 16, 16) / 2).bfloat16()
    norm = AffineNorm(4, "batch", 1e-5, False).train()
    kept = norm.normalise(x)
    norm.momentum = 0.0
    assert torch.equal(norm.normalise(x), kept)


def test_instance_norm_keeps_the_layout():
    x = torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    norm = AffineNorm(4, "instance", 1e-5, False).train()
    assert norm(x).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(norm(x), norm(x.contiguous()))


def test_a_class_table_mixes_its_rows():
    table = ClassTable(4, 6)
    torch.testing.assert_close(table(torch.eye(4)), table.weight)
    mixed = table(torch.tensor([[0.25, 0.0, 0.75, 0.0]]))
    torch.testing.assert_close(mixed[0], 0.25 * table.weight[0] + 0.75 * table.weight[2])


# --- attention ---


def test_attention_is_the_reference_s():
    units = part(golden("units/units"), "attention")
    attention = Attention(16, SpectralSettings(eps=1e-12, per_forward=True))
    attention.load_state_dict(part(units, "init"))
    torch.testing.assert_close(attention.train()(units["x"]), units["train_out"], **CLOSE)


def test_attention_starts_as_the_identity():
    attention = Attention(16, SpectralSettings())
    assert attention.gamma == 0
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(attention(x), x)


def test_attention_sees_pixels_as_a_set_of_pooled_cells():
    """Moving whole 2x2 cells moves the output with them."""
    attention = Attention(8, None).double()
    attention.gamma.data.fill_(1.0)
    x = torch.randn(1, 8, 4, 6).double()
    moved = x.roll((2, 4), (2, 3)).flip(3)
    torch.testing.assert_close(attention(moved), attention(x).roll((2, 4), (2, 3)).flip(3), atol=1e-12, rtol=0)


def test_attention_over_equal_values_adds_that_value():
    attention = Attention(8, None).double()
    attention.gamma.data.fill_(0.5)
    x = torch.randn(1, 8, 1, 1).double().expand(1, 8, 4, 4).contiguous()
    value = attention.o(attention.g(x))
    torch.testing.assert_close(attention(x), x + 0.5 * value, atol=1e-12, rtol=0)


# --- initialisation ---

NETWORK = Model(
    resolution=32, num_classes=20, g_channels=16, d_channels=16, g_attention=(16,), d_attention=(16,), shared_dim=24
)


def weights(network: nn.Module) -> dict[str, Tensor]:
    kinds = (nn.Conv2d, nn.Linear, nn.Embedding)
    return {name: m.weight.detach() for name, m in network.named_modules() if isinstance(m, kinds)}


def made(kind: str) -> list[nn.Module]:
    networks = [Generator(NETWORK), Discriminator(NETWORK)]
    for network in networks:
        initialise(network, kind)
    return networks


def test_orthogonal_weights_have_orthonormal_rows_or_columns():
    for network in made("ortho"):
        for weight in weights(network).values():
            matrix = weight.flatten(1).double()
            matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.t()
            torch.testing.assert_close(matrix @ matrix.t(), torch.eye(len(matrix)).double(), atol=1e-5, rtol=0)


def test_n02_weights_are_normal_with_deviation_0_02():
    flat = torch.cat([weight.flatten() for network in made("N02") for weight in weights(network).values()]).double()
    n = len(flat)
    assert abs(float(flat.mean())) < 4 * 0.02 / math.sqrt(n)
    assert abs(float(flat.std()) / 0.02 - 1) < 4 / math.sqrt(2 * n)
    assert abs(float(((flat / 0.02) ** 4).mean()) - 3) < 4 * math.sqrt(96 / n)


def test_xavier_weights_are_uniform_to_their_bound():
    for network in made("xavier"):
        for name, weight in weights(network).items():
            pixels = weight[0, 0].numel() if weight.ndim == 4 else 1
            bound = math.sqrt(6 / (pixels * (weight.shape[0] + weight.shape[1])))
            assert weight.abs().max() <= bound * (1 + 1e-6), name
            if weight.numel() > 1000:
                assert weight.abs().max() > 0.98 * bound, name
                assert abs(float(weight.std()) * math.sqrt(3) / bound - 1) < 0.1, name


@pytest.mark.parametrize("kind", ["ortho", "N02", "xavier"])
def test_biases_and_buffers_keep_their_start(kind):
    for network in (Generator(NETWORK), Discriminator(NETWORK)):
        rest = {name: t.clone() for name, t in network.state_dict().items() if not name.endswith("weight")}
        before = {name: w.clone() for name, w in weights(network).items()}
        initialise(network, kind)
        assert_all_close(network.state_dict(), rest, atol=0)
        assert not any(torch.equal(before[name], w) for name, w in weights(network).items() if w.numel() > 1)


@pytest.mark.parametrize("init", ["ortho", "N02", "xavier"])
def test_the_config_s_initialisation_is_the_one_made(init):
    from dataclasses import replace

    torch.manual_seed(7)
    G = Generator(replace(NETWORK, init=init))
    weight = G.blocks[0][0].conv1.weight.detach().flatten(1)
    spread = {"ortho": math.sqrt(1 / weight.shape[1]), "N02": 0.02, "xavier": math.sqrt(2 / (9 * 128))}[init]
    assert abs(float(weight.std()) / spread - 1) < 0.05
    assert (init == "ortho") == bool((weight @ weight.t() - torch.eye(64)).abs().max() < 1e-4)


# --- several processes ---

REPLICA = """
import sys, torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import nn
from biggan.models.layers import AffineNorm, ConditionalNorm

folder, rank, world = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
if world > 1:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
data = load_file(f"{folder}/data.safetensors")
x, c = (data[name].chunk(world)[rank].clone().requires_grad_() for name in ("x", "c"))
norm = ConditionalNorm(4, nn.Linear(3, 4, bias=False), nn.Linear(3, 4, bias=False), "batch", 1e-5, 0).double()
norm.load_state_dict({n.removeprefix("norm."): t for n, t in data.items() if n.startswith("norm.")})
last = AffineNorm(4, "batch", 1e-5, 0).double()
out = last(norm(x, c).relu())
(out ** 3).sum().backward()
save_file({"out": out.detach(), "x.grad": x.grad, "c.grad": c.grad, "gain.grad": norm.gain.weight.grad,
           "mean": norm.stored_mean, "var": norm.stored_var, "last.mean": last.stored_mean,
           "last.var": last.stored_var}, f"{folder}/out{rank}of{world}.safetensors")
if world > 1:
    dist.destroy_process_group()
"""


def replicas(folder: Path, world: int) -> list[dict[str, Tensor]]:
    """What each of `world` processes finds for its share of the batch in `folder`."""
    command = [sys.executable, "-W", "ignore", "-c", REPLICA, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([*command, str(rank), str(world)], env=environment) for rank in range(world)]
    assert [process.wait(timeout=120) for process in running] == [0] * world
    return [load_file(folder / f"out{rank}of{world}.safetensors") for rank in range(world)]


def test_cross_replica_norm_over_two_processes_is_the_norm_of_the_whole_batch(tmp_path):
    from safetensors.torch import save_file

    norm = ConditionalNorm(4, nn.Linear(3, 4, bias=False), nn.Linear(3, 4, bias=False), "batch", 1e-5, 0).double()
    data = {"x": 2 + torch.randn(6, 4, 3, 3).double(), "c": torch.randn(6, 3).double()}
    state = {f"norm.{name}": tensor for name, tensor in norm.state_dict().items()}
    save_file(data | state, tmp_path / "data.safetensors")
    (whole,), shares = replicas(tmp_path, 1), replicas(tmp_path, 2)
    for name in ("out", "x.grad", "c.grad"):
        torch.testing.assert_close(torch.cat([s[name] for s in shares]), whole[name], atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(sum(s["gain.grad"] for s in shares), whole["gain.grad"], atol=1e-9, rtol=1e-9)
    for share in shares:
        moments = {name: whole[name] for name in ("mean", "var", "last.mean", "last.var")}
        assert_all_close(share, moments, atol=1e-10)


@pytest.mark.parametrize("keys", [9, FEW_KEYS - 1, FEW_KEYS])
def test_attention_is_the_softmax_of_scores_with_its_gradients(keys: int) -> None:
    parts = [torch.randn(2, *shape).double().requires_grad_() for shape in ((5, 4), (keys, 4), (keys, 6))]
    query, key, value = parts
    expected = (query @ key.mT).softmax(2) @ value
    with torch.no_grad():
        torch.testing.assert_close(attended(query, key, value), expected, rtol=1e-12, atol=1e-12)
    found = attended(query, key, value)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    seed = torch.randn_like(expected)
    gradients = (torch.autograd.grad((x * seed).sum(), parts) for x in (found, expected))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
