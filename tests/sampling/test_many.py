"""A set of shards is the same bytes by one process or two, in one sitting or several; a damaged one is drawn again."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ranks import environment, free_port
from tiny_models import make_folder

from biggan.errors import ConfigError, Interrupted, RunInUse
from biggan.opening import load
from biggan.sampling.classes import parse_classes
from biggan.sampling.many import draw_many
from biggan.sampling.shards import Order
from biggan.training.interrupt import StopRequest
from biggan.training.runlock import RunLock

SEEDS, EACH = range(25), 20  # 75 pictures of three classes in four shards


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("many") / "model")


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a set that was drawn undisturbed."""
    out = tmp_path_factory.mktemp("whole")
    assert draw(model, out) == 0
    return files(out)


def draw(
    model: Path,
    out: Path,
    signal_at: tuple[int, signal.Signals] | None = None,
    classes: str | None = None,
    truncation: float | None = None,
) -> int:
    """Draws the set; a signal comes after so many pictures."""

    def progress(done: int, total: int) -> None:
        if signal_at and done >= signal_at[0]:
            signal.raise_signal(signal_at[1])

    pipe = load(model)
    order = Order(parse_classes(classes, pipe.class_names), [SEEDS], EACH)
    with StopRequest() as stop:
        return draw_many(pipe, order, out, truncation, None, stop, progress)


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.name != "lock"}


def manifest(out: Path) -> dict:
    return json.loads((out / "manifest.json").read_text())


def draw_together(model: Path, out: Path, world: int = 2) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of the command in each of several processes."""
    flags = ["--seeds", "0-24", "--shard-images", "20", "--device", "cpu", "--out", str(out)]
    command, port = [sys.executable, "-m", "biggan", "sample", str(model), *flags], free_port()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, env=environment(rank, world, port), **pipes) for rank in range(world)]
    said = [process.communicate(timeout=300) for process in running]
    return [(process.returncode, *texts) for process, texts in zip(running, said, strict=True)]


def test_a_manifest_tells_each_shard_s_images_size_and_hash(model: Path, whole: dict[str, bytes]) -> None:
    told = json.loads(whole["manifest.json"])
    assert [(shard["first"], shard["last"]) for shard in told["shards"]] == [(0, 19), (20, 39), (40, 59), (60, 74)]
    for shard in told["shards"]:
        content = whole[shard["name"]]
        assert (shard["bytes"], shard["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert told["complete"]
    assert told["num_images"] == 75
    assert told["recipe"]["model"] == hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
    assert told["recipe"]["seeds"] == "0-24"
    assert whole["classes.txt"].decode().splitlines() == told["recipe"]["classes"] == load(model).class_names
    assert whole.keys() == {"classes.txt", "manifest.json", *(f"0000{k}.tar" for k in range(4))}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_set_that_was_interrupted_goes_on_and_is_the_same(
    model: Path, whole: dict[str, bytes], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with pytest.raises(Interrupted, match="Stopped with 40 of 75 images") as stopped:
        draw(model, tmp_path, (50, number))
    assert stopped.value.exit_code == code
    assert not manifest(tmp_path)["complete"]
    assert files(tmp_path).keys() == {"classes.txt", "manifest.json", "00000.tar", "00001.tar"}
    finished = (tmp_path / "00000.tar").stat().st_ino
    assert draw(model, tmp_path) == 40
    assert files(tmp_path) == whole
    assert (tmp_path / "00000.tar").stat().st_ino == finished  # not drawn again


def test_what_a_kill_leaves_behind_is_cleared(model: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        draw(model, tmp_path, (21, signal.SIGTERM))
    (tmp_path / ".00001.tar.12345.tmp").write_bytes(b"half a shard")
    (tmp_path / "00002.tar").write_bytes(b"a shard that the manifest does not tell of")
    assert draw(model, tmp_path) == 20
    assert files(tmp_path) == whole


def test_a_damaged_shard_is_drawn_again(model: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    draw(model, tmp_path)
    for damage in (lambda content: content[:-1], lambda content: content[:600] + b"?" + content[601:]):
        (tmp_path / "00002.tar").write_bytes(damage(whole["00002.tar"]))
        assert draw(model, tmp_path) == 55
        assert files(tmp_path) == whole
    (tmp_path / "00003.tar").unlink()
    assert draw(model, tmp_path) == 60
    assert draw(model, tmp_path) == 75
    assert files(tmp_path) == whole


@pytest.mark.parametrize(
    ("asked", "message"),
    [({"classes": "Bag"}, "shards with classes .*not .'Bag'.;"), ({"truncation": 0.5}, "truncation None, not 0.5;")],
)
def test_a_set_of_other_images_is_refused_and_left_alone(
    model: Path, whole: dict[str, bytes], tmp_path: Path, asked: dict, message: str
) -> None:
    draw(model, tmp_path)
    with pytest.raises(ConfigError, match=message):
        draw(model, tmp_path, **asked)
    assert files(tmp_path) == whole


@pytest.mark.parametrize("content", ['{"a": "b"}', "[]", '{"recipe": {}, "shards": 3}'])
def test_a_manifest_of_something_else_is_refused(model: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ConfigError, match=r"something else than shards|shards with truncation"):
        draw(model, tmp_path)
    assert files(tmp_path) == {"manifest.json": content.encode()}


def test_entries_of_a_manifest_that_make_no_sense_cost_their_shards(
    model: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    draw(model, tmp_path)
    told = manifest(tmp_path)
    told["shards"] = [None, {"name": []}, {**told["shards"][0], "name": ["a"]}, {**told["shards"][1], "sha256": None}]
    told["shards"].append({**manifest(tmp_path)["shards"][2], "name": "../00002.tar"})
    (tmp_path / "manifest.json").write_text(json.dumps(told))
    assert draw(model, tmp_path) == 0
    assert files(tmp_path) == whole


def test_a_folder_of_other_files_or_in_use_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "holiday.png").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"holds other files \(holiday.png\)"):
        draw(model, tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        draw(model, tmp_path / "holiday.png")
    with RunLock(tmp_path / "new"), pytest.raises(RunInUse):
        draw(model, tmp_path / "new")
    assert not files(tmp_path / "new")


def test_two_processes_draw_the_same_bytes_as_one(model: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        draw(model, tmp_path, (21, signal.SIGTERM))
    first, second = draw_together(model, tmp_path)
    assert first[0] == second[0] == 0, (first, second)
    assert f"Wrote 75 pictures (20 of them were there) to {tmp_path} in 4 shards." in first[1]
    assert not second[1]
    assert files(tmp_path) == whole


def test_an_error_of_one_process_ends_both_and_is_told_once(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(Interrupted):
        draw(model, tmp_path / "out", (1, signal.SIGTERM))
    (tmp_path / "out" / "00001.tar" / "in the way").mkdir(parents=True)
    ends = draw_together(model, tmp_path / "out")
    assert [code for code, _, _ in ends] == [74, 74]
    told = [line for _, _, errors in ends for line in errors.splitlines() if line.startswith("biggan:")]
    assert len(told) == 1
    assert "Could not write" in told[0]
    assert [shard["name"] for shard in manifest(tmp_path / "out")["shards"]] == ["00000.tar"]
