"""The search finds the class whose pictures agree with the prompts, and of each seed the best latents."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from perceptors import MODELS, ColourScorer
from tiny_models import MODEL, UNCONDITIONAL

from biggan.config import Model
from biggan.editing.goal import Goal
from biggan.editing.search import (
    CANDIDATES,
    Survey,
    begin,
    best_latents,
    encode_pictures,
    likeliest,
    name_scores,
    sure_logits,
)
from biggan.editing.settings import Guidance
from biggan.editing.soft_latents import soft_classes
from biggan.errors import ConfigError
from biggan.models.build import build
from biggan.models.network import Generator

COLOUR = replace(MODEL, image_channels=3, num_classes=5)
NAMES = ["one", "two", "three", "four", "five"]


def nothing(done: int, total: int) -> None:
    pass


def coloured(model: Model) -> Generator:
    """A generator whose classes have colours, as fresh ones hardly do."""
    G = build(model)[0].eval()
    with torch.no_grad():
        G.shared.weight.mul_(20)
    return G


@pytest.fixture(scope="module")
def G() -> Generator:
    return coloured(COLOUR)


def seen(G: Generator, label: int, count: int = 64) -> torch.Tensor:
    """The mean vector of pictures of a class."""
    goal = Goal(ColourScorer(), torch.ones(1, 3), torch.ones(1))
    return encode_pictures(G, goal, torch.randn(count, G.dim_z), torch.full((count,), label)).mean(0, keepdim=True)


def test_the_survey_finds_the_class_by_what_its_pictures_have_of_their_own(G: Generator) -> None:
    """Whatever colour all pictures share: the goals are the ends of the widest span between two classes."""
    means = torch.cat([seen(G, label) for label in range(5)])
    first, last = divmod(int(torch.cdist(means, means).argmax()), 5)
    for label, other in ((first, last), (last, first)):
        goal = Goal(ColourScorer(), (means[label] - means[other])[None], torch.ones(1))
        assert Survey(G, goal, ["same"] * 5, 120).run(nothing) == label


def test_the_survey_says_how_far_it_is(G: Generator) -> None:
    calls: list[tuple[int, int]] = []
    goal = Goal(ColourScorer(), torch.ones(1, 3), torch.ones(1))
    Survey(G, goal, NAMES, 120).run(lambda done, total: calls.append((done, total)))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert 100 <= calls[-1][0] <= calls[-1][1] <= 150


class Reader(ColourScorer):
    """Reads one of five names as the goal's text."""

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        if "" in texts:
            raise ConfigError("The text '' says nothing.")
        return torch.eye(3)[[0 if text in ("red", "ruby") else 1 for text in texts]]


RUBY = Goal(Reader(), torch.tensor([[1.0, 0.0, 0.0]]), torch.ones(1))


def test_a_name_that_says_what_the_prompt_does_decides_between_classes_that_look_alike() -> None:
    G = build(COLOUR)[0].eval()  # fresh: all classes look the same
    for place in range(5):
        names = ["sky"] * 5
        names[place] = " ruby "
        assert Survey(G, RUBY, names, 40).run(nothing) == place


def test_of_many_classes_those_are_tried_that_are_named_like_the_prompt() -> None:
    named = name_scores(RUBY, ["sky", "ruby", "tree", "sea", "red"])
    assert named.tolist() == [0, 1, 0, 0, 1]
    assert likeliest(named, 2).tolist() == [1, 4]
    assert likeliest(named, 0).tolist() == [1]
    assert likeliest(named, 5).tolist() == [0, 1, 2, 3, 4]
    assert Survey(build(COLOUR)[0], RUBY, ["sky", "ruby", "tree", "sea", "red"], 16).classes.tolist() == [1, 4]


def test_names_that_a_scorer_does_not_read_have_no_say(G: Generator) -> None:
    assert name_scores(RUBY, ["ruby", " ", "sky"]).tolist() == [0, 0, 0]
    assert Survey(G, RUBY, ["ruby", " ", "sky", "sea", "red"], 40).run(nothing) in range(5)


def test_the_best_of_a_seeds_candidates_is_taken(G: Generator) -> None:
    goal = Goal(ColourScorer(), ColourScorer().encode_text(["red"]), torch.ones(1))
    z = best_latents(G, goal, 7, 2)
    assert torch.equal(z, best_latents(G, goal, 7, 2))
    assert not torch.equal(z, best_latents(G, goal, 8, 2))
    score = float(goal.scores(encode_pictures(G, goal, z[None], torch.tensor([2])))[0])
    others = goal.scores(encode_pictures(G, goal, torch.randn(CANDIDATES, G.dim_z), torch.full((CANDIDATES,), 2)))
    assert score > float(others.mean())


@pytest.mark.parametrize("max_classes", [None, 1, 3, 5])
@pytest.mark.parametrize("num_classes", [5, 1000])
def test_sure_logits_give_one_class_nearly_all(num_classes: int, max_classes: int | None) -> None:
    classes = soft_classes(sure_logits(num_classes, 3, max_classes, 2.0), max_classes, 2.0)
    assert float(classes[3]) == pytest.approx(0.95, abs=1e-3)
    assert int(classes.argmax()) == 3
    if max_classes is None:
        assert float(classes.sum()) == pytest.approx(1, abs=0.01)


def test_a_start_is_a_seeds_own(G: Generator) -> None:
    goal = Goal(ColourScorer(), ColourScorer().encode_text(["red"]), torch.ones(1))
    for search in (0, 40):
        settings = Guidance(search=search)
        together = begin(G, goal, [4, 9], settings, NAMES, nothing)
        alone = begin(G, goal, [9], settings, NAMES, nothing)
        for both, one in zip(together, alone, strict=True):
            assert both.shape[:2] == (2, 1)
            assert torch.equal(both[1:], one)
        assert not torch.equal(together[0][0], together[0][1])


def test_without_a_search_latents_are_bigsleeps(G: Generator) -> None:
    goal = Goal(ColourScorer(), torch.ones(1, 3), torch.ones(1))
    z, logits = begin(G, goal, range(200), Guidance(search=0, layers_together=False), NAMES, nothing)
    assert float(z.mean()) == pytest.approx(0, abs=0.05)
    assert float(z.std()) == pytest.approx(1, abs=0.05)
    assert float(logits.mean()) == pytest.approx(-3.9, abs=0.02)
    assert float(logits.std()) == pytest.approx(0.3, abs=0.02)
    assert not torch.equal(z[:, 0], z[:, 1])


def test_a_generator_without_classes_has_only_latents() -> None:
    G = build(UNCONDITIONAL)[0].eval()
    goal = Goal(ColourScorer(), torch.ones(1, 3), torch.ones(1))
    for settings in (Guidance(search=0), Guidance(search=8), Guidance(layers_together=False)):
        z, logits = begin(G, goal, [0, 1], settings, [], nothing)
        rows = G.num_layers if settings.layers_together is False else 1
        assert z.shape == (2, rows, G.dim_z)
        assert logits.shape == (2, rows, 0)


def test_layers_have_their_own_latents_in_biggan_deep_unless_told(G: Generator) -> None:
    goal = Goal(ColourScorer(), torch.ones(1, 3), torch.ones(1))
    for model, rows in ((MODELS["deep"], 7), (MODELS["hierarchical"], 1)):
        network = build(model)[0].eval()
        for together, wanted in ((None, rows), (True, 1), (False, network.num_layers)):
            settings = Guidance(search=0, layers_together=together)
            assert begin(network, goal, [0], settings, NAMES, nothing)[0].shape == (1, wanted, network.dim_z)
