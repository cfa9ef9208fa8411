"""TF-Hub modules: ours draw what TF's own structure draws from the same variables, and nothing else is let in."""

import gzip
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import GOLDEN
from safetensors.torch import load_file
from tf_modules import Module

from biggan.errors import ConfigError, ModelError
from biggan.interop import tfhub
from biggan.interop.imported import Imported, Overrides
from biggan.interop.tfhub.names import accumulators_of, variables_of
from biggan.models.build import count_parameters, skeleton
from biggan.models.bundle import load_bundle, save_bundle
from biggan.models.spectral import advance
from biggan.presets import preset
from biggan.sampling.sampler import Sampler

PLACE = Path("module")
NONE = Overrides()


@cache
def module(deep: bool, resolution: int = 128) -> Module:
    return Module(deep, resolution)


def imported(source: Module, tables: bool = False, overrides: Overrides = NONE, **changes: Any) -> Imported:
    """A module as ours; a change of None takes a variable out."""
    variables = {name: value for name, value in (source.variables | changes).items() if value is not None}
    return tfhub.from_variables(PLACE, variables, source.tables if tables else [], overrides)


def assert_same(a: torch.nn.Module, b: torch.nn.Module) -> None:
    other = b.state_dict()
    assert all(torch.equal(x, other[name]) for name, x in a.state_dict().items())


@pytest.mark.parametrize("resolution", [128, 256, 512])
@pytest.mark.parametrize("deep", [False, True], ids=["biggan", "biggan-deep"])
def test_each_module_draws_what_tf_draws(deep: bool, resolution: int) -> None:
    source = module(deep, resolution)
    z, y = source.latents()
    bundle = imported(source, tables=deep).bundle
    G = bundle.G.double()
    if deep:
        advance(G)  # the pair kept in float32 has length 1 but for 6e-8, which forty layers amplify
    G.use_statistics(bundle.statistics.row(truncation=0.5 if deep else 1.0))
    with torch.no_grad():
        x = G(z.double(), y.double() @ G.shared.weight)
    expected = source.draw(z, y, row=25 if deep else None)
    assert x.shape == (1, 3, resolution, resolution)
    assert expected.std((0, 1, 2)).min() > 0.05  # pictures, not a flat colour
    assert (x.permute(0, 2, 3, 1) - expected).abs().max() < 1e-6


def test_the_kept_pair_of_biggan_deep_is_one_iteration_from_u0() -> None:
    source = module(True)
    name = "Generator/GBlock_3/conv1"
    u = source.normal(source.variables[f"{name}/u0"].shape)
    layer = imported(source, tables=True, **{f"{name}/u0": u}).bundle.G.blocks[3][0].conv2
    matrix = source.variables[f"{name}/w/ema_0.9999"].transpose(3, 2, 0, 1).reshape(layer.weight.shape[0], -1)
    v = u @ matrix / np.linalg.norm(u @ matrix)
    u = v @ matrix.T / np.linalg.norm(v @ matrix.T)
    assert np.abs(layer.v0.numpy() - v).max() < 1e-6
    assert np.abs(layer.u0.numpy() - u).max() < 1e-6
    assert layer.sv0.item() == pytest.approx((v @ matrix.T @ u.T).item(), rel=1e-6)


def test_u0_of_biggan_is_kept_as_it_is_but_for_the_order_of_the_first_layer() -> None:
    source = module(False)
    G = imported(source).bundle.G
    assert torch.equal(G.blocks[1][0].conv1.u0, torch.from_numpy(source.variables["Generator/GBlock_1/conv0/u0"]))
    u = source.variables["Generator/G_Z/G_linear/u0"].reshape(4, 4, -1).transpose(2, 0, 1).reshape(1, -1)
    assert torch.equal(G.linear.u0, torch.from_numpy(u))


@pytest.mark.parametrize("rows", [50, 51])
@pytest.mark.parametrize("deep", [False, True], ids=["biggan", "biggan-deep"])
def test_row_i_of_the_tables_is_truncation_i_fiftieths(deep: bool, rows: int) -> None:
    source = module(deep)
    found = tfhub.from_variables(PLACE, source.variables, [table[51 - rows :] for table in source.tables], NONE)
    statistics, name = found.bundle.statistics, "output_layer.0.stored_mean"
    for i in (51 - rows, 7, 29, 50):
        assert torch.equal(statistics.row(truncation=i / 50 or 1e-9)[name], torch.from_numpy(source.tables[-2][i]))
    assert torch.equal(statistics.row()[name], torch.from_numpy(source.tables[-2][50]))
    if rows == 50:
        with pytest.raises(ConfigError, match=r"statistics from 0\.02 to 1"):
            statistics.row(truncation=0.01)


@pytest.mark.parametrize("deep", [False, True], ids=["biggan", "biggan-deep"])
def test_accumulated_statistics_serve_undivided_at_truncation_one_alone(deep: bool) -> None:
    source = module(deep)
    assert source.variables["Generator/GBlock/BatchNorm/accumulation_counter" if deep else COUNTER] == 7
    found = imported(source)
    row, G = found.bundle.statistics.row(truncation=1), found.bundle.G
    for name, variable in accumulators_of(G).items():
        assert torch.equal(row[name], torch.from_numpy(source.variables[variable]))
        assert torch.equal(G.get_buffer(name), row[name])
    with pytest.raises(ConfigError, match="statistics from 1 to 1"):
        found.bundle.statistics.row(truncation=0.5)
    assert any("truncation 1 alone" in note for note in found.notes)


COUNTER = "Generator/GBlock/CrossReplicaBN/accumulation_counter"


def test_tables_that_do_not_fit_are_left_out_of_biggan_and_refused_for_biggan_deep() -> None:
    """The graph of BigGAN-deep is described by its converter; that of BigGAN is not."""
    source = module(False)
    found = tfhub.from_variables(PLACE, source.variables, source.tables[:-2], NONE)
    assert any("there are 20 where 22 are needed" in note for note in found.notes)
    source = module(True)
    narrow = [*source.tables[:3], source.tables[3][:, :-1], *source.tables[4:]]
    negative = [*source.tables[:3], -source.tables[3], *source.tables[4:]]
    for tables, said in ((source.tables[:-2], "there are 80"), (narrow, "number 3 has shape"), (negative, "below 0")):
        with pytest.raises(ModelError, match=f"module: of its tables of statistics .*{said}"):
            tfhub.from_variables(PLACE, source.variables, tables, NONE)


def test_what_is_known_and_not_needed_may_be_missing() -> None:
    source = module(False)
    raw = {name.removesuffix("/ema_b999900") for name in source.variables if name.endswith("/ema_b999900")}
    ends = ("u1", "accumulation_counter")
    slim = {name: x for name, x in source.variables.items() if name not in raw and not name.endswith(ends)}
    assert len(slim) < len(source.variables) / 2 + 60
    G = tfhub.from_variables(PLACE, slim, [], NONE).bundle.G
    assert_same(G, imported(source, global_step=np.array(1)).bundle.G)


def test_names_may_be_those_of_a_live_graph() -> None:
    source = module(False)
    live = {f"module/{name}:0": value for name, value in source.variables.items()}
    G = tfhub.from_variables(PLACE, live, [], NONE).bundle.G
    assert torch.equal(G.linear.weight, imported(source).bundle.G.linear.weight)


def wrong(change: Callable[[np.ndarray], np.ndarray | None]) -> Callable[[Module, str], dict[str, Any]]:
    return lambda source, name: {name: change(source.variables[name])}


CONV, BIAS = "Generator/GBlock_2/conv1/w/ema_b999900", "Generator/GBlock_2/conv1/b/ema_b999900"
MEAN = "Generator/ScaledCrossReplicaBNbn/accumulated_mean"
FIRST, CLASSES = "Generator/G_Z/G_linear/w/ema_b999900", "linear/w/ema_b999900"
MISTAKES = {
    "missing": (CONV, wrong(lambda x: None), f"lacks the tensor {CONV}"),
    "a missing mean": (MEAN, wrong(lambda x: None), f"lacks the tensor {MEAN}"),
    "misshapen": (CONV, wrong(lambda x: x[:, :, :, :-1]), f"{CONV} of shape"),
    "a bias too long": (BIAS, wrong(lambda x: np.append(x, x)), f"{BIAS} of shape"),
    "NaN": (BIAS, wrong(lambda x: x * np.nan), f"NaN or Inf in {BIAS}"),
    "whole numbers": (BIAS, wrong(lambda x: x.astype(np.int32)), f"{BIAS}' of kind int32"),
    "unknown": (
        "Generator/GBlock_2/conv1/x",
        lambda _, name: {name: np.zeros(3)},
        "unknown tensor 'Generator/GBlock_2",
    ),
    "no first layer": (FIRST, wrong(lambda x: None), f"lacks the variable {FIRST}; give one of the six"),
    "no classes": (CLASSES, wrong(lambda x: None), f"lacks the variable {CLASSES}"),
    "a first layer of another kind": (FIRST, wrong(lambda x: x.ravel()), "which is no matrix"),
    "an odd width": (FIRST, wrong(lambda x: x[:, :-1]), "first layer of 1023 units"),
    "one block too many": ("Generator/GBlock_5/conv0/w", lambda _, name: {name: np.zeros(3)}, "."),
    "eight blocks": ("Generator/GBlock_7/conv0/w", lambda _, name: {name: np.zeros(3)}, "has 8 blocks.*have 5, 6, 7"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_wrong_is_named(mistake: str) -> None:
    name, change, message = MISTAKES[mistake]
    source = module(False)
    with pytest.raises(ModelError, match=f"^module.*{message}"):
        imported(source, **change(source, name))


def test_a_module_too_narrow_for_its_attention_is_refused() -> None:
    with pytest.raises(ModelError, match=r"^module: Attention needs 8 channels"):
        imported(Module(False, 128, ch=3))


def test_variables_of_something_else_are_refused() -> None:
    with pytest.raises(ModelError, match="give one of the six BigGAN modules of TF-Hub"):
        tfhub.from_variables(PLACE, {"resnet/conv1/w": np.zeros((3, 3, 3, 8))}, [], NONE)
    with pytest.raises(ModelError, match="give one of the six BigGAN modules of TF-Hub"):
        tfhub.from_variables(PLACE, {}, [], NONE)


def test_overrides_take_the_place_of_the_published_values() -> None:
    source = module(True)
    names = tuple("abcde")
    given = Overrides(norm_eps=1e-5, output_norm_eps=1e-6, sn_eps=1e-7, condition="yz", class_names=names)
    found = imported(source, overrides=given)
    config = found.bundle.G.config
    assert (config.norm_eps, config.output_norm_eps, config.sn_eps, config.condition) == (1e-5, 1e-6, 1e-7, "yz")
    assert found.bundle.class_names == list(names)
    assert any("Epsilon is 1e-05" in note for note in found.notes)
    assert imported(source).bundle.class_names == [f"class {i}" for i in range(5)]
    with pytest.raises(ConfigError, match="4 class names are given for 5 classes"):
        imported(source, overrides=replace(given, class_names=names[:4]))


@pytest.mark.parametrize("deep", [False, True], ids=["biggan", "biggan-deep"])
def test_what_was_imported_is_a_model_on_disk(deep: bool, tmp_path: Path) -> None:
    bundle = imported(module(deep), tables=deep).bundle
    save_bundle(tmp_path / "model", bundle, None)
    again = load_bundle(tmp_path / "model")
    assert_same(again.G, bundle.G)
    assert again.training["imported from"].startswith("TF-Hub")


PUBLISHED = {  # dim_z and parameters of G
    "biggan128": (120, 70_433_988),
    "biggan256": (140, 82_097_604),
    "biggan512": (128, 82_296_804),
    "biggan-deep128": (128, 50_388_609),
    "biggan-deep256": (128, 55_880_833),
    "biggan-deep512": (128, 56_163_905),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_is_recognised_as_the_published_network(name: str) -> None:
    """A small module has the settings of the real one but for its sizes and, in BigGAN, the last epsilon."""
    small, real = imported(module("deep" in name, int(name[-3:]))).bundle.G.config, preset(name).model
    (dim_z, parameters), sizes = PUBLISHED[name], ("num_classes", "shared_dim", "g_channels", "d_channels")
    real = replace(real, dim_z=dim_z, output_norm_eps=1e-4)
    assert small.d_attention == (64,)
    sized = replace(small, dim_z=dim_z, d_attention=real.d_attention, **{size: getattr(real, size) for size in sizes})
    assert sized == real
    assert count_parameters(skeleton(real)[0]) == parameters


def listing(resolution: int) -> list[tuple[str, list[int], str]]:
    """Key and shape in the Hugging Face layout, and TF variable, of the published BigGAN-deep."""
    text = gzip.decompress((GOLDEN / "pretrained" / f"tf_variables_{resolution}.tsv.gz").read_bytes()).decode()
    rows = (line.split("\t") for line in text.splitlines())
    return [(key, json.loads(shape), variable) for key, shape, variable in rows]


@pytest.mark.parametrize("resolution", [128, 256, 512])
def test_variables_of_the_real_size_are_those_of_the_listing(resolution: int) -> None:
    G, _ = skeleton(preset(f"biggan-deep{resolution}").model)
    listed = {variable: shape for _, shape, variable in listing(resolution)}
    used, state = variables_of(G), G.state_dict()
    assert sorted(used.values()) == sorted(listed)
    for name, variable in used.items():
        shape = listed[variable][::-1] if name == "shared.weight" else listed[variable]
        assert [n for n in state[name].shape if n > 1] == [n for n in shape if n > 1]


def test_the_golden_generator_draws_the_same_from_tf_variables() -> None:
    """pytorch-pretrained-biggan's own pictures, from its weights put back into TF's names and order.

    Its u and v are put in, as they had not converged: one iteration more, which the import makes, moves the pictures.
    """
    place = GOLDEN / "pretrained" / "layout128_ch4"
    theirs, io = load_file(place / "model.safetensors"), np.load(place / "io.npz")
    variables = {}
    for key, _, variable in listing(128):
        x = theirs[key].numpy()
        x = x.transpose(2, 3, 1, 0) if x.ndim == 4 else x.T if x.ndim == 2 else x
        variables[variable] = x[None] if variable.endswith("/u0") else x
    layers = sorted({int(key.split(".")[2]) for key in theirs if "running_means" in key and "layers" in key})
    norms = [f"generator.layers.{i}.bn_{k}" for i in layers for k in range(4)] + ["generator.bn"]
    tables = [theirs[f"{norm}.running_{part}"].numpy() for norm in norms for part in ("means", "vars")]
    bundle = tfhub.from_variables(PLACE, variables, tables, NONE).bundle
    assert len(bundle.class_names) == 1000
    assert bundle.class_names[1] == "goldfish"
    keys = {variable: key for key, _, variable in listing(128)}
    for name, variable in variables_of(bundle.G).items():
        if name.endswith("u0"):
            u, v = theirs[keys[variable]], theirs[keys[variable].removesuffix("u") + "v"]
            bundle.G.get_buffer(name).copy_(u.view(16, -1).T.flatten() if name == "linear.u0" else u)
            bundle.G.get_buffer(name.removesuffix("u0") + "v0").copy_(v)
    z, c = torch.from_numpy(io["z"]), torch.from_numpy(io["y"]) @ bundle.G.shared.weight
    sampler = Sampler(bundle.G, bundle.statistics, batch_size=2)
    for truncation in (0.2, 0.43, 1.0):
        x = sampler.render(z * truncation, c.detach(), truncation)
        assert np.abs(x.numpy() - io[f"out_t{truncation}"]).max() < 1e-4


def test_a_module_is_told_by_its_files(tmp_path: Path) -> None:
    assert not tfhub.holds(tmp_path)
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "variables.index").touch()
    assert not tfhub.holds(tmp_path)
    for name in ("saved_model.pb", "tfhub_module.pb"):
        (tmp_path / name).touch()
        assert tfhub.holds(tmp_path)
        (tmp_path / name).unlink()
    assert not tfhub.holds(tmp_path / "absent")


def test_without_tensorflow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ConfigError, match=r'pip install "torch-biggan\[tensorflow\]"'):
        tfhub.load(tmp_path, NONE)


@pytest.mark.parametrize("deep", [False, True], ids=["biggan", "biggan-deep"])
def test_a_module_s_folder_reads_as_its_variables(deep: bool, tmp_path: Path) -> None:
    """Where TensorFlow is installed; its tables are a constant each, or rows stacked."""
    tf = pytest.importorskip("tensorflow")
    source = module(deep)
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        for number, table in enumerate(source.tables):
            name = f"stack_{5 * (number // 2) + 2 * (number % 2) + 1}"
            _ = (
                tf.stack([tf.constant(row) for row in table], name=name)
                if number % 2
                else tf.constant(table, name=name)
            )
        for name, value in source.variables.items():
            tf.compat.v1.get_variable(name, initializer=value, use_resource=False)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "variables" / "variables"), write_meta_graph=False)
        saved = import_module("tensorflow.core.protobuf.saved_model_pb2").SavedModel()
        saved.meta_graphs.add().graph_def.CopyFrom(graph.as_graph_def())
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    variables, tables = tfhub.read(tmp_path)
    assert variables.keys() == source.variables.keys()
    assert all(np.array_equal(value, source.variables[name]) for name, value in variables.items())
    assert all(np.array_equal(*pair) for pair in zip(tables, source.tables, strict=True))
    assert_same(tfhub.load(tmp_path, NONE).bundle.G, imported(source, tables=True).bundle.G)
    (tmp_path / "variables" / "variables.index").write_bytes(b"cut")
    with pytest.raises(ModelError, match="cannot be read"):
        tfhub.load(tmp_path, NONE)


def test_an_override_that_is_not_allowed_is_no_fault_of_the_module_s() -> None:
    with pytest.raises(ConfigError) as caught:
        imported(module(False), overrides=Overrides(norm_eps=5.0))
    assert "norm_eps is 5.0" in str(caught.value).replace("-", "_")
    assert str(PLACE) not in str(caught.value)
