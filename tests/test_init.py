"""Runs that start from another model, and runs of little data: chosen, said, resumed as one."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cheap import cheap_models
from PIL import Image
from safetensors.torch import load_file
from tiny_models import make_folder

import biggan
from biggan import atomic, presets, workflow
from biggan.cli.main import main
from biggan.config import PLAIN, Config
from biggan.errors import ConfigError
from biggan.sitting import Watch
from biggan.training import adaptive

PLAIN_BUT_HELD = replace(PLAIN, hold_g=None)  # for a tenth of a short run


@pytest.fixture(autouse=True, scope="module")
def _tables() -> Iterator[None]:
    """Models with few and cheap tables."""
    with cheap_models():
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey pictures of three classes, one of which the model knows by another spelling."""
    place = tmp_path_factory.mktemp("data") / "three"
    random = np.random.default_rng(0)
    for name, count in (("BAG", 7), ("kite", 3), ("ship", 3)):
        (place / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(random.integers(0, 256, (32, 32), dtype=np.uint8)).save(place / name / f"{i}.png")
    return place


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("model") / "model")


def config(model: Path, total_images: int = 32) -> Config:
    base = presets.preset("tiny")
    train = replace(base.train, total_images=total_images, save_images=16, sheet_images=10**6, report_images=16)
    augment = replace(base.augment, ada_target=0.01, ada_images=100, freeze_d=1, hold_g=8)
    return workflow.settings_of(model, replace(base, train=train, augment=augment))


def test_a_run_from_a_model_resumes_by_the_same_call_as_one_run(
    tmp_path: Path, images: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptive, "SIGN_IMAGES", 8)  # so that the share moves in this short run
    said: list[str] = []
    whole = workflow.train(images, tmp_path / "whole", config(model), init=model, watch=Watch(say=said.append))
    text = " ".join(said)
    assert "--augment color translation (D may learn 13 images by heart)" in text
    assert "--class-sampling balanced (classes have 3 to 7 images)" in text
    assert "1 of 3 classes are the model's; the others begin from the nearest (kite from " in text
    parts = workflow.train(images, tmp_path / "parts", config(model, 16), init=model)
    workflow.train(images, parts, config(model), init=model)
    last = sorted((whole / "states").iterdir())[-1].name
    for file in ("G", "D", "G_ema", "optim_g", "optim_d", "adaptive"):
        one, other = (atomic.sha256(run / "states" / last / f"{file}.safetensors") for run in (whole, parts))
        assert one == other, file
    assert load_file(whole / "states" / last / "adaptive.safetensors")["level"] > 0
    assert biggan.load(whole).class_names == ["BAG", "kite", "ship"]
    record = json.loads((whole / "run.json").read_text())
    assert record["init"]["source"] == str(model)
    assert record["data"]["source"] == str(images.resolve())
    assert biggan.load(whole).bundle.training["started from"] == str(model)
    assert ", and those of the model that it started from, faults" in (whole / "README.md").read_text()
    assert record["config"]["augment"]["augment"] == ["color", "translation"]

    other = make_folder(tmp_path / "other", seed=1)
    with pytest.raises(ConfigError, match="is not that model; give that, or another --out"):
        workflow.train(images, parts, config(model), init=other)
    with pytest.raises(ConfigError, match=f"began from --init {model}, and no --init is given"):
        workflow.train(images, parts, replace(config(model), augment=PLAIN))
    with pytest.raises(ConfigError, match="and no --init is given"):  # rather than of what was chosen for it
        workflow.train(images, parts, replace(config(model), augment=PLAIN_BUT_HELD))


def test_a_run_from_a_model_can_be_made_longer_and_holds_g_as_it_began(
    tmp_path: Path, images: Path, model: Path
) -> None:
    settings, said = replace(config(model), augment=PLAIN_BUT_HELD), list[str]()
    run = workflow.train(images, tmp_path / "run", settings, init=model)
    longer = replace(settings, train=replace(settings.train, total_images=48, precision="auto"))
    assert workflow.plan(str(images), longer, out=run, init=model)[0].augment.hold_g == 3
    workflow.train(images, run, longer, init=model, watch=Watch(say=said.append))
    assert "The run's length is now 48 images, where it was 32 (--total-images)." in said
    assert biggan.load(run).bundle.training["images"] == 48
    record = json.loads((run / "run.json").read_text())
    assert record["config"]["augment"]["hold_g"] == 3
    for precision in ("float32", "bfloat16"):  # of another machine
        record["config"]["train"]["precision"] = precision
        atomic.write_json(run / "run.json", record)
        assert workflow.plan(str(images), longer, out=run, init=model)[0].train.precision == precision


def test_a_model_without_d_holds_g(tmp_path: Path, images: Path) -> None:
    place = make_folder(tmp_path / "drawn")
    (place / "discriminator.safetensors").unlink()
    settings = replace(config(place, 200_000), augment=presets.preset("tiny").augment)
    said: list[str] = []
    resolved, _ = workflow.plan(str(images), settings, init=place, watch=Watch(say=said.append))
    assert resolved.augment.hold_g == 10_000
    assert "--hold-g 10000 (D begins from scratch)" in said[-1]
    short = replace(config(place, 90), augment=replace(settings.augment, hold_g=90))
    with pytest.raises(ConfigError, match="--hold-g is 90, and --total-images 90, so G would not learn"):
        workflow.plan(str(images), short, init=place)
    gone = replace(settings, augment=replace(settings.augment, hold_g=9))
    with pytest.raises(ConfigError, match="--hold-g keeps G as --init has it, and there is no --init"):
        workflow.plan("told before the images are looked for", gone)
    with pytest.raises(ConfigError, match="--freeze-d keeps the first blocks of a D from --init, and there is none"):
        workflow.plan(str(images), config(place), init=place)


def test_a_run_from_before_there_was_a_choice_goes_on_as_it_was(tmp_path: Path, images: Path, model: Path) -> None:
    plain = replace(config(model, 16), augment=PLAIN)
    run = workflow.train(images, tmp_path / "run", plain)
    record = json.loads((run / "run.json").read_text())
    del record["config"]["augment"], record["init"]
    (run / "run.json").write_text(json.dumps(record))
    unsaid, longer = presets.preset("tiny").augment, replace(plain.train, total_images=32)
    workflow.train(images, run, replace(plain, train=longer, augment=unsaid))
    assert json.loads((run / "run.json").read_text())["config"]["augment"]["augment"] == []
    with pytest.raises(ConfigError, match=r"^This run began with --augment, not with --augment color"):
        workflow.train(images, run, replace(plain, augment=replace(unsaid, augment=("color",))))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dim-z", "16"], "--dim-z is 16 and the model of --init has 8"),
        (["--freeze-d", "9"], "--freeze-d is 9; allowed is 0 to 4"),
        (["--no-labels"], "give labelled images"),
        (["--channels", "3"], "give --channels 1"),
        (["--init=ortho"], "--init is given as"),
        (["--augment-share", "0.5", "--ada-target", "0.6"], "--augment-share is 0.5, and --ada-target moves the share"),
        (["--augment", "cutout", "cutout"], "--augment is cutout cutout; allowed is different ones of"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, images: Path, model: Path, flags: list[str], message: str
) -> None:
    words = ["train", "--data", str(images), "--preset", "tiny", "--out", str(tmp_path / "run"), "--init", str(model)]
    assert main([*words, "--dry-run", *flags]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in said


def test_the_command_takes_the_networks_of_the_model_and_every_choice_can_be_overridden(
    capsys: pytest.CaptureFixture[str], images: Path, model: Path
) -> None:
    words = ["train", "--data", str(images), "--preset", "tiny", "--init", str(model), "--dry-run"]
    assert main([*words, "--augment", "--class-sampling", "natural", "--lecam", "0", "--hold-g", "0"]) == 0
    shown = capsys.readouterr().out
    assert '"dim_z": 8' in shown
    assert "Chosen by the data" not in shown
