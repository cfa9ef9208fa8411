"""The optimisation comes nearer to its goal, resumes exactly, and leaves seeds and networks alone."""

from dataclasses import replace

import pytest
import torch
from perceptors import MODELS, ColourScorer, fresh_bundle
from tiny_models import make_bundle

from biggan.config import Model
from biggan.editing.goal import Goal, Prompt, Request, make_goal
from biggan.editing.guidance import Guide, made_ready
from biggan.editing.search import begin
from biggan.editing.settings import Guidance
from biggan.errors import ConfigError, Diverged, ModelError
from biggan.models.bundle import Bundle
from biggan.models.statistics import Statistics

COLOUR = replace(MODELS["hierarchical"], image_channels=3)
SETTINGS = Guidance(cutouts=3, search=8)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return make_bundle(COLOUR)


def red() -> Goal:
    return make_goal(ColourScorer(), Request(prompts=(Prompt("red"),)))


def guide(bundle: Bundle, seeds: list[int], settings: Guidance = SETTINGS) -> Guide:
    G = made_ready(bundle.G, bundle.statistics)
    start = begin(G, red(), seeds, settings, bundle.class_names, lambda done, total: None)
    return Guide(G, red(), seeds, settings, start)


ANY: dict[str, Model] = {
    **MODELS,
    "grey and alpha": replace(COLOUR, image_channels=2),
    "colour and alpha": replace(COLOUR, image_channels=4),
    "one class, one latent": replace(COLOUR, num_classes=1, dim_z=1, hierarchical_z=False),
    "64 px": replace(COLOUR, resolution=64, dim_z=10),
}


@pytest.mark.parametrize("kind", ANY)
def test_any_generator_comes_nearer_to_its_goal(kind: str) -> None:
    bundle = fresh_bundle(ANY[kind])
    max_classes, together = (2 if kind == "deep" else None), (False if kind == "flat" else None)
    settings = replace(SETTINGS, max_classes=max_classes, layers_together=together)
    run = guide(bundle, [0, 1], settings)
    before = run.measure()[1]
    for _ in range(6):
        losses = run.step()
        assert bool(losses.total.isfinite().all())
    after = run.measure()[1]
    if ANY[kind].image_channels > 2 and ANY[kind].dim_z > 1:  # grey is never red
        assert float(run.best_score.mean()) > float(before.mean())
    assert torch.equal(run.best_score, torch.maximum(before, after))


def test_a_seed_does_not_see_the_others(bundle: Bundle) -> None:
    together, alone = guide(bundle, [5, 2, 9]), guide(bundle, [2])
    for _ in range(4):
        losses, own = together.step(), alone.step()
    together.measure()
    alone.measure()
    torch.testing.assert_close(losses.total[1:2], own.total, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(together.z[1:2], alone.z, rtol=0, atol=1e-4)
    torch.testing.assert_close(together.logits[1:2], alone.logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(together.best_score[1:2], alone.best_score, rtol=0, atol=1e-5)


def test_seeds_that_do_not_fit_into_memory_together_give_the_same(bundle: Bundle) -> None:
    """With 40 cut-outs of each, one seed fills a batch."""
    settings = replace(SETTINGS, cutouts=40)
    runs = guide(bundle, [5, 2], settings), guide(bundle, [2], settings)
    for run in runs:
        run.step()
    torch.testing.assert_close(runs[0].z[1:], runs[1].z, rtol=0, atol=1e-5)


def test_a_loaded_run_goes_on_bit_for_bit(bundle: Bundle) -> None:
    whole, first = guide(bundle, [0, 1]), guide(bundle, [0, 1])
    for run, steps in ((whole, 3), (first, 3)):
        for _ in range(steps):
            run.step()
        run.measure()
    saved = {name: tensor.clone() for name, tensor in first.tensors().items()}
    start = torch.zeros_like(first.z), torch.zeros_like(first.logits)
    resumed = Guide(whole.G, red(), [0, 1], SETTINGS, start)
    resumed.load(saved, first.done)
    for run in (whole, resumed):
        run.step()
        run.measure()
    wanted = whole.tensors()
    assert resumed.done == whole.done
    assert resumed.tensors().keys() == wanted.keys()
    for name, tensor in resumed.tensors().items():
        assert torch.equal(tensor, wanted[name]), name


def test_a_state_of_other_latents_is_refused(bundle: Bundle) -> None:
    one, two = guide(bundle, [0]), guide(bundle, [0, 1])
    one.step()
    saved = one.tensors()
    for tensors in (saved, {"now.z": saved["now.z"]}, {}):
        with pytest.raises(ModelError, match="other latents"):
            two.load(tensors, 1)


def test_the_generator_is_as_it_was(bundle: Bundle) -> None:
    G = bundle.G
    G.train()
    G.compute_dtype = torch.bfloat16
    G.linear.bias.requires_grad_(False)
    G.use_statistics(bundle.statistics.row(truncation=0.5))
    before = {name: tensor.clone() for name, tensor in G.state_dict().items()}
    wanted = [parameter.requires_grad for parameter in G.parameters()]
    run = guide(bundle, [0])
    run.step()
    assert G.training
    assert G.compute_dtype is torch.bfloat16
    assert [parameter.requires_grad for parameter in G.parameters()] == wanted
    assert all(parameter.grad is None for parameter in (*G.parameters(), *run.G.parameters()))
    assert all(torch.equal(tensor, before[name]) for name, tensor in G.state_dict().items())
    G.eval().requires_grad_(True).use_statistics(bundle.statistics.row())
    G.compute_dtype = None


def test_statistics_are_those_of_untruncated_latents_or_else_of_truncation_1(bundle: Bundle) -> None:
    z, c = torch.randn(2, bundle.G.dim_z), bundle.G.embed(torch.tensor([0, 1]))
    truncated = Statistics({"truncation": bundle.statistics.tables["truncation"]})
    for statistics, row in (
        (bundle.statistics, bundle.statistics.row()),
        (truncated, truncated.row(truncation=1.0)),
    ):
        bundle.G.use_statistics(row)
        torch.testing.assert_close(made_ready(bundle.G, statistics)(z, c), bundle.G(z, c), rtol=1e-4, atol=1e-5)
    bundle.G.use_statistics(bundle.statistics.row())


def test_pictures_stay_of_normal_latents(bundle: Bundle) -> None:
    run = guide(bundle, [0, 1, 2])
    for _ in range(40):
        run.step()
    z = run.average.value()[0]
    assert 0.7 < float(z.std()) < 1.3
    assert float(z.abs().max()) < 4


def test_a_rate_that_leads_nowhere_is_one_sentence(bundle: Bundle) -> None:
    run = guide(bundle, [0])
    with torch.no_grad():
        run.z.fill_(float("nan"))
    with pytest.raises(Diverged, match="give a lower --lr"):
        run.step()


MISTAKES = [
    ({"cutouts": 0}, "--cutouts is 0; allowed is 1 to 1024"),
    ({"search": -1}, "--search is -1; allowed is 0 to 100,000"),
    ({"lr": 0.0}, "--lr is 0.0; allowed is above 0"),
    ({"lr": float("nan")}, "--lr is nan"),
    ({"ema_decay": 1.0}, "--ema-decay is 1.0; allowed is from 0 to below 1"),
    ({"max_classes": 0}, "--max-classes is 0; allowed is 1 or more"),
    ({"class_temperature": -1.0}, "--class-temperature is -1.0; allowed is above 0"),
    ({"resize": "bicubic"}, "--resize is bicubic; allowed is nearest, bilinear, lanczos"),
]


@pytest.mark.parametrize(("values", "message"), MISTAKES)
def test_a_setting_that_is_not_allowed_is_one_sentence(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Guidance(**values)  # type: ignore[arg-type]
