"""Training iterations in the forms that benchmarks compare, and their convolutions alone."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from biggan import presets
from biggan.config import Config
from biggan.models import layers, products
from biggan.training.hardware import compute_dtype, pick_precision
from biggan.training.loop import Training, iterate
from biggan.training.memory import keep_freed
from biggan.training.trial import Noise

CPU = torch.device("cpu")
BFLOAT16 = pick_precision("auto", CPU) == "bfloat16"
NO_BFLOAT16 = "" if BFLOAT16 else " This processor has no fast instructions for bfloat16, which is left out."


class Contiguous(TorchFunctionMode):
    """Maps in torch's usual layout, NCHW, wherever the networks ask for channels_last."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if given.get("memory_format") is torch.channels_last:
            given = {**given, "memory_format": torch.contiguous_format}
        return func(*args, **given)


def settings(preset: str, batch: int, d_steps: int = 2) -> Config:
    """A preset with another batch; weights drawn at random, as orthogonal ones of wide networks take minutes."""
    base = presets.preset(preset)
    model = replace(base.model, init="N02", power_iteration="per_step")
    return replace(
        base,
        model=model,
        optim=replace(base.optim, d_steps=d_steps),
        train=replace(base.train, batch_size=batch, microbatch=None),
    )


def ours(config: Config, precision: str = "float32", compiled: bool = False, kept: bool = True) -> Callable[[], object]:
    """An iteration as `biggan train` runs it; without `kept` as where there is no memory to spare."""
    config = replace(config, train=replace(config.train, compile=compiled))
    if kept:
        keep_freed(config, CPU)
    return partial(iterate, Training(config, CPU, compute_dtype(precision)), Noise(config))


@contextmanager
def as_convolutions() -> Iterator[None]:
    """Within, nothing is a product that could be a convolution, and attention that learns writes its scores."""
    kept = products.LARGE, layers.FEW_KEYS
    products.LARGE = layers.FEW_KEYS = sys.maxsize
    try:
        yield
    finally:
        products.LARGE, layers.FEW_KEYS = kept


def plain(config: Config) -> Callable[[], object]:
    """The same arithmetic as the reference does: resampling and convolutions apart, float32, NCHW, eager."""
    config = replace(config, model=replace(config.model, fused_resampling=False))
    run, data = Training(config, CPU), Noise(config)
    data.x = data.x.contiguous()

    def iteration() -> None:
        with Contiguous(), as_convolutions():
            iterate(run, data)

    return iteration


@cache
def _like(shape: torch.Size, stride: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """The random tensor of a shape, layout and precision."""
    return torch.empty_strided(shape, stride, dtype=dtype).normal_()


class _Convolutions(TorchDispatchMode):
    """Keeps the calls of convolution kernels made within, with random tensors in place of what they were given."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket.__name__ in ("convolution", "convolution_backward"):
            given = tree_map(lambda x: _like(x.shape, x.stride(), x.dtype) if isinstance(x, Tensor) else x, args)
            self.calls.append((func, given))
        return func(*args, **(kwargs or {}))


def convolutions(iteration: Callable[[], object]) -> tuple[Callable[[], None], float]:
    """The convolutions of an iteration, forward and backward, on other numbers and nothing beside them.

    All of them are convolutions here, also those that are products in training.

    Returns:
        What runs them, and their multiply-adds.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with as_convolutions(), _Convolutions() as found:
        iteration()

    def run() -> None:
        for function, args in found.calls:
            function(*args)

    with FlopCounterMode(display=False) as counter:
        run()
    return run, counter.get_total_flops() / 2
