"""Training: the page to read first. What a run changes, one iteration, and `fit`.

Progress is the number of images shown to D. Every draw is a function of (seed, stream, global image index), so that
an iteration depends on nothing but the state and that number. The loop knows nothing of files, sheets or terminals:
it calls hooks.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor

from biggan import latents
from biggan.config import Config, Optim
from biggan.data.loader import put
from biggan.distributed.processes import share, world_size
from biggan.distributed.watchdog import alive
from biggan.latents import Stream
from biggan.models.build import build
from biggan.models.network import Generator
from biggan.models.spectral import vectors_held
from biggan.training.adam import Adam
from biggan.training.adaptive import Adaptive
from biggan.training.augment import NUMBERS
from biggan.training.compiling import compile_network
from biggan.training.course import Course
from biggan.training.ema import averaged_copy, ema_decay, update_average
from biggan.training.figures import Tally, gradient_norm
from biggan.training.steps import DBatch, GBatch, discriminator_step, generator_step

Figures = dict[str, Tensor]


class Batches(Protocol):
    """Real images by their place in the endless shuffled stream."""

    def batch(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Images start to start + count - 1: x (count, C, H, W) in [-1, 1] and y (count,)."""


class Training:
    """The networks, averages, optimizers, what adapts, the images shown, the course: all that a run changes.

    Args:
        config: The settings.
        device: Where to compute.
        dtype: Precision of convolutions; None for float32.
    """

    def __init__(self, config: Config, device: torch.device, dtype: torch.dtype | None = None) -> None:
        self.config, self.device = config, device
        self._begin(dtype)

    def _begin(self, dtype: torch.dtype | None) -> None:
        config = self.config
        self.images, self.course = 0, Course()
        self.G, self.D = build(config.model, config.train.seed)
        self.G.to(self.device), self.D.to(self.device)
        self.G.compute_dtype = self.D.compute_dtype = dtype
        self.G.recompute = self.D.recompute = config.train.recompute
        self.G_ema = averaged_copy(self.G)
        self.G_more = [averaged_copy(self.G) for _ in config.optim.ema_more]
        self.optim_g = Adam.of(self.G, config.optim.lr_g, config.optim)
        self.optim_d = Adam.of(self.D, config.optim.lr_d, config.optim)
        self.adaptive = Adaptive(config.augment, self.device)
        self.tally = Tally(config.model.num_classes, self.device)
        if config.train.compile:
            for network in (self.G, self.D):
                compile_network(network)

    def reset(self) -> None:
        """Puts everything where it was when the run was made."""
        self._begin(self.G.compute_dtype)

    @property
    def images_per_iteration(self) -> int:
        """Real images that one iteration shows to D."""
        return self.config.optim.d_steps * self.config.train.batch_size

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return self.images // self.images_per_iteration

    @property
    def averages(self) -> dict[float, Generator]:
        """Share kept at each iteration -> the average; the first is `G_ema`."""
        optim = self.config.optim
        return dict(zip((optim.ema_decay, *optim.ema_more), (self.G_ema, *self.G_more), strict=True))

    @property
    def done(self) -> bool:
        """Whether all images were shown."""
        return self.images >= self.config.train.total_images


def lr_factor(images: int, total_images: int, optim: Optim) -> float:
    """Multiplier of the learning rates after `images`: 1, or linear from 1 at `decay_start` to 0 at the end."""
    if optim.lr_schedule == "constant":
        return 1.0
    left = 1 - images / total_images
    return max(min(1.0, left / max(1 - optim.decay_start, 1e-9)), 0.0)


def iterate(run: Training, data: Batches) -> Figures:
    """D steps, one G step, one move of the average. Returns figures as 0-dim tensors, of the last D step."""
    train, optim = run.config.train, run.config.optim
    run.G.train(), run.D.train()
    factor = lr_factor(run.images, train.total_images, optim)
    course = run.course
    run.adaptive.heed(course, optim.loss)
    rate_g = 0.0 if run.images < (run.config.augment.hold_g or 0) else optim.lr_g  # a held G moves its statistics alone
    for optimizer, lr in ((run.optim_g, rate_g * course.lr_g), (run.optim_d, optim.lr_d * course.lr_d)):
        optimizer.lr = lr * factor
    figures: Figures = {}
    iteration = run.iteration
    with vectors_held(run.G):  # which moves last, after every forward
        for _ in range(optim.d_steps):
            batches = list(d_batches(run, data))
            figures = discriminator_step(run.G, run.D, run.optim_d, batches, optim, run.adaptive, run.tally)
            run.images += train.batch_size
        figures["gradient_d"] = gradient_norm(run.D.parameters())
        figures |= generator_step(run.G, run.D, run.optim_g, list(g_batches(run, iteration)), optim, run.adaptive)
    for decay, G in run.averages.items():
        update_average(G, run.G, ema_decay(iteration, decay, optim.ema_start, optim.ema_warmup))
    return figures


def draws(run: Training, streams: tuple[Stream, Stream], start: int, count: int) -> tuple[Tensor, Tensor]:
    """Latents, in G's own precision, and labels of the images start to start + count - 1, on the device."""
    seed, (stream_z, stream_y) = run.config.train.seed, streams
    z = latents.normal(seed, stream_z, start, count, run.G.dim_z)
    y = latents.labels(seed, stream_y, start, count, run.G.num_classes)
    return put(z.to(run.G.linear.weight.dtype), run.device), put(y, run.device)


def microbatches(run: Training, start: int) -> Iterable[tuple[int, int]]:
    """(start, count) of this process's share of each microbatch of a batch that begins at image `start`."""
    train, ranks = run.config.train, world_size()
    size = (train.microbatch or train.batch_size // ranks) * ranks
    return (share(place, size) for place in range(start, start + train.batch_size, size))


def d_batches(run: Training, data: Batches) -> Iterable[DBatch]:
    """The next D step's microbatches."""
    augment = run.adaptive.settings
    for start, count in microbatches(run, run.images + run.course.shift):
        real, drawn = data.batch(start, count), draws(run, (Stream.Z_D, Stream.Y_D), start, count)
        u = uniforms(run, augment.augment, (Stream.AUGMENT_FAKE, Stream.AUGMENT_REAL), start, count)
        again = uniforms(run, augment.consistency, (Stream.CONSISTENT_FAKE, Stream.CONSISTENT_REAL), start, count)
        yield DBatch(*real, *drawn, u, again)


def g_batches(run: Training, iteration: int) -> Iterable[GBatch]:
    """An iteration's G step's microbatches."""
    for start, count in microbatches(run, iteration * run.config.train.batch_size + run.course.shift):
        u = uniforms(run, run.adaptive.settings.augment, (Stream.AUGMENT_G,), start, count)
        yield GBatch(*draws(run, (Stream.Z_G, Stream.Y_G), start, count), u)


def uniforms(run: Training, asked: object, streams: Iterable[Stream], start: int, count: int) -> Tensor | None:
    """What the images start to start + count - 1 of each stream are augmented by, one stream after the other.

    None unless asked for; float32 below 1, for devices that have no float64.
    """
    if not asked:
        return None
    each = [latents.uniform(run.config.train.seed, stream, start, count, NUMBERS) for stream in streams]
    return put(torch.cat(each).float().clamp_(max=1 - 2**-24), run.device)


Hook = Callable[[Training, Figures], None]


def fit(run: Training, data: Batches, hooks: Iterable[Hook]) -> None:
    """Trains until all images were shown, calling every hook after every iteration.

    Hooks see the state and the figures; one stops the run by raising.
    """
    hooks = list(hooks)
    while not run.done:
        alive()
        figures = iterate(run, data)
        for hook in hooks:
            hook(run, figures)


def every(images: int, hook: Hook) -> Hook:
    """`hook` called whenever a multiple of `images` was passed, and at the end."""

    def sometimes(run: Training, figures: Figures) -> None:
        before = run.images - run.images_per_iteration
        if run.done or run.images // images > before // images:
            hook(run, figures)

    return sometimes
