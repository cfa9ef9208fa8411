"""What an iteration costs, found by running its own code on shapes alone: kernels, multiply-adds, peak memory.

The steps of `steps.py` run on the meta device and every kernel below autograd is written down. Every number found is
a straight line in the microbatch, so two walks, of microbatches of 2 and 3, give it for all. Convolutions that a CPU
takes as products (`models/products.py`) count as convolutions: what surrounds their pixels, at most as large as the
kernel, is not counted, nor that no wide kernel is made beside a resampling. Not here: how long it takes (`trial.py`),
what a machine has (`hardware.py`), many devices (`planning.py`).
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from biggan.config import PLAIN, Augment, Model, Optim
from biggan.distributed.processes import alone
from biggan.models.build import skeleton
from biggan.models.resample import down_conv, up_conv
from biggan.training.adaptive import Adaptive
from biggan.training.augment import NUMBERS
from biggan.training.hardware import compute_dtype
from biggan.training.steps import DBatch, GBatch, discriminator_step, generator_step

_aten = torch.ops.aten
COUNTED_AS = {  # torch counts what these do on GPUs alone
    _aten._scaled_dot_product_flash_attention_for_cpu: _aten._scaled_dot_product_flash_attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _aten._scaled_dot_product_flash_attention_backward,
}


class Kernel(NamedTuple):
    """One kernel of an iteration, its multiply-adds a line in the microbatch once walked."""

    name: str
    """The operator, such as `convolution`; `convolution:transposed` and the like tell its forms apart."""
    multiply_adds: float


class Recorder(TorchDispatchMode):
    """Writes down every kernel run within, and when memory is taken and given back.

    Attributes:
        kernels: In order.
        sizes: Bytes of each storage made within, in order.
        events: i + 1 where storage i was made, -(i + 1) where it was freed.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels: list[Kernel] = []
        self.sizes: list[int] = []
        self.events: list[int] = []
        self._held: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self.note(func, args, kwargs or {}, out)
        return out

    def note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """Writes down what was run and what it made."""
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        for tensor in made:
            self._hold(tensor)
        if not func.is_view:
            self.kernels.append(_kernel(func, args, kwargs, out))

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, number = storage._cdata, len(self.sizes) + 1
        if key not in self._held:
            self.sizes.append(storage.nbytes())
            self.events.append(number)
            self._held[key] = weakref.ref(storage, self._release(key, number))

    def _release(self, key: int, number: int) -> Callable[[Any], None]:
        def released(_: Any) -> None:
            self._held.pop(key, None)
            self.events.append(-number)

        return released


def _kernel(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Kernel:
    from torch.utils.flop_counter import flop_registry

    packet, name = COUNTED_AS.get(func.overloadpacket, func.overloadpacket), func.overloadpacket.__name__
    macs = flop_registry[packet](*args, **kwargs, out_val=out) // 2 if packet in flop_registry else 0
    if name.startswith("convolution"):
        weight, transposed = (args[2], args[7]) if name == "convolution_backward" else (args[1], args[6])
        name += ":transposed" if transposed else f":{weight.shape[2]}"
    return Kernel(name, macs)


class _Attention(TorchFunctionMode):
    """Attention without the matrix of all pairs of pixels, as GPUs run it, and CPUs where D = E (`layers.attended`)."""

    def __init__(self, gpu: bool) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func is not F.scaled_dot_product_attention or not (self.gpu or args[0].shape[-1] == args[2].shape[-1]):
            return func(*args, **given)
        if self.gpu:
            return _aten._scaled_dot_product_efficient_attention(*args, None, True, 0.0, False, **given)[0]
        return _aten._scaled_dot_product_flash_attention_for_cpu(*args, 0.0, False, **given)[0]


class _Still:
    """An optimizer that leaves all as it is; what Adam does is added by arithmetic."""

    def zero_grad(self) -> None:
        """There are no gradients before the one step that is walked."""

    def step(self) -> None:
        """Nothing moves."""


Line = NDArray[np.float64]
"""Numbers of consecutive kernels or storages, each a line in the microbatch: (2, n), at 0 and what an image adds."""


@dataclass(frozen=True, slots=True)
class Walk:
    """One step of one network over one or two microbatches."""

    names: tuple[str, ...]
    """Of the kernels, in order."""
    multiply_adds: Line
    sizes: Line
    """Bytes of each storage."""
    events: NDArray[np.int64]
    """As `Recorder.events`."""

    def peak(self, microbatch: int) -> int:
        """Most bytes held at once, beyond what was there before."""
        sizes = _at(self.sizes, microbatch)[np.abs(self.events) - 1]
        return int(np.cumsum(np.sign(self.events) * sizes).max())

    def kernels(self, microbatch: int) -> list[Kernel]:
        """All kernels in order."""
        numbers = _at(self.multiply_adds, microbatch)
        return [Kernel(*each) for each in zip(self.names, numbers, strict=True)]


def _at(line: Line, microbatch: int) -> NDArray[np.float64]:
    values: NDArray[np.float64] = line[0] + line[1] * microbatch
    return values


def _line(small: list[Any], large: list[Any]) -> Line:
    """The lines through values at microbatches of 2 and 3."""
    low, high = np.array(small, np.float64), np.array(large, np.float64)
    return np.stack([3 * low - 2 * high, high - low])


@cache
def walk(
    step: Literal["D", "G"],
    model: Model,
    optim: Optim,
    precision: str,
    gpu: bool,
    count: int,
    recompute: bool = False,
    augment: Augment = PLAIN,
) -> Walk:
    """Runs one step on the meta device.

    Args:
        step: Whose.
        model: The networks.
        optim: Losses and regularisation.
        precision: As in `config.Train`; all but bfloat16 counts as float32.
        gpu: Attention as GPUs have it, always without the matrix of all pairs of pixels.
        count: Microbatches, 1 or 2; every further one is as the second.
        recompute: As in `config.Train`.
        augment: What D sees, and its penalties.

    Raises:
        ConfigError: As `models.build.generator`.
    """
    small, large = (_record(step, model, optim, precision, gpu, count, n, recompute, augment) for n in (2, 3))
    macs = _line([kernel.multiply_adds for kernel in small.kernels], [kernel.multiply_adds for kernel in large.kernels])
    names, sizes = tuple(kernel.name for kernel in small.kernels), _line(small.sizes, large.sizes)
    return Walk(names, macs, sizes, np.array(small.events))


def _record(
    step: str,
    model: Model,
    optim: Optim,
    precision: str,
    gpu: bool,
    count: int,
    microbatch: int,
    recompute: bool,
    augment: Augment,
) -> Recorder:
    G, D = skeleton(model)
    G.train(), D.train()
    G.compute_dtype = D.compute_dtype = compute_dtype(precision)
    G.recompute = D.recompute = recompute
    recorder = Recorder()
    with torch.device("meta"), alone():
        x = torch.zeros(microbatch, model.image_channels, model.resolution, model.resolution)
        y, z = torch.zeros(microbatch, dtype=torch.long), torch.zeros(microbatch, model.dim_z)
        u, adaptive = torch.zeros(2 * microbatch, NUMBERS), Adaptive(augment, x.device)
        for resample in (up_conv, down_conv):  # makes the matrices that these keep for good
            resample(x, torch.zeros(1, model.image_channels, 3, 3), None)
        with recorder, _Attention(gpu):
            if step == "D":
                x = x.contiguous(memory_format=torch.channels_last)
                batch = DBatch(x, y, z, y, u if augment.augment else None, u if augment.consistency else None)
                discriminator_step(G, D, _Still(), [batch] * count, optim, adaptive)
            else:
                seen = u[:microbatch] if augment.augment else None
                generator_step(G, D, _Still(), [GBatch(z, y, seen)] * count, optim, adaptive)
    return recorder
