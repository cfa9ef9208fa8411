"""BigGAN-deep's layouts and the conditions of single layers; equality with the reference is in `test_biggan.py`."""

from dataclasses import replace

import pytest
import torch

from biggan.config import Model
from biggan.config_json import from_json, to_json
from biggan.errors import ConfigError
from biggan.models.biggan_deep import d_layout, g_layout
from biggan.models.build import build, discriminator, generator

DEEP = Model(
    architecture="biggan-deep",
    resolution=32,
    num_classes=3,
    g_channels=8,
    d_channels=8,
    g_attention=(16,),
    d_attention=(8,),
    dim_z=6,
    shared_dim=4,
)
LISTED = replace(
    DEEP,
    g_attention=(),
    d_attention=(),
    g_blocks=("32", "32", "32up", "32", "32up", "attention", "32", "32up"),
    d_blocks=("32", "32down", "32", "32down", "32", "attention", "32", "32"),
)
SHALLOW = replace(DEEP, architecture="biggan", dim_z=8, g_attention=(), d_attention=())


def test_a_list_of_blocks_says_what_the_table_does():
    assert g_layout(LISTED) == g_layout(DEEP)
    listed = replace(DEEP, g_blocks=(), d_blocks=("32", "32down", "32", "32down", "32"), d_attention=())
    assert d_layout(listed) == d_layout(replace(DEEP, d_attention=()))[:2]


def test_a_list_of_blocks_survives_json():
    assert from_json(Model, to_json(LISTED)) == LISTED


@pytest.mark.parametrize("model", [DEEP, SHALLOW], ids=["deep", "shallow"])
def test_the_same_condition_for_each_layer_is_one_for_all(model):
    G = generator(model).eval()
    z, c = torch.randn(2, G.dim_z), G.embed(torch.tensor([0, 2]))
    each = G(z[:, None].expand(-1, G.num_layers, -1), c[:, None].expand(-1, G.num_layers, -1))
    assert torch.equal(each, G(z, c))


@pytest.mark.parametrize("model", [DEEP, SHALLOW], ids=["deep", "shallow"])
def test_a_layer_s_own_class_changes_nothing_before_it(model):
    G = generator(model).eval()
    seen: list[torch.Tensor] = []
    hooks = [stage.register_forward_hook(lambda _, __, x: seen.append(x)) for stage in G.blocks]
    z, c = torch.randn(1, G.dim_z), G.embed(torch.tensor([0])).expand(G.num_layers, -1)[None].clone()
    G(z, c)
    c[:, 2] = G.embed(torch.tensor([1]))
    G(z, c)
    for hook in hooks:
        hook.remove()
    before, after = seen[: len(G.blocks)], seen[len(G.blocks) :]
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


MISTAKES = {
    "a gain of channels in G": ({"g_widths": (16, 32, 32, 32)}, "from 16 to 32 channels.*--g-widths"),
    "a loss of channels in D": ({"d_widths": (32, 16, 16, 16)}, "from 32 to 16 channels.*--d-widths"),
    "too narrow": ({"g_channels": 1, "g_widths": (4, 4, 2, 2)}, "needs 4 channels or more"),
    "too few doublings": ({"g_attention": (), "g_blocks": ("32", "32up")}, "--g-blocks is 32 32up; allowed is"),
    "a word that is none": (
        {"g_attention": (), "g_blocks": ("32", "32up", "32UP", "32up")},
        "--g-blocks is 32 32up 32UP",
    ),
    "attention first": (
        {"g_attention": (), "g_blocks": ("32", "attention", "32up", "32up", "32up")},
        "--g-blocks is 32 attention",
    ),
    "both lists and widths": (
        {"g_attention": (), "g_widths": (32, 32, 32, 32), "g_blocks": ("32", "32up", "32up", "32up")},
        "--g-blocks and --g-widths say the same",
    ),
    "16 px without a list": ({"resolution": 16, "g_attention": (), "d_attention": ()}, "--resolution is 16"),
    "flat z": ({"hierarchical_z": False}, "--hierarchical-z is False; allowed is true with BigGAN-deep"),
    "too few channels for a wide output": (
        {"g_attention": (), "wide_output": True, "g_blocks": ("8", "8up", "8up", "2up")},
        "--wide-output does not go with G's 2 channels at the end",
    ),
    "attention twice": (
        {"g_attention": (), "g_blocks": ("32", "32up", "attention", "attention", "32up", "32up")},
        "--g-blocks is 32 32up attention attention",
    ),
    "a list and a depth": (
        {"g_attention": (), "g_depth": 7, "g_blocks": ("32", "32up", "32up", "32up")},
        "--g-blocks and --g-depth say the same; leave the second at 2",
    ),
    "attention at 1 px": (
        {"d_attention": (), "d_blocks": ("8", "8down", "8down", "8down", "8down", "8down", "attention")},
        "--d-blocks is",
    ),
    "attention in a narrow block": ({"g_channels": 1}, "Attention needs 8 channels"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_layouts_that_cannot_be_are_named(name):
    changes, message = MISTAKES[name]
    with pytest.raises(ConfigError, match=message):
        build(replace(DEEP, **changes))


@pytest.mark.parametrize(
    ("field", "value"), [("g_depth", 3), ("d_depth", 1), ("condition", "zy"), ("wide_output", True)]
)
def test_settings_of_the_deep_one_are_refused_for_the_other(field, value):
    with pytest.raises(ConfigError, match=f"--{field.replace('_', '-')} is for BigGAN-deep"):
        replace(SHALLOW, **{field: value})


def test_a_discriminator_without_a_table_asks_for_its_blocks():
    model = replace(DEEP, resolution=16, g_attention=(), d_attention=(), g_blocks=("32", "32up", "32up"))
    assert generator(model)(torch.randn(1, 6), torch.randn(1, 4)).shape == (1, 3, 16, 16)
    with pytest.raises(ConfigError, match="--d-blocks"):
        discriminator(model)
    D = discriminator(replace(model, d_blocks=("8", "8down", "16", "16down")))
    assert D(torch.randn(2, 3, 16, 16), torch.tensor([0, 1])).shape == (2, 1)
