"""Runs: resumed equals uninterrupted, and nothing is lost whatever happens to them."""

import json
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cheap import cheap_models
from PIL import Image

import biggan
from biggan import atomic, presets, workflow
from biggan.config import Config
from biggan.errors import ConfigError, DiskFailed, Diverged, Interrupted, ModelError, OutOfMemory, RunInUse
from biggan.models import resample
from biggan.sitting import Progress, Watch
from biggan.training.runlock import RunLock

NETWORKS = ("model.safetensors", "discriminator.safetensors")


def config(**changes: object) -> Config:
    """Ten iterations of the tiny preset; `changes` go to its `Train` part."""
    base = presets.preset("tiny")
    train = replace(base.train, total_images=160, save_images=64, sheet_images=160, report_images=32, keep=3)
    return replace(base, train=replace(train, **changes))  # type: ignore[arg-type]


@pytest.fixture(autouse=True, scope="module")
def _tables() -> Iterator[None]:
    """Cheap models."""
    with cheap_models():
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of mixed pictures in unequal classes: RGBA, grey, palette, tall, turned by EXIF, tiny and large."""
    place = tmp_path_factory.mktemp("data") / "mixed"
    random = np.random.default_rng(0)
    kinds = (("RGBA", (40, 30)), ("L", (20, 50)), ("P", (32, 32)), ("RGB", (300, 200)), ("RGB", (3, 5)))
    for name, count in (("cat", 9), ("ship", 4), ("a b,c", 2)):
        (place / name).mkdir(parents=True)
        for i in range(count):
            mode, (width, height) = kinds[i % len(kinds)]
            pixels = random.integers(0, 256, (height, width, 4), dtype=np.uint8)
            exif = Image.Exif()
            exif[0x0112] = 6
            image = Image.fromarray(pixels, "RGBA").convert(mode)
            image.save(place / name / f"{i}.png", exif=exif if i == 3 else None)
    return place


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    """An undisturbed run."""
    return workflow.train(images, tmp_path_factory.mktemp("runs") / "finished", config())


def digests(run: Path) -> dict[str, str]:
    return {name: atomic.sha256(run / name) for name in NETWORKS}


def figures(run: Path) -> list[dict[str, float]]:
    """The lines of a run's `stats.jsonl` without the time."""
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def once(action: Callable[[], None], after: int) -> Watch:
    """A watch that acts at the first report past `after` images."""
    acted: list[int] = []

    def progress(moment: Progress) -> None:
        if moment.images >= after and not acted:
            acted.append(moment.images)
            action()

    return Watch(progress=progress)


def test_a_mixed_folder_trains_and_the_run_draws(finished: Path) -> None:
    pipe = biggan.load(finished)
    assert pipe.class_names == ["a b,c", "cat", "ship"]
    assert pipe.config.image_channels == 3
    image = pipe("cat", truncation=0.5).images[0]
    assert (image.size, image.mode) == ((32, 32), "RGB")
    assert pipe.discriminator is not None


def test_a_run_folder_holds_what_it_should(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names >= {
        "run.json",
        "log.txt",
        "stats.jsonl",
        "states",
        "sheets",
        "config.json",
        "samples.png",
        "README.md",
    }
    assert [line["images"] for line in figures(finished)] == [32, 64, 96, 128, 160]
    assert sorted(path.name for path in (finished / "states").iterdir()) == [f"{n:012}" for n in (64, 128, 160)]
    assert json.loads((finished / "run.json").read_text())["config"]["model"]["num_classes"] == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_stopped_and_resumed_equals_uninterrupted(
    tmp_path: Path, images: Path, finished: Path, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    with pytest.raises(Interrupted) as stop:
        workflow.train(images, out, config(), watch=once(lambda: os.kill(os.getpid(), number), 96))
    assert stop.value.exit_code == (130 if number == signal.SIGINT else 75)
    workflow.train(images, out, config())
    assert digests(out) == digests(finished)
    assert figures(out) == figures(finished)


def test_a_kill_while_the_last_tables_are_measured_costs_no_training(
    tmp_path: Path, images: Path, finished: Path
) -> None:
    def kill(text: str) -> None:
        if text.startswith("Measuring the model's statistics"):
            raise KeyboardInterrupt

    out, said = tmp_path / "run", list[str]()
    with pytest.raises(KeyboardInterrupt):
        workflow.train(images, out, config(), watch=Watch(say=kill))
    workflow.train(images, out, config(), watch=Watch(say=said.append))
    assert "Going on from 160 images." in said
    assert digests(out) == digests(finished)
    for name in ("samples.png", "best/model.safetensors", "sheets/000000000160.png"):
        assert atomic.sha256(out / name) == atomic.sha256(finished / name)


def test_intervals_and_kept_states_change_nothing(tmp_path: Path, images: Path, finished: Path) -> None:
    other = config(save_images=16, sheet_images=48, report_images=16, keep=1)
    assert digests(workflow.train(images, tmp_path / "run", other)) == digests(finished)
    assert len(list((tmp_path / "run" / "states").iterdir())) == 1


def test_a_longer_run_goes_on_from_a_shorter_one(tmp_path: Path, images: Path) -> None:
    base = config()
    constant = replace(base, optim=replace(base.optim, lr_schedule="constant"))
    out = workflow.train(images, tmp_path / "a", replace(constant, train=replace(base.train, total_images=96)))
    longer = workflow.train(images, out, constant)
    assert digests(longer) == digests(workflow.train(images, tmp_path / "b", constant))


def test_a_damaged_state_is_said_and_the_one_before_used(tmp_path: Path, images: Path, finished: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        workflow.train(images, out, config(), watch=once(lambda: os.kill(os.getpid(), signal.SIGTERM), 96))
    newest = max((out / "states").iterdir())
    with (newest / "G.safetensors").open("r+b") as file:
        file.truncate(1000)
    said: list[str] = []
    workflow.train(images, out, config(), watch=Watch(say=said.append))
    assert any("damaged" in text and newest.name in text for text in said)
    assert digests(out) == digests(finished)


def test_a_finished_run_gets_its_model_back(tmp_path: Path, images: Path, finished: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    workflow.train(images, tmp_path / "run", config())
    assert digests(tmp_path / "run") == digests(finished)


def test_a_run_shortened_to_what_it_did_is_finished(tmp_path: Path, images: Path) -> None:
    with pytest.raises(Interrupted):
        workflow.train(images, tmp_path / "run", config(), max_minutes=1e-9)
    assert not biggan.load(tmp_path / "run").bundle.statistics.has(truncation=1.0)
    workflow.train(images, tmp_path / "run", config(total_images=16))
    assert biggan.load(tmp_path / "run").bundle.statistics.has(truncation=1.0)


def test_a_full_disk_loses_nothing(tmp_path: Path, images: Path, finished: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        workflow.train(images, out, config(), max_minutes=1e-9)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, hard))  # no file may grow beyond this: a disk that fills up
    try:
        with pytest.raises(DiskFailed, match="make room or allow writing there, or choose another --out") as failed:
            workflow.train(images, out, config())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed.value.exit_code == 74
    assert [path.name for path in (out / "states").iterdir()] == ["000000000016"]
    workflow.train(images, out, config())
    assert digests(out) == digests(finished)


def test_another_setting_is_refused_by_name(images: Path, finished: Path) -> None:
    base = config()
    with pytest.raises(ConfigError, match=r"^This run began with --lr-g 0\.001, not with --lr-g 0\.5"):
        workflow.train(images, finished, replace(base, optim=replace(base.optim, lr_g=0.5)))
    with pytest.raises(ConfigError, match="--g-widths"):
        workflow.train(images, finished, replace(base, model=replace(base.model, g_widths=(8, 8, 8, 16))))
    with pytest.raises(ConfigError, match=r"^This run began with --lr-g 0\.001, not with --lr-g 0\.5"):
        workflow.plan(str(images), replace(base, optim=replace(base.optim, lr_g=0.5)), out=finished)
    with pytest.raises(ConfigError, match=r"^The run in .* began without --budget"):
        workflow.plan(str(images), out=finished, budget="1m")
    workflow.plan(str(images), base, out=finished)


def test_other_data_are_refused(tmp_path: Path, images: Path, finished: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(images, other, ignore=shutil.ignore_patterns(".biggan"))
    Image.new("RGB", (32, 32)).save(other / "cat" / "0.png")
    with pytest.raises(ConfigError, match="--data"):
        workflow.train(other, finished, config())


def test_a_second_process_is_refused(images: Path, finished: Path) -> None:
    with RunLock(finished), pytest.raises(RunInUse, match=f"process {os.getpid()}"):
        workflow.train(images, finished, config())


def test_a_kill_in_the_first_write_of_a_run_blocks_nothing(tmp_path: Path, images: Path) -> None:
    (tmp_path / "lock").write_text("")
    (tmp_path / ".run.json.1.tmp").write_text("{")
    workflow.train(images, tmp_path, config(total_images=16))
    assert biggan.load(tmp_path).class_names


def test_settings_of_a_run_without_states_may_change(tmp_path: Path, images: Path, finished: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "states")
    (tmp_path / "run" / "model.safetensors").unlink()  # else it would be lost
    base = config()
    other = replace(base, optim=replace(base.optim, lr_g=2e-3))
    workflow.train(images, tmp_path / "run", other)
    assert digests(tmp_path / "run") != digests(finished)


def test_drawing_first_does_not_hinder_training(tmp_path: Path, images: Path, finished: Path) -> None:
    resample._spread.cache_clear()
    biggan.load(finished)(num_images=1)
    assert digests(workflow.train(images, tmp_path / "run", config())) == digests(finished)


def test_a_run_inside_its_data_is_refused(images: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--out .* lies in --data"):
        workflow.train(images, images / "cat" / "run", config())
    assert not (images / "cat" / "run").exists()


def test_stopped_while_packing_leaves_nothing(tmp_path: Path, images: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(images, data, ignore=shutil.ignore_patterns(".biggan"))
    watch = Watch(packing=lambda done, total: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="packing") as stop:
        workflow.train(data, tmp_path / "run", config(), watch=watch)
    assert stop.value.exit_code == 75
    assert not (tmp_path / "run").exists()
    assert list(data.glob(".biggan/*")) == []


def test_a_folder_of_other_things_is_refused(tmp_path: Path, images: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"thesis\.tex"):
        workflow.train(images, tmp_path, config())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_nan_stops_the_run_before_a_saved_state(tmp_path: Path, images: Path) -> None:
    base = config(guard=False)
    broken = replace(base, optim=replace(base.optim, lr_g=1e38, lr_d=1e38, lr_schedule="constant"))
    with pytest.raises(Diverged, match="NaN or Inf"):
        workflow.train(images, tmp_path / "run", broken)
    states = tmp_path / "run" / "states"
    assert not states.exists() or not list(states.iterdir())


def test_a_time_limit_stops_with_a_state(tmp_path: Path, images: Path, finished: Path) -> None:
    with pytest.raises(Interrupted) as stop:
        workflow.train(images, tmp_path / "run", config(), max_minutes=1e-9)
    assert stop.value.exit_code == 75
    assert digests(workflow.train(images, tmp_path / "run", config())) == digests(finished)


def test_a_run_that_cannot_fit_is_refused(tmp_path: Path, images: Path) -> None:
    base = config()
    huge = replace(base, model=replace(base.model, g_widths=(65536,) * 4))
    with pytest.raises(OutOfMemory, match="one image at a time"):
        workflow.train(images, tmp_path / "run", huge)
    assert not (tmp_path / "run").exists()


def test_unlabelled_training_is_unconditional(tmp_path: Path, images: Path) -> None:
    base = config()
    out = workflow.train(images, tmp_path / "run", replace(base, data=replace(base.data, labels=False)))
    pipe = biggan.load(out)
    assert pipe.generator.num_classes == 0
    assert pipe.generator.embed(torch.zeros(2, dtype=torch.long)).shape == (2, 0)
    assert len(pipe(num_images=3).images) == 3


def test_a_run_before_its_first_save_is_named(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "run.json", {})
    with pytest.raises(ModelError, match="has not written its model yet"):
        biggan.load(tmp_path)
