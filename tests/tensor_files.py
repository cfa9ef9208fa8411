"""A state dict in files: written, read back, refused.

Not here: torch files that ask to run something (`crafted.py`).
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from biggan.errors import ModelError
from biggan.interop.checkpoint import read_tensors

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
