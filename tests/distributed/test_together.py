"""Several processes train one model: what one process would, to rounding."""

from pathlib import Path

import pytest
import torch
from cases import assert_all_close, golden
from ranks import run_ranks
from safetensors.torch import load_file
from together import CASES, go_on, trained
from torch import Tensor

from biggan.errors import DiskFailed
from biggan.training.state import load_latest

Found = dict[str, Tensor]


def part(found: Found, name: str) -> Found:
    """The tensors of one case but the pictures, of which each process drew its own."""
    return {k.partition("/")[2]: t for k, t in found.items() if k.startswith(f"{name}/") and "pictures" not in k}


@pytest.fixture(scope="module", params=[2, 4])
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    """What two and four processes find, each."""
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(request.param, "together", "train_together", folder)
    return [load_file(folder / f"{rank}.safetensors") for rank in range(request.param)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Found]:
    """What one process finds."""
    return {name: trained(config) for name, config in CASES.items()}


def test_every_process_ends_with_the_same_bytes(together):
    for other in together[1:]:
        assert all(torch.equal(tensor, other[name]) for name, tensor in together[0].items())


@pytest.mark.parametrize("case", ["one batch", "two microbatches", "little data"])
def test_processes_leave_the_parameters_buffers_and_average_of_one(together, alone, case):
    one = {name: tensor for name, tensor in alone[case].items() if name != "pictures"}
    assert_all_close(part(together[0], case), one, atol=1e-9)


def test_what_adapts_moves_by_what_all_processes_see(together, alone):
    found = alone["little data"]
    assert float(found["adaptive.level"]) == pytest.approx(0.3 + 6 / 20)
    assert found["adaptive.anchors"].all()
    shared = part(together[0], "little data")
    assert all(torch.equal(shared[name], found[name]) for name in found if name.startswith("adaptive."))


def test_moments_apart_are_microbatches(together, alone):
    """Each of two processes with moments of its own counts as one of two microbatches."""
    if len(together) == 2:
        one = {name: tensor for name, tensor in alone["two microbatches"].items() if name != "pictures"}
        assert_all_close(part(together[0], "moments apart"), one, atol=1e-9)


def test_groups_of_two_among_four_are_two_microbatches(together, alone):
    if len(together) == 4:
        one = {name: tensor for name, tensor in alone["two microbatches"].items() if name != "pictures"}
        assert_all_close(part(together[0], "groups of two"), one, atol=1e-9)


def test_the_pictures_are_those_of_one_process(together, alone):
    first = alone["one batch"]["pictures"]
    torch.testing.assert_close(together[0]["one batch/pictures"][:1], first, atol=1e-9, rtol=0)


def test_the_golden_iterations_hold_in_two_processes(tmp_path: Path):
    run_ranks(2, "together", "replay_the_reference", tmp_path)
    for name in ("biggan32", "sagan32"):
        for rank in (0, 1):
            for network in ("G", "D"):
                after = golden(f"{name}/{network}_after_it0_f64run")
                assert_all_close(load_file(tmp_path / f"{name}.{network}.{rank}.safetensors"), after, atol=1e-6)
            gradients = load_file(tmp_path / f"{name}.gradients.{rank}.safetensors")
            assert_all_close(gradients, golden(f"{name}/grads_it0_f64run"), atol=1e-6)


def test_a_run_resumed_by_one_two_four_and_one_processes_is_the_run_of_one(tmp_path: Path):
    for name in ("alone", "resumed"):
        (tmp_path / name).mkdir()
    go_on(tmp_path / "alone", iterations=10)
    go_on(tmp_path / "resumed")
    run_ranks(2, "together", "go_on", tmp_path / "resumed")
    run_ranks(4, "together", "go_on", tmp_path / "resumed")
    go_on(tmp_path / "resumed", iterations=1)
    alone, resumed = (load_latest(tmp_path / name, print) for name in ("alone", "resumed"))
    assert alone.images == resumed.images == 10 * 2 * CASES["one batch"].train.batch_size
    for name in ("G", "D", "G_ema"):
        assert_all_close(resumed.tensors[name], alone.tensors[name], atol=1e-6)
    shown = [(tmp_path / "resumed" / f"images.{rank}").read_text().split() for rank in range(4)]
    assert sorted(int(image) for images in shown for image in images) == list(range(alone.images))


def test_an_error_of_the_process_that_works_for_all_ends_all_and_is_told_once(tmp_path: Path):
    run_ranks(2, "together", "fail_together", tmp_path)
    told = [(tmp_path / str(rank)).read_text() for rank in (0, 1)]
    assert told == ["the disk is full", f"exit {DiskFailed.exit_code}"]
