"""Counts of an iteration: multiply-adds against closed forms and torch's counter, memory against what is held."""

from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from biggan.config import Config
from biggan.models.build import build
from biggan.models.resample import down_conv, up_conv
from biggan.models.spectral import SpectralConv2d
from biggan.presets import preset
from biggan.training.costs import Recorder, walk
from biggan.training.steps import DBatch, GBatch, discriminator_step, generator_step

TINY = preset("tiny")
DEEP = replace(
    TINY,
    model=replace(
        preset("cpu-deep").model, g_blocks=(), g_widths=(16, 16, 8, 8), d_widths=(8, 8, 16, 16), dim_z=8, shared_dim=8
    ),
)
ATTENTIVE = replace(TINY, model=replace(TINY.model, g_attention=(16, 32), d_attention=(16,)))
ATEN = torch.ops.aten
OF_CPUS = {  # torch counts what these do on GPUs alone
    ATEN._scaled_dot_product_flash_attention_for_cpu: lambda *shapes, **_: sdpa_flop_count(*shapes[:3]),
    ATEN._scaled_dot_product_flash_attention_for_cpu_backward: lambda *g, **_: sdpa_backward_flop_count(*g[:4]),
}


def plain(config: Config) -> Config:
    return replace(config, model=replace(config.model, fused_resampling=False))


CONFIGS = {"biggan": TINY, "plain": plain(TINY), "deep": DEEP, "plain deep": plain(DEEP), "attention": ATTENTIVE}


@pytest.fixture(autouse=True)
def _kept_matrices() -> None:
    """Fused resampling makes a small matrix when first used; here it is there already."""
    x, weight = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 3, 3)
    up_conv(x, weight, None), down_conv(x, weight, None)


class Still:
    """An optimizer that moves nothing."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def zero_grad(self) -> None:
        self.network.zero_grad()

    def step(self) -> None:
        pass


def really_step(step: str, config: Config, microbatch: int, count: int, within: AbstractContextManager) -> None:
    """One step on real tensors, `within` a counter that sees the step alone."""
    model = config.model
    G, D = build(model)
    x = torch.rand(microbatch, model.image_channels, model.resolution, model.resolution)
    x = x.contiguous(memory_format=torch.channels_last)
    y, z = torch.arange(microbatch) % model.num_classes, torch.randn(microbatch, model.dim_z)
    with within:
        if step == "D":
            discriminator_step(G, D, Still(D), [DBatch(x, y, z, y)] * count, config.optim)
        else:
            generator_step(G, D, Still(G), [GBatch(z, y)] * count, config.optim)


@pytest.mark.parametrize("step", ["D", "G"])
@pytest.mark.parametrize("name", CONFIGS)
def test_multiply_adds_are_half_the_operations_that_torch_counts_on_real_tensors(name, step):
    config = CONFIGS[name]
    for count in (1, 2):
        counter = FlopCounterMode(display=False, custom_mapping=OF_CPUS)
        really_step(step, config, 5, count, counter)
        found = walk(step, config.model, config.optim, "float32", False, count).kernels(5)
        assert 2 * sum(kernel.multiply_adds for kernel in found) == counter.get_total_flops()


def convolutions(config: Config) -> int:
    """Multiply-adds of G's convolutions in one forward of one image, by hand: weights x output pixels, plain form."""
    G, _ = build(config.model)
    pixels = {}
    for name, module in G.named_modules():
        if isinstance(module, SpectralConv2d):
            module.register_forward_hook(lambda m, _, y, name=name: pixels.update({name: y.shape[2] * y.shape[3]}))
    with torch.no_grad():
        G(torch.randn(1, G.dim_z), G.embed(torch.tensor([0])))
    used = {name: m.used or m.out_channels for name, m in G.named_modules() if isinstance(m, SpectralConv2d)}
    return sum(used[name] * G.get_submodule(name).weight[0].numel() * area for name, area in pixels.items())


@pytest.mark.parametrize("name", ["plain", "plain deep"])
def test_a_forward_of_g_is_weights_times_pixels(name):
    """A G step goes forward through G once; what its convolutions do there is known in closed form."""
    config = CONFIGS[name]
    G, _ = build(config.model)
    with Recorder() as recorder, torch.no_grad():
        G(torch.randn(3, G.dim_z), G.embed(torch.arange(3)))
    counted = sum(kernel.multiply_adds for kernel in recorder.kernels if kernel.name.startswith("convolution:"))
    assert counted == 3 * convolutions(config)


def test_fused_kernels_do_four_ninths_of_the_plain_ones():
    model = TINY.model
    fused, unfused = (
        walk("D", replace(model, fused_resampling=form), TINY.optim, "float32", False, 1) for form in (True, False)
    )
    wide = sum(k.multiply_adds for k in unfused.kernels(1) if k.name in ("convolution:3", "convolution_backward:3"))
    narrow = [k for k in fused.kernels(1) if k.name.startswith(("convolution:", "convolution_backward:"))]
    resampled = sum(k.multiply_adds for k in narrow if k.name.endswith((":4", ":transposed")))
    assert resampled == pytest.approx(
        4 / 9 * (wide - sum(k.multiply_adds for k in narrow if k.name.endswith(":3"))), rel=1e-9
    )


@pytest.mark.parametrize("step", ["D", "G"])
@pytest.mark.parametrize("name", ["biggan", "plain deep", "attention"])
def test_the_peak_is_what_real_tensors_hold_and_a_few_copies_of_the_images(name, step):
    """A real step holds at its peak what the walk says, at a microbatch that was not walked, to the byte, but for whole
    copies of the images, which on shapes alone are laid out more often: never less, and at most three copies more.
    """
    config = CONFIGS[name]
    model, recorder = config.model, Recorder()
    really_step(step, config, 7, 1, recorder)
    held = peak = 0
    for event in recorder.events:
        held += recorder.sizes[abs(event) - 1] * (1 if event > 0 else -1)
        peak = max(peak, held)
    told = walk(step, model, config.optim, "float32", False, 1).peak(7)
    images = 7 * model.image_channels * model.resolution**2 * 4
    assert told - peak in range(0, 4 * images, images)


def test_of_many_keys_nothing_holds_a_matrix_of_all_pairs_of_pixels_and_of_few_no_gpu():
    wide = replace(preset("biggan128").model, g_channels=16, d_channels=16)
    few, many = replace(wide, g_attention=(16,), d_attention=()), replace(wide, g_attention=(64,), d_attention=())
    pairs = {few: 16**2 * 8**2 * 4, many: 64**2 * 32**2 * 4}
    cpu, gpu = (
        {model: walk("G", model, TINY.optim, "float32", on_gpu, 1).peak(4) for model in pairs}
        for on_gpu in (False, True)
    )
    assert cpu[few] - gpu[few] > 3 * pairs[few]
    assert abs(cpu[many] - gpu[many]) < pairs[many] / 100


def test_bfloat16_halves_what_images_hold():
    wide, narrow = (walk("G", TINY.model, TINY.optim, precision, False, 1) for precision in ("float32", "bfloat16"))
    of_images = [walked.peak(200) - walked.peak(100) for walked in (wide, narrow)]
    assert 0.45 < of_images[1] / of_images[0] < 0.75


def test_recomputing_blocks_costs_multiply_adds_and_saves_memory():
    kept, again = (walk("G", DEEP.model, DEEP.optim, "float32", False, 1, recompute) for recompute in (False, True))
    assert again.peak(100) < 0.7 * kept.peak(100)
    done = [sum(kernel.multiply_adds for kernel in walked.kernels(100)) for walked in (kept, again)]
    assert done[0] < done[1] < 1.5 * done[0]
