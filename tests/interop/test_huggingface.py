"""The layout of pytorch-pretrained-biggan: its own outputs from its own files, and its own code on ours."""

import gzip
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import GOLDEN, assert_all_close
from safetensors.torch import load_file, save_file
from tiny_models import make_folder
from torch import Tensor

from biggan.config import Config, Model, Optim, Train
from biggan.errors import ConfigError, ModelError
from biggan.interop.huggingface import export, holds, load, read
from biggan.interop.huggingface.config import BigGANConfig, published
from biggan.interop.huggingface.names import expected_shapes
from biggan.interop.huggingface.reading import Files
from biggan.interop.imported import Overrides
from biggan.models.build import build, count_parameters, generator, without_memory
from biggan.models.bundle import Bundle, load_bundle, save_bundle
from biggan.models.statistics import Statistics, Table, truncation_table
from biggan.training.loop import Training, iterate

PRETRAINED = GOLDEN / "pretrained"
TINY, LAYOUT128 = PRETRAINED / "tiny", PRETRAINED / "layout128_ch4"
AS_IT_SAYS = Overrides()
RULES = {"out": "reversed", "natural": "linear"}  # name of a stored output -> rule of statistics
HELD = Model(  # what the layout holds, trained with other settings than the published models
    architecture="biggan-deep",
    resolution=32,
    num_classes=3,
    g_blocks=("64", "32", "16up", "attention", "16", "8up", "4up"),
    g_attention=(),
    d_channels=4,
    d_depth=1,
    d_attention=(),
    dim_z=8,
    shared_dim=8,
    condition="zy",
    wide_output=True,
    norm_eps=1e-3,
    output_norm_eps=1e-3,
    sn_eps=1e-3,
)


def stored(folder: Path) -> dict[str, Tensor]:
    """What the package drew, and from what."""
    with np.load(folder / "io.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def opened() -> dict[Path, Bundle]:
    return {folder: load(folder, AS_IT_SAYS).bundle for folder in (TINY, LAYOUT128)}


CASES = [(folder, name) for folder in (TINY, LAYOUT128) for name in stored(folder) if name.partition("_t")[0] in RULES]


@pytest.mark.parametrize(("folder", "name"), CASES, ids=lambda value: getattr(value, "name", value))
def test_what_the_package_drew_is_drawn_at_each_truncation_by_either_rule(opened, folder, name):
    bundle, case = opened[folder], stored(folder)
    rule, _, truncation = name.partition("_t")
    bundle.G.use_statistics(bundle.statistics.row(float(truncation), rule=RULES[rule]))
    with torch.no_grad():
        x = bundle.G(case["z"] * float(truncation), case["y"] @ bundle.G.shared.weight)
    step = x.shape[-1] // case[name].shape[-1]
    torch.testing.assert_close(x[..., ::step, ::step], case[name], atol=1e-4, rtol=0)


def test_every_layer_gives_what_the_package_s_gives(opened):
    bundle, case = opened[TINY], stored(TINY)
    G, seen = bundle.G, {}
    G.use_statistics(bundle.statistics.row(0.2))
    modules = {"gen_z": G.linear, "bn": G.output_layer[0], "conv_to_rgb": G.output_layer[2]}
    layers = [layer for stage in G.blocks for layer in stage]
    modules |= {f"layer_{number}": layer for number, layer in enumerate(layers)}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: seen.update({name: output.clone()})

    hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    with torch.no_grad():
        seen["embed"] = case["y"] @ G.shared.weight
        G(case["z"] * 0.2, seen["embed"])
    for hook in hooks:
        hook.remove()
    with np.load(TINY / "activations_t0.2.npz") as arrays:
        expected = {name: torch.from_numpy(arrays[name]) for name in arrays}
    seen["gen_z"] = seen["gen_z"].view(3, -1, 16).mT.flatten(1)  # theirs has channels last
    expected["conv_to_rgb"] = expected["conv_to_rgb"][:, :3]
    assert seen.keys() == expected.keys()
    assert_all_close(seen, expected, atol=1e-4)


@pytest.mark.parametrize(("resolution", "parameters"), [(128, 50_388_609), (256, 55_880_833), (512, 56_163_905)])
def test_the_published_generators_have_these_names_shapes_and_parameters(resolution, parameters):
    config = published(resolution)
    with without_memory():
        G = generator(config.to_model())
    assert G.config.g_blocks == ()
    assert count_parameters(G) == parameters
    with gzip.open(PRETRAINED / f"state_dict_keys_{resolution}.tsv.gz", "rt") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    assert dict(expected_shapes(G, config.n_stats)) == {name: tuple(json.loads(shape)) for name, shape in rows}
    assert BigGANConfig.of(G.config, config.n_stats) == config


def test_both_forms_of_weights_and_the_files_first_names_are_one_model(tmp_path):
    shutil.copy(TINY / "config.json", tmp_path / "biggan-deep-256-config.json")
    shutil.copy(TINY / "pytorch_model.bin", tmp_path / "biggan-deep-256-pytorch_model.bin")
    assert holds(tmp_path)
    one, other = (load(folder, AS_IT_SAYS).bundle.G.state_dict() for folder in (tmp_path, TINY))
    assert_all_close(one, other, atol=0)


def test_untruncated_latents_are_drawn_with_the_statistics_of_truncation_one(opened):
    statistics = opened[TINY].statistics
    assert_all_close(statistics.row(), statistics.row(truncation=1.0), atol=0)


def test_what_was_assumed_is_said_and_what_is_given_goes_first():
    assert load(LAYOUT128, AS_IT_SAYS).bundle.class_names[0] == "tench"
    names = tuple("abcdefghij")
    given = load(TINY, Overrides(class_names=names, norm_eps=1e-3))
    assert given.bundle.class_names == list(names)
    assert (given.bundle.G.config.norm_eps, given.bundle.G.config.sn_eps) == (1e-3, 1e-4)
    assert any("truncation 1" in note for note in given.notes)
    with pytest.raises(ConfigError, match="2 class names are given for 10 classes; give 10"):
        load(TINY, Overrides(class_names=("a", "b")))


def test_an_imported_model_is_saved_and_loaded_as_any_other(tmp_path, opened):
    save_bundle(tmp_path, opened[TINY], None)
    assert not holds(tmp_path)
    again = load_bundle(tmp_path)
    assert_all_close(again.G.state_dict(), opened[TINY].G.state_dict(), atol=0)
    assert_all_close(again.statistics.to_tensors(), opened[TINY].statistics.to_tensors(), atol=0)


def test_other_folders_are_not_held(tmp_path):
    assert not holds(tmp_path)
    assert not holds(tmp_path / "none")
    (tmp_path / "config.json").write_text("{")
    assert not holds(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert not holds(tmp_path)
    with pytest.raises(ModelError, match=r"must have config\.json and pytorch_model\.bin or model\.safetensors"):
        load(tmp_path / "none", AS_IT_SAYS)


LAYERS = json.loads((TINY / "config.json").read_text())["layers"]
WRONG_CONFIGS = {
    "an unknown field": ({"chanel_width": 8}, "unknown field 'chanel_width'; did you mean 'channel_width'"),
    "a word for a number": ({"z_dim": "16"}, "z_dim is 16; allowed is a whole number"),
    "a truth value for a number": ({"n_stats": True}, "n_stats is True"),
    "no rows": ({"n_stats": 1}, "n_stats is 1; allowed is a whole number, 2 to"),
    "an epsilon of 0": ({"eps": 0}, "eps is 0; allowed is a number above 0"),
    "an epsilon that is none": ({"eps": float("nan")}, "eps is nan"),
    "attention first": ({"attention_layer_position": 0}, "attention_layer_position is 0"),
    "no layers": ({"layers": []}, r"layers is \[\]"),
    "a layer of two": ({"layers": [[True, 16]]}, "lists of a truth value and two whole numbers"),
    "another first multiple": ({"layers": LAYERS[1:]}, r"layers\[0\] is \[True, 8, 4\]; allowed is from 16"),
    "a gap": ({"layers": [LAYERS[0], *LAYERS[2:]]}, r"layers\[1\] is \[False, 4, 2\]; allowed is from 8"),
    "a quarter": ({"layers": [[True, 16, 4]]}, "to the same or half of it"),
    "another last multiple": ({"layers": LAYERS[:3]}, "layers is a list that ends at 2"),
    "no doubling": ({"layers": [[False, i, o] for _, i, o in LAYERS]}, "a list with 0 doublings"),
    "too narrow a block": ({"channel_width": 1}, "4 channels or more"),
    "too narrow an attention": ({"channel_width": 2, "attention_layer_position": 3}, "Attention needs 8 channels"),
    "more classes than there are": ({"num_classes": 11}, r"embeddings.weight of shape \[16, 10\].*\[16, 11\]"),
    "more rows than there are": ({"n_stats": 51}, r"running_means of shape \[11, 128\].*\[51, 128\]"),
}


@pytest.mark.parametrize("name", WRONG_CONFIGS)
def test_configs_that_cannot_be_are_refused_with_the_file_and_field(tmp_path, name):
    changes, message = WRONG_CONFIGS[name]
    config = json.loads((TINY / "config.json").read_text()) | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    shutil.copy(TINY / "model.safetensors", tmp_path)
    with pytest.raises(ModelError, match=message) as raised:
        load(tmp_path, AS_IT_SAYS)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\0"])
def test_configs_that_are_no_objects_are_refused_with_the_file(tmp_path, text):
    place = tmp_path / "config.json"
    place.write_text(text)
    with pytest.raises(ModelError, match=r"config\.json"):
        BigGANConfig.from_json_file(place)


def test_what_a_config_leaves_out_is_as_in_the_package():
    assert BigGANConfig.from_dict({}) == BigGANConfig() == published(128)
    assert BigGANConfig().to_model() == published(128).to_model()


def without(name: str) -> Callable[[dict[str, Tensor]], None]:
    return lambda tensors: tensors.pop(name) and None


WRONG_WEIGHTS: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "one is missing": (
        lambda tensors: tensors.pop("generator.layers.1.conv_2.weight_v"),
        "lacks the tensor generator.layers.1.conv_2.weight_v",
    ),
    "one is unknown": (
        lambda tensors: tensors.update({"generator.layers.9.bias": torch.zeros(1)}),
        "unknown tensor 'generator.layers.9.bias'",
    ),
    "one has another shape": (
        lambda tensors: tensors.update({"generator.bn.weight": torch.zeros(9)}),
        r"generator.bn.weight of shape \[9\] where .* \[8\]",
    ),
    "a variance is negative": (
        lambda tensors: tensors["generator.layers.0.bn_1.running_vars"][3].neg_(),
        "negative variance in generator.layers.0.bn_1.running_vars",
    ),
    "one holds NaN": (
        lambda tensors: tensors["generator.gen_z.bias"].fill_(float("nan")),
        "NaN or Inf in .generator.gen_z.bias",
    ),
}


@pytest.mark.parametrize("name", WRONG_WEIGHTS)
def test_weights_that_are_not_the_config_s_are_refused_with_the_tensor(tmp_path, name):
    change, message = WRONG_WEIGHTS[name]
    tensors = load_file(TINY / "model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=message):
        read(Files(TINY / "config.json", tmp_path / "model.safetensors"), AS_IT_SAYS)


def test_what_is_exported_again_is_the_file_that_was_imported(tmp_path, opened):
    for folder in (TINY, LAYOUT128):
        paths = export(opened[folder], tmp_path / folder.name)
        assert [path.name for path in paths] == ["config.json", "pytorch_model.bin"]
        expected, found = load_file(folder / "model.safetensors"), torch.load(paths[1], weights_only=True)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        imported = json.loads((folder / "config.json").read_text())
        assert json.loads(paths[0].read_text()) | {"output_dim": imported["output_dim"]} == imported


class Noise:
    """Real images that are none."""

    def batch(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(start)
        return torch.rand(count, 3, 32, 32, generator=generator) * 2 - 1, torch.arange(start, start + count) % 3


def trained(model: Model) -> Bundle:
    """A model after a few iterations at a high rate, with statistics at truncations 0, 1/2 and 1."""
    optim = Optim(lr_g=2e-3, lr_d=2e-3, d_steps=1, ema_decay=0.3)
    run = Training(Config(model=model, optim=optim, train=Train(batch_size=4)), torch.device("cpu"))
    for _ in range(3):
        iterate(run, Noise())
    G = run.G_ema.eval()
    table = truncation_table(G, (0, 0.5, 1), 64, lambda done, total: None)
    return Bundle(G, None, ["a", "b", "c"], Statistics({"truncation": table}))


@pytest.fixture(scope="module")
def package() -> Any:
    """The package from PyPI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pytorch_pretrained_biggan
    return pytorch_pretrained_biggan


@pytest.mark.filterwarnings("ignore:.*spectral_norm.*is deprecated")
@pytest.mark.parametrize("kept", ["u", "uv"])
def test_the_package_opens_our_export_of_a_model_trained_here_and_draws_the_same(tmp_path, package, kept):
    bundle = trained(replace(HELD, sn_vectors=kept))
    start = build(bundle.G.config)[0].state_dict()
    moved = {name for name, parameter in bundle.G.named_parameters() if not torch.equal(parameter, start[name])}
    assert moved == dict(bundle.G.named_parameters()).keys()
    export(bundle, tmp_path)
    theirs = package.BigGAN.from_pretrained(str(tmp_path)).eval()
    noise = torch.from_numpy(package.truncated_noise_sample(4, 8, 1.0, seed=1))
    y = torch.eye(3)[[0, 1, 2, 2]]
    y[3] = torch.tensor([0.2, 0.5, 0.3])
    for truncation in (0.3, 0.5, 0.8, 1.0):
        bundle.G.use_statistics(bundle.statistics.row(truncation, rule="reversed"))
        with torch.no_grad():
            expected = theirs(noise * truncation, y, truncation)
            x = bundle.G(noise * truncation, y @ bundle.G.shared.weight)
        assert expected.std() > 0.05
        torch.testing.assert_close(x, expected, atol=1e-4, rtol=0)


# what the layout cannot hold, in the order in which it is looked for: each breaks its condition and none before it
REFUSED = [
    ({"architecture": "biggan"}, "BigGAN-deep alone, and this model has biggan; try --format brock"),
    ({"condition": "yz"}, r"the condition \[z, y\], .*--condition zy"),
    ({"wide_output": False}, "as wide as its input.*--wide-output"),
    ({"g_blocks": ("32", "32up", "16up", "8up")}, "16 times as wide as the last, .* has 32 and 8 channels"),
    ({"g_blocks": ("64", "16up", "8up", "4up")}, "keep or halve their channels, .* has one from 64 to 16"),
    ({"g_blocks": (*HELD.g_blocks[:5], "attention", *HELD.g_blocks[5:])}, "at most one self-attention.*has 2 of them"),
    ({"g_blocks": (*HELD.g_blocks[:3], *HELD.g_blocks[4:], "attention")}, "no self-attention after the last block"),
    ({"output_norm_eps": 1e-5}, "one epsilon above 0 for all norms, and this model has 0.001, 1e-05, 0.001"),
    ({"shared_dim": 4}, "embeddings of z's dimensions, and this model has 4 and 8"),
    ({"norm": "instance"}, "batch norm, and this model has instance; .*--norm batch"),
    ({"spectral_norm": "discriminator"}, "a spectrally normalised G.*--spectral-norm both"),
    ({"num_singular_values": 2}, "one singular value of each weight, and this model has 2"),
    ({"image_channels": 1}, "RGB images, and this model has images of 1 channels; no other format holds it"),
    ({"num_classes": 0, "shared_dim": 8}, "conditional models, and this model has no classes; no other format holds"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_the_layout_cannot_hold_is_refused_naming_the_first_condition(number):
    change, message = REFUSED[number]
    later = {name: value for changes, _ in reversed(REFUSED[number:]) for name, value in changes.items()}
    for changes in (change, later):
        if "architecture" in changes:
            model = replace(Model(), resolution=32, g_attention=(), d_attention=())
        else:
            model = replace(HELD, **changes)
        with pytest.raises(ConfigError, match=message):
            BigGANConfig.of(model, 51)


def test_statistics_that_are_not_even_are_refused(tmp_path, opened):
    bundle = opened[TINY]
    for grid in ((0.0, 0.3, 1.0), (0.5, 1.0), (1.0,)):
        values = {name: value[: len(grid)] for name, value in bundle.statistics.tables["truncation"].values.items()}
        tables = {"truncation": Table(torch.tensor(grid), values)}
        with pytest.raises(ConfigError, match="even steps from truncation 0 to 1"):
            export(replace(bundle, statistics=Statistics(tables)), tmp_path)
    with pytest.raises(ConfigError, match="this model has none by truncation"):
        export(replace(bundle, statistics=Statistics({})), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_export_replaces_an_export_and_nothing_else(tmp_path, opened):
    ours, theirs = make_folder(tmp_path / "ours"), tmp_path / "theirs"
    before = {path: path.read_bytes() for path in ours.iterdir()}
    bundle = opened[TINY]
    with pytest.raises(ModelError, match="choose another --out"):
        export(bundle, ours)
    (ours / "model.safetensors").rename(tmp_path / "aside")
    with pytest.raises(ModelError, match=r"config.json that is not of an export; choose another --out"):
        export(bundle, ours)
    (tmp_path / "aside").rename(ours / "model.safetensors")
    assert {path: path.read_bytes() for path in ours.iterdir()} == before
    export(opened[LAYOUT128], theirs)
    export(bundle, theirs)
    assert load(theirs, AS_IT_SAYS).bundle.G.config == bundle.G.config
    assert holds(theirs)
    assert sorted(path.name for path in theirs.iterdir()) == ["config.json", "pytorch_model.bin"]


def test_an_override_that_is_not_allowed_is_no_fault_of_the_file_s():
    with pytest.raises(ConfigError) as caught:
        load(TINY, Overrides(norm_eps=5.0))
    assert "norm_eps is 5.0" in str(caught.value).replace("-", "_")
    assert "config.json" not in str(caught.value)


def test_of_a_config_no_more_is_read_than_any_has(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text("{}")
    assert holds(tmp_path)
    with (tmp_path / "config.json").open("r+b") as file:
        file.truncate(2**40)  # sparse; read as a whole it would end the process
    assert not holds(tmp_path)
