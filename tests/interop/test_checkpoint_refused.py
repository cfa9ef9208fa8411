"""Foreign tensor files that would run something, or that lie: refused with one sentence, without running anything."""

import io
import os
import pickle
import random
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from crafted import CRAFTED, Calls, command, endless, framed, reframed, saved, text
from safetensors.torch import save
from tensor_files import STATE, STREAM, put, refusal, same

from biggan.errors import ModelError
from biggan.interop import pickled
from biggan.interop.checkpoint import read_record, read_shapes, read_tensors, read_torch

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
