"""Parameter counts are the published ones to the unit, and building is a function of the seed."""

from dataclasses import replace

import pytest
import torch

from biggan.config import Model
from biggan.models.build import build, count_parameters, skeleton
from biggan.presets import preset

WIDE = Model()  # 128 px, ch 96, shared 128, hierarchical z of 120, attention at 64
CH64 = replace(WIDE, g_channels=64, d_channels=64)
SAGAN = replace(CH64, shared_dim=0, hierarchical_z=False, dim_z=128)
CIFAR = replace(SAGAN, resolution=32, num_classes=10, g_attention=(), d_attention=())
PX64 = replace(CH64, resolution=64, g_attention=(32,), d_attention=(32,))
PX256 = replace(WIDE, resolution=256, dim_z=140)
DEEP = replace(WIDE, architecture="biggan-deep", g_channels=128, d_channels=128, dim_z=128)

COUNTS = {
    "CIFAR script": (CIFAR, 4_304_387, 4_207_361),
    "32 px, shared and hierarchical": (
        replace(CIFAR, shared_dim=128, hierarchical_z=True),
        4_373_251,
        4_207_361,
    ),
    "64 px, ch 64": (PX64, 31_969_540, 20_571_842),
    "64 px, ch 96": (replace(PX64, g_channels=96, d_channels=96), 70_377_348, 45_511_970),
    "128 px, ch 96": (WIDE, 70_433_988, 87_982_370),
    "128 px, ch 64": (CH64, 31_978_628, 39_448_258),
    "128 px, neither": (replace(SAGAN, g_channels=96, d_channels=96), 85_556_164, 87_982_370),
    "128 px, shared": (replace(WIDE, hierarchical_z=False), 72_595_908, 87_982_370),
    "SA-GAN script": (SAGAN, 42_017_412, 39_448_258),
    "SN-GAN script": (
        replace(SAGAN, g_attention=(), d_attention=(), d_hidden="thin-reference"),
        41_996_931,
        30_005_013,
    ),
    "256 px, attention at 128 and 64": (replace(PX256, g_attention=(128,)), 82_097_604, 99_225_890),
    "256 px": (PX256, 82_235_844, 99_225_890),
    "512 px": (replace(WIDE, resolution=512, dim_z=128), 82_296_804, 99_401_282),
    "deep, 128 px": (DEEP, 50_244_484, 34_590_210),
    "deep, 256 px": (replace(DEEP, resolution=256), 55_736_708, 38_247_426),
    "deep, 512 px": (replace(DEEP, resolution=512), 56_019_780, 38_301_122),
}
PUBLISHED = {128: 50_388_609, 256: 55_880_833, 512: 56_163_905}
PRESETS = {
    "brock-bs256x8": "128 px, ch 96",
    "brock-bs512x4": "128 px, ch 96",
    "brock-ch64-bs256x8": "128 px, ch 64",
    "biggan128": "128 px, ch 96",
    "biggan256": "256 px, attention at 128 and 64",
    "sagan": "SA-GAN script",
    "sngan": "SN-GAN script",
    "brock-cifar": "CIFAR script",
    "cifar10": "32 px, shared and hierarchical",
    "brock-deep": "deep, 128 px",
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_the_reference_s(name):
    model, g_count, d_count = COUNTS[name]
    G, D = skeleton(model)
    assert (count_parameters(G), count_parameters(D)) == (g_count, d_count)


@pytest.mark.parametrize("resolution", PUBLISHED)
def test_parameter_counts_of_the_published_deep_generators(resolution):
    model = preset(f"biggan-deep{resolution}").model
    assert count_parameters(skeleton(model)[0]) == PUBLISHED[resolution]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_counts_of_what_they_reproduce(name):
    _, g_count, d_count = COUNTS[PRESETS[name]]
    G, D = skeleton(preset(name).model)
    assert (count_parameters(G), count_parameters(D)) == (g_count, d_count)


TINY = preset("tiny").model


def test_networks_are_a_function_of_the_seed_alone():
    torch.manual_seed(1)
    first = build(TINY, 5)
    torch.manual_seed(2)
    torch.rand(3)
    second, other = build(TINY, 5), build(TINY, 6)
    for a, b, c in zip(first, second, other, strict=True):
        assert all(torch.equal(t, b.state_dict()[name]) for name, t in a.state_dict().items())
        assert not torch.equal(a.linear.weight, c.linear.weight)


def test_building_leaves_torch_s_random_state_alone():
    before = torch.get_rng_state()
    build(TINY, 5)
    assert torch.equal(before, torch.get_rng_state())


def test_a_skeleton_has_the_shapes_without_the_memory():
    for bare, real in zip(skeleton(TINY), build(TINY, 0), strict=True):
        assert all(t.is_meta for t in bare.state_dict().values())
        shapes = {name: t.shape for name, t in bare.state_dict().items()}
        assert shapes == {name: t.shape for name, t in real.state_dict().items()}
