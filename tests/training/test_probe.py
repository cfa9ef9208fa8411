"""A look changes nothing, sees the defects that it is for, and needs no more than the data have."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import MODEL
from torch import Tensor

from biggan.config import Data, Model
from biggan.data.packed import Packed, prepare
from biggan.evaluation.distances import kernel_distance
from biggan.models.build import build
from biggan.training.probe import CLASSES, PICTURES, Probe, chosen_images, real_images
from biggan.training.random_features import RandomFeatures


def probe(packed: Packed, held_out: Packed | None = None) -> Probe:
    def distance(real: Tensor, drawn: Tensor) -> float:
        return kernel_distance(real, drawn).value

    return Probe(packed, held_out, RandomFeatures(packed.channels), distance, torch.device("cpu"))


@pytest.fixture(scope="module")
def fashion() -> Packed:
    return prepare("fashion-mnist", 32, Data())


@pytest.fixture(scope="module")
def look(fashion: Packed) -> Probe:
    return probe(fashion)


def other_images(packed: Packed, look: Probe, seed: int = 1) -> Tensor:
    """Real images of the classes that a look draws, in its order, but not those it compares with."""
    taken = set(np.concatenate(chosen_images(packed)[1]).tolist())
    random = np.random.default_rng(seed)
    free = [[i for i in np.flatnonzero(packed.labels == k) if i not in taken] for k in look.classes]
    return real_images(packed, np.array([random.choice(free[k]) for k in look.group.tolist()]))


def test_real_images_are_near_and_as_diverse(fashion: Packed, look: Probe) -> None:
    figures = look.figures(other_images(fashion, look))
    assert abs(figures["distance"]) < 0.05
    assert figures["diversity"] == pytest.approx(1, abs=0.15)


def test_one_picture_for_each_class_has_no_diversity(fashion: Packed, look: Probe) -> None:
    x = other_images(fashion, look)
    x = x[: look.num_groups].repeat(len(x) // look.num_groups, 1, 1, 1)
    figures = look.figures(x)
    assert figures["diversity"] == pytest.approx(0, abs=1e-3)
    assert figures["distance"] > 0.05


@pytest.mark.parametrize("defect", ["noise", "blur", "one class"])
def test_defects_are_farther_than_real_images(fashion: Packed, look: Probe, defect: str) -> None:
    x = other_images(fashion, look)
    changed = {
        "noise": x + 0.3 * torch.randn_like(x),
        "blur": torch.nn.functional.avg_pool2d(x, 5, 1, 2),
        "one class": x[(look.group == 0).nonzero()[:, 0]].repeat(look.num_groups, 1, 1, 1)[: len(x)],
    }[defect]
    assert look.figures(changed)["distance"] > 4 * abs(look.figures(x)["distance"])


def test_what_is_alike_in_a_few_real_images_makes_no_picture_much_farther(fashion: Packed, look: Probe) -> None:
    few = np.concatenate([np.flatnonzero(fashion.labels == k)[:5] for k in range(10)])  # all black in a corner
    small = probe(replace(fashion, images=np.array(fashion.images[few]), labels=fashion.labels[few]))
    noise = torch.rand(64, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert small.distance(noise) == pytest.approx(look.distance(noise), rel=0.5)


def test_a_background_off_by_a_grey_step_is_no_distance(fashion: Packed) -> None:
    chosen = np.concatenate([np.flatnonzero(fashion.labels == k)[:60] for k in range(10)])
    images = np.array(fashion.images[chosen])
    images[:, 16:], images[:, :, 16:] = 0, 0  # all but a quarter is black in every image
    look = probe(replace(fashion, images=images, labels=fashion.labels[chosen]))
    assert look.distance(torch.from_numpy(images[::10].clip(1)).permute(0, 3, 1, 2) / 127.5 - 1) < 0.25


def test_pictures_that_are_not_finite_give_nan(look: Probe, fashion: Packed) -> None:
    x = other_images(fashion, look)
    x[3, 0, 5, 5] = torch.inf
    figures = look.figures(x)
    assert all(np.isnan(figures[name]) for name in ("distance", "diversity", "recognised", "apart 3"))


@pytest.mark.parametrize("power_iteration", ["per_step", "per_forward"])
def test_a_look_changes_no_bit_of_the_networks(look: Probe, power_iteration: str) -> None:
    G, D = build(replace(MODEL, num_classes=10, power_iteration=power_iteration), 0)
    before = copy.deepcopy((G.state_dict(), D.state_dict()))
    first, sense = look.draw(G), look.label_sense(D)
    assert torch.equal(look.draw(G), first)
    assert look.label_sense(D) == sense
    for network, state in zip((G, D), before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_an_untrained_d_makes_nothing_of_labels(look: Probe) -> None:
    D = build(replace(MODEL, num_classes=10), 0)[1]
    assert look.label_sense(D) == pytest.approx(0.5, abs=0.2)


def test_labels_make_sense_to_a_d_whose_embeddings_are_its_classes(fashion: Packed, look: Probe) -> None:
    D = build(replace(MODEL, num_classes=10, spectral_norm="none"), 0)[1].eval()
    x, y = real_images(fashion, np.arange(0, fashion.num_images, 10)), torch.from_numpy(fashion.labels[::10])
    with torch.no_grad():
        h = torch.relu(D.features(x)).sum((2, 3))
        means = torch.stack([h[y == k].mean(0) for k in range(10)]) - h.mean(0)
        D.embed.weight.copy_(means)
        right = look.label_sense(D)
        D.embed.weight.copy_(means.roll(1, 0))
    assert right > 0.7
    assert look.label_sense(D) < right - 0.15


def test_real_images_are_recognised_and_others_labels_are_not(fashion: Packed, look: Probe) -> None:
    x = other_images(fashion, look)
    assert look.figures(x)["recognised"] > 0.5
    moved = x[(torch.arange(len(x)) + 1) % len(x)]  # each picture in the place of the next class
    assert look.figures(moved)["recognised"] < 0.2


def test_images_learned_by_heart_are_told_from_held_out_ones(fashion: Packed) -> None:
    few = [replace(fashion, images=fashion.images[k::600], labels=fashion.labels[k::600]) for k in (0, 300)]
    D = build(replace(MODEL, num_classes=10), 0)[1]
    seen, unseen, same = (probe(few[0], few[1]), probe(few[1], few[0]), probe(few[0], few[0]))
    assert same.by_heart(D)["by_heart"] == pytest.approx(0.5, abs=0.05)
    assert probe(few[0]).by_heart(D) == {}
    blank = replace(few[0], images=np.zeros_like(few[0].images))
    assert probe(blank, blank).by_heart(D)["by_heart"] == 0.5  # which are all ties within a class
    optimizer = torch.optim.Adam(D.parameters(), 3e-3)
    for _ in range(40):
        on = [D(real_images(pack, np.arange(pack.num_images)), torch.from_numpy(pack.labels)) for pack in few]
        optimizer.zero_grad()
        (torch.relu(1 - on[0]).mean() + torch.relu(1 + on[1]).mean()).backward()
        optimizer.step()
    assert seen.by_heart(D)["by_heart"] > 0.9
    assert unseen.by_heart(D)["by_heart"] < 0.1


def test_small_unlabelled_and_unequal_data_are_looked_at(fashion: Packed) -> None:
    few = np.array([0, 1, 2, 3, 4, 5])
    model: Model = replace(MODEL, num_classes=0)
    unlabelled = replace(fashion, images=fashion.images[few], labels=None, class_names=[])
    one = probe(unlabelled)
    x = one.draw(build(model, 0)[0])
    assert len(x) == PICTURES
    assert all(np.isfinite(value) for value in one.figures(x).values())
    labels = np.array([0, 0, 0, 0, 0, 2])
    unequal = probe(replace(fashion, images=fashion.images[few], labels=labels, class_names=["a", "b", "c"]))
    assert unequal.classes == [0, 2]
    G, D = build(MODEL, 0)
    assert all(np.isfinite(value) for value in unequal.figures(unequal.draw(G)).values())
    assert 0 <= unequal.label_sense(D) <= 1


def test_a_set_of_one_image_has_a_finite_distance_that_is_none_from_the_image_itself(fashion: Packed) -> None:
    one = probe(replace(fashion, images=fashion.images[:1], labels=np.array([2])))
    drawn = one.figures(one.draw(build(MODEL, 0)[0]))
    assert all(np.isfinite(value) for value in drawn.values())
    same = one.figures(real_images(fashion, np.zeros(len(one.group), np.int64)))
    assert same["distance"] == pytest.approx(0, abs=1e-6)
    assert drawn["distance"] > 1e-3


def test_of_many_classes_the_first_are_looked_at(fashion: Packed) -> None:
    labels = np.arange(fashion.num_images) % 200
    assert chosen_images(replace(fashion, labels=labels))[0] == list(range(CLASSES))


def test_random_features_are_the_same_for_each_image_whatever_the_batch() -> None:
    x = torch.rand(6, 3, 48, 48) * 2 - 1
    state = torch.get_rng_state()
    features = RandomFeatures(3)
    assert torch.equal(torch.get_rng_state(), state)
    assert features(x).shape == (6, 640)
    torch.testing.assert_close(features(x)[2:3], RandomFeatures(3)(x[2:3]))
