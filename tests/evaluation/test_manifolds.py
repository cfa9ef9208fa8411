"""Nearest neighbours: brute force, torch-fidelity and prdc agree; copies are found, and only copies."""

import math
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from prdc import compute_prdc
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch_fidelity.metric_prc import prc_features_to_metric

from biggan.errors import ConfigError, DataError
from biggan.evaluation import distances, manifolds
from biggan.evaluation.distances import kernel_distance
from biggan.evaluation.manifolds import Manifolds, authenticity, copies, nearest_neighbours
from biggan.evaluation.scores import sampling_error


def features(count: int, dims: int = 8, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(count, dims, dtype=torch.float64)


@pytest.mark.parametrize(("n", "m"), [(300, 300), (200, 350)])
@pytest.mark.parametrize("k", [3, 5])
def test_precision_and_recall_are_torch_fidelity_s(n: int, m: int, k: int) -> None:
    real, fake = features(n), features(m, scale=0.8) + 0.2
    options = {"prc_neighborhood": k, "prc_batch_size": 10_000, "save_cpu_ram": False, "verbose": False}
    expected = prc_features_to_metric(fake, real, **options)
    found = manifolds.manifolds(real, fake, k_precision=k)
    assert found[:2] == pytest.approx((expected["precision"], expected["recall"]), abs=1e-6)  # theirs is float32


@pytest.mark.parametrize(("n", "m"), [(300, 300), (200, 350)])
@pytest.mark.parametrize("k", [1, 5])
def test_all_four_are_prdc_s(n: int, m: int, k: int) -> None:
    real, fake = features(n), features(m, scale=0.8) + 0.2
    expected = compute_prdc(real.numpy(), fake.numpy(), k)
    assert manifolds.manifolds(real, fake, k, k)._asdict() == pytest.approx(expected, abs=1e-12)


def test_they_are_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = features(70), features(101)
    expected = manifolds.manifolds(real, fake), nearest_neighbours(fake, real, 40)
    monkeypatch.setattr(manifolds, "SIDE", 32)
    found = manifolds.manifolds(real, fake), nearest_neighbours(fake, real, 40)
    assert found[0] == expected[0]
    assert torch.equal(found[1].indices, expected[1].indices)
    torch.testing.assert_close(found[1].distances, expected[1].distances)


def test_a_set_covers_itself() -> None:
    x = torch.randperm(10_000)[:300].view(100, 3).double()  # whole numbers: equal distances are equal exactly
    assert manifolds.manifolds(x, x) == Manifolds(1, 1, 1, 1)


def test_sets_far_apart_do_not_cover_each_other() -> None:
    assert manifolds.manifolds(features(60), features(60) + 100) == Manifolds(0, 0, 0, 0)


def test_a_generator_without_variety_is_precise_and_recalls_little() -> None:
    found = manifolds.manifolds(features(400), features(400, scale=0.3))
    assert found.precision > 0.99
    assert found.recall < 0.1
    assert found.density > 2


def test_a_generator_that_draws_too_widely_recalls_all_and_is_not_precise() -> None:
    found = manifolds.manifolds(features(400), features(400, scale=2))
    assert found.recall > 0.9
    assert found.precision < 0.3
    assert found.density < 0.3


def test_images_at_exactly_the_reach_count_for_precision_and_recall_and_not_for_density_and_coverage() -> None:
    real, fake = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]])
    assert manifolds.manifolds(real, fake, 1, 1) == Manifolds(precision=0.5, recall=0.5, density=0, coverage=0)


def test_the_error_of_the_four_is_their_spread() -> None:
    pairs = [(features(150), features(150, scale=0.9)) for _ in range(40)]
    spread = torch.tensor([manifolds.manifolds(*pair) for pair in pairs], dtype=torch.float64).std(0)
    told = torch.stack([sampling_error(manifolds.manifolds, *pair) for pair in pairs[:10]]).mean(0)
    torch.testing.assert_close(told, spread, rtol=0.3, atol=0)


class PeakMemory(TorchDispatchMode):
    """Counts the elements of all tensors that operations have made and that still live; views count as copies."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {id(leaf) for leaf in tree_leaves((args, kwargs))}
        for made in tree_leaves(result):
            if isinstance(made, Tensor) and id(made) not in given:
                self.live += made.numel()
                weakref.finalize(made, self._gone, made.numel())
        self.peak = max(self.peak, self.live)
        return result

    def _gone(self, elements: int) -> None:
        self.live -= elements


@pytest.mark.parametrize("metric", [manifolds.manifolds, nearest_neighbours, authenticity, kernel_distance])
def test_memory_is_that_of_blocks_and_not_of_all_pairs(
    metric: Callable[[Tensor, Tensor], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    side, count = 64, 640
    monkeypatch.setattr(manifolds, "SIDE", side)
    monkeypatch.setattr(distances, "ROWS", side)
    x, y = features(count, 2), features(count, 2)
    with PeakMemory() as memory:
        metric(x, y)
    assert side**2 < memory.peak < 6 * side**2 + 40 * count
    assert memory.peak < count**2 / 8


def test_nearest_neighbours_are_those_of_brute_force() -> None:
    x, among = features(50), features(80)
    apart = (x[:, None] - among).norm(dim=2)
    distances, indices = apart.sort(dim=1)
    found = nearest_neighbours(x, among, 80)
    torch.testing.assert_close(found.distances, distances)
    assert torch.equal(found.indices, indices)
    assert torch.equal(nearest_neighbours(x, among).indices, indices[:, :1])


def test_a_copy_is_its_original_s_nearest_neighbour_at_no_distance() -> None:
    train = features(100).float()
    found = nearest_neighbours(train[20:30], train, 2)
    assert found.indices[:, 0].tolist() == list(range(20, 30))
    assert (found.distances[:, 0] == 0).all()
    assert (found.distances[:, 1] > 0).all()


def test_neighbours_nearer_than_rounding_can_tell_are_still_in_order() -> None:
    x, far = features(2, 64).split(1)
    steps = torch.randperm(20)
    found = nearest_neighbours(x, torch.cat([far, x + 1e-9 * steps[:, None]]), 20)
    assert torch.equal(steps[found.indices[0] - 1], torch.arange(20))


def test_where_the_features_lie_does_not_matter() -> None:
    real, fake = features(200), features(200)
    assert manifolds.manifolds(real + 1e6, fake + 1e6) == manifolds.manifolds(real, fake)


def test_copies_are_not_authentic_and_new_images_are_as_often_as_not() -> None:
    train = features(600)
    assert authenticity(train, train[:100] + features(100, scale=1e-3)) == 0
    assert 0.4 < authenticity(train, features(600)) < 0.7
    assert authenticity(train, features(100) + 100) == 1


@pytest.mark.parametrize(("count", "held"), [(400, 400), (1000, 150), (150, 1000), (310, 300)])
def test_copies_are_counted_and_new_images_are_not(count: int, held: int) -> None:
    train, held_out = features(count, 16), features(held, 16)
    originals = train[torch.randint(count, (120,))] + features(120, 16, scale=0.05)
    drawn = torch.cat([originals, features(480, 16)])
    error = sampling_error(copies, train, held_out, drawn).item()
    assert copies(train, held_out, drawn) == pytest.approx(0.2, abs=3 * error)
    assert error < 0.04


@pytest.mark.parametrize(("count", "held"), [(600, 60), (60, 600), (100, 100)])
def test_that_one_set_is_larger_makes_no_copies(count: int, held: int) -> None:
    found = [copies(features(count, 2), features(held, 2), features(100, 2)) for _ in range(30)]
    std, mean = torch.std_mean(torch.tensor(found))
    assert abs(mean) < 2.5 * std / 30**0.5


def test_no_training_image_is_overlooked() -> None:
    train = features(500, 32)
    assert copies(train, features(70, 32), train) == 1


def test_averages_are_not_authentic_and_yet_no_copies() -> None:
    train = features(500, 64)
    averages = features(200, 64, scale=0.1)
    assert authenticity(train, averages) < 0.1
    assert abs(copies(train, features(500, 64), averages)) < 0.01


def test_held_out_images_that_are_drawn_show_as_fewer_than_none() -> None:
    held_out = features(300)
    assert copies(features(300), held_out, held_out[:100]) < -0.95


@pytest.mark.parametrize(
    ("k_precision", "k_density", "name"), [(0, 5, "precision"), (30, 5, "precision"), (3, 40, "d")]
)
def test_neighbours_that_are_not_there_are_refused(k_precision: int, k_density: int, name: str) -> None:
    with pytest.raises(
        ConfigError, match=f"k_{name}.* is {max(k_precision, k_density) if name == 'd' else k_precision};"
    ):
        manifolds.manifolds(features(40), features(30), k_precision, k_density)


def test_settings_and_features_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="k is 6; with so many images it must be 1 to 5"):
        nearest_neighbours(features(3), features(5), 6)
    for within in (0, 1, math.nan):
        with pytest.raises(ConfigError, match="over 0 and under 1"):
            copies(features(5), features(5), features(5), within)
    with pytest.raises(DataError, match="same feature network"):
        copies(features(5), features(5, 3), features(5))
    with pytest.raises(DataError, match="at least 2"):
        authenticity(features(1), features(5))
