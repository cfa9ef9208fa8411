"""A model on disk comes back bit for bit; whatever else lies there is refused in one sentence, at little cost."""

import json
import random
import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save

from biggan.config import Model
from biggan.errors import DiskFailed, ModelError
from biggan.models.build import build
from biggan.models.bundle import Bundle, check_place, load_bundle, save_bundle
from biggan.models.sealed import seal
from biggan.models.statistics import Statistics, Table, standing_statistics
from biggan.presets import tiny

CONFIG = replace(tiny().model, num_classes=2, image_channels=1)
NAMES = ["Ankle boot", "T-shirt/top"]


def make_bundle(config: Model = CONFIG, names: list[str] | None = None, with_d: bool = True) -> Bundle:
    G, D = build(config)
    none = standing_statistics(G, full=False).tables["none"]
    rows = {name: torch.cat([value, value + 1, value + 2]) for name, value in none.values.items()}
    statistics = Statistics({"none": none, "truncation": Table(torch.tensor([0.0, 0.5, 1.0]), rows)})
    training = {"data": "fashion-mnist", "images": 64, "seed": 0}
    return Bundle(G, D if with_d else None, NAMES if names is None else names, statistics, training)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.set_num_threads(1)  # as in the tests: sums in another order have other last bits
    save_bundle(folder, make_bundle(), Image.new("L", (8, 8)))
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("config", "names", "with_d"),
    [
        (CONFIG, NAMES, True),
        (CONFIG, NAMES, False),
        (replace(CONFIG, num_classes=0), [], True),
        (replace(CONFIG, norm="none", hierarchical_z=False, shared_dim=0, spectral_norm="none"), NAMES, True),
        (replace(CONFIG, norm="instance", num_singular_values=2, g_attention=(16,), g_channels=8), NAMES, True),
    ],
    ids=["whole", "without D", "unconditional", "plain", "other"],
)
def test_a_model_comes_back_bit_for_bit(tmp_path: Path, config: Model, names: list[str], with_d: bool) -> None:
    bundle = make_bundle(config, names, with_d)
    save_bundle(tmp_path, bundle, None)
    back = load_bundle(tmp_path)
    pairs = [(bundle.G, back.G)] if back.D is None or bundle.D is None else [(bundle.G, back.G), (bundle.D, back.D)]
    assert (back.D is None) == (not with_d)
    for before, after in pairs:
        assert not after.training
        assert list(before.state_dict()) == list(after.state_dict())
        for name, tensor in before.state_dict().items():
            assert torch.equal(tensor, after.state_dict()[name]), name
            assert tensor.dtype == after.state_dict()[name].dtype
        assert all(p.requires_grad and p.device.type == "cpu" for p in after.parameters())
        assert all(b.device.type == "cpu" for b in after.buffers())
    assert (back.G.config, back.class_names, back.training) == (config, names, bundle.training)
    assert (back.sha256, back.path) == (bundle.sha256, tmp_path)
    tables, before_tables = back.statistics.to_tensors(), bundle.statistics.to_tensors()
    assert tables.keys() == before_tables.keys()
    assert all(torch.equal(tables[name], before_tables[name]) for name in tables)
    z, y = torch.randn(3, config.dim_z), torch.zeros(3, dtype=torch.long)
    assert torch.equal(back.G(z, back.G.embed(y)), bundle.G.eval()(z, bundle.G.embed(y)))


def test_the_files_are_a_function_of_the_model(tmp_path: Path, saved: Path) -> None:
    save_bundle(tmp_path, make_bundle(), Image.new("L", (8, 8)))
    names = {"config.json", "model.safetensors", "discriminator.safetensors", "README.md", "samples.png"}
    assert {file.name for file in tmp_path.iterdir()} == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (saved / name).read_bytes()


def test_any_safetensors_reader_can_read_it(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    assert torch.equal(tensors["linear.weight"], make_bundle().G.linear.weight)
    assert tensors["statistics.truncation.grid"].tolist() == [0.0, 0.5, 1.0]


def test_a_model_may_lie_in_a_run_folder_and_be_replaced(folder: Path) -> None:
    (folder / "log.txt").write_text("of the run")
    bundle = make_bundle(with_d=False)
    with torch.no_grad():
        bundle.G.linear.weight.add_(1)
    save_bundle(folder, bundle, None)
    back = load_bundle(folder)
    assert back.D is None
    assert torch.equal(back.G.linear.weight, bundle.G.linear.weight)
    assert (folder / "log.txt").read_text() == "of the run"
    assert not list(folder.glob(".*"))


def test_what_a_model_was_trained_on_is_written_when_all_else_is(folder: Path) -> None:
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()  # the card cannot be written
    bundle = make_bundle()
    bundle.training = {"images": 128}
    with pytest.raises(DiskFailed):
        save_bundle(folder, bundle, None)
    assert load_bundle(folder).training["images"] == 64
    (folder / "README.md").rmdir()
    save_bundle(folder, bundle, None)
    assert load_bundle(folder).training == {"images": 128}


def test_saving_mends_a_damaged_model(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    (folder / "model.safetensors").write_bytes(b"")
    save_bundle(folder, make_bundle(), None)
    assert load_bundle(folder).class_names == NAMES


def test_other_peoples_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ModelError, match=r"holds a README\.md that is not a model's; choose another --out\.$"):
        save_bundle(tmp_path, make_bundle(), None)
    (tmp_path / "config.json").write_text('{"mine": true}')
    with pytest.raises(ModelError, match="is not of format 1"):
        check_place(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_the_card_begins_as_the_hub_wants_and_says_how_to_draw(saved: Path) -> None:
    card = (saved / "README.md").read_text()
    front = card.split("---\n")[1]
    assert front.startswith('license: "other"\nlibrary_name: biggan\npipeline_tag: unconditional-image-generation\n')
    assert 'datasets:\n- "fashion-mnist"\n' in front
    assert "![Samples](samples.png)" in card
    assert "2 classes: Ankle boot, T-shirt/top." in card
    assert '["Ankle boot", "T-shirt/top"]' in card
    assert "| images | 64 |" in card


def test_no_name_can_shape_the_card(tmp_path: Path) -> None:
    bundle = make_bundle(names=["<img src=x onerror=alert(1)>", "[a](javascript:b)"])
    bundle.training = {"data": "x\n---\ntags: [y]", "license": "a\nb: c", "note": "|<b>|"}
    save_bundle(tmp_path, bundle, None)
    card = (tmp_path / "README.md").read_text()
    front, _, text = card.partition("---\n\n")
    assert front.count("\ntags:") == 1
    assert 'license: "a\\nb: c"\n' in front
    assert "\n---\n" not in text
    assert "<b>" not in card
    assert "[a](" not in re.sub("```.*?```", "", card, flags=re.DOTALL)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\udc80", "x" * 1001])
def test_a_name_that_cannot_be_shown_is_refused_both_ways(folder: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"^Class name .* is not allowed; rename it"):
        save_bundle(folder, make_bundle(names=["a", name]), None)
    edit(folder, lambda config: config.update(class_names=["a", name]))
    with pytest.raises(ModelError, match=r"^Class name"):
        load_bundle(folder)


BAD_CONFIGS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "format": (lambda c: c.update(format=2), "format 1"),
    "a missing part": (lambda c: c.pop("training"), "must hold format"),
    "an extra part": (lambda c: c.update(path="../../etc/passwd"), "must hold format"),
    "a training list": (lambda c: c.update(training=[]), "must hold format"),
    "too few names": (lambda c: c.update(class_names=["a"]), "1 class_names for 2 classes"),
    "no list of names": (lambda c: c.update(class_names="ab"), "list of texts"),
    "numbers as names": (lambda c: c.update(class_names=[1, 2]), "list of texts"),
    "no model": (lambda c: c.update(model=None), "must be a JSON object"),
    "an unknown field": (lambda c: c["model"].update(resolutoin=32), "did you mean 'resolution'"),
    "a word for a number": (lambda c: c["model"].update(dim_z="big"), "dim_z"),
    "an odd resolution": (lambda c: c["model"].update(resolution=33), "--resolution is 33"),
    "another architecture": (lambda c: c["model"].update(architecture="__import__"), "architecture"),
    "a negative width": (lambda c: c["model"].update(g_channels=-1), "--g-channels is -1"),
    "an endless number": (lambda c: c["model"].update(dim_z=10**400), "dim.z"),
    "an endless width": (lambda c: c["model"].update(g_widths=[10**400] * 4), "g.widths"),
    "thin attention": (lambda c: c["model"].update(g_attention=[8], g_widths=[4, 4, 4, 4]), "8 channels"),
    "other widths": (lambda c: c["model"].update(d_widths=[8, 8, 8, 9]), "where the config asks for"),
    "the widest networks": (
        lambda c: c["model"].update(g_widths=[65536] * 4, d_widths=[65536] * 4, shared_dim=65536, dim_z=65536),
        "where the config asks for",
    ),
    "another depth": (
        lambda c: c["model"].update(resolution=64, g_widths=[8] * 5, d_widths=[8] * 5, dim_z=20),
        "lacks the tensor",
    ),
    "no spectral norm": (lambda c: c["model"].update(spectral_norm="none"), "unknown tensor"),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_a_bad_config_is_one_sentence(folder: Path, case: str) -> None:
    change, says = BAD_CONFIGS[case]
    edit(folder, change)
    with pytest.raises(ModelError, match=says) as refused:
        load_bundle(folder)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_where_no_model_is_is_one_sentence(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(ModelError, match=r"holds no model \(no config\.json\); give a model folder, or a run"):
            load_bundle(place)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing; give an undamaged model folder\.$"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "discriminator.safetensors"])
def test_each_cut_and_flipped_bit_is_found(folder: Path, name: str) -> None:
    draw = random.Random(0)
    content = (folder / name).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    for trial in range(60):
        place = draw.randrange(start if trial % 2 else len(content))
        flipped = bytes([content[place] ^ 1 << draw.randrange(8)])
        damaged = content[:place] if trial % 5 == 0 else content[:place] + flipped + content[place + 1 :]
        (folder / name).write_bytes(damaged)
        with pytest.raises(ModelError, match=rf"{name} is damaged: .*; give an undamaged model folder, or repeat"):
            load_bundle(folder)
    (folder / name).write_bytes(content + b"\0")
    with pytest.raises(ModelError, match="it should have"):
        load_bundle(folder)


def header(**tensors: Any) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "does not begin as"),
    "a short length": (b"\x01\x02", "does not begin as"),
    "an endless header": (struct.pack("<Q", 2**63) + b"{}", "does not begin as"),
    "a list": (struct.pack("<Q", 2) + b"[]", "does not begin as"),
    "deep": (struct.pack("<Q", 10**5) + b"[" * 10**5, "does not begin as"),
    "no tensors": (header(), "lacks the tensor"),
    "a word": (header(a="b"), "no tensor's"),
    "a shape of words": (header(a={"dtype": "F32", "shape": ["x"], "data_offsets": [0, 0]}), "no tensor's"),
    "a pickle": (b"\x80\x04cos\nsystem\n(S'touch x'\ntR.", "does not begin as"),
    "a huge tensor": (header(a={"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}), "lacks|unknown"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_what_is_no_tensor_file_is_one_sentence(folder: Path, case: str) -> None:
    content, says = BAD_FILES[case]
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=says):
        load_bundle(folder)


BAD_TENSORS: dict[str, tuple[Callable[[dict[str, torch.Tensor]], object], str]] = {
    "missing": (lambda t: t.pop("linear.bias"), "lacks the tensor linear.bias"),
    "unknown": (lambda t: t.update(extra=torch.zeros(1)), "unknown tensor 'extra'"),
    "misshapen": (lambda t: t.update({"linear.bias": torch.zeros(1)}), r"linear.bias is F32 \(1,\) where the config"),
    "of another dtype": (lambda t: t.update({"linear.bias": t["linear.bias"].half()}), "linear.bias is F16"),
    "not a number": (lambda t: t["linear.bias"].fill_(float("nan")), "linear.bias holds NaN or Inf"),
    "without statistics": (lambda t: t.pop("statistics.none.grid"), "lacks the tensor statistics.none.grid"),
    "without a row": (lambda t: t.pop("statistics.truncation.blocks.0.0.bn1.stored_var"), "lacks the tensor"),
    "without a grid": (lambda t: t.pop("statistics.truncation.grid"), "unknown tensor 'statistics.truncation"),
    "of another kind": (lambda t: t.update({"statistics.other.grid": torch.zeros(1)}), "unknown tensor"),
    "without rows": (lambda t: t.update({"statistics.truncation.grid": torch.zeros(0)}), "statistics.truncation"),
    "a flat grid": (lambda t: t["statistics.truncation.grid"].zero_(), "grid that does not rise"),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_well_sealed_tensors_that_do_not_fit_are_named(folder: Path, case: str) -> None:
    change, says = BAD_TENSORS[case]
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    (folder / "model.safetensors").write_bytes(seal(tensors))
    with pytest.raises(ModelError, match=says):
        load_bundle(folder)


def test_an_unsealed_file_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(save(load_file(path)))
    with pytest.raises(ModelError, match="content differs from its checksum"):
        load_bundle(folder)
