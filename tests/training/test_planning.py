"""Traffic, time and disk of a plan, against the same by hand."""

from dataclasses import replace

import pytest

from biggan.presets import preset
from biggan.training.memory import estimate
from biggan.training.planning import GPU_LINKS, Links, at_rate, multiply_adds, plan, traffic

TINY = preset("tiny")
SLOW = Links(per_node=4, inside=1e9, inside_latency=0, between=1e8, between_latency=0)


def test_a_ring_sends_each_byte_almost_twice_over_its_slowest_link():
    assert SLOW.all_reduce(4e9, 1) == 0
    assert SLOW.all_reduce(4e9, 4) == pytest.approx(2 * 3 / 4 * 4)
    assert SLOW.all_reduce(4e9, 8) == pytest.approx(2 * 7 / 8 * 40)


def test_small_messages_go_by_a_tree_whose_hops_grow_with_the_logarithm():
    latencies = [GPU_LINKS.all_reduce(8, devices) for devices in (8, 64, 512)]
    assert latencies[2] - latencies[1] == pytest.approx(latencies[1] - latencies[0], rel=0.01)


def test_gradients_travel_once_a_step_and_moments_with_every_microbatch():
    need = estimate(TINY)
    once, twice = (traffic(TINY, 2, accumulation, SLOW) for accumulation in (1, 2))
    assert once.gradients == twice.gradients == 4 * (2 * need.d_parameters + need.g_parameters)
    assert once.moments == 4 * 7 * 2 * 4 * 8  # two D steps, G forward and back; seven norms of 8 channels
    assert (twice.moments, twice.exchanges) == (2 * once.moments, 2 * once.exchanges)


def test_bfloat16_halves_the_gradients_and_own_moments_do_not_travel():
    narrow = replace(TINY, optim=replace(TINY.optim, gradient_precision="bfloat16"))
    assert 2 * traffic(narrow, 2, 1, SLOW).gradients == traffic(TINY, 2, 1, SLOW).gradients
    own = replace(TINY, model=replace(TINY.model, cross_replica=False))
    assert traffic(own, 2, 1, SLOW).moments == 0


def test_one_device_sends_nothing():
    assert traffic(TINY, 1, 4, SLOW).seconds == 0


def test_accumulation_repeats_the_second_microbatch():
    one, two, three = (multiply_adds(TINY, 2, count, gpu=False) for count in (1, 2, 3))
    assert three - two == two - one > 0


def test_a_plan_at_a_rate_takes_as_long_as_its_images():
    made = at_rate(plan(TINY, 1, 2**40, gpu=False, links=SLOW), images_per_second=100.0)
    assert made.images_per_second == pytest.approx(100)
    assert made.iterations * made.seconds == pytest.approx(TINY.train.total_images / 100)


def test_a_plan_at_operations_a_second_takes_two_for_a_multiply_add():
    made = at_rate(plan(TINY, 1, 2**40, gpu=False, links=SLOW), tflops=1e-6)
    assert made.compute_seconds == pytest.approx(2 * made.multiply_adds / 1e6)
