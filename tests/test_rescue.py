"""A run that collapses goes back and on; one that does not is the run that it would have been; both resume exactly."""

import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cheap import cheap_tables

import biggan
from biggan import atomic, overseer, presets, workflow
from biggan.config import Config
from biggan.errors import Collapsed, DataError, Diverged, Interrupted
from biggan.training.loop import Batches, Hook, Training, fit

NETWORKS = ("model.safetensors", "discriminator.safetensors")


@pytest.fixture(autouse=True, scope="module")
def _looks() -> Iterator[None]:
    """A look every four iterations of the tiny preset, and models with few and cheap tables."""
    with cheap_tables((0.5, 1.0)) as patch:
        patch.setattr(overseer, "LOOK_IMAGES", 64)
        patch.setattr(overseer, "AVERAGE_LOOKS", 2)
        patch.setattr(overseer, "LEAST_DRAWN", 4)
        yield


def config(**changes: object) -> Config:
    """Twenty iterations of the tiny preset; `changes` go to its `Train` part."""
    base = presets.preset("tiny")
    train = replace(base.train, total_images=320, save_images=96, sheet_images=320, report_images=64)
    return replace(base, train=replace(train, **changes))  # type: ignore[arg-type]


def digests(run: Path) -> dict[str, str]:
    return {name: atomic.sha256(run / name) for name in NETWORKS}


def lines(place: Path) -> list[dict[str, object]]:
    """JSON lines without times."""
    if not place.exists():
        return []
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in place.read_text().splitlines()]


Action = Callable[[Training], None]


@contextmanager
def provoked(*actions: Action) -> Iterator[None]:
    """Runs begun within meet the actions after each iteration, before the hooks."""

    def begin(run: Training, data: Batches, hooks: Iterable[Hook]) -> None:
        fit(run, data, [*((lambda run, figures, action=action: action(run)) for action in actions), *hooks])

    workflow.fit = begin
    try:
        yield
    finally:
        workflow.fit = fit


def poison(run: Training) -> None:
    with torch.no_grad():
        next(run.G.parameters()).view(-1)[0] = torch.nan


def once(images: int, action: Action = poison) -> Action:
    """An action at a number of images, the first time that the run comes there."""
    struck: list[int] = []

    def first(run: Training) -> None:
        if run.images == images and not struck:
            struck.append(images)
            action(run)

    return first


def stop(run: Training) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def train(out: Path, *actions: Action, test_data: str | Path | None = None, **changes: object) -> Path:
    with provoked(*actions):
        return workflow.train("fashion-mnist-test", out, config(**changes), test_data=test_data)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without incidents."""
    return train(tmp_path_factory.mktemp("runs") / "healthy")


@pytest.fixture(scope="module")
def undone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which a weight became NaN after 224 images."""
    return train(tmp_path_factory.mktemp("runs") / "undone", once(224))


def test_a_guarded_run_without_incidents_is_the_unguarded_one(tmp_path: Path, healthy: Path) -> None:
    assert digests(train(tmp_path / "run", guard=False)) == digests(healthy)
    assert lines(healthy / "incidents.jsonl") == []


def test_looks_and_steps_are_written_down(healthy: Path) -> None:
    looks = [line for line in lines(healthy / "stats.jsonl") if "distance" in line]
    assert [line["images"] for line in looks] == [64, 128, 192, 256, 320]
    assert all(sum(name.startswith("fake ") for name in line) > 2 for line in looks)
    for name in ("diversity", "label_sense", "singular_value", "d_real_std", "flat_fake", "gradient_g", "gradient_d"):
        assert all(isinstance(line[name], float) for line in looks), name


def test_held_out_images_are_looked_at_and_change_nothing(tmp_path: Path, healthy: Path) -> None:
    watched = train(tmp_path / "run", test_data="fashion-mnist")
    assert digests(watched) == digests(healthy)
    looks = [line for line in lines(watched / "stats.jsonl") if "by_heart" in line]
    assert [line["images"] for line in looks] == [128, 256]
    assert all(0 <= float(str(line["by_heart"])) <= 1 for line in looks)


def test_held_out_images_of_other_classes_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", x=np.zeros((8, 32, 32, 1), np.uint8), y=np.arange(8) % 2)
    with pytest.raises(DataError, match=r"--test-data .* only one of them has '0'"):
        train(tmp_path / "run", test_data=tmp_path / "two.npz")
    assert not (tmp_path / "run" / "run.json").exists()


def test_best_and_last_are_both_kept(healthy: Path) -> None:
    best, last = biggan.load(healthy / "best").bundle.training, biggan.load(healthy).bundle.training
    assert last["images"] == 320
    assert best["images"] in (96, 192, 288, 320)
    assert best["distance"] > 0


def test_nan_is_undone(undone: Path) -> None:
    (incident,) = lines(undone / "incidents.jsonl")
    assert (incident["images"], incident["rule"], incident["back_to"]) == (256, "finite", 192)
    assert all((undone / str(name)).stat().st_size for name in incident["pictures"])  # type: ignore[attr-defined]
    assert "is NaN or Inf: back to 192 images, with learning rates x 0.5 for G" in (undone / "log.txt").read_text()
    assert [line["images"] for line in lines(undone / "stats.jsonl")] == [64, 128, 192, 256, 320]
    assert biggan.load(undone).bundle.training["images"] == 320


@pytest.mark.parametrize("images", [256, 304])
def test_a_run_with_an_incident_resumes_exactly(tmp_path: Path, undone: Path, images: int) -> None:
    strike = once(224)
    with pytest.raises(Interrupted):
        train(tmp_path, strike, once(images, stop))
    train(tmp_path, strike)
    assert digests(tmp_path) == digests(undone)
    assert digests(tmp_path / "best") == digests(undone / "best")
    for name in ("stats.jsonl", "incidents.jsonl"):
        assert lines(tmp_path / name) == lines(undone / name)


def test_nan_before_any_state_begins_anew(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, once(16), once(80, stop))
    assert [(line["images"], line["back_to"]) for line in lines(tmp_path / "incidents.jsonl")] == [(64, 0)]
    assert biggan.load(tmp_path).bundle.training["images"] == 80


def test_a_lasting_cause_ends_the_run_with_the_best_model(tmp_path: Path) -> None:
    def always(run: Training) -> None:
        if run.images == 224:
            poison(run)

    told = r"collapsed 3 times, and --incidents allows 2; the best model, of \d+ images, is in"
    with pytest.raises(Collapsed, match=told):
        train(tmp_path, always, incidents=2)
    assert [line["incident"] for line in lines(tmp_path / "incidents.jsonl")] == [1, 2, 3]
    assert biggan.load(tmp_path / "best").bundle.training["images"] <= 224
    with pytest.raises(Collapsed, match=told):  # the same command says so at once
        train(tmp_path, incidents=2)
    with pytest.raises(Interrupted):
        train(tmp_path, once(240, stop), incidents=3)
    assert biggan.load(tmp_path).bundle.training["images"] == 240


def test_without_guard_nan_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="NaN or Inf after 256 images; saved states are untouched"):
        train(tmp_path, once(224), guard=False)
