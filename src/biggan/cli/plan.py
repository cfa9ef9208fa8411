"""`biggan plan`: what a run will need on devices that need not be here."""

import json
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from tyro.conf import OmitArgPrefixes

from biggan import config, presets
from biggan.cli.parse import run_command
from biggan.cli.train import DEFAULT_PRESET, preset_name
from biggan.config import Config
from biggan.errors import ConfigError
from biggan.training.hardware import installed_memory, pick_precision
from biggan.training.little import check_together
from biggan.training.memory import CACHE, HEAP
from biggan.training.planning import CPU_LINKS, GPU_LINKS, Links, Plan, at_rate, plan
from biggan.training.trial import iteration_seconds

IMAGENET, OTHERS = 1_281_167, 50_000  # images of ImageNet, which has a thousand classes, and of CIFAR-10

COUNTED = (
    "every kernel of the D steps and the G step, forward and backward, spectral norm and regularisation with them, "
    "counted on shapes; an iteration shows D steps x batch-size real images"
)
FITTING = "the largest divisor of batch-size / devices that fits, or --microbatch"
STATE = "4 bytes x (state of G, of its averages and of D + 2 x parameters, which are Adam's moments)"
STEP = "the peak of a step: activations, gradients, images, copies under way (the factor is the allocator's)"
TRAFFIC = (
    "gradients: D's once a D step, G's once; moments: 2 numbers a channel of each norm of G x accumulation x "
    "(D steps + 2); an all-reduce of b bytes over p devices: 2 (p - 1) / p b / bandwidth + 2 (p - 1) hops, or "
    "2 b / bandwidth + 2 log2(p) hops where that is less; nothing overlaps"
)
COMPUTE = "2 x multiply-adds / --tflops, or a device's images / --rate, or a trial's time; + traffic"


class Line(NamedTuple):
    """A line of the plan."""

    label: str
    text: str
    formula: str


def run(argv: list[str]) -> None:
    """Runs the command with the defaults of the preset that `argv` names."""
    base = presets.preset(preset_name(argv))

    def plan_(
        preset: str = DEFAULT_PRESET,
        model: OmitArgPrefixes[config.Model] = base.model,
        images: OmitArgPrefixes[config.Data] = base.data,
        augment: OmitArgPrefixes[config.Augment] = base.augment,
        optim: OmitArgPrefixes[config.Optim] = base.optim,
        train: OmitArgPrefixes[config.Train] = base.train,
        gpus: int | None = None,
        gpu_memory: float = 80,
        cpus: int | None = None,
        cpu_memory: float | None = None,
        rate: float | None = None,
        tflops: float | None = None,
        measure: bool = False,
        per_node: int | None = None,
        link: float | None = None,
        link_latency: float | None = None,
        network: float | None = None,
        network_latency: float | None = None,
        dataset_images: int | None = None,
        explain: bool = False,
        as_json: bool = False,
    ) -> None:
        """Says what a run will need: memory, microbatch, arithmetic, traffic, time and disk.

        Args:
            preset: Settings to start from; the flags of `biggan train` change them.
            gpus: GPUs, one process on each.
            gpu_memory: GiB of each GPU.
            cpus: Processes that compute on CPUs; 1 if no GPUs are given.
            cpu_memory: GiB for each of them; this machine's, shared by all, if not given.
            rate: Real images a second that one device alone shows to D.
            tflops: Or 10^12 floating-point operations a second that one device reaches, not its peak.
            measure: Or run a few iterations of one or two microbatches on this machine's CPU.
            per_node: Devices in a machine; 8 GPUs, all CPUs.
            link: GB/s between the devices of a machine, one way; 100 for GPUs, 1 for CPUs.
            link_latency: Microseconds of a hop between them; 10 and 50.
            network: GB/s between machines, of each; 12.5 and 1.25.
            network_latency: Microseconds of a hop between machines; 30 and 100.
            dataset_images: Images of the data; ImageNet's for a thousand classes, else 50,000.
            explain: Give the formula behind each line.
            as_json: Say it as JSON.
        """
        gpu, devices = _devices(gpus, cpus)
        if [rate is not None, tflops is not None, measure].count(True) > 1:
            raise ConfigError("--rate, --tflops and --measure each give the speed; give one.")
        if measure and gpu:
            raise ConfigError("--measure measures this machine's CPU; for GPUs give --rate or --tflops.")
        if gpu and cpu_memory is not None:
            raise ConfigError("--cpu-memory is for --cpus; with --gpus give --gpu-memory.")
        given = {"gpu_memory": gpu_memory, "cpu_memory": cpu_memory, "rate": rate, "tflops": tflops}
        given |= {"per_node": per_node, "link": link, "link_latency": link_latency, "network": network}
        for name, value in {**given, "network_latency": network_latency, "dataset_images": dataset_images}.items():
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"--{name.replace('_', '-')} is {value:g}; allowed is above 0.")
        cpu = torch.device("cpu")
        precision = train.precision if train.precision != "auto" else "bfloat16" if gpu else pick_precision("auto", cpu)
        classes, channels = model.num_classes if images.labels else 0, images.channels or model.image_channels
        settings = Config(
            model=replace(model, num_classes=classes, image_channels=channels),
            data=images,
            augment=augment,
            optim=optim,
            train=replace(train, precision=precision),
        )
        check_together(augment, optim.loss, images.labels)
        each = gpu_memory * 2**30 if gpu else cpu_memory and cpu_memory * 2**30
        links = _links(gpu, devices, per_node, (link, link_latency, network, network_latency))
        made = plan(settings, devices, each or installed_memory(cpu) / devices, gpu=gpu, links=links)
        if measure:
            print("Measuring this machine ...", flush=True)
            made = replace(made, compute_seconds=iteration_seconds(made.config, made.accumulation))
        elif rate is not None or tflops is not None:
            made = at_rate(made, images_per_second=rate, tflops=tflops)
        count = dataset_images or (IMAGENET if model.num_classes == 1000 else OTHERS)
        _show(lines(made, count), explain, as_json)

    run_command(plan_, argv, "biggan plan")


def _devices(gpus: int | None, cpus: int | None) -> tuple[bool, int]:
    """Whether to plan for GPUs, and how many devices."""
    if gpus is not None and cpus is not None:
        raise ConfigError("--gpus and --cpus exclude each other; give one.")
    devices = gpus if gpus is not None else 1 if cpus is None else cpus
    if devices < 1:
        raise ConfigError(f"--{'cpus' if gpus is None else 'gpus'} is {devices}; allowed is 1 or more.")
    return gpus is not None, devices


def _links(gpu: bool, devices: int, per_node: int | None, given: tuple[float | None, ...]) -> Links:
    """The default links with what the flags change, which are in GB/s and microseconds."""
    base = GPU_LINKS if gpu else replace(CPU_LINKS, per_node=devices)
    names, scales = ("inside", "inside_latency", "between", "between_latency"), (1e9, 1e-6, 1e9, 1e-6)
    parts = zip(names, given, scales, strict=True)
    changed = {name: value * scale for name, value, scale in parts if value is not None}
    return replace(base, per_node=per_node or base.per_node, **changed)


def _size(count: float) -> str:
    return f"{count / 2**30:,.2f} GiB"


def _time(seconds: float) -> str:
    return f"{seconds / 86400:,.1f} days" if seconds > 86400 else f"{seconds / 3600:,.1f} hours"


def lines(made: Plan, images: int) -> list[Line]:
    """The plan as lines.

    Args:
        made: The plan.
        images: Images of the data.
    """
    need, sent, train = made.need, made.traffic, made.config.train
    shape = f"{made.devices} x {made.accumulation} x {train.microbatch} = {train.batch_size}"
    macs = f"{made.multiply_adds_per_image / 1e9:,.2f} G a real image, {made.multiply_adds / 1e12:,.2f} T"
    memory = f"{_size(need.memory)} a device, {_size(need.state)} of it to stay, {_size(need.step)} in a step"
    gradients, moments = (
        f"{sent.gradients / 2**20:,.0f} MiB of gradients",
        f"{sent.moments / 2**20:,.2f} MiB of moments",
    )
    exchanges = f"in {sent.exchanges:,} exchanges, {sent.seconds * 1e3:,.1f} ms"
    factor = CACHE if need.gpu else HEAP
    found = [
        Line("parameters", f"G {need.g_parameters:,}, D {need.d_parameters:,}", "counted on shapes"),
        Line("multiply-adds", f"{macs} an iteration of a device", COUNTED),
        Line("batch", f"{shape} (devices x accumulation x microbatch)", FITTING),
        Line("memory", memory, f"program {_size(need.program)} + {STATE} + {factor} x {STEP}"),
        Line("traffic", f"{gradients}, {moments} {exchanges} an iteration", TRAFFIC),
    ]
    if made.compute_seconds:
        found += _speed(made)
    else:
        found.append(Line("speed", "not known; give --rate, --tflops or --measure", "no rate was given"))
    kept = (train.keep + 1) * made.state_bytes
    disk = f"{_size(made.data_bytes(images))} for {images:,} packed images, {_size(kept)} for states"
    rule = "images x (channels x resolution^2 + 8); (--keep + 1 being written) x the networks, averages and moments"
    return [*found, Line("disk", disk, rule)]


def _speed(made: Plan) -> list[Line]:
    total = made.config.train.total_images
    return [
        Line(
            "iteration",
            f"{made.seconds:,.3f} s, of which communication {made.traffic.seconds / made.seconds:.1%}",
            COMPUTE,
        ),
        Line("images/s", f"{made.images_per_second:,.1f}", "D steps x batch-size / seconds of an iteration"),
        Line(
            "length",
            f"{_time(made.iterations * made.seconds)} for {made.iterations:,} iterations, {total:,} images",
            "--total-images / (D steps x batch-size) x seconds of an iteration",
        ),
    ]


def _show(found: list[Line], explain: bool, as_json: bool) -> None:
    if as_json:
        values: dict[str, Any] = {line.label: line._asdict() for line in found}
        print(json.dumps(values, indent=2))
        return
    for line in found:
        print(f"{line.label:<14} {line.text}")
        if explain:
            print(f"{'':<14}   = {line.formula}")
