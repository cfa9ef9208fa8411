"""Foreign tensor files: what is read, and what is refused with one sentence, without running anything."""

import functools
import io
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from crafted import CRAFTED, Calls, command, endless, framed, saved, text
from safetensors.torch import save
from torch import Tensor, nn

from biggan.errors import ModelError
from biggan.interop import pickled
from biggan.interop.checkpoint import read_record, read_shapes, read_tensors, read_torch, require_shapes

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["zip", "stream"])
STATE = {
    "linear.weight": torch.arange(6.0).view(2, 3),
    "linear.bias": torch.tensor([0.5, -1.0]),
    "gamma": torch.tensor(2.0),
}


def put(folder: Path, content: bytes, name: str = "G.pth") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def refusal(path: Path, read: Callable[[Path], object] = read_tensors) -> str:
    """The one sentence that a file is refused with, which names it."""
    with pytest.raises(ModelError) as caught:
        read(path)
    said = str(caught.value)
    assert said.startswith(f"{path} ")
    assert said.endswith(".")
    assert "\n" not in said
    assert len(said) < 450
    return said.removeprefix(f"{path} ")


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return list(found) == list(expected) and all(torch.equal(found[name], expected[name]) for name in expected)


# --- what is read ---


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


def reframed(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A torch zip with its pickle changed, and good checksums."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        root = archive.namelist()[0].split("/")[0]
        start = f"{root}/data/"
        storages = {n.removeprefix(start): archive.read(n) for n in archive.namelist() if n.startswith(start)}
        return framed(change(archive.read(f"{root}/data.pkl")), storages)


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


# --- what would run ---


def test_the_crafted_files_would_run_if_they_were_unpickled(tmp_path):
    pickle.loads(CRAFTED["a bare pickle"](tmp_path / "marker"))
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", ["G.pth", "pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize("craft", CRAFTED)
def test_a_crafted_file_runs_nothing_and_is_refused(tmp_path, craft, name):
    (tmp_path / "hubconf.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')\n")  # what torch.hub would run
    path = put(tmp_path, CRAFTED[craft](tmp_path / "marker"), name)
    for read in (read_tensors, read_shapes, read_torch, read_record):
        said = refusal(path, read)
        assert ("never" in said) == (craft not in ("a call in a tar", "a bare pickle"))
    assert not (tmp_path / "marker").exists()


def test_what_a_file_asks_to_run_is_named(tmp_path):
    said = refusal(put(tmp_path, saved(Calls(os.system, command(tmp_path / "marker")))))
    assert said == "asks to run 'posix.system', which is never done; give a file of tensors alone."


def test_a_name_is_quoted_and_cut(tmp_path):
    said = refusal(put(tmp_path, framed(b"\x80\x02cx\x1b[2J\n" + b"y" * 3000 + b"\n.")))
    assert "\\x1b" in said


# --- damage and lies ---


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello", "is not a torch file"),
        (b"PK\x03\x04", "is damaged"),
        (saved(STATE)[:-1], "is damaged"),
        (saved(STATE)[:300], "is damaged"),
        (saved(STATE, stream=True)[:-1], "is damaged: it should have"),
        (saved(STATE, stream=True)[:300], "is damaged"),
        (saved(STATE, stream=True) + b"x", "is damaged: it should have"),
        (save(STATE)[:-1], "is damaged"),
        (framed(b"\x80\x02}."), "holds no tensors by name"),
        (framed(pickle.dumps({}, 4)), "protocol 4"),
        (framed(b"\x80\x02\x96" + struct.pack("<Q", 2**40) + b"."), "is damaged"),  # BYTEARRAY8
        (framed(b"\x80\x02" + b"(" * 10**5), "is damaged"),
        (framed(b"\x80\x02]" + b"\x85" * 50_000 + b"."), "holds no tensors by name"),
        (framed(b"\x80\x02}]" + b"\x85" * 50_000 + b"Ns."), "neither text nor number"),  # whose hash would overflow
        (framed(b"\x80\x02ccollections\nOrderedDict\n](" + b"]" + b"\x85" * 50_000 + b"Nte\x85R."), "is damaged"),
        (framed(b"\x80\x02" + b"N" * 2**20 + b"."), "its pickle is larger"),
        (framed(b"\x80\x02}" + pickle.dumps(10**5000, 2)[2:-1] + b"Ns."), "a whole number has more than 80 bits"),
        (saved({"w": 10**400}), "a whole number has more than 80 bits"),
        (saved([1, 2]), "holds no tensors by name"),
        (saved({"a": {"b": torch.ones(1)}}), "has 'a' of type dict"),
        (saved({"a": 1}), "has 'a' of type int"),
        (saved({1: torch.ones(1)}), "has '1' of type Tensor"),
        (saved({"w": torch.ones(2, dtype=torch.float64)}), "has 'w' in float64"),
        (saved({"w": torch.ones(2, dtype=torch.int64)}), "has 'w' in int64"),
        (saved({"w": torch.tensor([1.0, float("nan")])}), "holds NaN or Inf in 'w'"),
        (saved({"w": torch.tensor([1.0, float("inf")])}), "holds NaN or Inf in 'w'"),
        (saved({"w": torch.ones(0, 5)}), "'w' of shape [0, 5], which is empty"),
        (saved({"w": torch.ones(1).expand(1000)}), "elements of a tensor overlap"),
        (saved({"w": torch.ones(10).as_strided((4, 4), (2, 1))}), "elements of a tensor overlap"),
        (saved({"w": torch.ones(3).to_sparse()}), "asks to run 'torch._utils._rebuild_sparse_tensor'"),
        (framed(b"\x80\x02ctorch._utils\n_rebuild_qtensor\n."), "asks to run 'torch._utils._rebuild_qtensor'"),
        (saved({"w": torch.ones(3, device="meta")}), "asks to run 'torch._utils._rebuild_meta_tensor_no_storage'"),
        (saved({"w": torch.ones(3, dtype=torch.complex64)}), "asks to run 'torch.ComplexFloatStorage'"),
        (save({"w": torch.ones(2, dtype=torch.float64)}), "has 'w' in float64"),
        (save({"w": torch.tensor([float("nan")])}), "holds NaN or Inf in 'w'"),
    ],
)
def test_a_file_that_is_no_state_dict_is_refused(tmp_path, content, words):
    assert words in refusal(put(tmp_path, content))


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is missing" in refusal(tmp_path / "nothing.pth")
    assert "is missing" in refusal(tmp_path)
    assert "is missing" in refusal(tmp_path / "pipe")


def test_a_torchscript_program_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "G.pth", "w") as archive:
        for name in ("a/data.pkl", "a/constants.pkl"):
            archive.writestr(name, b"\x80\x02).")
    assert "TorchScript" in refusal(tmp_path / "G.pth")


NUMEL = b"K\x06tq"  # of linear.weight's storage, as torch pickles it


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (NUMEL, b"K\x07tq"),
        (NUMEL, b"J\xff\xff\xff\x7ftq"),
        (NUMEL, b"\x8a\x09" + b"\xff" * 8 + b"\x00tq"),
        (NUMEL, b"J\xff\xff\xff\xfftq"),
        (b"K\x02K\x03\x86", b"K\x02K\x04\x86"),  # shape
        (b"K\x02K\x03\x86", b"K\x02J\xff\xff\xff\x7f\x86"),
        (b"K\x02K\x03\x86", b"K\x02J\xfe\xff\xff\xff\x86"),
        (b"K\x03K\x01\x86", b"K\x03K\x02\x86"),  # strides
        (b"K\x03K\x01\x86", b"K\x00K\x00\x86"),
        (b"K\x03K\x01\x86", b"K\x03X\x01\x00\x00\x00a\x86"),
        (b"QK\x00", b"QK\x01"),  # offset
        (text("0"), text("9")),  # key of the storage
    ],
)
@STREAM
def test_a_tensor_that_claims_what_its_storage_has_not_is_refused(tmp_path, was, becomes, stream):
    if stream and was == text("0"):
        pytest.skip("keys of a stream are addresses")
    if stream:  # which says in one more value that a storage is no view
        was, becomes = was.replace(b"tq", b"Ntq"), becomes.replace(b"tq", b"Ntq")

    def lie(pickled: bytes) -> bytes:
        assert was in pickled
        return pickled.replace(was, becomes, 1)

    content = saved(STATE, stream)
    path = put(tmp_path, lie(content) if stream else reframed(content, lie))
    assert "is damaged" in refusal(path)


def test_the_size_of_a_zip_s_entries_is_compared_with_the_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "G.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/data/0", bytes(50_000_000))
    assert "its entries claim more than it has" in refusal(tmp_path / "G.pth")


def test_one_storage_under_many_names_does_not_multiply(tmp_path):
    big = torch.ones(10_000, dtype=torch.float16)
    assert "claims more numbers" in refusal(put(tmp_path, saved({f"w{i}": big for i in range(20)})))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["a/data.pkl", "A/data.pkl", "b/data.pkl"])
def test_two_entries_of_one_name_and_foreign_entries_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "G.pth", "w") as archive:
        for entry in ("a/data.pkl", name):
            archive.writestr(entry, b"\x80\x02}.")
    assert "is damaged" in refusal(tmp_path / "G.pth")


def test_every_flipped_bit_of_a_zip_s_numbers_is_found(tmp_path):
    content = saved({"w": torch.randn(64)})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        numbers = archive.read("archive/data/0")
    start = content.index(numbers)
    for place in range(start, start + len(numbers), 5):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        assert "differs from its checksum" in refusal(put(tmp_path, bytes(changed)))


@STREAM
def test_cut_and_flipped_files_are_refused_or_unchanged(tmp_path, stream):
    draw, content = random.Random(0), saved(STATE, stream)
    for _ in range(60):
        place = draw.randrange(len(content))
        changed = bytearray(content)
        changed[place] ^= 1 << draw.randrange(8)
        path = put(tmp_path, bytes(changed))
        if not is_refused(path):
            assert stream or same(read_tensors(path), STATE)
        refusal(put(tmp_path, content[:place]))
        refusal(put(tmp_path, content[:place] + content[place + draw.randrange(1, 300) :]))


def test_a_zip_whose_entry_runs_past_its_end_is_refused(tmp_path):
    """Which is an EOFError of zipfile's own."""
    content = bytearray(framed(b"\x80\x02}."))
    directory = content.index(b"PK\x01\x02")
    entry = content.index(b"PK\x01\x02", directory + 1)  # of a/version, of which 2 bytes are there
    content[entry + 20 : entry + 28] = (len(content) - 20).to_bytes(4, "little") * 2
    assert "is damaged" in refusal(put(tmp_path, bytes(content)))


def is_refused(path: Path) -> bool:
    try:
        read_tensors(path)
    except ModelError:
        return bool(refusal(path))
    return False


VIEW = b"ctorch._utils\n_rebuild_tensor_v2\n"


@pytest.mark.parametrize("state", [b"}" + text("__defaults__") + b"K\x01K\x02\x86s", b"}" + text("x") + b"K\x01s"])
@pytest.mark.parametrize("slots", [False, True])
def test_a_file_sets_no_attribute_of_what_reads_it(tmp_path, state, slots):
    """Which would stay for the whole process."""
    before = pickled._view.__defaults__, dict(vars(pickled._view))
    path = put(tmp_path, framed(b"\x80\x02" + VIEW + (b"N" + state + b"\x86" if slots else state) + b"b."))
    for read in (read_tensors, read_shapes, read_torch, read_record):
        assert "is damaged: it gives a state to what has none" in refusal(path, read)
    assert (pickled._view.__defaults__, vars(pickled._view)) == before


def test_a_name_of_numbers_that_is_no_text_is_refused_unseen(tmp_path):
    """`str` of lists in lists by reference, ten each, 40 deep, would not end."""
    path = put(tmp_path, framed(b"\x80\x02cnumpy\ndtype\n" + endless() + b"\x85R."), "state_dict.pth")
    assert "asks to run 'numpy.dtype'" in refusal(path, read_record)


def test_what_torch_alone_refuses_is_refused_without_its_advice(tmp_path):
    """Which is to read the file with `weights_only` set to False, and so to run what it asks."""
    path = put(tmp_path, framed(b"\x80\x02}" + pickle.DUP + b"0."))
    with pytest.raises(pickle.UnpicklingError, match="weights_only"):
        torch.load(path, weights_only=True)
    assert refusal(path) == "is damaged: torch cannot read it; get an undamaged copy."


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


# --- shapes ---


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
