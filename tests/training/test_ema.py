"""The averaged generator: closed forms of its decay and of a constant sequence."""

import pytest
import torch
from cases import assert_all_close

from biggan.models.biggan import Generator
from biggan.presets import preset
from biggan.training.ema import averaged_copy, ema_decay, update_average

TINY = preset("tiny").model


@pytest.fixture
def G() -> Generator:
    return Generator(TINY)


def moved(G: Generator) -> dict[str, torch.Tensor]:
    """G's state after every entry has changed."""
    with torch.no_grad():
        for tensor in G.state_dict().values():
            tensor.add_(torch.randn_like(tensor))
    return {name: tensor.clone() for name, tensor in G.state_dict().items()}


def test_the_average_starts_as_a_copy_of_its_own(G):
    average = averaged_copy(G)
    start = {name: tensor.clone() for name, tensor in G.state_dict().items()}
    assert_all_close(average.state_dict(), start, atol=0)
    moved(G)
    assert_all_close(average.state_dict(), start, atol=0)
    assert not average.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert all(parameter.requires_grad for parameter in G.parameters())


def test_decay_zero_is_a_copy_and_decay_one_changes_nothing(G):
    average = averaged_copy(G)
    start = {name: tensor.clone() for name, tensor in G.state_dict().items()}
    now = moved(G)
    update_average(average, G, 1.0)
    assert_all_close(average.state_dict(), start, atol=0)
    update_average(average, G, 0.0)
    assert_all_close(average.state_dict(), now, atol=0)
    assert_all_close(G.state_dict(), now, atol=0)


def test_every_entry_buffers_included_moves_by_the_same_share(G):
    G.double()
    average = averaged_copy(G)
    start = {name: tensor.clone() for name, tensor in G.state_dict().items()}
    now = moved(G)
    for n in range(1, 4):
        update_average(average, G, 0.7)
        expected = {name: 0.7**n * start[name] + (1 - 0.7**n) * now[name] for name in now}
        assert_all_close(average.state_dict(), expected, atol=1e-12)


def test_update_keeps_no_graph(G):
    average = averaged_copy(G)
    update_average(average, G, 0.5)
    assert not any(tensor.requires_grad for tensor in average.state_dict(keep_vars=True).values())


def test_before_its_start_the_average_is_a_copy():
    assert [ema_decay(i, 0.9, 3, False) for i in range(5)] == [0, 0, 0, 0.9, 0.9]
    assert ema_decay(0, 0.9, 0, False) == 0.9


@pytest.mark.parametrize("start", [0, 7])
def test_warm_up_is_the_smaller_of_the_decay_and_its_closed_form(start):
    for t in range(0, 3000, 13):
        assert ema_decay(start + t, 0.99, start, True) == min(0.99, (1 + t) / (5 + t))
    assert ema_decay(start, 0.99, start, True) == 0.2
    assert ema_decay(start + 10**9, 0.99, start, True) == 0.99
    assert [ema_decay(i, 0.99, 2, True) for i in (0, 1)] == [0, 0]
