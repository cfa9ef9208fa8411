"""A run of `imagine` goes on where it stopped, writes what it says, and touches nothing of others."""

import json
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from perceptors import ColourScorer, fresh_bundle
from PIL import Image
from safetensors import safe_open
from tiny_models import MODEL

from biggan.editing.goal import Prompt, Request
from biggan.editing.imagine import MOST_FRAMES, Progress, Watch, imagine, thinned
from biggan.editing.imagined import Imagined, _evenly
from biggan.editing.settings import Guidance
from biggan.editing.soft_latents import class_table, conditions
from biggan.errors import ConfigError, Interrupted, ModelError
from biggan.sampling.pipeline import Pipeline
from biggan.sampling.sampler import to_bytes

RED = Request(prompts=(Prompt("red"),))
SETTINGS = Guidance(cutouts=2, search=6)


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return Pipeline(fresh_bundle(replace(MODEL, image_channels=3)))


def go(pipe: Pipeline, out: Path, request: Request = RED, seeds: Sequence[int] = (0, 12), **more: Any) -> Imagined:
    chosen = {"steps": 6, "save_every": 2, "settings": SETTINGS} | more
    return imagine(pipe, request, out, ColourScorer(), seeds=seeds, **chosen)


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def stopping(step: int) -> Watch:
    """Asks to stop, as Ctrl-C does, after a step."""

    def progress(now: Progress) -> None:
        if now.step == step:
            signal.raise_signal(signal.SIGINT)

    return Watch(progress=progress)


def test_a_run_writes_pictures_latents_and_figures(pipe: Pipeline, tmp_path: Path) -> None:
    done = go(pipe, tmp_path / "out")
    each = [f"seed_{seed:04}{ending}" for seed in (0, 12) for ending in (".safetensors", "_best.png", "_last.png")]
    shared = ["imagine.json", "lock", "preview.png", "result.json", "strip.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*each, *shared, "state"])
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [picture["score"] for picture in result["pictures"]] == done.scores
    assert [picture["seed"] for picture in result["pictures"]] == [0, 12]
    assert set(result["pictures"][0]["classes"]) <= set(pipe.class_names)
    assert max(result["pictures"][0]["classes"].values()) > 0.9
    assert result["prompts"] == "red:1.0"
    with Image.open(tmp_path / "out" / "seed_0012_best.png") as image:
        assert image.tobytes() == done.best[1].tobytes()
        said = json.loads(image.info["biggan"])
    assert said["seed"] == 12
    assert said["cutouts"] == 2
    assert said["scorer"] == "colours"
    assert len(done._repr_png_()) > 100


def test_the_kept_latents_draw_the_picture(pipe: Pipeline, tmp_path: Path) -> None:
    done = go(pipe, tmp_path / "out")
    G = pipe.generator
    for place, seed in enumerate((0, 12)):
        with safe_open(str(tmp_path / "out" / f"seed_{seed:04}.safetensors"), "pt") as file:
            for kind, images in (("best", done.best), ("last", done.last)):
                z, classes = (file.get_tensor(f"{kind}.{name}")[None] for name in ("z", "classes"))
                with torch.no_grad():
                    x = to_bytes(G.synthesise(conditions(G, z, classes, class_table(G))))[0]
                wanted = torch.frombuffer(bytearray(images[place].tobytes()), dtype=torch.uint8).view(32, 32, 3)
                assert int((x.permute(1, 2, 0).int() - wanted.int()).abs().max()) <= 1


@pytest.mark.parametrize("step", [1, 2, 5])
def test_an_interrupted_run_ends_with_the_same_bytes(pipe: Pipeline, tmp_path: Path, step: int) -> None:
    go(pipe, tmp_path / "whole")
    with pytest.raises(Interrupted, match=f"after step {step} of 6 .* the same command goes on") as stopped:
        go(pipe, tmp_path / "halved", watch=stopping(step))
    assert stopped.value.exit_code == 130
    assert (tmp_path / "halved" / "preview.png").exists()
    go(pipe, tmp_path / "halved")
    whole, halved = files(tmp_path / "whole"), files(tmp_path / "halved")
    assert whole.pop("lock") == halved.pop("lock")
    assert whole == halved


def test_a_search_can_be_interrupted_too(pipe: Pipeline, tmp_path: Path) -> None:
    watch = Watch(search=lambda done, total: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted, match="while searching; the same command begins again") as stopped:
        go(pipe, tmp_path / "out", watch=watch)
    assert stopped.value.exit_code == 75
    assert len(go(pipe, tmp_path / "out", steps=1).best) == 2


def test_a_finished_run_goes_on_when_more_is_asked_and_else_stands(pipe: Pipeline, tmp_path: Path) -> None:
    go(pipe, tmp_path / "whole")
    go(pipe, tmp_path / "longer", steps=4)
    go(pipe, tmp_path / "longer")
    assert files(tmp_path / "longer") == files(tmp_path / "whole")
    said: list[str] = []
    before = files(tmp_path / "longer")
    go(pipe, tmp_path / "longer", steps=2, watch=Watch(say=said.append))
    assert "has done 6 steps already" in said[-1]
    assert files(tmp_path / "longer") == before


def test_another_request_in_the_folder_is_refused_by_name(pipe: Pipeline, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    go(pipe, tmp_path / "out", steps=1)
    before = files(tmp_path / "out")
    others: list[tuple[dict[str, Any], str]] = [
        ({"request": Request(prompts=(Prompt("blue"),))}, '--prompts is "blue:1.0" and .* began with "red:1.0"'),
        ({"request": replace(RED, image=tmp_path / "x.png")}, "--image-sha256 is"),
        ({"seeds": (0, 13)}, r"--seeds is \[0, 13\]"),
        ({"settings": replace(SETTINGS, lr=0.1)}, "--lr is 0.1"),
    ]
    for other, message in others:
        with pytest.raises(ConfigError, match=message):
            go(pipe, tmp_path / "out", **other)
    assert files(tmp_path / "out") == before


def test_folders_and_files_of_others_are_left_alone(pipe: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.txt").write_text("sun")
    with pytest.raises(ConfigError, match=r"holds other files \(holiday.txt\)"):
        go(pipe, tmp_path / "mine")
    with pytest.raises(ConfigError, match="is a file; give a folder"):
        go(pipe, tmp_path / "mine" / "holiday.txt")
    assert files(tmp_path / "mine") == {"holiday.txt": b"sun"}
    go(pipe, tmp_path / "out", steps=1)
    (tmp_path / "out" / "strip.png").write_bytes(b"a holiday")
    with pytest.raises(ConfigError, match=r"strip\.png is there and is not a picture drawn by biggan"):
        go(pipe, tmp_path / "out")


@pytest.mark.parametrize("name", ["state/state.safetensors", "state/state.json", "state/manifest.json", "imagine.json"])
def test_damage_is_noticed(pipe: Pipeline, tmp_path: Path, name: str) -> None:
    go(pipe, tmp_path / "out", steps=1)
    path = tmp_path / "out" / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ModelError):
        go(pipe, tmp_path / "out")


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"seeds": ()}, "--seeds are 0 seeds"),
    ({"seeds": (1, 1)}, "--seeds are 2 seeds; give 1 to 1,000 different ones"),
    ({"seeds": (-1,)}, "Seed -1 is not allowed"),
    ({"steps": 0}, "--steps is 0; allowed is 1 to 1,000,000"),
    ({"save_every": 0}, "--save-every is 0"),
]


@pytest.mark.parametrize(("given", "message"), MISTAKES)
def test_a_mistake_is_one_sentence_and_writes_nothing(
    pipe: Pipeline, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        go(pipe, tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_the_strip_shows_at_most_nine_even_steps_with_the_first_and_the_last() -> None:
    x = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    assert [step for step, _ in _evenly([(0, x)])] == [0]
    assert [step for step, _ in _evenly([(step, x) for step in range(0, 101, 5)])] == [
        0,
        10,
        25,
        35,
        50,
        60,
        75,
        85,
        100,
    ]
    assert [step for step, _ in _evenly([(0, x), (2, x), (100, x)])] == [0, 2, 100]


def test_a_long_run_keeps_few_frames() -> None:
    x, frames = torch.zeros(1), list[tuple[int, torch.Tensor]]()
    for step in range(1000):
        frames = thinned([*frames, (step, x)])
        places = [place for place, _ in frames]
        assert len(places) <= MOST_FRAMES
        assert (places[0], places[-1]) == (0, step)
        assert places == sorted(set(places))
    assert len(frames) >= MOST_FRAMES // 2
