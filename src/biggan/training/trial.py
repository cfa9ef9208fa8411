"""How long an iteration takes on this machine: a few are run, on images that cost nothing to read.

Not here: what an iteration consists of (`costs.py`), what processes send each other (`planning.py`).
"""

import time
from dataclasses import replace

import torch
from torch import Tensor

from biggan.config import Config
from biggan.distributed.processes import alone
from biggan.training.compiling import check_compiler
from biggan.training.hardware import compute_dtype
from biggan.training.loop import Training, iterate

ROUNDS, ENOUGH = 3, 10.0  # iterations that are timed, and seconds after which no more is
CPU = torch.device("cpu")


class Noise:
    """Real images that cost nothing to read."""

    def __init__(self, config: Config, device: torch.device = CPU) -> None:
        size = (config.train.batch_size, config.model.image_channels, *(config.model.resolution,) * 2)
        self.x = (torch.rand(size).contiguous(memory_format=torch.channels_last) * 2 - 1).to(device)
        self.y = (torch.arange(config.train.batch_size) % max(config.model.num_classes, 1)).to(device)

    def batch(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        return self.x[:count], self.y[:count]


def iteration_seconds(config: Config, accumulation: int, device: torch.device = CPU) -> float:
    """Seconds of one process's iteration on this machine, without what processes send each other.

    Every microbatch after the second takes as long as the second, so iterations of one and of two tell all.

    Args:
        config: The settings, with a microbatch and a precision.
        accumulation: Microbatches of a step.
        device: Where to compute.

    Raises:
        ConfigError: The networks cannot be built, or are to be compiled and cannot be.
    """
    if config.train.compile:
        check_compiler()
    one = _least(config, 1, device)
    return one if accumulation == 1 else one + (accumulation - 1) * (_least(config, 2, device) - one)


def _least(config: Config, count: int, device: torch.device) -> float:
    """Seconds of the fastest of a few iterations of `count` microbatches: others were disturbed."""
    train = replace(config.train, batch_size=count * (config.train.microbatch or 1))
    config = replace(config, train=train)
    seconds = []
    with alone():
        run, data = Training(config, device, compute_dtype(train.precision)), Noise(config, device)
        iterate(run, data)
        _wait(device)
        for _ in range(ROUNDS):
            began = time.perf_counter()
            iterate(run, data)
            _wait(device)
            seconds.append(time.perf_counter() - began)
            if sum(seconds) > ENOUGH:
                break
    return min(seconds)


def _wait(device: torch.device) -> None:
    """Until all is computed."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
