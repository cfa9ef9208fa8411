"""Tensor files that carry their own checksum, and the strict reading of them.

A sealed file is an ordinary safetensors file whose metadata hold the SHA-256 of the file, taken with 64 zeros in the
checksum's place: it proves itself, so it can be replaced by a rename while others read. What is expected is compared
with the size and the header before any memory is taken. Not here: which tensors a model has (`bundle.py`).
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from biggan.errors import ModelError

MOST_HEADER = 2 * 2**20  # bytes; BigGAN's at 512 px has 0.1 MB
BLANK = "0" * 64
BYTES = {"F64": 8, "F32": 4, "I64": 8}
NAMES = {torch.float64: "F64", torch.float32: "F32", torch.int64: "I64"}

Shapes = dict[str, tuple[str, tuple[int, ...]]]
"""Name of a tensor -> safetensors' name of its dtype and its shape."""


def shapes_of(tensors: Mapping[str, Tensor]) -> Shapes:
    """What a file of these tensors declares; they may be on the meta device."""
    return {name: (NAMES[tensor.dtype], tuple(tensor.shape)) for name, tensor in tensors.items()}


def is_finite(tensor: Tensor) -> bool:
    """Whether no number of a tensor is NaN or infinite, by its extremes, which take a tenth of the time of a mask."""
    return tensor.numel() == 0 or bool(torch.stack(torch.aminmax(tensor)).isfinite().all())


def seal(tensors: Mapping[str, Tensor]) -> bytes:
    """The sealed file of these tensors, a function of their names and values alone."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save(plain, {"sha256": BLANK})
    return content.replace(BLANK.encode(), hashlib.sha256(content).hexdigest().encode(), 1)


def unseal(path: Path, expect: Callable[[Shapes], Shapes]) -> tuple[dict[str, Tensor], str]:
    """Reads a sealed file.

    Args:
        path: The file.
        expect: What the file must declare, given what it does (so that tables may have any number of rows).

    Returns:
        The tensors, on the CPU, and the SHA-256 of the file.

    Raises:
        ModelError: The file is missing, damaged, declares something else, or holds NaN or Inf; the message says which.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing; give an undamaged model folder.")
    try:
        with path.open("rb") as file:
            header = _read_header(path, file)
            start = file.tell()
            found = _declared(path, header)
            expected = expect(found)
            _compare(path, found, expected)
            size = start + sum(BYTES[dtype] * math.prod(shape) for dtype, shape in expected.values())
            file.seek(0)
            content = file.read(size + 1)  # no more than was promised
        if len(content) != size:
            raise _damaged(path, f"it should have {size} bytes")
        tensors = load(content)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error)[:200]) from error
    if header.get("__metadata__") != {"sha256": _seal_of(content, start, header)}:
        raise _damaged(path, "its content differs from its checksum")
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            raise _damaged(path, f"{name} holds NaN or Inf")
    return tensors, hashlib.sha256(content).hexdigest()


def _damaged(path: Path, reason: str) -> ModelError:
    advice = "give an undamaged model folder, or repeat the run's command, which writes it anew"
    return ModelError(f"{path} is damaged: {reason}; {advice}.")


def _read_header(path: Path, file: BinaryIO) -> dict[str, Any]:
    """The header's JSON object; leaves the file at the first tensor's first byte."""
    length = int.from_bytes(file.read(8), "little")
    text = file.read(min(length, MOST_HEADER + 1))
    try:
        header = json.loads(text) if len(text) == length <= MOST_HEADER else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise _damaged(path, "it does not begin as a safetensors file")
    return header


def _declared(path: Path, header: dict[str, Any]) -> Shapes:
    """The tensors that a header declares; their places in the file are left to safetensors, which admits no holes."""
    shapes: Shapes = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
        if not isinstance(dtype, str) or not isinstance(shape, list) or not all(type(size) is int for size in shape):
            raise _damaged(path, f"the header's entry of {name[:80]!r} is no tensor's")
        shapes[name] = (dtype, tuple(shape))
    return shapes


def _compare(path: Path, found: Shapes, expected: Shapes) -> None:
    """Names the first tensor that is missing, unknown, or of another shape or dtype."""
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise _damaged(path, f"it lacks the tensor {name}")
        if name not in expected:
            raise _damaged(path, f"it has an unknown tensor {name[:80]!r}")
        if found[name] != expected[name]:
            (dtype, shape), (is_dtype, is_shape) = expected[name], found[name]
            got = f"{is_dtype[:20]} {str(is_shape)[:80]}"
            raise _damaged(path, f"{name} is {got} where the config asks for {dtype} {shape}")


def _seal_of(content: bytes, start: int, header: dict[str, Any]) -> str:
    """The SHA-256 of a file whose header ends at `start`, with zeros where its checksum stands."""
    metadata = header.get("__metadata__")
    claimed = metadata.get("sha256") if isinstance(metadata, dict) else None
    digest = hashlib.sha256(content[:start].replace(str(claimed).encode(), BLANK.encode(), 1))
    digest.update(memoryview(content)[start:])
    return digest.hexdigest()
