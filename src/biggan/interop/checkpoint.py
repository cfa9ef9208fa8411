"""Reading other people's tensor files: torch files of both formats, and safetensors, told apart by their content.

A torch file is surveyed before it is loaded (`torchfile.py`): one that asks to run something, claims more than it has,
or is damaged is refused with one sentence before torch sees it. Then `torch.load(weights_only=True)` reads it. Not
here: which tensors a model has (`brock/`, `huggingface/`), and our own files (`models/sealed.py`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import safetensors.torch
import torch
from torch import Tensor

from biggan.errors import ModelError
from biggan.interop.pickled import View
from biggan.interop.torchfile import UNDAMAGED, damaged, first_line, survey
from biggan.models.sealed import is_finite

WRAPPERS = ("state_dict", "model")  # under which training programs keep a network's tensors
PARALLEL = "module."  # what DataParallel puts before every name
WIDENED = (torch.float16, torch.bfloat16)

Value = TypeVar("Value")


def read_torch(path: Path) -> Any:
    """The value in a torch file, plain containers and numbers and tensors on the CPU.

    Raises:
        ModelError: The file is missing, no torch file, damaged or cut, asks to run something, or has a tensor that
            does not fit its storage; the message names the file and what is wrong.
    """
    with _opened(path) as file:
        survey(path, file)
        file.seek(0)
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # what the survey let pass and torch does not; its advice is to run what is there
            raise damaged(path, "torch cannot read it") from error


def read_record(path: Path) -> Any:
    """The value in a torch file that holds settings, activation modules, numpy scalars and a few tensors.

    Of tensors only shapes come out, and of modules only names (`pickled.py`): nothing is loaded. (The older format
    writes a module's class with its source, which `torch.load(weights_only=True)` refuses whatever is allowed.)

    Raises:
        ModelError: As `read_torch`.
    """
    with _opened(path) as file:
        return survey(path, file, record=True)


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors that `read_tensors` would give, by name, without reading the tensors.

    Nothing where the file holds other than tensors by name.

    Raises:
        ModelError: As `read_tensors`, as far as can be told without them.
    """
    if _is_safetensors(path):
        return _without_parallel(_safetensors_shapes(path))
    with _opened(path) as file:
        value = _unwrapped(survey(path, file, whole=False))
    is_flat = isinstance(value, dict) and all(isinstance(view, View) for view in value.values())
    return _without_parallel({str(name): view.shape for name, view in value.items()} if is_flat else {})


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
    return _without_parallel(_apart({name: _plain(path, name, tensor) for name, tensor in found.items()}))


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
        raise damaged(path, f"safetensors cannot read it ({first_line(error)})") from error


def _safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise damaged(path, f"safetensors cannot read it ({first_line(error)})") from error


def _unwrapped(value: Any) -> Any:
    for name in WRAPPERS:
        if isinstance(value, dict) and isinstance(value.get(name), dict):
            return value[name]
    return value


def _without_parallel(found: dict[str, Value]) -> dict[str, Value]:
    if all(name.startswith(PARALLEL) for name in found):
        return {name.removeprefix(PARALLEL): value for name, value in found.items()}
    return found


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of which no two lie in one storage, which safetensors would not write."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return tensors


def _plain(path: Path, name: str, tensor: Tensor) -> Tensor:
    """A tensor in float32, in order."""
    tensor = tensor.detach()
    if tensor.dtype in WIDENED:
        tensor = tensor.float()
    if tensor.dtype != torch.float32:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ModelError(f"{path} has {name[:80]!r} in {kind}; save it in float32, float16 or bfloat16.")
    if tensor.numel() == 0:
        raise ModelError(f"{path} has {name[:80]!r} of shape {list(tensor.shape)}, which is empty; {UNDAMAGED}.")
    if not is_finite(tensor):
        raise ModelError(f"{path} holds NaN or Inf in {name[:80]!r}; give a checkpoint from before training broke.")
    return tensor.contiguous()
