"""Starting from another model: what it knows is kept, what is new begins near, what cannot fit is refused."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import MODEL, NAMES, UNCONDITIONAL

from biggan import latents
from biggan.config import Model
from biggan.data.packed import Packed
from biggan.errors import ConfigError
from biggan.models.build import build
from biggan.models.bundle import Bundle
from biggan.models.spectral import converge
from biggan.models.statistics import Statistics
from biggan.sampling import imagenet
from biggan.sampling.classes import same
from biggan.training import transfer
from biggan.training.transfer import check_fits, load, nearest_classes

GREY = "Pictures are taken in grey, as the model draws them."
TABLES = replace(MODEL, shared_dim=0)
KINDS = {
    "shared": MODEL,
    "tables, skip-z": TABLES,
    "tables": replace(TABLES, hierarchical_z=False),
    "kept v": replace(MODEL, sn_vectors="uv"),
    "deep": replace(MODEL, architecture="biggan-deep", g_channels=8, d_channels=8),
    "deep, tables": replace(MODEL, architecture="biggan-deep", g_channels=8, d_channels=8, shared_dim=0),
    "deep, tables, z first": replace(
        MODEL, architecture="biggan-deep", g_channels=8, d_channels=8, shared_dim=0, condition="zy"
    ),
}


def model(config: Model = MODEL, names: list[str] = NAMES) -> Bundle:
    """An untrained model whose vectors are those of its weights, as in a trained one."""
    G, D = build(config)
    for network in (G, D):
        converge(network)
    return Bundle(G.eval(), D.eval(), names[: config.num_classes], Statistics({}))


def pack(names: list[str], each: int = 4, channels: int = 1) -> Packed:
    random = np.random.default_rng(0)
    return Packed(
        images=random.integers(0, 256, (each * max(len(names), 1), 32, 32, channels), dtype=np.uint8),
        labels=np.repeat(np.arange(len(names)), each) if names else None,
        class_names=names,
        sha256="",
        cropped=0,
        skipped=[],
        notes=[],
        place=None,
    )


def started(bundle: Bundle, names: list[str], seed: int = 0):
    config = replace(bundle.G.config, num_classes=len(names))
    check_fits(config, bundle)
    G, D = build(config, seed=7)
    known = same(names, bundle.class_names)
    sentence = load(G, D, bundle, pack(names, channels=config.image_channels), known, seed)
    return G.eval(), D.eval(), sentence


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_known_classes_keep_their_embeddings_in_whatever_order_and_all_else_is_copied(kind):
    bundle = model(KINDS[kind])
    G, D, sentence = started(bundle, ["bag", "Kite", "T-SHIRT/top"])
    assert sentence.startswith("2 of 3 classes are the model's; the others begin from the nearest (Kite from ")
    for new, old in ((G, bundle.G), (D, bundle.D)):
        for name, tensor in new.named_parameters():
            before = old.get_parameter(name)
            if torch.equal(tensor, before):
                continue
            of_classes = [axis for axis, size in enumerate(tensor.shape) if size in (3, 5, 11)]  # with z
            rows, before = (t.movedim(of_classes[-1], 0) for t in (tensor, before))
            first = len(rows) - 3 if kind.endswith("z first") else 0
            assert torch.equal(rows[[first, first + 2]], before[[first + 1, first]]), name
            rest = [i for i in range(len(rows)) if not first <= i < first + 3]
            assert torch.equal(rows[rest], before[rest]), name


@pytest.mark.parametrize("kind", ["shared", "tables", "kept v", "deep"])
@torch.no_grad()
def test_known_classes_are_drawn_as_before(kind):
    bundle = model(KINDS[kind])
    G, _, _ = started(bundle, ["bag", "Kite", "T-SHIRT/top"])
    z = latents.draw(range(6), G.dim_z)
    for new, old in ((0, 1), (2, 0)):
        x, before = (net(z, net.embed(torch.full((6,), y))) for net, y in ((G, new), (bundle.G, old)))
        torch.testing.assert_close(x, before, atol=1e-3, rtol=0)


def test_all_classes_known_in_order_is_a_copy():
    bundle = model()
    G, D, sentence = started(bundle, NAMES)
    assert sentence == f"All classes are the model's. {GREY}"
    for new, old in ((G, bundle.G), (D, bundle.D)):
        assert all(torch.equal(tensor, old.get_parameter(name)) for name, tensor in new.named_parameters())


@pytest.mark.parametrize(("kind", "name"), [("shared", "shared.weight"), ("tables", "blocks.0.0.bn1.gain.weight")])
@torch.no_grad()
def test_new_classes_begin_from_an_old_one_with_as_much_noise_as_classes_differ_by(kind, name, monkeypatch):
    bundle, names = model(KINDS[kind]), ["one", "two", "three", "four", "five"]
    bundle.G.get_parameter(name).add_(7)  # in common
    old = bundle.G.get_parameter(name)
    new = started(bundle, names)[0].get_parameter(name)
    monkeypatch.setattr(transfer, "NOISE", 0.0)
    origins = started(bundle, names)[0].get_parameter(name)
    assert all(any(torch.equal(row, each) for each in old) for row in origins)
    assert float((new - origins).std()) == pytest.approx(float((old - old.mean(0)).std()), rel=0.5)


def test_new_classes_begin_apart_from_each_other_and_alike_by_seed():
    bundle = model()
    G, _, _ = started(bundle, ["one", "two", "three", "four", "five"])
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(G.shared.weight, 2))
    again, _, _ = started(bundle, ["one", "two", "three", "four", "five"])
    assert torch.equal(again.shared.weight, G.shared.weight)
    other, _, _ = started(bundle, ["one", "two", "three", "four", "five"], seed=1)
    assert not torch.equal(other.shared.weight, G.shared.weight)


def test_without_d_new_classes_begin_from_the_mean_and_d_from_scratch():
    bundle = model()
    bundle.D = None
    G, D, sentence = started(bundle, ["Bag", "one"])
    old = bundle.G.shared.weight
    assert torch.equal(G.shared.weight[0], old[1])
    assert (G.shared.weight[1] - old.mean(0)).abs().max() < 4 * old.std()
    _, fresh = build(replace(MODEL, num_classes=2), seed=7)
    assert all(torch.equal(a, b) for a, b in zip(D.parameters(), fresh.parameters(), strict=True))
    assert sentence.endswith(f"from the mean of its classes. {GREY} D begins from scratch.")


def test_a_model_may_have_two_classes_of_one_name():
    bundle = model(names=["crane", "Crane", "kite"])
    G, _, sentence = started(bundle, ["CRANE", "kite"])
    assert torch.equal(G.shared.weight, bundle.G.shared.weight[[0, 2]])
    assert sentence.startswith("All classes are the model's.")


def test_the_very_name_goes_before_one_that_differs_in_case():
    bundle = model(names=["A", "a", "b"])
    G, _, _ = started(bundle, ["a", "A", "B"])
    assert torch.equal(G.shared.weight, bundle.G.shared.weight[[1, 0, 2]])


def test_imagenet_classes_are_known_by_any_of_their_names():
    names = imagenet.class_names()
    assert same(["n01440764", "tench", "Tinca tinca", "n02099601", "nothing"], names) == [
        *(names.index("tench"),) * 3,
        names.index("golden retriever"),
        None,
    ]


def test_classes_that_have_but_numbers_are_said_to_be_matched_by_them():
    _, _, sentence = started(model(names=["0", "1", "2"]), ["2", "0"])
    assert sentence == f"All classes are the model's, by their numbers. {GREY}"


@torch.no_grad()
def test_the_nearest_class_is_the_one_whose_pictures_the_images_are():
    bundle = model()
    bundle.G.shared.weight.mul_(30)  # so that the classes of an untrained model differ
    order = [2, 0, 1]
    z = latents.draw(range(100, 140), bundle.G.dim_z)
    x = torch.cat([bundle.G(z, bundle.G.embed(torch.full((len(z),), k))) for k in order])
    images = ((x.permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    packed = replace(pack(["a", "b", "c"]), images=images, labels=np.repeat([0, 1, 2], len(z)))
    assert nearest_classes(bundle.G, bundle.D, packed, [0, 1, 2]).tolist() == order


def test_an_unconditional_model_starts_an_unconditional_run():
    bundle = model(UNCONDITIONAL)
    G, _, _ = started(bundle, [])
    assert all(torch.equal(a, b) for a, b in zip(G.parameters(), bundle.G.parameters(), strict=True))


REFUSED = [
    ({"num_classes": 0}, "The model of --init has classes, and the data are not so; give --no-labels|labelled"),
    ({"image_channels": 3}, "has 1 channels and the images 3; give --channels 1"),
    ({"resolution": 64, "dim_z": 10}, "--resolution is 64 and the model of --init has 32"),
    ({"g_channels": 5}, "--g-channels is 5 and the model of --init has 4"),
    ({"g_widths": (4, 4, 4, 8)}, "--g-widths is"),
    ({"dim_z": 12}, "--dim-z is 12 and the model of --init has 8"),
    ({"shared_dim": 0}, "--shared-dim is 0 and the model of --init has 8"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=str)
def test_what_cannot_fit_is_refused_in_one_sentence(change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check_fits(replace(MODEL, **change), model())
    assert "\n" not in str(caught.value)


def test_settings_without_shapes_may_differ():
    check_fits(replace(MODEL, norm_eps=1e-3, cross_replica=False, power_iteration="per_forward"), model())
