"""Models of ours as files of BigGAN-PyTorch's."""

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cases import GOLDEN, GOLDEN_MODELS, golden
from checkpoints import TINY, bundle, golden_networks, load, put
from oracle import Network
from oracle_deep import DeepNetwork
from tiny_models import make_bundle

from biggan.config import Model
from biggan.errors import ConfigError, ModelError
from biggan.interop import brock
from biggan.interop.brock.reading import own_statistics
from biggan.models.build import discriminator, generator, without_memory
from biggan.models.bundle import Bundle

FILES = ["G_ema.pth", "G.pth", "D.pth", "state_dict.pth"]
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
)
DEEP = replace(TINY, architecture="biggan-deep", g_channels=4, d_channels=4)
UV = replace(TINY, sn_vectors="uv")


def refusal(bundle: Bundle, folder: Path) -> str:
    """The one sentence that an export is refused with; nothing is written."""
    with pytest.raises(ModelError) as caught:
        brock.export(bundle, folder)
    assert not folder.exists()
    said = str(caught.value)
    assert said.startswith("The layout of BigGAN-PyTorch ")
    model = bundle.G.config
    other = model.architecture == "biggan-deep" and model.image_channels == 3 and model.num_classes > 0
    assert said.endswith("; try --format huggingface." if other else "; no other format holds it.")
    return said


# --- what is written ---


def test_names_shapes_types_and_order_are_those_of_the_listing(tmp_path):
    with without_memory():
        G, D = generator(CIFAR), discriminator(CIFAR)
    for network in (G, D):
        network.to_empty(device="cpu")
    made = Bundle(G, D, [f"class {i}" for i in range(10)], own_statistics(G))
    assert [path.name for path in brock.export(made, tmp_path)] == FILES
    lines = []
    for title, file in (("## G", "G_ema.pth"), ("## D", "D.pth")):
        state = torch.load(tmp_path / file, weights_only=True)
        assert type(state) is OrderedDict
        lines += [title, *(f"{key} {list(t.shape)} {str(t.dtype)[6:]}" for key, t in state.items())]
    assert lines == (GOLDEN / "listings" / "biggan32_cifar_script.txt").read_text().splitlines()


@pytest.mark.parametrize("name", GOLDEN_MODELS)
def test_what_was_read_is_written_as_it_was_and_an_independent_reader_draws_from_it(tmp_path, name):
    files, forward, model = golden_networks(name), golden(f"{name}/forward"), GOLDEN_MODELS[name]
    brock.export(load(put(tmp_path / "in", files)).bundle, tmp_path / "out")
    for file, network in (("G_ema", "G"), ("G", "G"), ("D", "D")):
        state = torch.load(tmp_path / "out" / f"{file}.pth", weights_only=True)
        assert state.keys() == files[network].keys()
        assert all(torch.equal(tensor, files[network][key]) for key, tensor in state.items())
    state = torch.load(tmp_path / "out/G_ema.pth", weights_only=True)
    c = state["shared.weight"][forward["y"]] if model.shared_dim else torch.eye(10)[forward["y"]]
    reader = DeepNetwork if model.architecture == "biggan-deep" else Network
    x = reader(state, model).generate(forward["z"], c)
    atol = 2e-5 if model.architecture == "biggan-deep" else 1e-5  # the deep record's own rounding is 1.1e-5
    torch.testing.assert_close(x.float(), forward["G_eval_out"], atol=atol, rtol=0)


@pytest.mark.parametrize(
    "model",
    [
        replace(TINY, shared_dim=0, hierarchical_z=False, cross_replica=True),
        replace(TINY, norm="instance", norm_eps=1e-3, sn_eps=1e-4, init="N02", num_power_iterations=2),
        replace(TINY, norm="none", spectral_norm="discriminator", num_singular_values=2, d_hidden="thin-reference"),
        replace(TINY, d_attention=(16, 8), g_attention=(8, 32)),
        replace(DEEP, resolution=64, g_attention=(16,), d_attention=(32, 4), d_depth=3),
    ],
)
def test_what_is_written_is_read_as_the_same_model(tmp_path, model):
    made = bundle(model)
    made.training["iterations"] = 17
    imported = load(Path(brock.export(made, tmp_path)[0]).parent)
    assert replace(imported.bundle.G.config, cross_replica=model.cross_replica) == model
    assert imported.iterations == 17
    assert not [note for note in imported.notes if "epsilon" in note]
    for found, network in ((imported.bundle.G, made.G), (imported.bundle.D, made.D)):
        expected = network.state_dict()
        assert all(torch.equal(tensor, expected[key]) for key, tensor in found.state_dict().items())


def test_the_statistics_of_a_truncation_can_become_the_stored_ones(tmp_path):
    bundle = make_bundle(TINY, list("vwxyz"))
    brock.export(bundle, tmp_path / "none")
    brock.export(bundle, tmp_path / "half", truncation=0.5)
    for folder, row in (("none", bundle.statistics.row()), ("half", bundle.statistics.row(0.5))):
        state = torch.load(tmp_path / folder / "G.pth", weights_only=True)
        assert all(torch.equal(state[key], tensor) for key, tensor in row.items())
    with pytest.raises(ConfigError, match="--truncation is 2"):
        brock.export(bundle, tmp_path / "two", truncation=2.0)
    assert not (tmp_path / "two").exists()


def test_the_record_is_plain_values(tmp_path):
    brock.export(bundle(replace(TINY, d_attention=(16, 8))), tmp_path)
    record = torch.load(tmp_path / "state_dict.pth", weights_only=True)
    assert record.keys() == {"itr", "epoch", "save_num", "save_best_num", "best_IS", "best_FID", "config"}
    assert all(isinstance(value, str | int | float) for value in record["config"].values())
    assert (record["config"]["D_attn"], record["config"]["G_attn"], record["config"]["G_shared"]) == ("16", "0", True)


def test_a_model_without_a_discriminator_is_written_without_one(tmp_path):
    made = bundle(replace(TINY, spectral_norm="generator", d_hidden="thin"))
    made.D = None
    assert [path.name for path in brock.export(made, tmp_path)] == ["G_ema.pth", "G.pth", "state_dict.pth"]


def test_files_that_are_there_are_not_lost(tmp_path):
    put(tmp_path, {"D": {"a": torch.ones(1)}})
    with pytest.raises(ModelError, match=r"holds a D\.pth already, which would be lost"):
        brock.export(bundle(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["D.pth"]


# --- what the layout cannot hold ---


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (replace(TINY, num_classes=0), "has classes, and this model is unconditional"),
        (replace(TINY, image_channels=1), "has pictures of 3 channels, and this model's have 1"),
        (replace(TINY, g_widths=(4, 4, 4, 5)), "has widths by its table"),
        (replace(TINY, d_widths=(4, 4, 4, 5)), "has widths by its table"),
        (replace(TINY, shared_dim=0), "splits z only beside a shared class embedding"),
        (replace(TINY, output_norm_eps=1e-4), "has an epsilon of 1e-05 in G's last norm, and this model has 0.0001"),
        (replace(TINY, spectral_norm="generator"), "has spectral norm in D"),
        (replace(TINY, d_hidden="thin"), "has the picture's channels inside the first block of a thin D"),
        (replace(TINY, d_attention=(16,)), "has attention in all blocks of D at 32 px or in none"),
        (replace(DEEP, wide_output=True), "has an RGB convolution with 3 filters"),
        (replace(DEEP, condition="zy"), "puts the class embedding before z (yz)"),
        (replace(DEEP, g_depth=3), "has 2 blocks at each resolution of a deep G, and this model has 3"),
        (replace(DEEP, shared_dim=0), "has a shared class embedding in a deep G"),
        (replace(DEEP, g_blocks=("8", "8up", "8up", "4up")), "has blocks by its table"),
    ],
)
def test_the_first_thing_that_does_not_fit_is_named(tmp_path, model, words):
    made = bundle(model)
    assert words in refusal(made, tmp_path / "out")


def test_a_kept_pair_is_left_out_where_u_gives_the_same_singular_value(tmp_path):
    """The layout keeps u alone and iterates once from it; so a settled pair draws the same, an unsettled one not."""
    made = bundle(UV)
    z, y = torch.randn(2, 12), torch.tensor([1, 4])
    brock.export(made, tmp_path / "in")
    again = load(tmp_path / "in").bundle
    with torch.no_grad():
        x = [one.G(z, one.G.embed(y)) for one in (made, again)]
    torch.testing.assert_close(x[0], x[1], atol=1e-3, rtol=0)
    made.G.blocks[1][0].conv1.v0.normal_()
    said = refusal(made, tmp_path / "out")
    assert "keeps u alone, and in G that of blocks.1.0.conv1 does not give the singular value of its kept pair" in said


def test_a_file_holds_one_row_of_statistics_and_not_the_table_it_is_from(tmp_path):
    made = make_bundle(replace(TINY, num_classes=3))
    brock.export(made, tmp_path, truncation=0.5)
    for name in FILES[:3]:
        for tensor in torch.load(tmp_path / name, weights_only=True).values():
            assert tensor.untyped_storage().nbytes() == tensor.nbytes
