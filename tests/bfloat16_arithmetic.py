"""bfloat16 arithmetic on a processor without bfloat16 instructions, about as fast as float32.

torch's own substitute took 15 times as long as float32 (an iteration of `cpu-small`, AVX2), and rounds gradients twice.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from biggan.training.hardware import pick_precision

aten = torch.ops.aten
SUMMING = (
    aten.convolution.default,
    aten.convolution_backward.default,
    aten.addmm.default,
    aten.mm.default,
    aten.bmm.default,
)


class SummedInFloat32(TorchDispatchMode):
    """Sums of products of bfloat16 values are taken in float32 and rounded, as bfloat16 instructions do."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in SUMMING or args[0].dtype != torch.bfloat16:
            return func(*args, **(kwargs or {}))
        result = func(*tree_map_only(Tensor, Tensor.float, args), **(kwargs or {}))
        return tree_map_only(Tensor, Tensor.bfloat16, result)


def bfloat16_arithmetic() -> AbstractContextManager[object]:
    """Within, bfloat16 is computed in the way that is fast on this processor."""
    fast = pick_precision("auto", torch.device("cpu")) == "bfloat16"
    return nullcontext() if fast else SummedInFloat32()  # type: ignore[no-untyped-call]
