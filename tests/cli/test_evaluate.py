"""`biggan evaluate`: the table, what is written down, what is refused, and going on after an interruption."""

import json
import shutil
from pathlib import Path

import pytest
from checkpoints import CONFIG, networks, put
from measuring import write_images
from tiny_models import make_folder

import biggan
from biggan import atomic
from biggan.cli.main import main
from biggan.config import Data
from biggan.data.packed import prepare
from biggan.errors import Interrupted

AT = "@efficientnet_lite0_32px"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("evaluate") / "model")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images") / "images.npz", 40)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "biggan"


def test_results_are_shown_and_written_down(
    model: Path, images: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")
    flags = ["--data", str(images), "--metrics", f"kid20_train{AT},d20", "--seed", "7"]
    assert main(["evaluate", str(copy), *flags]) == 0
    said = capsys.readouterr().out
    assert "kid20_train@efficientnet_lite0_32px  kernel distance (lower is better)" in said
    assert "drawn called drawn" in said
    assert f"Full records: {copy / 'metrics.jsonl'}" in said
    records = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    assert [record["name"] for record in records] == [f"kid20_train{AT}", "d20"]
    assert records[0]["seeds"] == [7, 26]
    card = (copy / "README.md").read_text()
    assert "## Measured" in card
    assert "efficientnet-lite0 at 32 px" in card
    assert list(cache.rglob("000000000-000000040.safetensors"))


def test_the_card_of_a_model_that_was_replaced_meanwhile_stays(
    model: Path, images: Path, cache: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(model, tmp_path / "copy")

    def trained_on(what: str, done: int, total: int) -> None:
        make_folder(tmp_path / "newer", seed=1).rename(tmp_path / "at once")
        for path in (tmp_path / "at once").iterdir():
            path.replace(copy / path.name)

    once = iter([trained_on])
    biggan.evaluate(
        copy, images, metrics=f"kid20_train{AT}", progress=lambda *shown: next(once, lambda *rest: None)(*shown)
    )
    assert len((copy / "metrics.jsonl").read_text().splitlines()) == 1
    assert "## Measured" not in (copy / "README.md").read_text()


def test_a_runs_own_pack_is_found(model: Path, images: Path, cache: Path, tmp_path: Path) -> None:
    copy, own = shutil.copytree(model, tmp_path / "copy"), shutil.copy(images, tmp_path / "own.npz")
    packed = prepare(own, 32, Data())
    atomic.write_json(copy / "run.json", {"config": {"data": {}}, "data": {"sha256": packed.sha256}})
    packs = sorted((tmp_path / ".biggan").rglob("*"))
    biggan.evaluate(copy, own, metrics="d20")
    assert sorted((tmp_path / ".biggan").rglob("*")) == packs


def test_python_gives_the_same_records(model: Path, images: Path, cache: Path, tmp_path: Path) -> None:
    copies = [shutil.copytree(model, tmp_path / name) for name in ("one", "other")]
    (record,) = biggan.evaluate(copies[0], images, metrics=f"kid20_train{AT}")
    assert main(["evaluate", str(copies[1]), "--data", str(images), "--metrics", f"kid20_train{AT}"]) == 0
    again = json.loads((copies[1] / "metrics.jsonl").read_text())
    assert {**record, "seconds": 0} == {**again, "seconds": 0}


def test_an_interrupted_measurement_goes_on_and_gives_the_same(
    model: Path, images: Path, cache: Path, tmp_path: Path
) -> None:
    shown: list[str] = []

    def stop(what: str, done: int, total: int) -> None:
        shown.append(what)
        if what == "features of train images":
            raise Interrupted("Stopped.", 130)

    copy = shutil.copytree(model, tmp_path / "copy")
    asked = f"d20,kid20_train{AT}"
    with pytest.raises(Interrupted):
        biggan.evaluate(copy, images, metrics=asked, progress=stop)
    written = (copy / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in written] == ["d20"]
    on: list[str] = []
    resumed = biggan.evaluate(copy, images, metrics=asked, progress=lambda what, done, total: on.append(what))
    assert "features of drawn images" in shown
    assert "features of drawn images" not in on
    whole = biggan.evaluate(copy, images, metrics=asked, cache=tmp_path / "fresh")
    assert [record["values"] for record in resumed] == [record["values"] for record in whole]


def test_a_model_of_the_package_is_measured_and_not_written_to(images: Path, cache: Path) -> None:
    (record,) = biggan.evaluate("fashion-mnist", metrics=f"score20{AT}")
    assert record["network"]["name"] == "efficientnet-lite0"
    folder = Path(biggan.__file__).parent / "models" / "bundled" / "fashion-mnist"
    names = [json.loads(line)["name"] for line in _lines(folder / "metrics.jsonl")]
    assert f"score20{AT}" not in names


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--metrics", "fid"], "--metrics 'fid' is not a measurement; write it as"),
        (["--metrics", "fid20_train"], "give them (--inception)"),
        (["--metrics", f"kid20_test{AT}"], "give --test-data"),
        (["--metrics", f"kid20_train{AT}", "--truncation", "2"], "--truncation is 2"),
        (["--metrics", "fid20_train", "--inception", "none.pth"], "--inception none.pth cannot be read"),
        (["--metrics", f"score20{AT}", "--seed", "-1"], "--seed is -1; it must be at least 0"),
        (["--metrics", f"kid20_train{AT}", "--cache", __file__], "cannot be written"),
    ],
    ids=["name", "no file", "no test data", "truncation", "missing file", "seed", "cache"],
)
def test_a_mistake_is_one_sentence(
    model: Path, images: Path, cache: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main(["evaluate", str(model), "--data", str(images), *flags]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (model / "metrics.jsonl").exists()


def test_each_split_has_images_of_its_own(
    model: Path, images: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copytree(model, tmp_path / "copy")
    metrics = ["--metrics", f"kid20_train{AT}"]
    assert main(["evaluate", str(model), "--data", str(images), "--test-data", str(images), *metrics]) == 2
    assert f"--test-data {images} has the images that the model was trained on" in capsys.readouterr().err
    assert main(["evaluate", str(model), "--data", str(images), "--test-data", "nowhere", *metrics]) == 2
    assert "--test-data 'nowhere' is no file" in capsys.readouterr().err
    (model / "run.json").write_text('{"data": {"sha256": "0a1b"}}')
    assert main(["evaluate", str(model), "--data", str(images), *metrics]) == 2
    assert f"--data {images} is not what this model was trained on" in capsys.readouterr().err


def test_a_published_checkpoint_is_measured_and_left_as_it_is(
    images: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = put(tmp_path / "theirs", {**networks(), "state_dict": {"config": CONFIG}})
    (theirs / "README.md").write_text("theirs")
    before = sorted(path.name for path in theirs.iterdir())
    assert main(["evaluate", str(theirs), "--data", str(images), "--metrics", f"score20{AT}"]) == 0
    assert "No record was kept" in capsys.readouterr().out
    assert sorted(path.name for path in theirs.iterdir()) == before
    assert (theirs / "README.md").read_text() == "theirs"


def test_without_images_there_is_nothing_to_compare_with(
    model: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(model)]) == 2
    assert "needs train images; give --data" in capsys.readouterr().err
