"""Adam is torch's to the last bit, from its first step and after being put back."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from biggan.errors import ModelError
from biggan.training.adam import Adam
from biggan.training.state import load_latest, save_state

RATES = {"lr": 1e-2, "eps": 1e-6}


def make(channels_last: bool, dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(1)
    net: nn.Module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(80, 2)).to(dtype)
    return net.to(memory_format=torch.channels_last) if channels_last else net


def step(net: nn.Module, optimizer: Adam | torch.optim.Adam, times: int) -> None:
    for i in range(times):
        x = torch.linspace(-1, 1 + i, 2 * 3 * 36, dtype=next(net.parameters()).dtype).view(2, 3, 6, 6)
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_the_steps_are_torchs_bit_for_bit(beta1: float, channels_last: bool, dtype: torch.dtype) -> None:
    ours, theirs = make(channels_last, dtype), make(channels_last, dtype)
    adam = Adam(ours.parameters(), beta1=beta1, **RATES)
    other = torch.optim.Adam(theirs.parameters(), betas=(beta1, 0.999), fused=True, **RATES)
    step(ours, adam, 3), step(theirs, other, 3)
    adam.lr = other.param_groups[0]["lr"] = 1e-3
    step(ours, adam, 3), step(theirs, other, 3)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    states = other.state_dict()["state"]
    assert adam.tensors().keys() == {f"{i}.{name}" for i, state in states.items() for name in state}
    assert all(torch.equal(adam.tensors()[f"{i}.{name}"], t) for i, s in states.items() for name, t in s.items())


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("before", [0, 3])
def test_a_resumed_optimizer_takes_the_same_steps_bit_for_bit(tmp_path: Path, channels_last: bool, before: int) -> None:
    net, resumed = make(channels_last), make(channels_last)
    adam, again = (Adam(of.parameters(), beta1=0.0, **RATES) for of in (net, resumed))
    step(net, adam, before)
    save_state(tmp_path, 1, {"G": net.state_dict(), "optim_g": adam.tensors()}, {})
    state = load_latest(tmp_path, print)
    assert state is not None
    resumed.load_state_dict(state.tensors["G"])
    again.load(state.tensors["optim_g"])
    step(net, adam, 2), step(resumed, again, 2)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), resumed.parameters(), strict=True))
    assert [t.stride() for t in adam.tensors().values()] == [t.stride() for t in again.tensors().values()]


def test_the_state_of_other_networks_is_refused() -> None:
    net = make(False)
    adam, other = Adam(net.parameters(), **RATES), Adam(nn.Linear(2, 2).parameters(), **RATES)
    step(net, adam, 1)
    saved = adam.tensors()
    half = {name: tensor for name, tensor in saved.items() if not name.startswith("0.")}
    wide = {**saved, "0.exp_avg": torch.zeros(1)}  # would broadcast
    for optimizer, values in ((other, saved), (adam, half), (adam, wide)):
        with pytest.raises(ModelError, match="other networks"):
            optimizer.load(values)


def test_what_was_put_back_is_not_moved_with() -> None:
    net = make(False)
    adam = Adam(net.parameters(), **RATES)
    step(net, adam, 1)
    given = {name: tensor.clone() for name, tensor in adam.tensors().items()}
    kept = {name: tensor.clone() for name, tensor in given.items()}
    adam.load(given)
    step(net, adam, 1)
    assert all(torch.equal(given[name], tensor) for name, tensor in kept.items())


ALONE = """
import sys
import torch
from biggan.training.adam import Adam
weight = torch.nn.Parameter(torch.ones(2))
weight.sum().backward()
Adam([weight], 0.1).step()
print(weight.tolist()[0] < 1, "torch._dynamo" in sys.modules)
"""


def test_a_step_does_not_bring_in_torchs_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
