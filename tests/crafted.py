"""Torch files that ask to run something when they are read: each would make a marker file.

Not here: how they are refused (`test_checkpoint_refused.py`, `test_brock.py`).
"""

import builtins
import functools
import io
import os
import pickle
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Calls:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.made_by = function, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.made_by


def command(marker: Path) -> str:
    return f"touch {marker}"


def saved(value: object, stream: bool = False) -> bytes:
    """What torch.save writes: a zip, or the older stream."""
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=not stream)
    return file.getvalue()


def framed(pickled: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    """A torch zip around a pickle of any content."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/version", "3\n")
        for key, content in (storages or {}).items():
            archive.writestr(f"a/data/{key}", content)
    return file.getvalue()


def reframed(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A torch zip with its pickle changed, and good checksums."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        root = archive.namelist()[0].split("/")[0]
        start = f"{root}/data/"
        storages = {n.removeprefix(start): archive.read(n) for n in archive.namelist() if n.startswith(start)}
        return framed(change(archive.read(f"{root}/data.pkl")), storages)


def text(word: str) -> bytes:
    """The opcode of a text."""
    return b"X" + len(word.encode()).to_bytes(4, "little") + word.encode()


def endless() -> bytes:
    """Lists in lists by reference, ten in each and 40 deep: opcodes of a few hundred bytes, and no end when shown."""
    opcodes = text("x") + b"q\x000"
    for depth in range(40):
        last, this = bytes([depth]), bytes([depth + 1])
        opcodes += b"](" + 10 * (b"h" + last) + b"eq" + this + b"0"
    return opcodes + b"h" + bytes([40])


def in_tar(pickled: bytes) -> bytes:
    """The format of PyTorch 0.1: a tar of pickles."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in (("pickle", pickled), ("storages", pickle.dumps(0)), ("tensors", pickle.dumps(0))):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def with_object_scalar(marker: Path) -> bytes:
    """A numpy scalar whose dtype is 'object' and whose value is a call."""
    numpy = np.float64(0).__reduce__()[0]
    return saved({"best_IS": Calls(numpy, np.dtype("O"), Calls(os.system, command(marker)))})


def by_setstate(marker: Path) -> bytes:
    """An object that is first given `__setstate__ = os.system` and then a state."""
    make = b"\x80\x02ctorch.nn.modules.activation\nReLU\n)\x81"
    give = b"}" + text("__setstate__") + b"cposix\nsystem\nsb"
    return framed(make + give + text(command(marker)) + b"b.")


def by_dotted_name(marker: Path) -> bytes:
    """torch's own importer gives os.system, which is called."""
    get = b"\x80\x02ctorch._utils\n_import_dotted_name\n" + text("os.system") + b"\x85R"
    return framed(get + text(command(marker)) + b"\x85R.")


def by_inst(marker: Path) -> bytes:
    """The opcode INST, which no program writes any more."""
    return framed(b"\x80\x02(" + text(command(marker)) + b"iposix\nsystem\n.")


CRAFTED: dict[str, Callable[[Path], bytes]] = {
    "os.system": lambda marker: saved(Calls(os.system, command(marker))),
    "eval among tensors": lambda marker: saved(
        {"linear.weight": torch.ones(2), "linear.bias": Calls(builtins.eval, f"open({str(marker)!r}, 'w')")}
    ),
    "a call in a stream": lambda marker: saved({"linear.weight": Calls(os.system, command(marker))}, stream=True),
    "a call by protocol 4": lambda marker: framed(pickle.dumps(Calls(os.system, command(marker)), 4)),
    "a call in a tar": lambda marker: in_tar(pickle.dumps(Calls(os.system, command(marker)), 2)),
    "a bare pickle": lambda marker: pickle.dumps(Calls(os.system, command(marker))),
    "a process": lambda marker: saved({"linear.weight": Calls(subprocess.Popen, ["touch", str(marker)])}),
    "torch loading what is inside": lambda marker: saved(
        {"x": Calls(torch.storage._load_from_bytes, saved(Calls(os.system, command(marker))))}
    ),
    "torch importing a name": by_dotted_name,
    "torch.hub": lambda marker: saved({"x": Calls(torch.hub.load, str(marker.parent), "x", "local")}),
    "functools.partial": lambda marker: saved(Calls(functools.partial, os.system, command(marker))),
    "a numpy scalar of objects": with_object_scalar,
    "__setstate__": by_setstate,
    "INST": by_inst,
}
