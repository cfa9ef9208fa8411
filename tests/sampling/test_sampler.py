"""An image is a function of (weights, seed, class, truncation), whatever it is drawn with."""

import itertools
from dataclasses import replace

import pytest
import torch
from tiny_models import MODEL, UNCONDITIONAL, make_bundle

from biggan import latents
from biggan.config import Model
from biggan.errors import ConfigError
from biggan.models.inference import Ready
from biggan.models.network import Generator
from biggan.sampling.classes import ClassMix, parse_classes
from biggan.sampling.recipe import Precision
from biggan.sampling.sampler import Sampler, to_bytes, usual_batch_size

ONE_HOT = replace(MODEL, shared_dim=0)
TABLES = replace(MODEL, shared_dim=0, hierarchical_z=False)
ATTENTION = replace(MODEL, g_channels=8, g_attention=(16,), image_channels=3)
INSTANCE = replace(MODEL, norm="instance")
PLACES = ("cpu", "cuda")


def make_sampler(model: Model = MODEL, **settings: object) -> Sampler:
    bundle = make_bundle(model)
    return Sampler(bundle.G, bundle.statistics, **settings)  # type: ignore[arg-type]


def requests(model: Model, count: int) -> tuple[list[int], list[ClassMix]]:
    classes = ["a", "b", "c"][: model.num_classes]
    mixes = parse_classes("a;b:1,c:2;c" if classes else None, classes)
    return [7 * i for i in range(count)], [mixes[i % len(mixes)] for i in range(count)]


@pytest.mark.parametrize("model", [MODEL, UNCONDITIONAL, ONE_HOT, TABLES, ATTENTION, INSTANCE])
@pytest.mark.parametrize("truncation", [None, 0.7])
def test_bytes_do_not_depend_on_how_images_are_grouped(model: Model, truncation: float | None) -> None:
    sampler = make_sampler(model)
    seeds, mixes = requests(model, 21)
    together = sampler.draw(seeds, mixes, truncation)
    for group in (1, 5, 16):
        parts = [
            sampler.draw(seeds[i : i + group], mixes[i : i + group], truncation) for i in range(0, len(seeds), group)
        ]
        torch.testing.assert_close(torch.cat(parts), together, rtol=0, atol=0)
    order = torch.randperm(len(seeds)).tolist()
    shuffled = sampler.draw([seeds[i] for i in order], [mixes[i] for i in order], truncation)
    torch.testing.assert_close(shuffled, together[order], rtol=0, atol=0)


def test_another_batch_size_changes_at_most_the_last_bit_of_a_byte() -> None:
    seeds, mixes = requests(MODEL, 12)
    by_size = [to_bytes(make_sampler(batch_size=size).draw(seeds, mixes)).int() for size in (16, 1, 5)]
    for other in by_size[1:]:
        assert (other - by_size[0]).abs().max() <= 1
        assert (other != by_size[0]).float().mean() < 1e-3


def test_an_image_is_the_generators_own_at_the_statistics_of_its_truncation() -> None:
    bundle = make_bundle()
    G, y = bundle.G, torch.tensor([0, 1, 2])
    mixes = parse_classes(None, bundle.class_names)
    for truncation, threshold in ((None, None), (0.25, None), (1.0, None), (None, 0.5), (None, 1.3)):
        x = Sampler(G, bundle.statistics).draw([3, 4, 5], mixes, truncation, threshold)
        G.use_statistics(bundle.statistics.row(truncation, threshold))
        with torch.no_grad():
            expected = G(latents.draw([3, 4, 5], G.dim_z, truncation, threshold), G.embed(y))
        torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-5)


def test_drawing_leaves_the_generator_as_it_was_and_pays_no_heed_to_its_mode() -> None:
    bundle = make_bundle()
    seeds, mixes = requests(MODEL, 3)
    sampler = Sampler(bundle.G, bundle.statistics)
    quiet = sampler.draw(seeds, mixes, 0.5)
    bundle.G.train()
    bundle.G.compute_dtype = torch.bfloat16
    before = {name: tensor.clone() for name, tensor in bundle.G.state_dict().items()}
    torch.testing.assert_close(sampler.draw(seeds, mixes, 0.5), quiet, rtol=0, atol=0)
    assert bundle.G.training
    assert bundle.G.compute_dtype is torch.bfloat16
    for name, tensor in bundle.G.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_what_is_drawn_follows_the_weights_however_they_move() -> None:
    bundle, other = make_bundle(), make_bundle(seed=1)
    seeds, mixes = requests(MODEL, 3)
    sampler = Sampler(bundle.G, bundle.statistics)
    optimizer = torch.optim.Adam(bundle.G.parameters(), 0.1)
    drawn = [sampler.draw(seeds, mixes)]

    def step() -> None:
        for parameter in bundle.G.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()

    def average() -> None:
        torch._foreach_lerp_([*bundle.G.state_dict().values()], [*other.G.state_dict().values()], 0.5)

    moves = [
        step,
        average,
        lambda: bundle.G.load_state_dict(other.G.state_dict()),
        lambda: bundle.G.load_state_dict(make_bundle(seed=2).G.state_dict(), assign=True),
        lambda: bundle.G.linear.u0.neg_(),
    ]
    for move in moves:
        with torch.inference_mode(move is not step):
            move()
        drawn.append(sampler.draw(seeds, mixes))
        fresh = Sampler(bundle.G, bundle.statistics).draw(seeds, mixes)
        torch.testing.assert_close(drawn[-1], fresh, rtol=0, atol=0)
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(drawn[:-1]))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_generator_is_made_ready_once_for_all_that_is_drawn_with_it(
    precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Generator] = []

    class Counted(Ready):
        def __init__(self, G: Generator, dtype: torch.dtype | None) -> None:
            made.append(G)
            super().__init__(G, dtype)

    monkeypatch.setattr("biggan.sampling.sampler.Ready", Counted)
    sampler = make_sampler(precision=precision)
    for truncation in (None, 0.5, None):
        for count in (1, 20):
            sampler.draw(*requests(MODEL, count), truncation)
    assert len(made) == 1


def test_a_generator_first_drawn_from_without_a_record_can_be_drawn_from_again() -> None:
    sampler, (seeds, mixes) = make_sampler(), requests(MODEL, 2)
    with torch.inference_mode():
        first = sampler.draw(seeds, mixes)
    again = sampler.draw(seeds, mixes)
    assert not again.is_inference()
    torch.testing.assert_close(again, first, rtol=0, atol=0)


def test_what_is_drawn_is_an_ordinary_tensor_in_range() -> None:
    x = make_sampler(UNCONDITIONAL).draw(*requests(UNCONDITIONAL, 2))
    assert x.shape == (2, 3, 32, 32)
    assert x.dtype == torch.float32
    assert x.abs().max() <= 1
    assert not x.requires_grad
    assert not x.is_inference()


def test_bfloat16_is_another_precision_of_the_same_image() -> None:
    seeds, mixes = requests(MODEL, 4)
    full, half = (make_sampler(precision=p).draw(seeds, mixes) for p in ("float32", "bfloat16"))
    assert not torch.equal(full, half)
    assert (full - half).abs().mean() < 0.05


def test_the_byte_rule_rounds_to_the_nearest_and_clips() -> None:
    levels = torch.arange(256)
    assert torch.equal(to_bytes(levels / 127.5 - 1), levels.to(torch.uint8))
    assert to_bytes(torch.tensor([-2.0, -1.0, 0.9, 1.0, 5.0])).tolist() == [0, 0, 242, 255, 255]


def test_the_usual_batch_shrinks_as_images_grow_and_sooner_on_a_cpu() -> None:
    sizes = {place: [usual_batch_size(r, torch.device(place)) for r in (32, 64, 128, 256, 512)] for place in PLACES}
    assert sizes == {"cpu": [16, 4, 1, 1, 1], "cuda": [16, 16, 16, 4, 1]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"truncation": 0.5, "threshold": 1.0}, "give one of them"),
        ({"truncation": 1.1}, "--truncation is 1.1"),
        ({"truncation": 0.0}, "--truncation is 0"),
        ({"threshold": 0.2}, "statistics from 0.5 to 2"),
        ({"threshold": -1.0}, "--threshold is -1"),
    ],
)
def test_truncations_outside_what_the_model_knows_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_sampler().draw(*requests(MODEL, 1), **given)


def test_seeds_and_settings_outside_their_range_are_refused() -> None:
    [mix] = parse_classes("a", ["a", "b", "c"])
    for seed in (-1, 2**63):
        with pytest.raises(ConfigError, match="seeds are whole numbers"):
            make_sampler().draw([seed], [mix])
    for size in (0, 4097):
        with pytest.raises(ConfigError, match="1 to 4096"):
            make_sampler(batch_size=size)
    with pytest.raises(ConfigError, match="float32 or bfloat16"):
        make_sampler(precision="float16")
