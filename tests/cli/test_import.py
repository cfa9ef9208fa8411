"""`biggan import` and `biggan export`: published checkpoints become models and runs of ours, and ours theirs."""

import json
import resource
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch
from cases import GOLDEN
from PIL import Image
from tiny_models import make_folder

import biggan
from biggan.cli.main import main
from biggan.training.state import list_states, load_state

PUBLISHED = GOLDEN / "pretrained" / "tiny"


def save_of_a_run(folder: Path) -> Path:
    """What BigGAN-PyTorch has written after 3 iterations of batch 4 with one D step."""
    networks, modules = checkpoints.networks(), dict(zip("GD", checkpoints.made(checkpoints.TINY), strict=True))
    config = {"batch_size": 4, "num_D_steps": 1, "num_G_accumulations": 1, "num_D_accumulations": 1, "G_lr": 1e-4}
    files = {
        **networks,
        "G_ema": checkpoints.networks(seed=1)["G"],
        **{f"{name}_optim": checkpoints.optimizer(modules[name]) for name in "GD"},
        "state_dict": {"itr": 3, "config": {**config, "D_lr": 4e-4, "G_nl": "relu", "D_nl": "relu", "SN_eps": 1e-6}},
    }
    return checkpoints.put(folder, files)


def data(folder: Path, num_classes: int = 5) -> Path:
    """A few images of five classes."""
    folder.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    np.savez(folder / "images.npz", x=x, y=np.arange(20) % num_classes)
    return folder / "images.npz"


def test_an_imported_checkpoint_draws_what_the_checkpoint_draws(tmp_path, capsys):
    assert main(["import", str(PUBLISHED), "--out", str(tmp_path / "model")]) == 0
    assert "16 px, 10 classes" in capsys.readouterr().out
    first, second = (
        biggan.load(place)([3, 7], num_images=2, truncation=0.43) for place in (PUBLISHED, tmp_path / "model")
    )
    assert torch.equal(first.x, second.x)


@pytest.mark.parametrize("copy", ["copy0", "best3"])
def test_a_copy_is_read_by_its_suffix(copy, tmp_path):
    source = tmp_path / "source"
    checkpoints.put(source, {"G": checkpoints.networks()["G"], f"G_{copy}": checkpoints.networks(seed=3)["G"]})
    assert main(["import", str(source), "--out", str(tmp_path / "model"), "--copy", copy]) == 0
    weight = biggan.load(tmp_path / "model").generator.linear.weight
    assert torch.equal(weight, checkpoints.networks(seed=3)["G"]["linear.weight"])


def test_truncations_are_measured_on_request(tmp_path):
    source = checkpoints.put(tmp_path / "source", {"G": checkpoints.networks()["G"]})
    words = ["import", str(source), "--out", str(tmp_path / "model")]
    assert main([*words, "--truncations", "1,0.5", "--latents", "64"]) == 0
    table = biggan.load(tmp_path / "model").bundle.statistics.tables["truncation"]
    assert table.grid.tolist() == [0.5, 1.0]


def test_the_command_that_import_prints_goes_on_with_the_training(tmp_path, capsys):
    source, images, out = save_of_a_run(tmp_path / "source"), data(tmp_path), tmp_path / "run"
    assert main(["import", str(source), "--out", str(out), "--data", str(images)]) == 0
    command = shlex.split(capsys.readouterr().out.partition("Go on training: ")[2])
    begun = load_state(list_states(out)[0])
    assert begun.images == 12
    assert torch.equal(begun.tensors["G_ema"]["linear.weight"], checkpoints.networks(seed=1)["G"]["linear.weight"])
    assert float(begun.tensors["optim_d"]["0.step"]) == 3
    assert main([*command[1:], "--total-images", "20", "--save-images", "4", "--report-images", "4"]) == 0
    assert "Going on from 12 images" in capsys.readouterr().out
    ended = load_state(list_states(out)[-1])
    assert ended.images == 20
    assert float(ended.tensors["optim_d"]["0.step"]) == 5
    assert json.loads((out / "run.json").read_text())["config"]["optim"]["lr_d"] == 4e-4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["SAVE", "--data", "THREE"], "has 3 classes and 3 channels, this checkpoint 5 and 3"),
        (["PUBLISHED", "--data", "FIVE"], "no D and optimizers to go on training with"),
        (["PUBLISHED", "--copy", "best1"], "--copy best1 is for folders of BigGAN-PyTorch"),
        (["PUBLISHED", "--class-names", "NAMES"], "2 class names"),
        (["PUBLISHED", "--class-names", "missing.txt"], "--class-names missing.txt cannot be read"),
        (["PUBLISHED", "--truncations", "0.5,1.5"], "--truncations has 1.5; allowed is above 0 and up to 1"),
        (["PUBLISHED", "--truncations", "0.5", "--latents", "3"], "--latents is 3; allowed is 64 or more"),
        (["PUBLISHED", "--truncations", "0.5"], "has its statistics by truncation already"),
        (["SAVE", "--data", "FIVE", "--class-names", "NAMES"], "leave out --class-names"),
        (["PUBLISHED", "--sn-eps", "7"], "--sn-eps is 7"),
        (["missing"], "There is no missing; give"),
        (["NAMES"], "is not a checkpoint that can be read; give"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(words, message, tmp_path, capsys):
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    places = {
        "SAVE": lambda: save_of_a_run(tmp_path / "source"),
        "PUBLISHED": lambda: PUBLISHED,
        "THREE": lambda: data(tmp_path / "three", 3),
        "FIVE": lambda: data(tmp_path / "five"),
        "NAMES": lambda: tmp_path / "names.txt",
    }
    said = [str(places[word]()) if word in places else word for word in words]
    assert main(["import", *said, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_nothing_is_imported_over_other_files(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    (tmp_path / "out" / "model.safetensors").write_text("dear")
    assert main(["import", str(PUBLISHED), "--out", str(tmp_path / "out")]) == 2
    assert "is there already; give a new or empty folder" in capsys.readouterr().err
    assert (tmp_path / "out" / "model.safetensors").read_text() == "dear"


def test_a_run_is_not_imported_into_its_images(tmp_path, capsys):
    source, images = save_of_a_run(tmp_path / "source"), class_folders(tmp_path / "images", "abcde")
    assert main(["import", str(source), "--out", str(images / "run"), "--data", str(images)]) == 2
    assert "whose pictures it would join" in capsys.readouterr().err
    assert not (images / "run").exists()


def class_folders(place: Path, names: Iterable[str]) -> Path:
    """Three pictures in a folder of each name."""
    for name in names:
        (place / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (32, 32), (80 * i, 9, 9)).save(place / name / f"{i}.png")
    return place


def test_classes_whose_order_is_not_that_of_texts_are_refused_for_training(tmp_path, capsys):
    names = ["c1", "c2", "c10", "c3", "c4"]
    source, images = save_of_a_run(tmp_path / "source"), class_folders(tmp_path / "images", names)
    assert main(["import", str(source), "--out", str(tmp_path / "run"), "--data", str(images)]) == 2
    assert "class 1 is 'c2' here and 'c10' in the order of texts" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_models_that_differ_in_an_epsilon_or_a_row_are_different_to_a_recipe(tmp_path, capsys):
    other, picture = tmp_path / "other", tmp_path / "pictures" / "class-2_0000.png"
    shutil.copytree(PUBLISHED, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "eps": 0.01}))
    words = ["--classes", "2", "--truncation", "0.3", "--out", str(picture.parent)]
    assert main(["sample", str(PUBLISHED), *words]) == 0
    assert main(["sample", str(other), "--like", str(picture), "--out", str(tmp_path / "again")]) == 2
    assert "model" in capsys.readouterr().err


def test_a_run_is_not_imported_over_other_files(tmp_path, capsys):
    source, images = save_of_a_run(tmp_path / "source"), data(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("dear")
    assert main(["import", str(source), "--out", str(tmp_path / "out"), "--data", str(images)]) == 2
    assert "is there already; give a new or empty folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_pictures_of_a_published_checkpoint_can_be_drawn_again_from_their_recipes(tmp_path):
    out = tmp_path / "pictures"
    assert main(["sample", str(PUBLISHED), "--classes", "2", "--truncation", "0.3", "--out", str(out)]) == 0
    [picture] = [path for path in out.iterdir() if path.name != "sheet.png"]
    assert main(["sample", str(PUBLISHED), "--like", str(picture), "--out", str(tmp_path / "again")]) == 0
    with Image.open(picture) as first, Image.open(tmp_path / "again" / picture.name) as second:
        assert first.tobytes() == second.tobytes()


def test_info_tells_of_a_published_checkpoint(capsys):
    assert main(["info", str(PUBLISHED), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["model"]["architecture"] == "biggan-deep"
    assert facts["parameters"] == {"G": 129_445}


# --- export ---


def test_a_checkpoint_survives_import_and_export(tmp_path):
    assert main(["export", str(PUBLISHED), "--format", "huggingface", "--out", str(tmp_path / "again")]) == 0
    before, after = (
        torch.load(place / "pytorch_model.bin", weights_only=True) for place in (PUBLISHED, tmp_path / "again")
    )
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    source = checkpoints.put(tmp_path / "source", checkpoints.networks())
    assert main(["export", str(source), "--format", "brock", "--out", str(tmp_path / "brock")]) == 0
    for name in "GD":
        before, after = (torch.load(place / f"{name}.pth", weights_only=True) for place in (source, tmp_path / "brock"))
        assert list(before) == list(after)
        assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "huggingface"], "BigGAN-deep"),
        (["--format", "brock"], "pictures of 3 channels"),
        (["--format", "huggingface", "--truncation", "0.5"], "--truncation is for --format brock"),
        (["--format", "onix"], "--format"),
    ],
)
def test_what_a_layout_cannot_hold_is_refused(words, message, tmp_path, capsys):
    model = make_folder(tmp_path / "model")
    assert main(["export", str(model), *words, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_export_replaces_nothing(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("dear")
    assert main(["export", str(PUBLISHED), "--format", "huggingface", "--out", str(tmp_path / "out")]) == 2
    assert "give a new or empty folder" in capsys.readouterr().err


def test_an_empty_folder_of_a_published_name_is_said_to_hold_no_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "biggan-deep-128").mkdir()
    assert main(["info", "biggan-deep-128"]) == 2
    assert "biggan-deep-128 holds no model; a model is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("stood", [False, True])
@pytest.mark.parametrize("words", [("import",), ("export", "--format", "huggingface")])
def test_a_full_disk_leaves_no_part_of_a_model_and_the_same_command_then_works(words, stood, tmp_path, capsys):
    out = tmp_path / "out"
    if stood:
        out.mkdir()
    command = [*words, str(PUBLISHED), "--out", str(out)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))  # config.json fits, the weights do not
    try:
        assert main(command) == 74
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Could not write" in capsys.readouterr().err
    assert list(tmp_path.rglob("*")) == [out][: int(stood)]
    assert main(command) == 0


def test_a_single_file_is_not_said_to_lack_an_averaged_generator(tmp_path, capsys):
    source = save_of_a_run(tmp_path / "source")
    assert main(["import", str(source / "G_ema.pth"), "--out", str(tmp_path / "model")]) == 0
    assert "no averaged generator" not in capsys.readouterr().out
