"""`--budget` on tiny networks: it chooses, keeps to its choice when it goes on, and takes the best average."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cheap import cheap_models

import biggan
from biggan import atomic, budgeting, presets, workflow
from biggan.cli.info import describe
from biggan.cli.main import main
from biggan.config import Config, Data
from biggan.errors import ConfigError, Interrupted
from biggan.overseer import nearest_average
from biggan.reporting import facts
from biggan.reporting.history import read_history
from biggan.sitting import Watch
from biggan.training import budget as rules
from biggan.training import expected, state
from biggan.training.budget import Facts
from biggan.training.loop import Training

TINY = {"g_widths": (8, 8, 8, 8), "d_widths": (8, 8, 8, 8), "batch_size": 8, "precision": "float32"}
TINY |= {"ema_more": (0.9, 0.8)}  # in a second there is no choice
FLAGS = ["--g-widths", "8", "8", "8", "8", "--d-widths", "8", "8", "8", "8", "--batch-size", "8"]
Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    """Cheap models, and budgets of seconds."""
    with cheap_models() as patch:
        patch.setattr(rules, "LEAST_SECONDS", 1.0)
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data") / "grey.npz"
    random = np.random.default_rng(0)
    np.savez(place, images=random.integers(0, 256, (60, 28, 28), dtype=np.uint8), labels=np.arange(60) % 3)
    return place


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, images: Path, said: list[str]) -> Path:
    """A run with a budget of a minute, stopped at once."""
    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.raises(Interrupted):
        workflow.train(images, out, budget="1m", fixed=TINY, max_minutes=1e-9, watch=Watch(say=said.append))
    return out


@pytest.fixture(scope="module")
def finished(stopped: Path, images: Path) -> Path:
    """The same run at its end, after two seconds."""
    return workflow.train(images, stopped, budget="2s", fixed=TINY)


def test_the_data_are_looked_at_before_they_are_packed(images: Path) -> None:
    assert budgeting.look(str(images), Data()) == Facts(num_images=60, num_classes=3, channels=1, side=28)
    assert budgeting.look("fashion-mnist", Data(labels=False)).num_classes == 0
    assert not images.with_name("grey.npz.biggan").exists()


def test_what_was_chosen_is_said_and_recorded(stopped: Path, said: list[str]) -> None:
    record = json.loads((stopped / "run.json").read_text())
    assert record["budget"]["reasons"] == [line for line in said if line in record["budget"]["reasons"]]
    assert any("60 grey pictures of about 28 px, 3 classes" in line for line in said)


def test_a_run_that_goes_on_keeps_its_settings_and_ends_with_the_new_time(finished: Path) -> None:
    record = json.loads((finished / "run.json").read_text())
    newest = state.load_state(state.list_states(finished)[-1])
    assert record["budget"]["seconds"] == 2.0
    assert newest.images == newest.record["pace"]["total_images"]
    assert newest.record["pace"]["budget"] == 2.0
    assert record["config"]["model"]["g_widths"] == list(TINY["g_widths"])  # type: ignore[call-overload]
    text = (finished / "log.txt").read_text()
    assert text.count("Chosen for") == 1


def test_a_finished_run_is_finished(finished: Path, images: Path) -> None:
    before = atomic.sha256(finished / "model.safetensors"), (finished / "stats.jsonl").read_text()
    workflow.train(images, finished, budget="2s", fixed=TINY)
    assert (atomic.sha256(finished / "model.safetensors"), (finished / "stats.jsonl").read_text()) == before


def test_the_model_says_which_average_it_is_and_by_what_distances(finished: Path) -> None:
    training = biggan.load(finished).bundle.training
    distances = training["distances_of_averages"]
    assert len(distances) > 1
    assert distances[f"{training['ema_decay']:g}"] == min(distances.values())  # rounded, so several may be the least
    assert "| distances of averages |" in (finished / "README.md").read_text()


def test_a_run_goes_on_as_it_began_with_a_budget_or_without(finished: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="This run began with --budget; give it, or give another --out"):
        workflow.train(images, finished, presets.preset("tiny"))
    with pytest.raises(Interrupted):
        workflow.train(images, tmp_path / "run", presets.preset("tiny"), max_minutes=1e-9)
    with pytest.raises(ConfigError, match="began without --budget; leave it out, or give another --out"):
        workflow.train(images, tmp_path / "run", budget="2s")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--budget", "soon"], "--budget is 'soon'; allowed is a time such as 90s, 30m, 2h or 1h30m."),
        (["--budget", "2s", "--preset", "tiny"], "--preset and --budget both choose the settings; give one of them."),
        (["--budget", "2s", "--total-images", "99"], "--total-images is given; leave it out with --budget"),
        (["--budget", "2s", "--init", "runs/other"], "--init brings networks of its own"),
        (["--budget=2s", "--resolution", "256"], "--resolution is 256; with --budget allowed is 32, 64, 128."),
    ],
)
def test_what_does_not_go_with_a_budget_is_one_sentence(
    flags: list[str], sentence: str, images: Path, tmp_path: Path, capsys: Said
) -> None:
    assert main(["train", "--data", str(images), "--out", str(tmp_path / "run"), *flags]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_pack_is_trained_on_at_its_own_size(tmp_path: Path, capsys: Said) -> None:
    source, pack = tmp_path / "large.npz", tmp_path / "large.pack"
    np.savez(source, images=np.zeros((20, 256, 256), np.uint8), labels=np.arange(20) % 2)
    assert main(["data", "pack", str(source), "--resolution", "256", "--out", str(pack)]) == 0
    assert main(["train", "--data", str(pack), "--out", str(tmp_path / "run"), "--budget", "1m"]) == 2
    assert "is of 256 px; with --budget allowed is 32, 64, 128." in capsys.readouterr().err


def test_what_is_fixed_goes_with_a_budget(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fixed is for a budget"):
        workflow.train(images, tmp_path / "run", presets.preset("tiny"), fixed={"seed": 3})


def test_a_dry_run_says_what_would_be_chosen(images: Path, tmp_path: Path, capsys: Said) -> None:
    out = str(tmp_path / "run")
    assert (
        main(["train", "--data", str(images), "--out", out, "--budget", "2m", "--seed", "3", "--dry-run", *FLAGS]) == 0
    )
    told = capsys.readouterr().out
    assert "Chosen for 2m: 32 px, G 8-8-8-8" in told
    assert '"seed": 3' in told


def averaging() -> Config:
    base = presets.preset("tiny")
    train = replace(base.train, total_images=160, save_images=64, sheet_images=160)
    return replace(base, train=train, optim=replace(base.optim, ema_more=(0.9, 0.5)))


def test_several_averages_resume_bit_for_bit(images: Path, tmp_path: Path) -> None:
    whole = workflow.train(images, tmp_path / "whole", averaging())
    with pytest.raises(Interrupted):
        workflow.train(images, tmp_path / "parts", averaging(), max_minutes=1e-9)
    parts = workflow.train(images, tmp_path / "parts", averaging())
    names = ["model.safetensors", *(f"states/000000000160/G_more{i}.safetensors" for i in (0, 1))]
    assert [atomic.sha256(whole / name) for name in names] == [atomic.sha256(parts / name) for name in names]
    assert len({atomic.sha256(whole / name) for name in names}) == 3


def test_the_nearest_average_is_taken_the_first_of_equals_and_none_that_is_not_finite() -> None:
    assert nearest_average({0.9: math.nan, 0.5: 2.0, 0.7: 1.0}) == 0.7
    assert nearest_average({0.9: 1.0, 0.5: 1.0}) == 0.9
    assert nearest_average({0.9: math.nan, 0.5: math.inf}) == 0.9


@pytest.mark.parametrize("more", [(0.998,), (0.5, 0.5), (1.0,), (0.1, 0.2, 0.3, 0.4)])
def test_averages_that_are_none_of_their_own_are_refused(more: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"--ema-more is .*; allowed is up to three numbers"):
        replace(presets.preset("tiny").optim, ema_more=more)


def test_where_a_run_is_and_whether_it_lags_is_said_in_words(images: Path) -> None:
    config = presets.preset("tiny")
    run = Training(replace(config, model=replace(config.model, image_channels=1)), torch.device("cpu"))
    run.images = 8_000
    usual = expected.distance(8_000, 1, 10)
    healthy, late, unseen = (budgeting.standing(run, 60.0, 600.0, seen) for seen in (usual, 4 * usual, None))
    assert healthy.startswith("1m of 10m, 8,000 images: classes can be told, distance")
    assert "lag" not in healthy
    assert late.startswith(healthy[:45])
    assert "They lag behind that" in late
    assert unseen.endswith("if all is well.")


def test_a_finished_budget_run_is_done_for_info_and_for_the_report(finished: Path) -> None:
    config = json.loads((finished / "run.json").read_text())["config"]
    assert config["train"]["total_images"] == int(state.list_states(finished)[-1].name)
    assert describe(finished)["done"]
    assert facts.status(read_history(finished), None).startswith("Finished")


def test_the_trial_takes_the_microbatch_that_was_given_or_that_fits() -> None:
    grey, config = Facts(num_images=60, num_classes=3, channels=1, side=28), presets.preset("tiny")
    for given, count in ((None, 1), (2, 4)):
        train = replace(config.train, batch_size=8, microbatch=given)
        tried, accumulation = budgeting.for_trial(replace(config, train=train), grey, torch.device("cpu"))
        assert (tried.train.microbatch, accumulation) == (8 // count, count)
        assert (tried.model.num_classes, tried.model.image_channels) == (3, 1)


def test_what_cannot_be_is_said_before_the_trial(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    said: list[str] = []
    with pytest.raises(ConfigError, match="--compile needs"):
        budgeting.settle(str(images), tmp_path / "run", "1m", {**TINY, "compile": True})
    with pytest.raises(ConfigError, match="--max-time is -1"):
        workflow.train(images, tmp_path / "run", budget="1m", max_minutes=-1.0, watch=Watch(say=said.append))
    with pytest.raises(ConfigError, match="holds other files"):
        workflow.train(images, images.parent.parent, budget="1m", watch=Watch(say=said.append))
    assert said == []
