"""What several processes do together in the tests of `distributed/`; each writes what it finds to a file of its own."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import torch
from reference_run import ReferenceRun
from safetensors.torch import save_file
from torch import Tensor

from biggan import latents
from biggan.config import PLAIN, Config, Model, Optim, Train
from biggan.distributed.collective import gather, lead, mean_figures
from biggan.distributed.processes import rank, world_size
from biggan.distributed.watchdog import watched
from biggan.errors import DiskFailed
from biggan.latents import Stream
from biggan.models.statistics import standing_row
from biggan.training import state
from biggan.training.adam import Adam
from biggan.training.ema import averaged_copy
from biggan.training.loop import Training, iterate

MODEL = Model(
    resolution=32,
    num_classes=5,
    g_channels=2,
    d_channels=2,
    g_attention=(),
    d_attention=(),
    dim_z=12,
    shared_dim=3,
)
OPTIM = Optim(ortho_g=1e-4, ema_decay=0.9, adam_eps=1e-3)
BATCH = 8
LITTLE = replace(PLAIN, augment=("color", "translation"), ada_target=0.5, ada_images=20 * BATCH, lecam=0.3)
CASES = {
    "one batch": Config(model=MODEL, optim=OPTIM, train=Train(batch_size=BATCH)),
    "two microbatches": Config(model=MODEL, optim=OPTIM, train=Train(batch_size=BATCH, microbatch=BATCH // 2)),
    "little data": Config(model=MODEL, optim=OPTIM, augment=LITTLE, train=Train(batch_size=BATCH)),
    "moments apart": Config(model=replace(MODEL, cross_replica=False), optim=OPTIM, train=Train(batch_size=BATCH)),
    "groups of two": Config(model=replace(MODEL, replica_group=2), optim=OPTIM, train=Train(batch_size=BATCH)),
}


class Noise:
    """Real images in float64 by their place in the stream."""

    def batch(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        x = latents.normal(0, Stream.PICTURES, start, count, 3 * 32 * 32).double().tanh().view(count, 3, 32, 32)
        return x, latents.labels(0, Stream.FLIPS, start, count, MODEL.num_classes)


def begun(config: Config) -> Training:
    """A run in float64."""
    micro = config.train.microbatch and config.train.microbatch // world_size()
    run = Training(replace(config, train=replace(config.train, microbatch=micro)), torch.device("cpu"))
    run.G.double(), run.D.double()
    run.G_ema = averaged_copy(run.G)
    run.optim_g, run.optim_d = Adam.of(run.G, 1e-3, OPTIM), Adam.of(run.D, 1e-3, OPTIM)
    if config.augment.ada_target:  # in the middle of its way
        run.adaptive.level, run.adaptive.sign = torch.tensor(0.3), torch.tensor(0.9)
    return run


def trained(config: Config) -> dict[str, Tensor]:
    """Everything that three iterations in float64 leave: weights, buffers, average, figures, statistics, pictures."""
    run = begun(config)
    found: dict[str, Tensor] = {}
    for _ in range(3):
        figures = mean_figures(iterate(run, Noise()))
        found = {
            name: figure for name, figure in figures.items() if not name.endswith("_std")
        }  # spreads are of a share
    for name in ("G", "D", "G_ema"):
        found |= {f"{name}.{key}": tensor.clone() for key, tensor in getattr(run, name).state_dict().items()}
    found |= {f"adaptive.{key}": tensor.double() for key, tensor in run.adaptive.tensors().items()}
    run.G_ema.use_statistics(standing_row(run.G_ema, num_latents=64))
    z = latents.draw([rank()], MODEL.dim_z).double()
    with torch.no_grad():
        found["pictures"] = gather(run.G_ema(z, run.G_ema.embed(torch.tensor([rank() % 5]))))
    return found


class Noted(Noise):
    """As `Noise`, writing down the images that this process was given."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def batch(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        with self.path.open("a") as file:
            file.writelines(f"{image}\n" for image in range(start, start + count))
        return super().batch(start, count)


def go_on(folder: Path, iterations: int = 3) -> None:
    """More iterations of the run in a folder, from its last state to a new one."""
    run = begun(CASES["one batch"])
    saved = state.load_shared(folder, print)
    if saved:
        run.images = saved.images
        for name in ("G", "D", "G_ema"):
            getattr(run, name).load_state_dict(saved.tensors[name])
        for name in ("optim_g", "optim_d"):
            getattr(run, name).load(saved.tensors[name])
    for _ in range(iterations):
        iterate(run, Noted(folder / f"images.{rank()}"))
    tensors = {name: dict(getattr(run, name).state_dict()) for name in ("G", "D", "G_ema")}
    tensors |= {name: getattr(run, name).tensors() for name in ("optim_g", "optim_d")}
    lead(lambda: state.save_state(folder, run.images, tensors, {}) and None)


def train_together(folder: Path) -> None:
    """Trains every case that this number of processes can."""
    cases = {name: config for name, config in CASES.items() if world_size() % (config.model.replica_group or 1) == 0}
    found = {f"{name}/{key}": tensor for name in cases for key, tensor in trained(cases[name]).items()}
    save_file(found, folder / f"{rank()}.safetensors")


def replay_the_reference(folder: Path) -> None:
    """The first golden iteration of BigGAN-PyTorch."""
    for name in ("biggan32", "sagan32"):
        run = ReferenceRun(name, fused=True)
        run.iterate(0)
        parts = {"G": run.G.state_dict(), "D": run.D.state_dict(), "gradients": run.gradients}
        for part, tensors in parts.items():
            contiguous = {key: tensor.contiguous() for key, tensor in tensors.items()}
            save_file(contiguous, folder / f"{name}.{part}.{rank()}.safetensors")


def fail_together(folder: Path) -> None:
    """Process 0 meets an error in what it does for all."""

    def fail() -> None:
        raise DiskFailed("the disk is full")

    try:
        lead(fail)
    except DiskFailed as error:
        (folder / f"{rank()}").write_text(f"{error}")
    except SystemExit as stop:
        (folder / f"{rank()}").write_text(f"exit {stop.code}")


def hang_together(folder: Path) -> None:
    """Process 1 stops, and process 0 waits for it in an iteration."""
    run = begun(CASES["one batch"])
    iterate(run, Noise())
    if rank() == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    with watched(1):
        iterate(run, Noise())
