"""Foreign tensor files: what is read, and which tensors fit."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from crafted import reframed, saved, text
from safetensors.torch import save
from tensor_files import STATE, STREAM, put, refusal, same
from torch import Tensor, nn

from biggan.interop.checkpoint import read_record, read_shapes, read_tensors, read_torch, require_shapes


@STREAM
def test_a_state_dict_is_read_as_it_was_saved(tmp_path, stream):
    path = put(tmp_path, saved(STATE, stream))
    assert same(read_tensors(path), STATE)
    assert read_shapes(path) == {name: tuple(tensor.shape) for name, tensor in STATE.items()}


@STREAM
def test_a_module_s_own_state_dict_is_read(tmp_path, stream):
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.GroupNorm(1, 3))
    assert same(read_tensors(put(tmp_path, saved(network.state_dict(), stream))), network.state_dict())


def test_safetensors_are_told_by_content_under_any_name(tmp_path):
    path = put(tmp_path, save(STATE), "pytorch_model.bin")
    assert read_tensors(path).keys() == STATE.keys()
    assert read_shapes(path)["linear.weight"] == (2, 3)


def test_a_torch_file_is_told_by_content_under_any_name(tmp_path):
    assert same(read_tensors(put(tmp_path, saved(STATE), "model.safetensors")), STATE)


@STREAM
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_exactly(tmp_path, stream, dtype):
    state = {"w": torch.randn(50).to(dtype)}
    found = read_tensors(put(tmp_path, saved(state, stream)))
    assert same(found, {"w": state["w"].float()})
    assert found["w"].dtype is torch.float32


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_a_wrapper_is_taken_off(tmp_path, wrapper):
    path = put(tmp_path, saved({wrapper: STATE, "epoch": 3, "note": "x"}))
    assert same(read_tensors(path), STATE)
    assert read_shapes(path).keys() == STATE.keys()


def test_names_of_data_parallel_are_stripped(tmp_path):
    path = put(tmp_path, saved({f"module.{name}": tensor for name, tensor in STATE.items()}))
    assert same(read_tensors(path), STATE)
    assert read_shapes(path).keys() == STATE.keys()


def test_parameters_are_read_as_tensors(tmp_path):
    found = read_tensors(put(tmp_path, saved({"w": nn.Parameter(torch.ones(2))})))
    assert type(found["w"]) is Tensor
    assert not found["w"].requires_grad


def test_a_transposed_tensor_comes_in_order(tmp_path):
    found = read_tensors(put(tmp_path, saved({"w": STATE["linear.weight"].t()})))
    assert same(found, {"w": STATE["linear.weight"].t()})
    assert found["w"].is_contiguous()


@STREAM
def test_tensors_of_a_gpu_come_to_the_cpu(tmp_path, stream):
    content = saved({"w": torch.ones(3)}, stream)
    found = read_tensors(put(tmp_path, on_gpu(content)))
    assert same(found, {"w": torch.ones(3)})


def on_gpu(content: bytes) -> bytes:
    """A saved file as if its tensors had been on a GPU."""

    def move(pickled: bytes) -> bytes:
        return pickled.replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage").replace(
            text("cpu"), text("cuda:0")
        )

    return reframed(content, move) if content.startswith(b"PK") else move(content)


@STREAM
def test_optimizers_and_records_are_read(tmp_path, stream):
    moments = {"step": torch.tensor(1.0), "exp_avg": torch.ones(4, 3), "exp_avg_sq": torch.ones(4, 3)}
    optimizer = {"state": {0: moments}, "param_groups": [{"lr": 1e-4, "betas": (0.0, 0.999), "params": [0]}]}
    found = read_torch(put(tmp_path, saved(optimizer, stream), "G_optim.pth"))
    assert found["param_groups"] == optimizer["param_groups"]
    assert same(found["state"][0], moments)
    config = {"G_activation": nn.ReLU(inplace=True), "D_activation": nn.LeakyReLU(0.2), "BN_eps": 1e-4}
    record = {"itr": 7, "best_IS": np.float64(3.5), "best_FID": torch.tensor(9.0), "config": config}
    found = read_record(put(tmp_path, saved(record, stream), "state_dict.pth"))
    assert (found["itr"], found["best_IS"], found["config"]["BN_eps"]) == (7, 3.5, 1e-4)
    assert [found["config"][name].name for name in ("G_activation", "D_activation")] == ["ReLU", "LeakyReLU"]
    assert "numpy" in refusal(tmp_path / "state_dict.pth", read_torch)


@STREAM
def test_two_names_of_one_tensor_come_apart(tmp_path, stream):
    """As safetensors writes no two in one storage."""
    both = torch.ones(2, 3)
    state = {"a": both, "b": both, "c": both[1], "d": torch.zeros(1000)}
    path = put(tmp_path, saved(state, stream))
    found = read_tensors(path)
    assert same(found, state)
    path.write_bytes(save(found))
    assert same(dict(sorted(read_tensors(path).items())), state)


def test_the_first_tensor_that_does_not_fit_is_named(tmp_path):
    path, expected = tmp_path / "G.pth", {name: tensor.shape for name, tensor in STATE.items()}
    require_shapes(path, STATE, expected)
    without = {name: tensor for name, tensor in STATE.items() if name != "linear.bias"}
    for found, words in (
        (without, "lacks the tensor linear.bias"),
        ({**STATE, "extra": torch.ones(1)}, "has an unknown tensor 'extra'"),
        ({**STATE, "linear.bias": torch.ones(3)}, "has linear.bias of shape [3] where its other tensors ask for [2]"),
    ):
        assert words in refusal(path, functools.partial(compare, found, expected))


def compare(found: dict[str, Tensor], expected: dict[str, torch.Size], path: Path) -> None:
    require_shapes(path, found, expected)
