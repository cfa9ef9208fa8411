"""A run that collapses goes back and on; one that does not is the run that it would have been; both resume exactly."""

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cheap import cheap_models

import biggan
from biggan import atomic, overseer, presets, workflow
from biggan.cli.main import main
from biggan.config import Config
from biggan.errors import Collapsed, ConfigError, DataError, Diverged, Interrupted
from biggan.overseer import Unhealthy
from biggan.training.guard import Verdict
from biggan.training.loop import Batches, Hook, Training, fit
from biggan.training.state import list_states, load_state, save_state

NETWORKS = ("model.safetensors", "discriminator.safetensors")


@pytest.fixture(autouse=True, scope="module")
def _looks() -> Iterator[None]:
    """A look every four iterations of the tiny preset, and models with few and cheap tables."""
    with cheap_models() as patch:
        patch.setattr(overseer, "LOOK_IMAGES", 64)
        patch.setattr(overseer, "LOOK_ITERATIONS", 4)
        patch.setattr(overseer, "AVERAGE_LOOKS", 2)
        patch.setattr(overseer, "SELDOM_LOOKS", 4)
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


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without guard that NaN after 224 images has ended."""
    out = tmp_path_factory.mktemp("runs") / "diverged"
    with pytest.raises(Diverged, match=r"NaN or Inf after 2\d\d images; saved states are untouched"):
        train(out, once(224), guard=False)
    return out


def record_anew(run: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Saves a run's states with other records."""
    for folder in list_states(run):
        saved = load_state(folder)
        save_state(run, saved.images, saved.tensors, change(saved.record))


def test_a_guarded_run_without_incidents_is_the_unguarded_one(tmp_path: Path, healthy: Path) -> None:
    assert digests(train(tmp_path / "run", guard=False)) == digests(healthy)
    assert lines(healthy / "incidents.jsonl") == []


def test_looks_and_steps_are_written_down(healthy: Path) -> None:
    looks = [line for line in lines(healthy / "stats.jsonl") if "distance" in line]
    assert [line["images"] for line in looks] == [64, 128, 192, 256, 320]
    assert all(sum(name.startswith("fake ") for name in line) > 2 for line in looks)
    for name in ("diversity", "singular_value", "d_real_std", "flat_fake", "gradient_g", "gradient_d"):
        assert all(isinstance(line[name], float) for line in looks), name
    seldom = {name: [128, 256] for name in ("distance_ema", "label_sense")}
    seldom |= {name: [256] for name in ("trained_distance", "trained_distance_ema", "rank_g", "rank_d")}
    for name, images in seldom.items():
        assert [line["images"] for line in looks if name in line] == images


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


def test_held_out_images_are_of_the_classes_that_their_names_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overseer, "AVERAGE_LOOKS", 1)
    random = np.random.default_rng(0)
    y = np.arange(30) % 3
    x = random.integers(0, 90, (30, 32, 32, 1), dtype=np.uint8) + (60 * y[:, None, None, None]).astype(np.uint8)
    names, turned = np.array(["a", "b", "c"]), np.array(["c", "a", "b"])
    np.savez(tmp_path / "seen.npz", x=255 - x, y=y, class_names=names)
    found = []
    for name, labels, order in (("straight", y, names), ("turned", (y + 1) % 3, turned)):
        np.savez(tmp_path / f"{name}.npz", x=x, y=labels, class_names=order)
        out, settings = tmp_path / name, config(total_images=64)
        workflow.train(tmp_path / "seen.npz", out, settings, test_data=tmp_path / f"{name}.npz")
        found.append([line["by_heart"] for line in lines(out / "stats.jsonl") if "by_heart" in line])
    assert len(found[0]) == 1
    assert found[0] == found[1]


def test_one_image_is_trained_on_without_incident(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", x=np.full((1, 32, 32, 1), 90, np.uint8), y=np.zeros(1, np.int64))
    workflow.train(tmp_path / "one.npz", tmp_path / "run", config(total_images=64))
    assert lines(tmp_path / "run" / "incidents.jsonl") == []
    assert [line["images"] for line in lines(tmp_path / "run" / "stats.jsonl") if "distance" in line] == [64]


def test_best_and_last_are_both_kept(healthy: Path) -> None:
    best, last = biggan.load(healthy / "best").bundle.training, biggan.load(healthy).bundle.training
    assert last["images"] == 320
    assert all(biggan.load(run).bundle.statistics.has(truncation=1.0) for run in (healthy, healthy / "best"))
    assert best["images"] in (96, 192, 288, 320)
    assert best["distance"] > 0
    assert best["distance_by"] == f"EfficientNet-Lite0 at {overseer.TRAINED_PIXELS} px"


def test_a_finished_run_without_states_is_not_begun_anew(tmp_path: Path, healthy: Path) -> None:
    run = shutil.copytree(healthy, tmp_path / "run")
    shutil.rmtree(run / "states")
    before = digests(run)
    with pytest.raises(ConfigError, match="holds a model and no states to go on from; give another --out"):
        train(run)
    assert digests(run) == before


def test_a_run_that_is_stopped_while_its_tables_are_measured_ends_the_same(tmp_path: Path, healthy: Path) -> None:
    with pytest.raises(Interrupted, match="Stopped while measuring statistics, with the training saved in"):
        train(tmp_path, once(320, stop))
    assert not (tmp_path / "model.safetensors").exists() or biggan.load(tmp_path).bundle.training["images"] < 320
    train(tmp_path)
    assert digests(tmp_path) == digests(healthy)
    assert digests(tmp_path / "best") == digests(healthy / "best")


def test_nan_is_undone(undone: Path) -> None:
    (incident,) = lines(undone / "incidents.jsonl")
    assert (incident["images"], incident["rule"], incident["back_to"]) == (256, "finite", 192)
    assert all((undone / str(name)).stat().st_size for name in incident["pictures"])  # type: ignore[attr-defined]
    log = (undone / "log.txt").read_text()
    assert re.search(r"is NaN or Inf\.\n.*Back to 192 images, with learning rates x 0.5 for G", log, re.DOTALL)
    assert f"The run had to go back once ({undone / 'incidents'}): look at {undone / 'samples.png'} and at" in log
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
    best = biggan.load(tmp_path / "best").bundle
    assert best.training["images"] <= 224
    assert best.statistics.has(truncation=1.0)  # so that it can be drawn from in every way
    with pytest.raises(Collapsed, match=told):  # the same command says so at once
        train(tmp_path, incidents=2)
    assert main(["info", str(tmp_path), "--done"]) == 1
    with pytest.raises(Interrupted):
        train(tmp_path, once(240, stop), incidents=3)
    assert biggan.load(tmp_path).bundle.training["images"] == 240


def test_a_run_that_collapses_before_its_first_save_leaves_a_best_model(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, once(48, stop))
    assert not (tmp_path / "best").exists()
    with pytest.raises(Collapsed, match="the best model, of 48 images, is in"):
        train(tmp_path, once(64), incidents=0)
    best, last = (biggan.load(place).bundle for place in (tmp_path / "best", tmp_path))
    pairs = zip(best.G.state_dict().values(), last.G.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert best.statistics.has(truncation=1.0)


@pytest.mark.parametrize("bare", [False, True], ids=["without guard", "without record"])
def test_a_guard_that_comes_later_goes_back_to_what_was_saved_before(
    tmp_path: Path, diverged: Path, bare: bool
) -> None:
    run = shutil.copytree(diverged, tmp_path / "run")
    if bare:  # as of an adopted checkpoint, and of runs from before the guard
        record_anew(run, lambda record: {"seconds": record["seconds"]})
    before = digests(run)
    with pytest.raises(Collapsed):
        train(run, once(224), incidents=0)
    (incident,) = lines(run / "incidents.jsonl")
    assert (incident["rule"], incident["back_to"]) == ("finite", 192)
    assert [int(folder.name) for folder in list_states(run)] == [96, 192]
    assert digests(run) == before


@pytest.mark.parametrize(("complains", "back_to"), [(False, 96), (True, 0)])
def test_where_nothing_was_saved_while_all_was_good_the_oldest_state_before_the_complaint_will_do(
    tmp_path: Path, diverged: Path, complains: bool, back_to: int
) -> None:
    def complain(record: dict[str, Any]) -> dict[str, Any]:
        record["guard"]["past"]["counts"] = {"rise": int(complains)}
        return record

    def rise(run: Training) -> None:
        raise Unhealthy(Verdict("the distance rose", "rise", good=64))

    run = shutil.copytree(diverged, tmp_path / "run")
    record_anew(run, complain)
    with pytest.raises(Collapsed):
        train(run, once(208, rise), incidents=0)
    assert [line["back_to"] for line in lines(run / "incidents.jsonl")] == [back_to]
    assert [int(folder.name) for folder in list_states(run)] == [back_to]


def test_too_little_memory_for_a_saved_state_is_not_called_another_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.raises(Interrupted):
        train(tmp_path, once(16, stop))
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", full)
    with pytest.raises(torch.OutOfMemoryError):
        train(tmp_path)


def test_without_guard_nan_ends_the_run_and_its_states_stay(diverged: Path) -> None:
    assert [int(folder.name) for folder in list_states(diverged)] == [96, 192]
    assert lines(diverged / "incidents.jsonl") == []
