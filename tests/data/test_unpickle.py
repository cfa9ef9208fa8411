"""A pickle can make containers and arrays, and nothing else happens, whatever it asks for."""

import os
import pickle
import pickletools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biggan.data import unpickle
from biggan.data.packed import Packed
from biggan.errors import DataError


class Call:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


def payloads(marker: Path) -> dict[str, bytes]:
    """Pickles that would make the file `marker`, each in another way."""
    code = f"open({str(marker)!r}, 'w')"
    touch = f"touch {marker}"
    state = b"\x80\x02cbuiltins\nopen\n(V" + str(marker).encode() + b"\nVw\ntR."
    return {
        "os.system": pickle.dumps(Call(os.system, touch), 2),
        "posix.system by GLOBAL": b"cposix\nsystem\n(V" + touch.encode() + b"\ntR.",
        "subprocess": pickle.dumps({b"data": Call(subprocess.check_call, ["touch", str(marker)])}),
        "eval": pickle.dumps(Call(eval, code), 4),
        "exec": pickle.dumps([Call(exec, code)], 0),
        "open": state,
        "INST": b"(V" + touch.encode() + b"\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nV" + touch.encode() + b"\no.",
        "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93(V" + touch.encode() + b"\ntR.",
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__class__.x\x93.",
        "through numpy": b"\x80\x04\x8c\x05numpy\x8c\x09f2py.os.x\x93.",
        "numpy's own loader": b"cnumpy\nload\n(V" + str(marker).encode() + b"\ntR.",
        "memmap makes a file": b"cnumpy\nmemmap\n(V" + str(marker).encode() + b"\nVuint8\nVw+\ntR.",
        "tofile": b"cnumpy\nndarray.tofile\n(V" + str(marker).encode() + b"\ntR.",
        "getattr": b"cbuiltins\ngetattr\n(cos\nVsystem\ntR.",
        "copyreg extension": b"\x82\x01.",
        "persistent id": b"Pos.system\n.",
        "build on a stand-in": b"cnumpy\nndarray\n}V__setstate__\ncos\nsystem\nsb.",
        "import side effect": b"cantigravity\nfly\n.",
    }


NAMES = list(payloads(Path("x")))


@pytest.mark.parametrize("name", NAMES)
def test_payloads_do_not_run_and_are_refused(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(pickle.UnpicklingError):
        unpickle.load(payloads(marker)[name])
    assert not marker.exists()
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("name", ["os.system", "open", "STACK_GLOBAL"])
def test_the_payloads_are_real(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "marker"
    script = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"
    subprocess.run([sys.executable, "-c", script], input=payloads(marker)[name], capture_output=True)
    assert marker.exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_cifar_folder_with_a_payload_is_one_sentence(tmp_path: Path, load: Callable[..., Packed], name: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/data_batch_1").write_bytes(payloads(tmp_path / "marker")[name])
    with pytest.raises(DataError, match="only plain CIFAR pickles are"):
        load(tmp_path / "set")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_plain_values_come_out_as_they_went_in(protocol: int) -> None:
    value = {"a": [1, -2, 3.5, None, True], "b": ("x", {"y": [2**70]}), "c": {"d": "é"}}
    assert unpickle.load(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_out_as_they_went_in(protocol: int, order: Any) -> None:
    for dtype in (np.uint8, np.int32, np.int64):
        array = np.asarray(np.arange(24).reshape(2, 3, 4), dtype, order=order)
        got = unpickle.load(pickle.dumps({"data": array}, protocol))["data"]
        assert got.dtype == dtype
        assert (got == array).all()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(np.array([{}], object), 2),
        pickle.dumps(np.array([1.5]), 2),
        pickle.dumps(np.zeros(3, ">i8"), 4),
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(J\xff\xff\xff\x7ftU\x01btR(K\x01tb.",
        b"r\xff\xff\xff\x7f.",  # memo slot two thousand million
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x00.",  # a bytearray of 2^56 bytes
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",  # a frame of 2^63 bytes
        b"T\xff\xff\xff\x7fabc.",
        b"",
        b".",
    ],
)
def test_arrays_of_other_types_and_impossible_sizes_are_refused(content: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        unpickle.load(content)


def test_mutated_pickles_make_nothing_but_plain_values(tmp_path: Path) -> None:
    content = pickle.dumps({"data": np.arange(40, dtype=np.uint8), "labels": [1, 2, 3], "names": ["a", "b"]}, 2)
    assert any(opcode.name == "GLOBAL" for opcode, _, _ in pickletools.genops(content))
    random = np.random.default_rng(0)
    before = sorted(sys.modules)
    for _ in range(2_000):
        mutant = bytearray(content)
        for place in random.integers(0, len(mutant), 3):
            mutant[place] = random.integers(256)
        try:
            value = unpickle.load(bytes(mutant))
        except pickle.UnpicklingError:
            continue
        assert type(value).__module__ in ("builtins", "numpy", "biggan.data.unpickle")
    assert sorted(sys.modules) == before
