"""What a run on many devices will take: arithmetic, memory, communication, time, disk, each with its formula.

A model, not a measurement: the time of an iteration is that of its multiply-adds at a rate, then that of what the
processes send each other, one after the other (that gradients travel while others are computed is left out, so the
share of communication is an upper bound). Not here: the walk that counts (`costs.py`), memory (`memory.py`).
"""

import math
from dataclasses import dataclass, replace

from biggan.config import Config
from biggan.models.build import count_parameters, skeleton
from biggan.models.layers import norms
from biggan.training.costs import walk
from biggan.training.memory import FLOAT, Need, estimate, fitting_microbatch


def multiply_adds(config: Config, microbatch: int, accumulation: int, *, gpu: bool) -> float:
    """Multiply-adds of one process's iteration: all D steps and the G step, forward and backward.

    Raises:
        ConfigError: The networks cannot be built.
    """
    total, train = 0.0, config.train
    for step, times in (("D", config.optim.d_steps), ("G", 1)):
        weights = {1: 1} if accumulation == 1 else {1: 2 - accumulation, 2: accumulation - 1}
        for count, weight in weights.items():  # the first microbatch and, as often as it comes, the second
            found = walk(step, config.model, config.optim, train.precision, gpu, count, train.recompute, config.augment)
            total += times * weight * sum(kernel.multiply_adds for kernel in found.kernels(microbatch))
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """What devices are joined by. Bandwidths are what a ring gets in one direction, in bytes a second."""

    per_node: int = 8
    """Devices in a machine."""
    inside: float = 100e9
    """Bandwidth between the devices of a machine."""
    inside_latency: float = 10e-6
    """Seconds of a hop between them."""
    between: float = 12.5e9
    """Bandwidth between machines, of all devices of one together."""
    between_latency: float = 30e-6
    """Seconds of a hop between machines."""

    def all_reduce(self, size: float, devices: int) -> float:
        """Seconds in which `devices` devices sum `size` bytes: a ring or a tree, whichever is faster.

        A ring takes 2 (p - 1) / p size / bandwidth and 2 (p - 1) hops, a tree 2 size / bandwidth and 2 log2(p) hops;
        both are as fast as their slowest link.
        """
        if devices == 1:
            return 0.0
        across = devices > self.per_node
        bandwidth = min(self.inside, self.between) if across else self.inside
        machines = math.ceil(devices / self.per_node)
        local = min(devices, self.per_node)
        ring_hops = 2 * (devices - machines) * self.inside_latency + across * 2 * machines * self.between_latency
        tree_hops = 2 * math.log2(local) * self.inside_latency + 2 * math.log2(machines) * self.between_latency
        ring = 2 * (devices - 1) / devices * size / bandwidth + ring_hops
        return min(ring, 2 * size / bandwidth + tree_hops)


GPU_LINKS = Links()
"""NVLink or NVSwitch within a machine, 100 Gbit/s between machines."""
CPU_LINKS = Links(per_node=1, inside=1e9, inside_latency=50e-6, between=1.25e9, between_latency=100e-6)
"""Processes of one machine over gloo, 10 Gbit/s between machines."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one process sends in an iteration."""

    gradients: float
    """Bytes of gradients averaged."""
    moments: float
    """Bytes of batch-norm moments, and of their gradients, summed."""
    exchanges: int
    """All-reduces of moments."""
    seconds: float


def traffic(config: Config, devices: int, accumulation: int, links: Links) -> Traffic:
    """Communication of an iteration.

    Gradients once an optimizer step. Cross-replica batch norm sums two numbers a channel in every forward of G and in
    its backward: a microbatch goes forward in each D step, forward and back in the G step.
    """
    if devices == 1:
        return Traffic(0, 0, 0, 0.0)
    g, d = (count_parameters(network) for network in skeleton(config.model))
    sent_bytes = 2 if config.optim.gradient_precision == "bfloat16" else FLOAT
    steps = [sent_bytes * d] * config.optim.d_steps + [sent_bytes * g]
    channels = [norm.stored_mean.numel() for _, norm in norms(skeleton(config.model)[0]) if norm.kind == "batch"]
    group = config.model.norm_replicas or devices
    times = accumulation * (config.optim.d_steps + 2) if group > 1 else 0
    seconds = sum(links.all_reduce(size, devices) for size in steps)
    seconds += times * sum(links.all_reduce(2 * FLOAT * c, group) for c in channels)
    return Traffic(sum(steps), times * 2 * FLOAT * sum(channels), times * len(channels), seconds)


@dataclass(frozen=True, slots=True)
class Plan:
    """A run in numbers; bytes, seconds and images as named."""

    config: Config
    """With the microbatch of one device."""
    devices: int
    accumulation: int
    need: Need
    multiply_adds: float
    """Of one device in one iteration."""
    traffic: Traffic
    compute_seconds: float
    """Of an iteration on each device; 0 where no rate is known."""

    @property
    def images_per_iteration(self) -> int:
        """Real images that all devices show to D in one iteration."""
        return self.config.optim.d_steps * self.config.train.batch_size

    @property
    def multiply_adds_per_image(self) -> float:
        """Multiply-adds behind one real image shown to D, with its share of all steps."""
        return self.multiply_adds * self.devices / self.images_per_iteration

    @property
    def seconds(self) -> float:
        """Of an iteration."""
        return self.compute_seconds + self.traffic.seconds

    @property
    def images_per_second(self) -> float:
        """Real images shown to D a second, by all devices."""
        return self.images_per_iteration / self.seconds

    @property
    def iterations(self) -> int:
        """Of the whole run."""
        return -(-self.config.train.total_images // self.images_per_iteration)

    @property
    def state_bytes(self) -> int:
        """A saved state: the networks, the averages and the moments, as in memory."""
        return self.need.state

    def data_bytes(self, images: int) -> int:
        """Packed images: bytes of their pixels and of a label each."""
        return images * (self.config.model.image_channels * self.config.model.resolution**2 + 8)


def plan(
    config: Config,
    devices: int,
    memory: float,
    *,
    gpu: bool,
    links: Links,
) -> Plan:
    """The plan of a run without a rate; `at_rate` adds one.

    Args:
        config: The settings; without a microbatch the largest that fits is taken.
        devices: Processes, one a device.
        memory: Bytes of each.
        gpu: Whether they are GPUs.
        links: How they are joined.

    Raises:
        OutOfMemory: It does not fit.
        ConfigError: The batch cannot be shared so, or the networks cannot be built.
    """
    microbatch = config.train.microbatch or fitting_microbatch(config, memory, devices, gpu=gpu)
    config = replace(config, train=replace(config.train, microbatch=microbatch))
    need = estimate(config, devices, gpu=gpu)
    accumulation = config.train.batch_size // devices // microbatch
    macs = multiply_adds(config, microbatch, accumulation, gpu=gpu)
    sent = traffic(config, devices, accumulation, links)
    return Plan(config, devices, accumulation, need, macs, sent, 0.0)


def at_rate(made: Plan, *, images_per_second: float | None = None, tflops: float | None = None) -> Plan:
    """The plan at a device's rate: real images a second alone, or 10^12 floating-point operations a second, two a
    multiply-add."""
    if images_per_second is not None:
        seconds = made.images_per_iteration / made.devices / images_per_second
    else:
        seconds = 2 * made.multiply_adds / ((tflops or 1.0) * 1e12)
    return replace(made, compute_seconds=seconds)
