"""Steps with what makes little data go far: what D sees, what is added, what is held, however a batch is split."""

import copy
from dataclasses import replace

import pytest
import torch
from cases import assert_all_close
from tiny_models import MODEL, UNCONDITIONAL
from torch import Tensor

from biggan import presets
from biggan.config import PLAIN, Augment
from biggan.training.adam import Adam
from biggan.training.augment import augmented
from biggan.training.loop import Training, d_batches, g_batches, iterate
from biggan.training.losses import d_loss
from biggan.training.regularizers import consistency_penalty, lecam_penalty
from biggan.training.steps import CONSISTENT, discriminator_step, generator_step

CPU = torch.device("cpu")
ALL = replace(PLAIN, augment=("color", "translation", "scale", "cutout"), lecam=0.3, consistency=2.0, augment_share=0.5)
ADAPTS = replace(ALL, augment_share=1.0, ada_target=0.6)
DEEP = replace(MODEL, architecture="biggan-deep", g_channels=8, d_channels=8)


class Real:
    """The same images by their place in the stream, as often as they are asked for."""

    def batch(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        places = torch.arange(start, start + count)
        pixels = torch.arange(32.0)[None, :] * torch.arange(1.0, 33.0)[:, None]
        return torch.sin(pixels[None, None] / 40 + places[:, None, None, None]), places % 3


def training(augment: Augment, microbatch: int | None = None, model=MODEL) -> Training:
    """A run in float64."""
    base = presets.preset("tiny")
    train = replace(base.train, microbatch=microbatch)
    run = Training(replace(base, model=model, train=train, augment=augment), CPU)
    run.G.double(), run.D.double(), run.G_ema.double()
    run.optim_g, run.optim_d = (Adam.of(network, 1e-3, base.optim) for network in (run.G, run.D))
    return run


def weights(run: Training) -> dict[str, Tensor]:
    networks = (("G", run.G), ("D", run.D))
    return {f"{name}.{key}": p.detach().clone() for name, network in networks for key, p in network.named_parameters()}


@pytest.mark.parametrize("augment", [ALL, replace(ADAPTS, ada_target=0.5, ada_images=40)], ids=["fixed", "adaptive"])
def test_steps_are_the_same_however_the_batch_is_split(augment):
    after = []
    for microbatch in (None, 4, 1):
        run = training(augment, microbatch)
        run.G.eval()  # normalises by stored moments, so that no image sees another
        if augment.ada_target:
            run.adaptive.level, run.adaptive.sign = torch.tensor(0.3), torch.tensor(0.9)
        for _ in range(3):
            discriminator_step(run.G, run.D, run.optim_d, list(d_batches(run, Real())), run.config.optim, run.adaptive)
            run.images += 8
        generator_step(run.G, run.D, run.optim_g, list(g_batches(run, 0)), run.config.optim, run.adaptive)
        after.append(weights(run) | {k: t.clone() for k, t in run.adaptive.tensors().items()})
    for other in after[1:]:
        assert_all_close(other, after[0], atol=1e-6)
    assert after[0]["anchors"].any()
    assert float(after[0]["level"]) == pytest.approx(0.9 if augment.ada_target else 0.5)


@pytest.mark.parametrize(
    ("augment", "lecam"),
    [(ALL, 0.3), (ADAPTS, 0.3 * torch.tensor(0.5))],
    ids=["fixed", "adaptive"],
)
def test_a_d_step_descends_all_that_was_asked_for(augment, lecam):
    run = training(augment)
    run.adaptive.anchors, run.adaptive.level = torch.tensor([0.4, -0.1]), torch.tensor(0.5)
    G, D = copy.deepcopy((run.G, run.D))
    ((x, y, z, y_fake, u, u_again),) = d_batches(run, Real())
    both, labels = torch.cat([G(z, G.embed(y_fake)).detach(), x]), torch.cat([y_fake, y])
    logits = D(augmented(both, u, ALL.augment, 0.5), labels)
    on_fake, on_real = logits.chunk(2)
    loss = sum(d_loss("hinge", on_real, on_fake)) + lecam * lecam_penalty(on_real, on_fake, run.adaptive.anchors)
    again = D(augmented(both, u_again, CONSISTENT), labels)
    parts = zip(logits.chunk(2), again.chunk(2), strict=True)
    loss = loss + 2.0 * sum(consistency_penalty(one, other) for one, other in parts)
    loss.backward()
    plain = torch.optim.SGD(run.D.parameters(), 1.0)
    before = copy.deepcopy(run.D.state_dict())
    batches = list(d_batches(run, Real()))
    figures = discriminator_step(run.G, run.D, plain, batches, run.config.optim, run.adaptive)
    assert float(figures["augmented"]) == 0.5
    assert figures.get("lecam") == (lecam if run.config.augment.adapts else None)
    assert figures["d_sign"] == (on_real.sign().mean() - on_fake.sign().mean()) / 2
    for name, parameter in D.named_parameters():
        torch.testing.assert_close(run.D.state_dict()[name], before[name] - parameter.grad, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(run.adaptive.anchors[0], (0.99 * 0.4 + 0.01 * on_real.mean()).float())


def test_gradients_reach_g_through_the_augmentation():
    run = training(replace(ALL, consistency=0.0))
    before = weights(run)
    generator_step(run.G, run.D, run.optim_g, list(g_batches(run, 0)), run.config.optim, run.adaptive)
    moved = {name for name, weight in weights(run).items() if not torch.equal(weight, before[name])}
    assert moved == {name for name in before if name.startswith("G.")}


def test_until_d_is_too_sure_what_adapts_changes_nothing_to_the_last_bit():
    adapts = replace(PLAIN, augment=("color", "translation"), ada_target=0.2, ada_images=20_000, lecam=0.3)
    run, other = training(adapts), training(PLAIN)
    for _ in range(3):
        iterate(run, Real()), iterate(other, Real())
    assert all(torch.equal(weight, weights(other)[name]) for name, weight in weights(run).items())
    run.adaptive.sign = torch.tensor(1.0)
    for _ in range(2):  # in the first the share begins, in the second images are augmented
        iterate(run, Real()), iterate(other, Real())
    assert not any(torch.equal(weight, weights(other)[name]) for name, weight in weights(run).items())


@pytest.mark.parametrize("model", [MODEL, UNCONDITIONAL], ids=["classes", "unconditional"])
def test_nothing_asked_for_is_nothing_done(model):
    class Grey(Real):
        def batch(self, start, count):
            x, y = super().batch(start, count)
            return x.expand(-1, model.image_channels, -1, -1), y

    run, other = training(PLAIN, model=model), training(PLAIN, model=model)
    for each, adaptive in ((run, run.adaptive), (other, None)):
        optim = each.config.optim
        for iteration in range(2):
            discriminator_step(each.G, each.D, each.optim_d, list(d_batches(each, Grey())), optim, adaptive)
            each.images += each.config.train.batch_size
            generator_step(each.G, each.D, each.optim_g, list(g_batches(each, iteration)), optim, adaptive)
    assert all(torch.equal(weight, weights(other)[name]) for name, weight in weights(run).items())


@pytest.mark.parametrize(("model", "stem"), [(MODEL, []), (DEEP, ["D.input_conv."])], ids=["biggan", "deep"])
def test_frozen_blocks_stay_and_the_state_of_the_optimizer_is_whole(model, stem):
    run = training(replace(PLAIN, freeze_d=2), model=model)
    before = weights(run)
    for _ in range(2):
        iterate(run, Real())
    stay = ("D.blocks.0.", "D.blocks.1.", *stem)
    for name, weight in weights(run).items():
        assert torch.equal(weight, before[name]) == name.startswith(stay), name
    fresh = training(replace(PLAIN, freeze_d=2), model=model)
    fresh.optim_d.load(run.optim_d.tensors())


def test_g_is_held_for_the_images_that_were_asked_for():
    run = training(replace(PLAIN, hold_g=20))  # 16 images an iteration
    before = weights(run)
    for _ in range(2):
        iterate(run, Real())
        for name, weight in weights(run).items():
            assert torch.equal(weight, before[name]) == name.startswith("G."), name
    iterate(run, Real())
    assert not torch.equal(weights(run)["G.linear.weight"], before["G.linear.weight"])
