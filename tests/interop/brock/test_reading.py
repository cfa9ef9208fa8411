"""Checkpoints of BigGAN-PyTorch as models of ours, old ones and wrong ones too."""

import sys
import types
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import GOLDEN_MODELS, golden, part
from checkpoints import CONFIG, NONE, TINY, golden_networks, load, made, networks, optimizer, put, refusal, same
from crafted import CRAFTED
from torch import Tensor, nn

from biggan.config import Config
from biggan.errors import ConfigError
from biggan.interop.imported import Imported, Overrides
from biggan.training.loop import Training

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["zip", "stream"])


def draw(imported: Imported, z: Tensor, y: Tensor) -> Tensor:
    G = imported.bundle.G
    with torch.no_grad():
        return G(z, G.embed(y))


# --- the reference's numbers ---


@pytest.mark.parametrize(("name", "stream"), [*((name, False) for name in GOLDEN_MODELS), ("sagan32", True)])
def test_the_golden_checkpoints_draw_and_judge_as_the_reference_does(tmp_path, name, stream):
    files, forward = golden_networks(name), golden(f"{name}/forward")
    imported = load(put(tmp_path, files, stream=stream))
    bundle = imported.bundle
    x = draw(imported, forward["z"], forward["y"])
    torch.testing.assert_close(x, forward["G_eval_out"], atol=1e-5, rtol=0)
    logits = bundle.D(forward["x"], forward["y_real"])
    torch.testing.assert_close(logits, forward["D_eval_logits_real"], atol=2e-5, rtol=1e-5)
    expected = replace(GOLDEN_MODELS[name], sn_eps=1e-6, init="ortho", cross_replica=False)
    assert bundle.G.config == bundle.D.config == expected
    assert not bundle.G.training
    assert not bundle.D.training
    assert same(bundle.G.state_dict(), files["G"])
    assert same(bundle.D.state_dict(), files["D"])


@pytest.mark.parametrize("name", ["biggan32", "sagan32"])
def test_the_one_row_of_statistics_is_the_generator_s_own(tmp_path, name):
    bundle = load(put(tmp_path, {"G": golden_networks(name)["G"]})).bundle
    before = {key: tensor.clone() for key, tensor in bundle.G.state_dict().items()}
    bundle.G.use_statistics(bundle.statistics.row())
    assert same(bundle.G.state_dict(), before)
    assert list(bundle.statistics.tables) == ["none"]


def test_standing_sums_of_the_reference_s_batch_norm_are_divided(tmp_path):
    standing = golden("biggan32_mybn/standing")
    state = {**golden("biggan32_mybn/G_init"), **part(standing, "G_buf_after")}
    imported = load(put(tmp_path, {"G_ema": state}))
    x = draw(imported, standing["z"], standing["y"])
    torch.testing.assert_close(x, standing["G_eval_out_standing"], atol=1e-5, rtol=0)
    assert "G_ema.pth holds standing statistics of 4 batches." in imported.notes


def test_running_statistics_of_the_reference_s_batch_norm_are_taken_as_they_are(tmp_path):
    state = golden("biggan32_mybn/G_init")
    G = load(put(tmp_path, {"G": state})).bundle.G
    for name in ("blocks.1.0.bn2", "output_layer.0"):
        assert torch.equal(G.get_buffer(f"{name}.stored_var"), state[f"{name}.bn.stored_var"])
    lacking = {name: tensor for name, tensor in state.items() if name != "blocks.1.0.bn2.bn.accumulation_counter"}
    said = refusal(put(tmp_path, {"G": lacking}))
    assert "G.pth lacks the tensor blocks.1.0.bn2.bn.accumulation_counter" in said


# --- what does not show ---


def test_without_a_record_each_assumption_is_said(tmp_path):
    notes = load(put(tmp_path, {"G_ema": networks()["G"]})).notes
    assert notes == [
        "The epsilon of batch norm is taken to be 1e-05.",
        "The epsilon of the last batch norm is taken to be 1e-05.",
        "The epsilon of spectral norm is taken to be 1e-06.",
        "Activations are taken to be ReLU and norms batch norm, as no state_dict.pth says otherwise.",
        "There is no G.pth with it, so training cannot go on from this checkpoint.",
    ]


def test_overrides_go_before_the_record_and_the_assumptions(tmp_path):
    files = {"G_ema": networks()["G"], "state_dict": {"itr": 0, "config": CONFIG}}
    given = Overrides(norm_eps=0.01, output_norm_eps=0.02, sn_eps=0.03)
    for place in (put(tmp_path / "a", files), put(tmp_path / "b", {"G": files["G_ema"]})):
        imported = load(place, given)
        model = imported.bundle.G.config
        assert (model.norm_eps, model.output_norm_eps, model.sn_eps) == (0.01, 0.02, 0.03)
        assert not [note for note in imported.notes if "epsilon" in note]
    with pytest.raises(ConfigError, match="--norm-eps is -1"):
        load(place, Overrides(norm_eps=-1.0))
    with pytest.raises(ConfigError, match="--condition is for BigGAN-deep"):
        load(place, Overrides(condition="zy"))


def test_a_deep_condition_is_yz_unless_it_is_said_otherwise(tmp_path):
    model = replace(TINY, architecture="biggan-deep", g_channels=4, d_channels=4, wide_output=True)
    place = put(tmp_path, {"G": networks(model)["G"]})
    for overrides, condition, assumed in ((NONE, "yz", 1), (Overrides(condition="zy"), "zy", 0)):
        imported = load(place, overrides)
        assert (imported.bundle.G.config.condition, imported.bundle.G.config.wide_output) == (condition, True)
        assert sum("condition" in note for note in imported.notes) == assumed
    assert "It is taken to draw 32 px with 2 blocks at each resolution, as its widths suggest." in imported.notes


def test_class_names_are_those_given_or_numbers_or_those_of_imagenet(tmp_path):
    place = put(tmp_path / "a", {"G": networks()["G"]})
    assert load(place).bundle.class_names == [f"class {i}" for i in range(5)]
    assert load(place, Overrides(class_names=tuple("vwxyz"))).bundle.class_names == list("vwxyz")
    with pytest.raises(ConfigError, match="2 class names are given for 5 classes"):
        load(place, Overrides(class_names=("a", "b")))
    thousand = put(tmp_path / "b", {"G": networks(replace(TINY, num_classes=1000, shared_dim=1))["G"]})
    assert load(thousand).bundle.class_names[0] == "tench"


# --- old files ---


class Backend:
    """What a module of PyTorch 1.0 had among its settings; its class is gone."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return sys.modules["torch.nn.backends.thnn"]._get_thnn_function_backend, ()


@pytest.fixture
def old_relu(monkeypatch: pytest.MonkeyPatch) -> nn.ReLU:
    def _get_thnn_function_backend() -> None: ...

    name = "torch.nn.backends.thnn"
    _get_thnn_function_backend.__module__, _get_thnn_function_backend.__qualname__ = name, "_get_thnn_function_backend"
    for module in ("torch.nn.backends", name):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    sys.modules[name]._get_thnn_function_backend = _get_thnn_function_backend
    relu = nn.ReLU(inplace=True)
    relu._backend = Backend()
    return relu


@STREAM
def test_old_files_load(tmp_path, stream, old_relu):
    """Of PyTorch 1.0: no singular values, tensors of a GPU, addresses in the optimizers, a `model` key."""
    G, D = made(TINY)
    without = {name: tensor for name, tensor in G.state_dict().items() if not name.endswith(".sv0")}
    config = {**CONFIG, "model": "model", "dataset_root": "data", "G_activation": old_relu, "D_activation": nn.ReLU()}
    record = {"itr": 7, "best_IS": np.float32(3.5), "best_FID": torch.tensor(9.0), "config": config}
    files = {"G": without, "G_ema": without, "D": D.state_dict(), "state_dict": record}
    files |= {"G_optim": optimizer(G, old=True), "D_optim": optimizer(D, old=True)}
    place = put(tmp_path, files, stream=stream)
    if stream:
        for path in place.iterdir():
            moved = path.read_bytes().replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage")
            path.write_bytes(moved.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))
    imported = load(place)
    assert imported.iterations == 7
    assert imported.bundle.G.config.norm_eps == 1e-3
    assert "G.pth lacks the singular values of its log, which begin again at 1." in imported.notes
    again = {name: torch.ones(1) if name.endswith(".sv0") else tensor for name, tensor in G.state_dict().items()}
    assert same(imported.bundle.G.state_dict(), again)
    assert float(imported.trained["optim_g"]["0.step"]) == 3


def test_a_converted_generator_of_tf_hub_has_its_epsilons(tmp_path):
    model = replace(TINY, num_classes=2, g_channels=96, g_widths=(), shared_dim=1, dim_z=4)
    G = {name: tensor for name, tensor in networks(model)["G"].items() if ".sv0" not in name}
    imported = load(put(tmp_path, {"biggan-32": G}) / "biggan-32.pth")
    model = imported.bundle.G.config
    assert (model.norm_eps, model.output_norm_eps, model.sn_eps) == (1e-4, 1e-4, 1e-4)
    words = "The epsilon of batch norm is taken to be 0.0001, as in the published generators of TF-Hub"
    assert any(note.startswith(words) for note in imported.notes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(tmp_path, dtype):
    G = {name: tensor.to(dtype) for name, tensor in networks()["G"].items()}
    found = load(put(tmp_path, {"G_ema": G})).bundle.G.state_dict()
    assert same(found, {name: tensor.float() for name, tensor in G.items()})


# --- wrong, partial, mixed up ---


def mixed(change: str) -> dict[str, object]:
    files: dict[str, dict[str, Tensor]] = networks()
    match change:
        case "swapped":
            return {"G": files["D"], "D": files["G"]}
        case "D as G_ema":
            files["G_ema"] = files["D"]
        case "G as D":
            files["D"] = files["G"]
        case "D of other classes":
            files["D"] = networks(replace(TINY, num_classes=6))["D"]
        case "D of other colours":
            files["D"] = networks(replace(TINY, image_channels=1))["D"]
        case "D of another size":
            files["D"] = networks(replace(TINY, resolution=64, dim_z=15))["D"]
        case "wider average":
            files["G_ema"] = networks(replace(TINY, g_channels=4))["G"]
        case "record of another width":
            return {**files, "state_dict": {"itr": 1, "config": {**CONFIG, "G_ch": 64}}}
        case "record of other classes":
            return {**files, "state_dict": {"itr": 1, "config": {**CONFIG, "n_classes": 1000}}}
        case "partial":
            del files["G"]["blocks.1.0.conv2.weight"]
        case "partial log":
            del files["G"]["blocks.1.0.conv2.sv0"]
        case "extra":
            files["G"]["blocks.1.0.extra"] = torch.ones(1)
        case "misshapen":
            files["D"]["blocks.1.0.conv2.bias"] = torch.ones(3)
        case "attention of few channels":
            files["G"]["blocks.2.1.gamma"] = torch.tensor(1.0)
            files["G"]["blocks.2.0.conv1.weight"] = torch.ones(4, 8, 3, 3)
        case "nan":
            files["D"]["blocks.1.0.conv2.bias"][0] = float("nan")
        case "other tensors":
            files["G"] = {"a": torch.ones(1)}
    return files


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("swapped", "G.pth holds no generator's tensors"),
        ("D as G_ema", "G_ema.pth holds no generator's tensors"),
        ("G as D", "D.pth holds no discriminator's tensors"),
        ("D of other classes", "D.pth has embed.weight of shape [6, 8] where its other tensors ask for [5, 8]"),
        ("D of other colours", "D.pth has blocks.0.0.conv1.weight of shape [8, 1, 3, 3] where"),
        ("D of another size", "is of no BigGAN that there is"),
        ("wider average", "G.pth has linear.weight of shape [128, 3] where its other tensors ask for [256, 3]"),
        ("record of another width", "state_dict.pth says that G_ch is 64, and"),
        ("record of other classes", "state_dict.pth says that n_classes is 1000, and"),
        ("partial", "G.pth lacks the tensor blocks.1.0.conv2.weight"),
        ("partial log", "G.pth lacks the tensor blocks.1.0.conv2.sv0"),
        ("extra", "G.pth has an unknown tensor 'blocks.1.0.extra'"),
        ("misshapen", "D.pth has blocks.1.0.conv2.bias of shape [3] where"),
        ("attention of few channels", "G.pth is of no BigGAN that there is: Attention needs 8 channels"),
        ("nan", "D.pth holds NaN or Inf in 'blocks.1.0.conv2.bias'"),
        ("other tensors", "G.pth holds no generator's tensors"),
    ],
)
def test_files_that_do_not_belong_together_are_named(tmp_path, change, words):
    assert words in refusal(put(tmp_path, mixed(change)))


def test_a_folder_or_file_without_a_generator_is_refused(tmp_path):
    place = put(tmp_path, {"D": networks()["D"]})
    assert "holds no generator of BigGAN-PyTorch" in refusal(place)
    assert "holds no generator of BigGAN-PyTorch" in refusal(place / "D.pth")
    assert "holds no generator of BigGAN-PyTorch" in refusal(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["G", "G_ema", "D", "G_optim", "state_dict"])
def test_a_crafted_file_runs_nothing_wherever_it_is(tmp_path, name):
    """What is needed is refused; a record is not needed, so it is said and passed over."""
    files = networks()
    place = put(tmp_path / "save", files if name in ("D", "G_optim") else {"G": files["G"]})
    for craft in CRAFTED if name in ("G", "state_dict") else ("os.system", "a call in a stream", "__setstate__"):
        (place / f"{name}.pth").write_bytes(CRAFTED[craft](tmp_path / "marker"))
        if name == "state_dict":
            notes = load(place).notes
            assert any(note.startswith("state_dict.pth ") and note.endswith("it was passed over.") for note in notes)
        else:
            assert f"{name}.pth" in refusal(place)
    assert not (tmp_path / "marker").exists()


def test_a_run_goes_on_from_what_was_read(tmp_path):
    """As `sitting.Sitting.restore` puts a saved state back, strictly."""
    G, D = made(TINY)
    files = {**networks(), "G_ema": networks(seed=1)["G"], "G_optim": optimizer(G), "D_optim": optimizer(D)}
    imported = load(put(tmp_path, files))
    run = Training(Config(model=imported.bundle.G.config), torch.device("cpu"), None)
    for name in ("G", "D", "G_ema"):
        getattr(run, name).load_state_dict(imported.trained[name])
        assert same(getattr(run, name).state_dict(), files[name])
    for name in ("optim_g", "optim_d"):
        getattr(run, name).load(imported.trained[name])
        assert same(getattr(run, name).tensors(), imported.trained[name])
