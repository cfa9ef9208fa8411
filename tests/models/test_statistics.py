"""Standing statistics: the reference's, the oracle's, closed forms of the first layer, and tables."""

import math
from dataclasses import replace

import pytest
import torch
from cases import BIGGAN32, assert_all_close, golden, part
from oracle import Network
from torch import Tensor

from biggan.config import Model
from biggan.errors import ConfigError
from biggan.models.biggan import Generator
from biggan.models.spectral import advance
from biggan.models.statistics import Statistics, Table, batch_moments, standing_row, standing_statistics

TINY = Model(
    resolution=32, num_classes=5, g_channels=2, d_channels=2, g_attention=(), d_attention=(), dim_z=12, shared_dim=3
)


def snapshot(G: Generator) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in G.state_dict().items()}


# --- the reference's ---


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
def test_standing_statistics_over_four_batches_are_the_reference_s(fused):
    state = {name.replace(".bn.", "."): t for name, t in golden("biggan32_mybn/G_init").items()}
    state = {name: t for name, t in state.items() if not name.endswith("accumulation_counter")}
    G = Generator(replace(BIGGAN32, power_iteration="per_step", fused_resampling=fused))
    G.load_state_dict(state)
    data = golden("biggan32_mybn/standing")
    rows = []
    for z, y in zip(data["z_seq"], data["y_seq"], strict=True):
        rows.append(batch_moments(G, z, G.embed(y)))
        advance(G)
    after = {name.replace(".bn.", "."): t for name, t in part(data, "G_buf_after").items()}
    counters = {name for name in after if name.endswith("accumulation_counter")}
    assert all(after.pop(name) == 4 for name in counters)
    row = {name: sum(r[name] for r in rows) / 4 for name in rows[0]}
    mean = {name: after[name] / 4 for name in row}
    assert_all_close(row, mean, atol=1e-5, rtol=1e-5)

    G.use_statistics(row)
    spectral = {name: t for name, t in after.items() if name not in row}
    assert_all_close(G.state_dict(), spectral, atol=1e-5, rtol=1e-5)
    x = G.eval()(data["z"], G.embed(data["y"]))
    torch.testing.assert_close(x, data["G_eval_out_standing"], atol=1e-5, rtol=0)


# --- the oracle's ---


@pytest.mark.parametrize("power_iteration", ["per_step", "per_forward"])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_batch_moments_are_the_oracle_s_and_move_nothing(norm, power_iteration):
    G = Generator(replace(TINY, norm=norm, power_iteration=power_iteration)).double().train()
    z, c = torch.randn(4, 12).double(), G.embed(torch.tensor([0, 4, 2, 2])).detach()
    before, momenta = snapshot(G), [getattr(m, "momentum", None) for m in G.modules()]
    oracle = Network(G.state_dict(), replace(TINY, norm=norm), training=True)
    oracle.generate(z, c)
    row = batch_moments(G, z, c)
    assert row.keys() == oracle.moments.keys()
    assert_all_close(row, oracle.moments, atol=1e-10)
    assert_all_close(G.state_dict(), before, atol=0)
    assert momenta == [getattr(m, "momentum", None) for m in G.modules()]
    assert all(module.training for module in G.modules())


def test_a_row_is_the_mean_of_its_batches():
    """With z = 0 and no classes every batch has the same moments, so their number does not matter."""
    G = Generator(replace(TINY, num_classes=0)).double()
    G.linear.bias.data.normal_()
    one = batch_moments(G, torch.zeros(1, 12).double(), G.embed(torch.zeros(1, dtype=torch.long)))
    row = standing_row(G, truncation=0.0, num_latents=192)
    assert_all_close(row, one, atol=1e-12)
    pixels = G.linear.bias.detach().view(8, 16)
    torch.testing.assert_close(row["blocks.0.0.bn1.stored_mean"], pixels.mean(1), atol=1e-12, rtol=0)
    torch.testing.assert_close(row["blocks.0.0.bn1.stored_var"], pixels.var(1, correction=0), atol=1e-12, rtol=0)


def truncated_variance(bound: float) -> float:
    """Variance of N(0, 1) truncated to [-bound, bound]."""
    density = math.exp(-(bound**2) / 2) / math.sqrt(2 * math.pi)
    return 1 - 2 * bound * density / math.erf(bound / math.sqrt(2))


@pytest.mark.parametrize(
    ("kind", "variance"),
    [
        ({}, 1.0),
        ({"truncation": 1.0}, truncated_variance(2.0)),
        ({"truncation": 0.3}, 0.09 * truncated_variance(2.0)),
        ({"threshold": 0.5}, truncated_variance(0.5)),
    ],
    ids=str,
)
def test_the_first_layer_s_moments_are_those_of_its_latents(kind, variance):
    """The first map is linear in z: per pixel mean b and variance |w|^2 Var(z)."""
    G = Generator(TINY).double()
    G.linear.bias.data.normal_()
    weight = G.linear.normalised_weight().detach().view(8, 16, -1)
    bias = G.linear.bias.detach().view(8, 16)
    expected = bias.var(1, correction=0) + variance * weight.square().sum(2).mean(1)
    row = standing_row(G, **kind)
    torch.testing.assert_close(row["blocks.0.0.bn1.stored_mean"], bias.mean(1), atol=0.02, rtol=0)
    torch.testing.assert_close(row["blocks.0.0.bn1.stored_var"], expected, atol=0.02 * variance, rtol=0.02)


def test_a_row_is_the_same_each_time_and_leaves_the_generator_as_it_was():
    G = Generator(TINY).eval()
    before = snapshot(G)
    first = standing_row(G, num_latents=128)
    torch.rand(5)
    assert_all_close(standing_row(G, num_latents=128), first, atol=0)
    assert not torch.equal(
        standing_row(G, num_latents=64)["blocks.1.0.bn1.stored_mean"], first["blocks.1.0.bn1.stored_mean"]
    )
    assert_all_close(G.state_dict(), before, atol=0)
    assert not any(module.training for module in G.modules())


def test_classes_are_uniform_in_a_row():
    """The classes' part of a conditional layer: with a table of one-hot rows the moments show the shares."""
    G = Generator(replace(TINY, shared_dim=0, hierarchical_z=False)).double()
    seen = []
    hook = G.blocks[0][0].bn1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    standing_row(G)
    hook.remove()
    shares = torch.cat(seen).mean(0)
    assert torch.cat(seen).shape == (16 * 64, 5)
    assert (shares - 0.2).abs().max() < 4 * math.sqrt(0.16 / 1024)


# --- tables ---


def table() -> Table:
    return Table(torch.tensor([0.0, 0.5, 1.0]), {"a.stored_mean": torch.tensor([[0.0], [1.0], [5.0]])})


@pytest.mark.parametrize(("place", "value"), [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.75, 3.0), (0.9, 4.2), (1.0, 5.0)])
def test_a_table_is_linear_between_its_rows(place, value):
    row = table().at(place, "--truncation")
    torch.testing.assert_close(row["a.stored_mean"], torch.tensor([value]))


@pytest.mark.parametrize("num_latents", [1, 64, 100, 130])
def test_any_number_of_latents_gives_a_mean_over_whole_batches(num_latents):
    G = Generator(TINY).eval()
    whole = -(-num_latents // 64) * 64
    row, rounded = (standing_row(G, num_latents=n) for n in (num_latents, whole))
    assert_all_close(row, rounded, atol=0)


def even_table(rows: int = 51) -> Table:
    """A table whose row i holds i."""
    return Table(torch.linspace(0, 1, rows), {"a.stored_mean": torch.arange(float(rows))[:, None]})


def test_a_place_near_a_row_is_that_very_row():
    for row in range(51):
        assert float(even_table().at(round(0.02 * row, 2), "--truncation")["a.stored_mean"]) == row


PUBLISHED_MISTAKES = {0.14: 8, 0.28: 15, 0.56: 29, 0.58: 28, 0.94: 46}


def test_the_reversed_rule_swaps_the_neighbours_weights_and_misses_five_rows():
    table = even_table()
    for row in range(51):
        place = round(0.02 * row, 2)
        found = float(table.at(place, "--truncation", "reversed")["a.stored_mean"])
        assert found == pytest.approx(PUBLISHED_MISTAKES.get(place, row), abs=1e-5)
    assert float(table.at(0.435, "--truncation", "reversed")["a.stored_mean"]) == pytest.approx(21.25, abs=1e-5)
    assert float(table.at(0.435, "--truncation")["a.stored_mean"]) == pytest.approx(21.75, abs=1e-5)


def test_the_reversed_rule_needs_even_steps():
    with pytest.raises(ConfigError, match="even steps from 0 to 1"):
        Table(torch.tensor([0.0, 0.4, 1.0]), {}).at(0.2, "--truncation", "reversed")


@pytest.mark.parametrize("place", [-0.01, 1.01, math.nan])
def test_a_table_refuses_what_lies_outside(place):
    with pytest.raises(ConfigError, match="--threshold"):
        table().at(place, "--threshold")


def test_statistics_choose_the_table_by_kind():
    one = Table(torch.tensor([0.0]), {"a.stored_mean": torch.tensor([[7.0]])})
    statistics = Statistics({"none": one, "truncation": table()})
    assert statistics.row()["a.stored_mean"] == 7
    assert statistics.row(truncation=0.75)["a.stored_mean"] == 3
    assert statistics.has()
    assert statistics.has(truncation=0.5)
    assert not statistics.has(threshold=0.5)
    for wrong in ({"threshold": 0.5}, {"truncation": 0.5, "threshold": 0.5}, {"truncation": 1.5}):
        with pytest.raises(ConfigError):
            statistics.row(**wrong)


def test_statistics_survive_being_tensors():
    statistics = Statistics({"none": table(), "threshold": table()})
    again = Statistics.from_tensors(statistics.to_tensors())
    assert again.tables.keys() == statistics.tables.keys()
    assert_all_close(again.to_tensors(), statistics.to_tensors(), atol=0)


def test_full_tables_hold_every_truncation_and_threshold():
    G = Generator(replace(TINY, g_widths=(2, 1, 1, 1)))
    statistics = standing_statistics(G, full=True)
    assert_all_close(statistics.row(), standing_row(G), atol=1e-6)
    torch.testing.assert_close(statistics.tables["truncation"].grid, torch.arange(51) / 50)
    for kind in ({"truncation": 0.5}, {"truncation": 1.0}, {"threshold": 0.5}, {"threshold": 2.0}):
        assert_all_close(statistics.row(**kind), standing_row(G, **kind, num_latents=256), atol=1e-6)
    middle = [standing_row(G, truncation=t, num_latents=256) for t in (0.5, 0.52)]
    halfway = {name: (middle[0][name] + middle[1][name]) / 2 for name in middle[0]}
    assert_all_close(statistics.row(truncation=0.51), halfway, atol=1e-6)
    assert standing_statistics(G, full=False).tables.keys() == {"none"}
