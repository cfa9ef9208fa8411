"""What a run needs, and the largest microbatch that fits."""

from dataclasses import replace

import pytest
import torch

from biggan.config import PLAIN, Config
from biggan.errors import ConfigError, OutOfMemory
from biggan.models.build import build
from biggan.presets import preset
from biggan.training.little import POLICY
from biggan.training.memory import at_most, estimate, fitted, fitting_microbatch

TINY = preset("tiny")


def with_batch(size: int, microbatch: int | None = None) -> Config:
    return replace(TINY, train=replace(TINY.train, batch_size=size, microbatch=microbatch))


def test_the_state_is_networks_average_and_two_moments():
    need = estimate(TINY)
    parameters = need.g_parameters + need.d_parameters
    assert 4 * (3 * parameters + need.g_parameters) < need.state < 4.2 * (3 * parameters + need.g_parameters)


def test_more_images_at_once_need_more():
    needs = [estimate(with_batch(64, microbatch)).memory for microbatch in (4, 8, 16, 32, 64)]
    assert needs == sorted(set(needs))


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_microbatch_that_fits_is_the_largest_divisor_of_a_share(ranks):
    for wanted in (3, 6, 12):
        memory = estimate(with_batch(48, wanted), ranks).memory
        assert fitting_microbatch(with_batch(48), memory, ranks) == wanted
        assert fitting_microbatch(with_batch(48), memory - 1, ranks) < wanted


def test_a_whole_share_goes_at_once_where_it_fits():
    assert fitting_microbatch(with_batch(48), 2**40, 2) == 24


def test_what_does_not_fit_at_all_is_one_sentence():
    with pytest.raises(OutOfMemory, match=r"With one image at a time this run needs about .* GiB; lower"):
        fitting_microbatch(TINY, 2**20, 1)


def test_every_further_average_is_a_network_more():
    more = replace(TINY, optim=replace(TINY.optim, ema_more=(0.9, 0.99)))
    one, three = estimate(TINY), estimate(more)
    numbers = sum(tensor.numel() for tensor in build(TINY.model)[0].state_dict().values())
    assert three.state - one.state == 2 * 4 * numbers
    assert three.step == one.step


@pytest.mark.parametrize("augment", [PLAIN, replace(PLAIN, augment=POLICY, consistency=10.0)], ids=["plain", "again"])
@pytest.mark.parametrize("name", ["cpu-small", "cpu-deep"])
def test_the_quick_bound_is_above_what_a_run_needs(name, augment):
    config = replace(preset(name), augment=augment)
    for share in (1, 64):
        whole = replace(config, train=replace(config.train, batch_size=share, microbatch=None))
        assert estimate(whole).memory < at_most(whole)


@pytest.mark.parametrize("name", ["cpu-small", "cpu-deep"])
def test_the_quick_bound_rises_with_consistency_by_more_than_the_need(name):
    plain = replace(preset(name), augment=PLAIN)
    again = replace(plain, augment=replace(PLAIN, consistency=10.0))
    assert at_most(again) - at_most(plain) > max(0, estimate(again).memory - estimate(plain).memory)


def test_a_small_run_begins_without_being_walked_through(monkeypatch):
    monkeypatch.setattr("biggan.training.memory.estimate", lambda *_, **__: pytest.fail("walked"))
    config = preset("cpu-small")
    assert fitted(config, torch.device("cpu")) == config


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ConfigError, match="--batch-size is 48; allowed is a multiple of the number of processes, 5"):
        fitting_microbatch(with_batch(48), 2**40, 5)
    with pytest.raises(ConfigError, match=r"--microbatch is 48; allowed is a divisor of a process's share .*, 24"):
        estimate(with_batch(48, 48), 2)


def test_consistency_needs_room_for_a_second_look():
    twice = replace(TINY, augment=replace(TINY.augment, consistency=10.0))
    assert estimate(twice).step > estimate(TINY).step
    memory = estimate(with_batch(48, 12)).memory
    assert fitting_microbatch(replace(with_batch(48), augment=twice.augment), memory) < 12
