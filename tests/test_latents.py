"""Draws are functions of (seed, stream, index) with the distributions they claim."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from cases import golden
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from biggan import latents
from biggan.errors import ConfigError
from biggan.latents import Stream

FEW = settings(max_examples=30, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**63 - 1)
indices = st.integers(0, 2**40)


def phi(x: Tensor) -> Tensor:
    """Distribution function of N(0, 1)."""
    return torch.special.ndtr(x.double())


def assert_follows(sample: Tensor, cdf: Tensor) -> None:
    """Kolmogorov-Smirnov at the 1 % level; `cdf` is the distribution function at the sorted sample."""
    n = sample.numel()
    steps = torch.arange(n + 1).double() / n
    gap = torch.maximum((steps[1:] - cdf).max(), (cdf - steps[:-1]).max())
    assert gap < 1.63 / math.sqrt(n)


# --- a function of the index ---


@FEW
@given(seeds, indices, st.integers(1, 9), st.integers(0, 9), st.integers(1, 11))
def test_normals_do_not_depend_on_how_a_range_is_split(seed, start, count, cut, dim):
    cut = min(cut, count)
    whole = latents.normal(seed, Stream.Z_G, start, count, dim)
    assert whole.shape == (count, dim)
    assert whole.dtype == torch.float32
    parts = (
        latents.normal(seed, Stream.Z_G, start, cut, dim),
        latents.normal(seed, Stream.Z_G, start + cut, count - cut, dim),
    )
    assert torch.equal(whole, torch.cat(parts))


@FEW
@given(seeds, indices, st.integers(1, 40), st.integers(0, 40))
def test_labels_and_flips_do_not_depend_on_how_a_range_is_split(seed, start, count, cut):
    cut = min(cut, count)
    y = latents.labels(seed, Stream.Y_D, start, count, 7)
    flips = latents.flips(seed, start, count)
    assert y.dtype == torch.int64
    assert flips.dtype == torch.bool
    y_parts = [latents.labels(seed, Stream.Y_D, s, n, 7) for s, n in ((start, cut), (start + cut, count - cut))]
    flip_parts = [latents.flips(seed, s, n) for s, n in ((start, cut), (start + cut, count - cut))]
    assert torch.equal(y, torch.cat(y_parts))
    assert torch.equal(flips, torch.cat(flip_parts))


def test_streams_and_seeds_differ():
    draws = [latents.normal(seed, stream, 0, 50, 4) for seed in (0, 1) for stream in Stream]
    for a, b in combinations(draws, 2):
        assert abs(float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])) < 5 / math.sqrt(200)
    exact = [latents.uniform(seed, stream, 0, 50, 4) for seed in (0, 1) for stream in Stream]
    assert len(torch.stack(exact).unique()) == 200 * len(exact)


def test_neighbouring_images_share_no_numbers():
    z = latents.normal(3, Stream.Z_D, 0, 500, 6)
    assert z.unique().numel() == z.numel()


# --- distributions ---


def test_normals_are_standard_normal_and_uncorrelated():
    z = latents.normal(11, Stream.Z_D, 0, 20_000, 5)
    for column in z.t():
        assert_follows(column, phi(column.sort().values))
    assert (torch.corrcoef(z.t()) - torch.eye(5)).abs().max() < 5 / math.sqrt(20_000)
    flat = z.flatten().double()
    assert abs(float(flat.mean())) < 4 / math.sqrt(1e5)
    assert abs(float(flat.var()) - 1) < 4 * math.sqrt(2 / 1e5)
    assert abs(float((flat**4).mean()) - 3) < 4 * math.sqrt(96 / 1e5)


def test_labels_are_uniform_over_the_classes():
    y = latents.labels(5, Stream.Y_G, 0, 30_000, 10)
    counts = torch.bincount(y, minlength=10).double()
    assert len(counts) == 10
    assert float(((counts - 3000).square() / 3000).sum()) < 21.67  # chi-square with 9 degrees of freedom at 1 %


def test_labels_without_classes_are_zero():
    assert torch.equal(latents.labels(5, Stream.Y_G, 7, 20, 0), torch.zeros(20, dtype=torch.long))
    assert torch.equal(latents.labels(5, Stream.Y_G, 7, 20, 1), torch.zeros(20, dtype=torch.long))


def test_half_of_the_images_are_mirrored():
    flips = latents.flips(2, 0, 40_000).double()
    assert abs(float(flips.mean()) - 0.5) < 4 * 0.5 / math.sqrt(40_000)


# --- orders ---


@FEW
@given(seeds, st.integers(0, 10**6), st.integers(1, 300))
def test_an_order_is_a_permutation(seed, epoch, size):
    order = latents.permutation(seed, epoch, size)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(size))
    assert np.array_equal(order, latents.permutation(seed, epoch, size))


def test_epochs_and_seeds_have_different_orders():
    orders = [tuple(latents.permutation(seed, epoch, 50)) for seed in (0, 1) for epoch in (0, 1, 2)]
    assert len(set(orders)) == 6


def test_one_epoch_s_order_says_nothing_of_the_next():
    places = [torch.from_numpy(latents.permutation(1, epoch, 2000)).argsort().double() for epoch in (0, 1)]
    for lag in range(-3, 4):
        shifted = torch.stack([places[0], places[1].roll(lag)])
        assert abs(float(torch.corrcoef(shifted)[0, 1])) < 5 / math.sqrt(2000)


def test_all_orders_are_equally_likely():
    found = [tuple(latents.permutation(4, epoch, 3)) for epoch in range(6000)]
    counts = [found.count(order) for order in set(found)]
    assert len(counts) == 6
    assert sum((n - 1000) ** 2 / 1000 for n in counts) < 15.09  # chi-square with 5 degrees of freedom at 1 %


# --- latents of pictures ---


@FEW
@given(st.lists(seeds, min_size=1, max_size=6, unique=True), st.integers(1, 20))
def test_a_picture_s_latent_depends_on_its_seed_alone(picture_seeds, dim):
    together = latents.draw(picture_seeds, dim)
    assert together.shape == (len(picture_seeds), dim)
    assert together.dtype == torch.float32
    alone = [latents.draw([seed], dim) for seed in picture_seeds]
    assert torch.equal(together, torch.cat(alone))
    assert len({tuple(row.tolist()) for row in together}) == len(picture_seeds)


def test_no_pictures_have_no_latents():
    assert latents.draw([], 5).shape == (0, 5)


def test_drawn_latents_are_standard_normal():
    z = latents.draw(range(4000), 5)
    assert_follows(z, phi(z.flatten().sort().values))
    assert (torch.corrcoef(z.t()) - torch.eye(5)).abs().max() < 5 / math.sqrt(4000)


@pytest.mark.parametrize("truncation", [0.02, 0.5, 1.0])
def test_truncation_scales_a_normal_truncated_at_two(truncation):
    z = latents.draw(range(4000), 5, truncation=truncation)
    assert z.abs().max() <= 2 * truncation * (1 + 1e-6)
    assert z.abs().max() > 1.95 * truncation
    ordered = z.flatten().sort().values.double() / truncation
    low = phi(torch.tensor(-2.0))
    assert_follows(z, (phi(ordered) - low) / (1 - 2 * low))
    torch.testing.assert_close(z, truncation * latents.draw(range(4000), 5, truncation=1.0), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 1.5, 3.0])
def test_a_threshold_truncates_the_normal_itself(threshold):
    z = latents.draw(range(4000), 5, threshold=threshold)
    assert z.abs().max() <= threshold * (1 + 1e-6)
    low = phi(torch.tensor(-threshold))
    ordered = z.flatten().sort().values.double()
    assert_follows(z, (phi(ordered) - low) / (1 - 2 * low))
    density = math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * threshold * density / float(1 - 2 * low)
    spread = 5 * math.sqrt(2 / 20_000) * variance
    assert abs(float(z.var()) - variance) < spread


def test_truncation_one_is_a_threshold_of_two():
    assert torch.equal(latents.draw([1, 2, 3], 8, truncation=1.0), latents.draw([1, 2, 3], 8, threshold=2.0))


def test_a_high_threshold_changes_nothing():
    free, bounded = latents.draw([1, 2, 3], 8), latents.draw([1, 2, 3], 8, threshold=30.0)
    torch.testing.assert_close(free, bounded, atol=1e-6, rtol=0)


def test_one_seed_keeps_its_signs_and_ranks_at_every_threshold():
    free = latents.draw([9], 64)
    for threshold in (0.2, 1.0, 2.5):
        bounded = latents.draw([9], 64, threshold=threshold)
        assert torch.equal(free.argsort(), bounded.argsort())
        assert torch.equal(free.sign(), bounded.sign())


@pytest.mark.parametrize(
    "values",
    [
        {"truncation": 0.5, "threshold": 0.5},
        {"truncation": 0.0},
        {"truncation": -0.1},
        {"truncation": 1.01},
        {"truncation": math.nan},
        {"truncation": math.inf},
        {"threshold": 0.0},
        {"threshold": -1.0},
        {"threshold": math.nan},
        {"threshold": math.inf},
    ],
    ids=str,
)
def test_truncations_out_of_range_or_both_at_once_are_refused(values):
    with pytest.raises(ConfigError, match="--t"):
        latents.draw([0], 4, **values)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(ConfigError, match="--seeds"):
        latents.draw([0, seed], 4)


def test_the_largest_seed_is_allowed():
    assert latents.draw([2**63 - 1], 128).isfinite().all()


# --- interpolation ---

weights = st.floats(0, 1)


def pair(seed: int, dim: int = 8) -> tuple[Tensor, Tensor]:
    a, b = latents.normal(seed, Stream.Z_D, 0, 2, dim).double()
    return a, b


@FEW
@given(st.integers(0, 1000))
def test_slerp_starts_at_a_and_ends_at_b(seed):
    a, b = pair(seed)
    torch.testing.assert_close(latents.slerp(a, b, 0.0), a, atol=1e-9, rtol=0)
    torch.testing.assert_close(latents.slerp(a, b, 1.0), b, atol=1e-9, rtol=0)


@FEW
@given(st.integers(0, 1000), weights)
def test_slerp_turns_evenly_in_the_plane_of_its_ends(seed, t):
    a, b = pair(seed)
    mixed = latents.slerp(a, b, t)
    length = (1 - t) * a.norm() + t * b.norm()
    torch.testing.assert_close(mixed.norm(), length, atol=1e-9, rtol=0)
    whole = torch.acos((a @ b) / (a.norm() * b.norm()))
    turned = torch.acos(((a @ mixed) / (a.norm() * mixed.norm())).clamp(-1, 1))
    torch.testing.assert_close(turned, t * whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(latents.slerp(b, a, 1 - t), mixed, atol=1e-9, rtol=0)
    assert torch.linalg.matrix_rank(torch.stack([a, b, mixed]), rtol=1e-7) == 2


def test_slerp_between_parallel_latents_is_linear():
    a, _ = pair(0)
    torch.testing.assert_close(latents.slerp(a, a, 0.3), a, atol=1e-9, rtol=0)
    torch.testing.assert_close(latents.slerp(a, 3 * a, 0.25), 1.5 * a, atol=1e-9, rtol=0)


def test_slerp_of_float32_rows_is_slerp_of_each_row():
    a, b = latents.draw([1, 2, 3], 16), latents.draw([4, 5, 6], 16)
    mixed = latents.slerp(a, b, 0.4)
    assert mixed.dtype == torch.float32
    rows = [latents.slerp(p.double(), q.double(), 0.4).float() for p, q in zip(a, b, strict=True)]
    torch.testing.assert_close(mixed, torch.stack(rows), atol=1e-5, rtol=1e-5)


def test_slerp_near_opposite_and_zero_latents_stays_finite_and_short():
    a, _ = pair(0)
    for other in (-a, torch.zeros_like(a)):
        for t in (0.0, 0.25, 0.5, 1.0):
            for x, y in ((a, other), (a.float(), other.float())):
                mixed = latents.slerp(x, y, t)
                assert mixed.isfinite().all()
                assert mixed.norm() <= a.norm() * (1 + 1e-5)


def test_linear_interpolation_of_embeddings_is_the_reference_s():
    units = golden("units/units")
    x0, x1, expected = units["interp/x0"], units["interp/x1"], units["interp/out_3_midpoints"]
    mixed = torch.cat([torch.lerp(x0, x1, t) for t in torch.linspace(0, 1, 5)], 1)
    torch.testing.assert_close(mixed, expected, atol=1e-6, rtol=1e-6)
