"""How fast this machine's CPU runs the kernels of an iteration: rates from a few small runs, times from rates.

A kernel's time is taken as a line: so much a call, a multiply-add (channels rounded up to whole blocks) and a byte. The
lines are fitted, kind by kind, to the kernels of small runs of their own; what is left of an iteration, Python and
autograd, is so much a call. Not here: what an iteration consists of (`costs.py`, `planning.tally`).
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biggan.config import Config, Model, Optim, Train
from biggan.training.costs import Kernel, Recorder
from biggan.training.hardware import compute_dtype
from biggan.training.loop import Training, iterate
from biggan.training.planning import Tally

ROUNDS = 4
KINDS = {"mm": "matrix", "addmm": "matrix", "bmm": "matrix", "baddbmm": "matrix"}
PARTS = ("convolution", "native_batch_norm", "_fused_adam_", "_foreach_lerp_")


class Noise:
    """Real images that cost nothing to read."""

    def __init__(self, config: Config) -> None:
        size = (config.train.batch_size, config.model.image_channels, *(config.model.resolution,) * 2)
        self.x = torch.rand(size).contiguous(memory_format=torch.channels_last) * 2 - 1
        self.y = torch.arange(config.train.batch_size) % max(config.model.num_classes, 1)

    def batch(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        return self.x[:count], self.y[:count]


class Timer(Recorder):
    """A recorder that takes the time of every kernel.

    Attributes:
        seconds: Of the kernels, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        began = time.perf_counter()
        out = func(*args, **(kwargs or {}))
        spent = time.perf_counter() - began
        before = len(self.kernels)
        self.note(func, args, kwargs or {}, out)
        self.seconds += [spent] * (len(self.kernels) - before)
        return out


def samples() -> list[Config]:
    """The small runs that rates are taken from: both architectures, both forms, few and many channels, 32 to 64 px."""
    shallow = Model(resolution=32, num_classes=10, dim_z=64, shared_dim=32, g_attention=(), d_attention=())
    widths = {"g_widths": (96, 96, 64, 24), "d_widths": (24, 64, 96, 96)}
    tall = {"resolution": 64, "dim_z": 80, "g_attention": (32,), "d_attention": (32,)}
    wide = {"g_widths": (160, 160, 96, 48, 32), "d_widths": (32, 48, 96, 160, 160)}
    deep = {"architecture": "biggan-deep", "dim_z": 32, "g_widths": (128, 128, 64, 32), "d_widths": (32, 64, 128, 128)}
    models = [
        replace(shallow, **widths),  # type: ignore[arg-type]
        replace(shallow, fused_resampling=False, **widths),  # type: ignore[arg-type]
        replace(shallow, **tall, **wide),  # type: ignore[arg-type]
        replace(shallow, **deep),  # type: ignore[arg-type]
        replace(shallow, fused_resampling=False, **deep, resolution=32),  # type: ignore[arg-type]
    ]
    batches = (24, 8, 6, 24, 8)
    return [
        Config(model=model, optim=Optim(d_steps=1), train=Train(batch_size=batch, precision="float32"))
        for model, batch in zip(models, batches, strict=True)
    ]


def _kind(name: str) -> str:
    """The kind of kernel that shares one line."""
    part = next((part for part in PARTS if name.startswith(part)), "other")
    return name if part != "other" else KINDS.get(name, part)


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds of each kind of kernel: a call, a padded multiply-add, a byte; and of each call beside its kernel."""

    lines: Mapping[str, NDArray[np.float64]]
    beside: float

    def seconds(self, tallies: Mapping[str, Tally]) -> float:
        """Of what was counted; kernels of a kind that was never met count as `other`."""
        total = 0.0
        for name, found in tallies.items():
            line = self.lines.get(_kind(name), self.lines["other"])
            total += float(line @ [found.calls, found.padded, found.bytes]) + self.beside * found.calls
        return total


def measure_rates(precision: str = "float32", configs: Sequence[Config] = ()) -> Rates:
    """Takes this machine's rates in about half a minute.

    Args:
        precision: Of convolutions.
        configs: Runs to take them from; `samples()` if not given.
    """
    rows: dict[str, list[tuple[Kernel, float]]] = {}
    left = calls = 0.0
    for config in configs or samples():
        run, data = Training(config, torch.device("cpu"), compute_dtype(precision)), Noise(config)
        iterate(run, data)
        timers, walls = [], []
        for _ in range(ROUNDS):
            with Timer() as timer:
                iterate(run, data)
            timers.append(timer)
            began = time.perf_counter()
            iterate(run, data)
            walls.append(time.perf_counter() - began)
        best = np.min([timer.seconds for timer in timers], 0)
        for kernel, seconds in zip(timers[0].kernels, best, strict=True):
            rows.setdefault(_kind(kernel.name), []).append((kernel, float(seconds)))
        left += min(walls) - float(best.sum())
        calls += len(best)
    lines = {kind: _fit(found) for kind, found in rows.items()}
    return Rates(lines, max(left / calls, 0.0))


def _fit(rows: Iterable[tuple[Kernel, float]]) -> NDArray[np.float64]:
    """The line of non-negative parts through times, in which errors count relative to the root of a time."""
    found = list(rows)
    seconds = np.array([time_ for _, time_ in found])
    parts = np.array([[1.0, kernel.padded, kernel.bytes] for kernel, _ in found])
    weight = 1 / np.sqrt(np.maximum(seconds, 1e-7))
    scale = np.maximum(np.abs(parts).max(0), 1e-30)
    used = [i for i in range(3) if parts[:, i].any()]
    while True:
        solved, *_ = np.linalg.lstsq(parts[:, used] / scale[used] * weight[:, None], seconds * weight, rcond=None)
        if (solved >= 0).all() or len(used) == 1:
            break
        used.remove(used[int(solved.argmin())])
    line = np.zeros(3)
    line[used] = np.maximum(solved, 0) / scale[used]
    return line
