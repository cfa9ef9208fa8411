"""`biggan imagine`: a prompt becomes pictures; every mistake is one sentence; Ctrl-C loses nothing."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from perceptors import fresh_bundle
from safetensors.torch import save_file
from tiny_models import MODEL

from biggan.cli.main import main
from biggan.models.bundle import save_bundle

Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("imagine") / "model"
    save_bundle(folder, fresh_bundle(replace(MODEL, image_channels=3)), None)
    return str(folder)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny CLIP with random weights, in open_clip's layout."""
    import open_clip

    folder = tmp_path_factory.mktemp("clip")
    towers = {"vision_cfg": {"layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 32}}
    towers |= {"text_cfg": {"layers": 1, "width": 32, "heads": 2}}
    torch.manual_seed(0)
    save_file(open_clip.CLIP(embed_dim=16, **towers).state_dict(), folder / "open_clip_model.safetensors")
    about = {
        "model_cfg": {"embed_dim": 16, **towers},
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "size": [32, 32]},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(about))
    return f"clip:{folder}"


FEW = ["--steps", "3", "--save-every", "2", "--cutouts", "2", "--search", "6", "--seeds", "0-1"]


def test_a_prompt_becomes_pictures_in_a_folder_of_its_name(
    model: str, clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["imagine", "a red car:2 | night", "--penalise", "fog", "--model", model, "--scorer", clip, *FEW]
    assert main(command) == 0
    said = capsys.readouterr()
    out = Path("imagined") / "a-red-car-2-night"
    assert f"Wrote 2 pictures (best and last, latents, strip.png, result.json) to {out}" in said.out
    assert "step 3/3" in said.out
    assert not said.err
    asked = json.loads((out / "result.json").read_text())
    assert (asked["prompts"], asked["penalise"]) == ("a red car:2.0 | night:1.0", "fog:1.0")
    assert {f"seed_000{seed}_{kind}.png" for seed in (0, 1) for kind in ("best", "last")} < {
        path.name for path in out.iterdir()
    }
    assert main(command) == 0
    assert "Going on from step 3." in capsys.readouterr().out


def test_an_image_may_be_the_prompt(model: str, clip: str, tmp_path: Path) -> None:
    assert main(["sample", model, "--classes", "1", "--out", str(tmp_path / "drawn")]) == 0
    drawn = str(tmp_path / "drawn" / "class-1_0000.png")
    command = ["imagine", "--image", drawn, "--image-weight", "0.5", "--model", model, "--scorer", clip, *FEW]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "result.json").read_text())["image_weight"] == 0.5


MISTAKES = [
    ([], "There is nothing to imagine"),
    (["red:0"], "The weight of 'red' in the prompt is 0"),
    (["red", "--penalise", "|"], "A text in --penalise is empty"),
    (["red", "--image", "missing.png"], "--image missing.png cannot be opened"),
    (["red", "--scorer", "clap"], "did you mean 'clip'"),
    (["red", "--seeds", "a"], "--seeds 'a'"),
    (["red", "--seeds", "0,0"], "different ones"),
    (["red", "--steps", "0"], "--steps is 0"),
    (["red", "--cutouts", "0"], "--cutouts is 0"),
    (["red", "--max-classes", "0"], "--max-classes is 0"),
    (["red", "--device", "abacus"], "--device 'abacus'"),
    (["red", "--stepz", "1"], "--stepz"),
    (["red", "--model", "no-such"], "There is no model 'no-such'"),
]


@pytest.mark.parametrize(("flags", "message"), MISTAKES)
def test_a_mistake_is_one_sentence_and_writes_nothing(
    model: str, clip: str, tmp_path: Path, capsys: Said, flags: list[str], message: str
) -> None:
    out = tmp_path / "out"
    scorer = [] if "--scorer" in flags else ["--scorer", clip]
    place = [] if "--model" in flags else ["--model", model]
    assert main(["imagine", *flags, *scorer, *place, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not out.exists()


def test_the_model_is_asked_for(capsys: Said) -> None:
    assert main(["imagine", "red"]) == 2
    assert "--model is missing; give a run folder" in capsys.readouterr().err


def test_ctrl_c_ends_with_everything_saved_and_130(model: str, clip: str, tmp_path: Path, capsys: Said) -> None:
    state = tmp_path / "out" / "state" / "state.json"

    def press() -> None:
        while not (state.exists() and json.loads(state.read_text())["step"] >= 5):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    finger = threading.Thread(target=press, daemon=True)
    finger.start()
    flags = ["--scorer", clip, "--steps", "100000", "--save-every", "5", "--cutouts", "1", "--search", "0"]
    assert main(["imagine", "red", *flags, "--model", model, "--out", str(tmp_path / "out")]) == 130
    finger.join()
    assert "with everything saved; the same command goes on" in capsys.readouterr().err
    assert json.loads(state.read_text())["step"] >= 5
