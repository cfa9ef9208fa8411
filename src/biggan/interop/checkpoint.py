"""Reading other people's tensor files: torch files of both formats, and safetensors, told apart by their content.

A file is looked at before it is loaded: its frame (a zip whose entries are checked against their CRC-32, or the stream
that PyTorch wrote before 1.6), and what its pickle names (`pickled.py`). So a file that asks to run something, claims
more than it has, or is damaged is refused with one sentence before torch sees it; then
`torch.load(weights_only=True)` reads it. Not here: which tensors a model has (`brock.py`, `huggingface.py`), and our
own files (`models/sealed.py`).
"""

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from biggan.errors import ModelError
from biggan.interop.pickled import Asks, Reader, Storage

ZIP, TAR = b"PK\x03\x04", b"ustar"
STREAM = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # pickled number that PyTorch began with
MOST_PICKLED = 2 * 2**20  # bytes; that of BigGAN-deep at 512 px has 0.1 MB
WRAPPERS = ("state_dict", "model")  # under which training programs keep a network's tensors
PARALLEL = "module."  # what DataParallel puts before every name
WIDENED = (torch.float16, torch.bfloat16)
KEPT = (torch.float32, torch.int64)
UNDAMAGED = "get an undamaged copy"


def read_torch(path: Path) -> Any:
    """The value in a torch file, plain containers and numbers and tensors on the CPU.

    Raises:
        ModelError: The file is missing, no torch file, damaged or cut, asks to run something, or has a tensor that
            does not fit its storage; the message names the file and what is wrong.
    """
    with _opened(path) as file:
        _survey(path, file, record=False)
        file.seek(0)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # what the survey let pass and torch does not
            raise _damaged(path, f"torch cannot read it ({_first_line(error)})") from error


def read_record(path: Path) -> Any:
    """The value in a torch file that holds settings, activation modules, numpy scalars and a few tensors.

    Of tensors only shapes come out, and of modules only names (`pickled.py`): nothing is loaded. (The older format
    writes a module's class with its source, which `torch.load(weights_only=True)` refuses whatever is allowed.)

    Raises:
        ModelError: As `read_torch`.
    """
    with _opened(path) as file:
        return _survey(path, file, record=True)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a torch or safetensors file of one network, by name.

    Half precision and bfloat16 are widened to float32, which is exact. A wrapping dictionary with a `state_dict` or
    `model`, and DataParallel's `module.` before every name, are taken off.

    Raises:
        ModelError: As `read_torch`; or the file holds other than tensors, of another dtype, with NaN or Inf, or that
            together claim more than the file has.
    """
    found = _read_safetensors(path) if _is_safetensors(path) else _unwrapped(read_torch(path))
    if not isinstance(found, dict) or not found:
        raise ModelError(f"{path} holds no tensors by name; give a file of one network's state dict.")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise ModelError(f"{path} has {str(name)[:80]!r} of type {kind} among its tensors; give a state dict.")
    if sum(tensor.nbytes for tensor in found.values()) > path.stat().st_size:
        raise ModelError(f"{path} claims more numbers than it has; {UNDAMAGED}.")
    if all(name.startswith(PARALLEL) for name in found):
        found = {name.removeprefix(PARALLEL): tensor for name, tensor in found.items()}
    return {name: _plain(path, name, tensor) for name, tensor in found.items()}


def require_shapes(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Sequence[int]]) -> None:
    """Checks that tensors are those of a network.

    Args:
        path: Where they are from.
        found: Name -> tensor.
        expected: Name -> shape.

    Raises:
        ModelError: One is missing, unknown or of another shape; the message names the first.
    """
    for name, shape in expected.items():
        if name not in found:
            raise ModelError(f"{path} lacks the tensor {name}; give a whole checkpoint of one network.")
        if tuple(found[name].shape) != tuple(shape):
            got = f"{list(found[name].shape)} where its other tensors ask for {list(shape)}"
            raise ModelError(f"{path} has {name} of shape {got}; give a whole checkpoint of one network.")
    for name in found:
        if name not in expected:
            raise ModelError(f"{path} has an unknown tensor {name[:80]!r}; give a checkpoint of one network.")


def _damaged(path: Path, reason: str) -> ModelError:
    return ModelError(f"{path} is damaged: {reason}; {UNDAMAGED}.")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _opened(path: Path) -> BinaryIO:
    if not path.is_file():
        raise ModelError(f"{path} is missing; give a checkpoint's file.")
    try:
        return path.open("rb")
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); allow reading it.") from error


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins as a safetensors file does: with a length, then a JSON object."""
    with _opened(path) as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(path.read_bytes())
    except Exception as error:  # of safetensors, or of torch for a dtype that it lacks
        raise _damaged(path, f"safetensors cannot read it ({_first_line(error)})") from error


def _unwrapped(value: Any) -> Any:
    for name in WRAPPERS:
        if isinstance(value, dict) and isinstance(value.get(name), dict):
            return value[name]
    return value


def _plain(path: Path, name: str, tensor: Tensor) -> Tensor:
    """A tensor in float32 (or int64), in order, of its own."""
    tensor = tensor.detach()
    if tensor.dtype in WIDENED:
        tensor = tensor.float()
    if tensor.dtype not in KEPT:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ModelError(f"{path} has {name[:80]} in {kind}; save it in float32, float16 or bfloat16.")
    if not bool(torch.isfinite(tensor).all()):
        raise ModelError(f"{path} holds NaN or Inf in {name[:80]}; give a checkpoint from before training broke.")
    return tensor.contiguous()


def _survey(path: Path, file: BinaryIO, record: bool) -> Any:
    """What a torch file says, after checking its frame; tensors are `pickled.View`s.

    Raises:
        ModelError: As `read_torch`.
    """
    start = file.read(512)
    file.seek(0)
    try:
        if start.startswith(ZIP):
            return _survey_zip(file, path.stat().st_size, record)
        if start.startswith(STREAM):
            return _survey_stream(file, path.stat().st_size, record)
    except Asks as asks:
        what = str(asks)[:80]
        raise ModelError(f"{path} asks to run {what!r}, which is never done; give a file of tensors alone.") from asks
    except (pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise _damaged(path, _first_line(error)) from error
    except (OSError, RuntimeError, ValueError, NotImplementedError) as error:  # zipfile's other words for damage
        raise _damaged(path, _first_line(error)) from error
    if start[257:262] == TAR:
        raise ModelError(f"{path} is a tar of PyTorch 0.1, which cannot be read safely; save it again with PyTorch.")
    raise ModelError(f"{path} is {'empty' if not start else 'not a torch file'}; give a .pth file as PyTorch writes.")


def _survey_zip(file: BinaryIO, size: int, record: bool) -> Any:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        _require(len(entries) == len(archive.infolist()), "it has two entries of one name")
        root = archive.infolist()[0].filename.partition("/")[0] if entries else ""
        _require(all(name.startswith(f"{root}/") for name in entries), "its entries are not in one folder")
        stored = all(e.compress_type == zipfile.ZIP_STORED and e.file_size == e.compress_size for e in entries.values())
        _require(stored and sum(e.file_size for e in entries.values()) <= size, "its entries claim more than it has")
        _require(f"{root}/constants.pkl" not in entries, "it is a TorchScript program, not tensors")
        pickled = entries.get(f"{root}/data.pkl")
        _require(pickled is not None, "it is a zip without data.pkl")
        assert pickled is not None
        _require(pickled.file_size <= MOST_PICKLED, "its pickle is larger than any checkpoint's")
        reader = Reader(BytesIO(archive.read(pickled)), record)
        value = reader.read_value()
        for storage in reader.storages.values():
            entry = entries.get(f"{root}/data/{storage.key}")
            _require(entry is not None and entry.file_size == storage.nbytes, _sized(storage))
        changed = archive.testzip()
        _require(changed is None, f"{str(changed)[:80]} differs from its checksum")
    return value


def _survey_stream(file: BinaryIO, size: int, record: bool) -> Any:
    """The older format: five pickles (a number, a version, the machine, the value, keys), then the storages."""
    start = BytesIO(file.read(MOST_PICKLED))
    for _ in range(3):
        Reader(start, record).read_value()
    reader = Reader(start, record)
    value, keys = reader.read_value(), Reader(start, record).read_value()
    _require(isinstance(keys, list) and all(isinstance(key, str) for key in keys), "it lists no storages")
    _require(sorted(keys) == sorted(reader.storages), "the storages that it lists are not those of its tensors")
    place = start.tell()
    for key in keys:
        storage = reader.storages[key]
        file.seek(place)
        _require(int.from_bytes(file.read(8), "little") == storage.numel, _sized(storage))
        place += 8 + storage.nbytes
    _require(place == size, f"it should have {place} bytes and has {size}")
    return value


def _sized(storage: Storage) -> str:
    return f"storage {storage.key[:40]!r} has other than the {storage.numel} numbers that its tensors claim"


def _require(ok: bool, reason: str) -> None:
    if not ok:
        raise pickle.UnpicklingError(reason)
