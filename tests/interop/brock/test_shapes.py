"""The settings of networks, from the names and shapes of their tensors."""

from dataclasses import replace
from pathlib import Path

import pytest
from cases import GOLDEN
from checkpoints import TINY

from biggan.config import Model
from biggan.errors import ModelError
from biggan.interop.brock.shapes import Listing, kind, model_of
from biggan.models.build import skeleton

UNSEEN = {"sn_eps": 1e-6, "power_iteration": "per_forward", "cross_replica": False}
CIFAR = Model(
    resolution=32,
    num_classes=10,
    g_channels=64,
    d_channels=64,
    g_attention=(),
    d_attention=(),
    dim_z=128,
    hierarchical_z=False,
    shared_dim=0,
    **UNSEEN,
)
DEEP128 = Model(architecture="biggan-deep", g_channels=128, d_channels=128, dim_z=128, **UNSEEN)
LISTED = {
    "biggan128_ch96_bs256x8": Model(**UNSEEN),
    "biggan32_cifar_script": CIFAR,
    "biggandeep128_ch128": DEEP128,
}
TINY64 = replace(TINY, resolution=64, dim_z=15)
DEEP = replace(TINY, architecture="biggan-deep", g_channels=4, d_channels=4, dim_z=7)
DEEP_512 = replace(DEEP, resolution=512, g_channels=8, d_channels=8, g_attention=(64, 512), d_attention=(256, 4))
MODELS = {
    "tiny": TINY,
    "attention everywhere": replace(TINY, g_attention=(8, 16, 32), d_attention=(16, 8)),
    "D's first block alone has attention": replace(TINY, d_attention=(16,)),
    "64 px, attention at 4 px": replace(
        TINY, resolution=64, dim_z=15, g_attention=(16,), d_channels=8, d_attention=(32, 4)
    ),
    "256 px": replace(TINY, resolution=256, g_channels=8, dim_z=14, g_attention=(128,), d_attention=(16,)),
    "512 px": replace(TINY, resolution=512, g_channels=8, d_channels=8, dim_z=16, g_attention=(64,), d_attention=(64,)),
    "shared, flat z": replace(TINY, hierarchical_z=False, dim_z=7),
    "tables": replace(TINY, hierarchical_z=False, shared_dim=0, dim_z=7),
    "grey": replace(TINY, image_channels=1),
    "no norm": replace(TINY, norm="none"),
    "no spectral norm in G": replace(TINY, spectral_norm="discriminator"),
    "no spectral norm in D": replace(TINY, spectral_norm="generator"),
    "no spectral norm": replace(TINY, spectral_norm="none"),
    "three singular values": replace(TINY, num_singular_values=3),
    "thin D": replace(TINY, resolution=64, dim_z=15, d_hidden="thin"),
    "the reference's thin D": replace(TINY, d_hidden="thin-reference"),
    "widths": replace(TINY, g_widths=(6, 5, 9, 3), d_widths=(3, 4, 5, 7), g_channels=96, d_channels=96),
    "deep": DEEP,
    "deep, 64 px, attention": replace(DEEP, resolution=64, g_attention=(16, 64), d_attention=(32, 4)),
    "deep, 32 px, attention": replace(DEEP, g_attention=(8, 32), d_attention=(16, 8)),
    "deep, 128 px, wide output": replace(DEEP, resolution=128, g_channels=8, wide_output=True),
    "deep, 512 px": DEEP_512,
    "deep, one block": replace(DEEP, g_depth=1, d_depth=1, resolution=256, g_channels=8, d_channels=8),
    "deep, four blocks at 32 px": replace(DEEP, g_depth=4, d_depth=3, g_attention=(16,), d_attention=(8,)),
    "deep, three blocks at 64 px": replace(DEEP, g_depth=3, d_depth=1, resolution=64, d_attention=(16,)),
    "deep, widths": replace(DEEP, resolution=64, g_widths=(24, 20, 20, 8, 4), d_widths=(4, 4, 8, 9, 16), g_channels=96),
}


def listings(model: Model) -> tuple[Listing, Listing]:
    G, D = skeleton(model)
    return tuple(
        Listing(Path(name), {key: tuple(t.shape) for key, t in network.state_dict().items()})
        for name, network in (("G.pth", G), ("D.pth", D))
    )


@pytest.mark.parametrize("name", LISTED)
def test_the_reference_s_own_listings_tell_its_settings(name):
    text = (GOLDEN / "listings" / f"{name}.txt").read_text()
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    for line in text.splitlines():
        if line.startswith("## "):
            of = shapes[line[3:]] = {}
        else:
            tensor, shape = line.removesuffix(" float32").split(" ", 1)
            of[tensor] = tuple(int(size) for size in shape.strip("[]").split(", ") if size)
    found = model_of(Listing(Path("G.pth"), shapes["G"]), Listing(Path("D.pth"), shapes["D"]))
    assert found == LISTED[name]
    assert [kind(shapes[network]) for network in "GD"] == ["G", "D"]


@pytest.mark.parametrize("name", MODELS)
def test_a_network_s_shapes_tell_its_settings(name):
    model = MODELS[name]
    found = model_of(*listings(model))
    unused = {"d_channels": model.d_channels} if model.d_widths else {}
    assert replace(found, **unused) == model


@pytest.mark.parametrize("name", ["tiny", "deep", "deep, 64 px, attention", "deep, four blocks at 32 px", "widths"])
def test_a_generator_alone_tells_its_own_settings(name):
    model = MODELS[name]
    found, expected = skeleton(model_of(listings(model)[0], None))[0], skeleton(model)[0]
    assert {k: t.shape for k, t in found.state_dict().items()} == {k: t.shape for k, t in expected.state_dict().items()}
    assert found.config.resolution == model.resolution


def test_a_deep_generator_s_recorded_resolution_tells_its_depth():
    model = replace(DEEP, g_widths=(4,) * 4, g_depth=4)  # 12 blocks alike: 32, 64 or 256 px
    G = listings(model)[0]
    depths = {size: model_of(G, None, resolution=size).g_depth for size in (None, 32, 64, 256)}
    assert depths == {None: 4, 32: 4, 64: 3, 256: 2}  # unsaid, the one whose widths the table has


def test_instance_norm_shows_only_in_the_record():
    G = listings(replace(TINY, norm="instance"))[0]
    assert [model_of(G, None, norm_style=style).norm for style in (None, "bn", "in")] == ["batch", "batch", "instance"]


def test_a_converted_generator_is_known_by_its_width_and_its_lack_of_singular_values():
    G, _ = listings(Model(resolution=256, dim_z=140, g_attention=(128,)))
    without = Listing(G.path, {name: shape for name, shape in G.shapes.items() if ".sv0" not in name})
    epsilons = [(m.norm_eps, m.output_norm_eps, m.sn_eps) for m in (model_of(G, None), model_of(without, None))]
    assert epsilons == [(1e-5, 1e-5, 1e-6), (1e-4, 1e-4, 1e-4)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"linear.weight": None}, "G.pth lacks the tensor linear.weight"),
        ({"blocks.0.0.bn1.gain.weight": None}, "G.pth lacks the tensor blocks.0.0.bn1.gain.weight"),
        ({"linear.weight": (4,)}, "G.pth has linear.weight of shape [4], which BigGAN has not"),
        ({"blocks.2.0.conv1.weight": None}, "G.pth has 2 blocks in a row, and BigGAN has 3 to 7"),
        ({"linear.weight": (128, 5)}, None),
        ({"blocks.0.1.gamma": ()}, None),
        ({"output_layer.2.weight": (9, 8, 3, 3)}, "of no BigGAN that there is: --image-channels is 9"),
    ],
)
def test_what_is_wrong_is_named(change, words):
    G, D = listings(TINY)
    shapes = {name: shape for name, shape in {**G.shapes, **change}.items() if shape is not None}
    if words is None:  # shapes that tell of another network, whose tensors these are not
        assert model_of(Listing(G.path, shapes), D) != TINY
        return
    with pytest.raises(ModelError) as caught:
        model_of(Listing(G.path, shapes), D)
    assert words in str(caught.value)
