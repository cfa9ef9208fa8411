"""States, the run's lock and polite stops: a resumed run has what the interrupted one had, or says what is wrong."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from biggan import atomic
from biggan.errors import Diverged, ModelError, RunInUse
from biggan.presets import preset
from biggan.training.interrupt import StopRequest
from biggan.training.loop import Training, iterate
from biggan.training.runlock import RunLock
from biggan.training.state import (
    list_states,
    load_latest,
    load_state,
    prune,
    save_state,
)
from biggan.training.trial import Noise

Groups = dict[str, dict[str, Tensor]]


def tensors(value: float) -> Groups:
    """Two small groups filled with `value`, one of a transposed (not contiguous) layout."""
    return {"G": {"a.weight": torch.full((3, 4), value).t(), "a.u0": torch.ones(1)}, "optim_g": {}}


def save(run: Path, images: int) -> Path:
    return save_state(run, images, tensors(images), {"seconds": images / 10})


def never(text: str) -> None:
    pytest.fail(f"said {text!r}")


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = save(tmp_path, 64)
    state = load_latest(tmp_path, never)
    assert state is not None
    assert folder == tmp_path / "states" / "000000000064"
    assert (state.images, state.record) == (64, {"seconds": 6.4})
    assert state.tensors.keys() == tensors(64).keys()
    assert state.tensors["optim_g"] == {}
    assert torch.equal(state.tensors["G"]["a.weight"], torch.full((4, 3), 64.0))


def test_a_run_without_states_has_none(tmp_path: Path) -> None:
    assert load_latest(tmp_path, never) is None
    assert load_latest(tmp_path / "missing", never) is None


def test_the_newest_state_is_used_and_the_newest_are_kept(tmp_path: Path) -> None:
    for images in (1000, 99, 100, 5):
        save(tmp_path, images)
    prune(tmp_path, 1000, 2)
    assert [folder.name for folder in list_states(tmp_path)] == ["000000000100", "000000001000"]
    state = load_latest(tmp_path, never)
    assert state is not None
    assert state.images == 1000


def test_a_state_to_go_back_to_is_kept_and_later_ones_are_not(tmp_path: Path) -> None:
    for images in (1, 2, 3, 4, 5, 6):
        save(tmp_path, images)
    prune(tmp_path, images=5, keep=2, healthy=2)
    assert [int(folder.name) for folder in list_states(tmp_path)] == [2, 4, 5]
    state = load_latest(tmp_path, never, most=3)
    assert state is not None
    assert state.images == 2
    assert load_latest(tmp_path, never, most=1) is None


def test_where_no_state_is_old_enough_to_go_back_to_the_oldest_is_kept(tmp_path: Path) -> None:
    for images in (2, 3, 4, 5):
        save(tmp_path, images)
    prune(tmp_path, images=5, keep=2, healthy=1)
    assert [int(folder.name) for folder in list_states(tmp_path)] == [2, 4, 5]


def test_saving_again_replaces(tmp_path: Path) -> None:
    save(tmp_path, 7)
    folder = save_state(tmp_path, 7, tensors(-1), {})
    assert load_state(folder).tensors["G"]["a.weight"][0, 0] == -1
    assert os.listdir(tmp_path / "states") == [folder.name]


def test_nan_never_reaches_the_disk(tmp_path: Path) -> None:
    for bad in (float("nan"), float("inf")):
        with pytest.raises(Diverged, match=r"^G holds NaN or Inf in a\.weight; .*untouched"):
            save_state(tmp_path, 8, tensors(bad), {})
    assert not (tmp_path / "states").exists()


def test_a_damaged_state_is_said_and_the_previous_one_used(tmp_path: Path) -> None:
    save(tmp_path, 1)
    bad = save(tmp_path, 2) / "G.safetensors"
    bad.write_bytes(bad.read_bytes()[:-1])
    said: list[str] = []
    state = load_latest(tmp_path, said.append)
    assert state is not None
    assert state.images == 1
    what = "'G.safetensors' is not as it was written"
    assert said == [f"State 000000000002 is damaged ({what}); going on from 000000000001."]
    assert load_latest(tmp_path, never) is not None  # said once
    assert (tmp_path / "states" / "000000000002.damaged").is_dir()  # nothing is lost before the next good save
    save(tmp_path, 3)
    prune(tmp_path, 3, 2)
    assert sorted(os.listdir(tmp_path / "states")) == ["000000000001", "000000000003"]


def test_when_every_state_is_damaged_the_run_stops_and_loses_nothing(tmp_path: Path) -> None:
    for images in (1, 2):
        (save(tmp_path, images) / "manifest.json").write_text("{")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelError, match=r"No state in .* is undamaged"):
        load_latest(tmp_path, never)
    assert sorted(tmp_path.rglob("*")) == before


def test_each_cut_and_flipped_bit_is_found(tmp_path: Path) -> None:
    """The small form of `proofs/damage.py`."""
    draw = random.Random(0)
    save(tmp_path, 1)
    good = save(tmp_path, 2)
    files = sorted(good.iterdir())
    assert {file.name for file in files} == {"G.safetensors", "optim_g.safetensors", "state.json", "manifest.json"}
    for trial in range(60):
        file = files[trial % len(files)]
        content = file.read_bytes()
        place = draw.randrange(len(content))
        flipped = bytes([content[place] ^ 1 << draw.randrange(8)])
        file.write_bytes(content[:place] if draw.random() < 0.3 else content[:place] + flipped + content[place + 1 :])
        said: list[str] = []
        state = load_latest(tmp_path, said.append)
        assert state is not None
        assert (state.images, len(said)) == (1, 1), (file.name, place)
        good.with_name(good.name + ".damaged").rename(good)
        file.write_bytes(content)
    assert load_state(good).images == 2


def test_leftovers_of_killed_saves_are_cleared_and_replaced_folders_put_back(tmp_path: Path) -> None:
    states = save(tmp_path, 1).parent
    (states / "000000000001").rename(states / ".000000000001.99.old")  # killed between the two renames
    (states / ".000000000002.99.tmp").mkdir()
    (states / ".000000000002.99.tmp" / "G.safetensors").write_bytes(b"half")
    (tmp_path / ".config.json.99.tmp").write_bytes(b"half")
    state = load_latest(tmp_path, never)
    assert state is not None
    assert state.images == 1
    assert os.listdir(states) == ["000000000001"]
    assert os.listdir(tmp_path) == ["states"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("state.json", '{"format": 2, "images": 1, "record": {}}'),
        ("state.json", '{"format": 1, "images": 5, "record": {}}'),
        ("state.json", '{"format": 1, "images": 1}'),
        ("state.json", "[]"),
        ("G.safetensors", "not tensors"),
    ],
)
def test_a_state_that_is_no_state_is_refused_even_with_right_sums(tmp_path: Path, name: str, content: str) -> None:
    good = save(tmp_path, 1)
    with atomic.new_folder(good) as folder:
        for file in good.glob("*s*"):
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / name).write_text(content)
    with pytest.raises(ModelError, match="000000000001"):
        load_state(good)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_run_put_back_iterates_as_if_it_had_not_stopped(tmp_path: Path, dtype: torch.dtype | None) -> None:
    config = preset("tiny")
    run, resumed = (Training(config, torch.device("cpu"), dtype) for _ in range(2))
    data, networks, optimizers = Noise(config), ("G", "D", "G_ema"), ("optim_g", "optim_d")

    def everything(run: Training) -> Groups:
        held = {name: dict(getattr(run, name).state_dict()) for name in networks}
        return held | {name: getattr(run, name).tensors() for name in optimizers}

    iterate(run, data)
    save_state(tmp_path, run.images, everything(run), {})
    state = load_latest(tmp_path, never)
    assert state is not None
    for name in networks:
        getattr(resumed, name).load_state_dict(state.tensors[name])
    for name in optimizers:
        getattr(resumed, name).load(state.tensors[name])
    resumed.images = state.images
    iterate(run, data), iterate(resumed, data)
    found = everything(resumed)
    for group, expected in everything(run).items():
        assert all(torch.equal(tensor, found[group][name]) for name, tensor in expected.items())


HOLD = """
import sys
from pathlib import Path
from biggan.training.runlock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_by_name_until_the_first_dies(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunInUse, match=rf"run is in use by process {holder.pid} on ") as refused, RunLock(run):
            pytest.fail("two processes hold one run")
        assert refused.value.exit_code == 73
        holder.kill()
        holder.wait()
        with RunLock(run), pytest.raises(RunInUse, match=f"process {os.getpid()} on "), RunLock(run):
            pytest.fail("one process holds a run twice")
    with RunLock(run):
        assert (run / "lock").read_text().startswith(f"process {os.getpid()} on ")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)])
def test_the_first_signal_asks_and_decides_the_exit_code(number: signal.Signals, code: int) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        assert stop
        assert stop.exit_code == code
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_quits_at_once() -> None:
    with StopRequest() as stop, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        assert stop.exit_code == 130
        signal.raise_signal(signal.SIGINT)


def test_outside_the_main_thread_only_ask_stops() -> None:
    codes: list[int] = []

    def run() -> None:
        with StopRequest() as stop:
            stop.ask()
            codes.append(stop.exit_code)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert codes == [75]
