"""One step of D and of G: the reference's iterations in float64, the oracle's gradients, and what moves when."""

import copy
import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from cases import GOLDEN, GOLDEN_MODELS, assert_all_close, golden
from oracle import Network, power_iteration
from reference_run import ReferenceRun, gradients
from torch import Tensor, nn

from biggan.config import Model, Optim
from biggan.models.build import discriminator, generator
from biggan.models.network import Discriminator, Generator
from biggan.training.steps import DBatch, GBatch, discriminator_step, generator_step

FUSED = pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


# --- the reference's iterations ---


def strided(network: nn.Module, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """A network's state, of which large tensors are thinned as in the records."""
    entries = network.state_dict()
    thin = {key: key.partition("::")[0] for key in like}
    return {key: entries[name].flatten()[::37] if "::" in key else entries[name] for key, name in thin.items()}


@FUSED
@pytest.mark.parametrize("name", GOLDEN_MODELS)
def test_one_iteration_is_the_reference_s(name, fused):
    run = ReferenceRun(name, fused)
    run.iterate(0)
    if name == "biggandeep64_attn32":  # recorded as lengths
        norms = json.loads((GOLDEN / name / "losses.json").read_text())["gradient_norms_float64"]
        assert {key: float(g.norm()) for key, g in run.gradients.items()} == pytest.approx(norms, rel=1e-6, abs=1e-6)
    else:
        assert_all_close(run.gradients, golden(f"{name}/grads_it0_f64run"), atol=1e-6)
    after = golden(f"{name}/G_after_it0_f64run")
    assert_all_close(strided(run.G, after), after, atol=1e-6)
    after_d = golden(f"{name}/D_after_it0_f64run")
    assert_all_close(strided(run.D, after_d), after_d, atol=1e-6)
    start = generator(GOLDEN_MODELS[name])
    start.load_state_dict(golden(f"{name}/G_init"))
    average = {key: 0.9 * old.double() + 0.1 * after[key].double() for key, old in strided(start, after).items()}
    assert_all_close(strided(run.G_ema, after), average, atol=1e-6)
    if name == "biggan32":
        assert_all_close(run.G_ema.state_dict(), golden("biggan32/G_ema_after_it0_f64run"), atol=1e-6)


@FUSED
@pytest.mark.parametrize("name", GOLDEN_MODELS)
def test_losses_of_every_recorded_iteration_are_the_reference_s(name, fused):
    recorded = json.loads((GOLDEN / name / "losses.json").read_text())["losses_float64"]
    run = ReferenceRun(name, fused)
    for iteration, expected in enumerate(recorded):
        run.iterate(iteration)
        assert run.losses == pytest.approx(expected, rel=1e-6, abs=1e-6)


# --- the oracle's gradients ---

TINY = Model(
    resolution=32, num_classes=5, g_channels=2, d_channels=2, g_attention=(), d_attention=(), dim_z=12, shared_dim=3
)
LOSSES = {
    "hinge": (lambda r: (1 - r).clamp(min=0), lambda f: (1 + f).clamp(min=0), lambda f: -f),
    "nonsaturating": (
        lambda r: -F.logsigmoid(r),
        lambda f: -F.logsigmoid(-f),
        lambda f: -F.logsigmoid(f),
    ),
    "wasserstein": (lambda r: -r, lambda f: f, lambda f: -f),
}


def networks(model: Model) -> tuple[Generator, Discriminator]:
    """G and D in float64 training mode."""
    return generator(model).double().train(), discriminator(model).double().train()


def d_batch(model: Model, count: int = 6) -> DBatch:
    x = torch.rand(count, model.image_channels, 32, 32).double() * 2 - 1
    y, y_fake = torch.randint(max(model.num_classes, 1), (2, count))
    return DBatch(x, y, torch.randn(count, model.dim_z).double(), y_fake)


def g_batch(model: Model, count: int = 6) -> GBatch:
    return GBatch(torch.randn(count, model.dim_z).double(), torch.randint(max(model.num_classes, 1), (count,)))


def split(batch: tuple[Tensor, ...], parts: int) -> list[tuple[Tensor, ...]]:
    pieces = ([None] * parts if field is None else field.chunk(parts) for field in batch)
    return [type(batch)(*fields) for fields in zip(*pieces, strict=True)]


def sgd(network: nn.Module) -> torch.optim.SGD:
    """Plain descent: what a step moves is minus 0.01 times its gradient."""
    return torch.optim.SGD(network.parameters(), lr=0.01)


def penalty(weights: dict[str, Tensor], kind: str) -> Tensor:
    """The orthogonal penalty from its definition."""
    total = torch.zeros(()).double()
    for weight in weights.values():
        if weight.ndim >= 2:
            gram = weight.flatten(1) @ weight.flatten(1).t()
            eye = torch.eye(len(gram)).double()
            total = total + ((gram - eye) if kind == "identity" else gram * (1 - eye)).square().sum()
    return total / 2 if kind == "reference" else total


def leaves(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}


def oracle_condition(model: Model, weights: dict[str, Tensor], y: Tensor) -> Tensor:
    if not model.num_classes:
        return torch.zeros(len(y), 0).double()
    return weights["shared.weight"][y] if model.shared_dim else torch.eye(model.num_classes).double()[y]


STEPS = pytest.mark.parametrize(
    ("loss", "ortho_kind", "model"),
    [
        ("hinge", "paper", TINY),
        ("nonsaturating", "reference", TINY),
        ("wasserstein", "identity", TINY),
        ("hinge", "paper", replace(TINY, num_classes=0)),
        ("nonsaturating", "paper", replace(TINY, shared_dim=0, hierarchical_z=False, spectral_norm="none")),
    ],
    ids=["hinge", "nonsaturating", "wasserstein", "unconditional", "tables"],
)


@STEPS
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("class_loss", [0, 0.3])
def test_d_step_descends_the_oracle_s_gradient(loss, ortho_kind, model, parts, class_loss):
    G, D = networks(model)
    before, weights, batch = state(D), leaves(D), d_batch(model)
    on_real, on_fake, _ = LOSSES[loss]
    total = 0.02 * penalty(weights, ortho_kind)
    figures = []
    for x, y, z, y_fake, *_ in split(batch, parts):
        fake = Network(G.state_dict(), model, True).generate(z, oracle_condition(model, G.state_dict(), y_fake))
        D_oracle = Network(before | weights, model, True)
        real = D_oracle.discriminate(x, y if model.num_classes else None)
        drawn = D_oracle.discriminate(fake.detach(), y_fake if model.num_classes else None)
        total = total + (on_real(real).mean() + on_fake(drawn).mean()) / parts
        if class_loss and model.num_classes:
            each = [D_oracle.discriminate(x, torch.full_like(y, k)) for k in range(model.num_classes)]
            scores = torch.cat(each, 1) - D_oracle.discriminate(x, None)
            total = total - class_loss * scores.log_softmax(1)[range(len(y)), y].mean() / parts
        figures.append(torch.stack([on_real(real).mean(), on_fake(drawn).mean(), real.mean(), drawn.mean()]))
    expected = torch.autograd.grad(total, list(weights.values()))
    optim = Optim(loss=loss, ortho_d=0.02, ortho_kind=ortho_kind, class_loss=class_loss)
    found = discriminator_step(G, D, sgd(D), split(batch, parts), optim)
    for (name, weight), gradient in zip(weights.items(), expected, strict=True):
        moved = weight.detach() - 0.01 * gradient
        torch.testing.assert_close(D.state_dict()[name], moved, atol=1e-10, rtol=1e-9)
    names = ("loss_d_real", "loss_d_fake", "d_real", "d_fake")
    means = dict(zip(names, torch.stack(figures).mean(0).tolist(), strict=True))
    assert {name: float(found[name]) for name in names} == pytest.approx(means, abs=1e-10)


@STEPS
@pytest.mark.parametrize("parts", [1, 2])
def test_g_step_descends_the_oracle_s_gradient(loss, ortho_kind, model, parts):
    """The orthogonal penalty spares the shared embedding alone."""
    G, D = networks(model)
    before, weights, batch = state(G), leaves(G), g_batch(model)
    punished = {name: weight for name, weight in weights.items() if name != "shared.weight"}
    total = 0.02 * penalty(punished, ortho_kind)
    for z, y, _ in split(batch, parts):
        x = Network(before | weights, model, True).generate(z, oracle_condition(model, weights, y))
        logits = Network(D.state_dict(), model, True).discriminate(x, y if model.num_classes else None)
        total = total + LOSSES[loss][2](logits).mean() / parts
    expected = torch.autograd.grad(total, list(weights.values()))
    optim = Optim(loss=loss, ortho_g=0.02, ortho_kind=ortho_kind)
    generator_step(G, D, sgd(G), split(batch, parts), optim)
    for (name, weight), gradient in zip(weights.items(), expected, strict=True):
        moved = weight.detach() - 0.01 * gradient
        torch.testing.assert_close(G.state_dict()[name], moved, atol=1e-10, rtol=1e-9)


# --- microbatches ---


@pytest.mark.parametrize("parts", [2, 3, 6])
def test_microbatches_are_one_batch_where_norms_do_not_couple_images(parts):
    """G in evaluation mode normalises by stored moments, so no image sees another."""
    G, D = networks(TINY)
    G.eval()
    after = []
    for count in (1, parts):
        torch.manual_seed(3)
        g, d = copy.deepcopy((G, D))
        discriminator_step(g, d, sgd(d), split(d_batch(TINY), count), Optim(ortho_d=1e-3))
        generator_step(g, d, sgd(g), split(g_batch(TINY), count), Optim(ortho_g=1e-3))
        after.append(
            {f"G.{k}": t for k, t in g.state_dict().items()} | {f"D.{k}": t for k, t in d.state_dict().items()}
        )
    assert_all_close(after[1], after[0], atol=1e-12)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_per_step_running_moments_move_once_by_the_mean_of_the_microbatches(parts):
    G, D = networks(TINY)
    batches = split(g_batch(TINY), parts)
    stored = {name: t for name, t in state(G).items() if "stored" in name}
    written = []
    for z, y, _ in batches:
        oracle = Network(G.state_dict(), TINY, True)
        oracle.generate(z, G.embed(y).detach())
        written.append({name: oracle.written[name] for name in stored})
    generator_step(G, D, sgd(G), batches, Optim())
    mean = {name: sum(w[name] for w in written) / parts for name in stored}
    assert_all_close(G.state_dict(), mean, atol=1e-12)


# --- what moves when ---


def spectral(network: nn.Module) -> dict[str, Tensor]:
    return {name: t for name, t in state(network).items() if name.rpartition(".")[2].startswith(("u0", "sv0"))}


def advanced(network: nn.Module, before: dict[str, Tensor]) -> dict[str, Tensor]:
    """Spectral buffers one iteration after `before` on the network's present weights."""
    found = {}
    for name, u in before.items():
        layer, _, kind = name.rpartition(".")
        if kind == "u0":
            weight = network.get_parameter(f"{layer}.weight").detach().flatten(1)
            us, sigmas = power_iteration(weight, [u], network.config.sn_eps)
            found |= {name: us[0], f"{layer}.sv0": sigmas[0]}
    return found


@pytest.mark.parametrize("parts", [1, 3])
def test_per_step_a_d_step_moves_nothing_of_g_and_iterates_d_once_at_its_end(parts):
    G, D = networks(TINY)
    before, vectors = state(G), spectral(D)
    discriminator_step(G, D, sgd(D), split(d_batch(TINY), parts), Optim())
    assert_all_close(G.state_dict(), before, atol=0)
    assert not gradients(G)
    assert_all_close(spectral(D), advanced(D, vectors), atol=1e-12)


@pytest.mark.parametrize("parts", [1, 3])
def test_per_step_a_g_step_moves_nothing_of_d_and_iterates_g_once_at_its_end(parts):
    G, D = networks(TINY)
    discriminator_step(G, D, sgd(D), split(d_batch(TINY), parts), Optim())
    before, vectors, d_gradients = state(D), spectral(G), gradients(D)
    generator_step(G, D, sgd(G), split(g_batch(TINY), parts), Optim())
    assert_all_close(D.state_dict(), before, atol=0)
    assert_all_close(gradients(D), d_gradients, atol=0)
    assert_all_close(spectral(G), advanced(G, vectors), atol=1e-12)


def test_per_forward_the_other_network_moves_its_buffers_and_no_parameter():
    G, D = networks(replace(TINY, power_iteration="per_forward"))
    for mover, other, step in (
        (D, G, lambda: discriminator_step(G, D, sgd(D), [d_batch(TINY)], Optim())),
        (G, D, lambda: generator_step(G, D, sgd(G), [g_batch(TINY)], Optim())),
    ):
        before, own = state(other), state(mover)
        step()
        parameters = {name for name, _ in other.named_parameters()}
        still = {name for name, tensor in other.state_dict().items() if torch.equal(tensor, before[name])}
        assert still - parameters <= {"linear.u0", "linear.sv0"}  # D's last layer has one row: its u is 1 or -1
        assert still >= parameters
        assert not torch.equal(mover.linear.weight, own["linear.weight"])


def test_d_learns_again_after_a_g_step():
    G, D = networks(TINY)
    generator_step(G, D, sgd(G), [g_batch(TINY)], Optim())
    before = state(D)
    discriminator_step(G, D, sgd(D), [d_batch(TINY)], Optim())
    assert not any(torch.equal(p, before[name]) for name, p in D.named_parameters() if "embed" not in name)


def test_gradients_of_one_step_do_not_leak_into_the_next():
    """Two steps with descent of rate 0 leave the second's own gradient."""
    G, D = networks(TINY)
    still_d, still_g = torch.optim.SGD(D.parameters(), lr=0.0), torch.optim.SGD(G.parameters(), lr=0.0)
    first, second, third = d_batch(TINY), d_batch(TINY), g_batch(TINY)
    alone = copy.deepcopy((G, D))
    discriminator_step(G, D, still_d, [first], Optim())
    generator_step(G, D, still_g, [third], Optim())
    D.load_state_dict(alone[1].state_dict()), G.load_state_dict(alone[0].state_dict())
    discriminator_step(G, D, still_d, [second], Optim())
    discriminator_step(*alone, torch.optim.SGD(alone[1].parameters(), lr=0.0), [second], Optim())
    assert_all_close(gradients(D), gradients(alone[1]), atol=0)
