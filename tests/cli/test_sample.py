"""`biggan sample`: files by class and seed that draw themselves again; every mistake one sentence, nothing lost."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny_models import UNCONDITIONAL, make_folder

from biggan.cli.main import main
from biggan.config import Data
from biggan.data.packed import prepare
from biggan.opening import load

Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_folder(tmp_path_factory.mktemp("sample") / "model"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_classes_times_seeds_become_files_and_a_sheet(model: str, tmp_path: Path, capsys: Said) -> None:
    flags = ["--classes", "ankle boot,t-shirt/top", "--seeds", "0,3-4", "--truncation", "0.5"]
    assert main(["sample", model, *flags, "--out", str(tmp_path / "out")]) == 0
    pictures = [f"{name}_000{seed}.png" for name in ("Ankle-boot", "T-shirt-top") for seed in (0, 3, 4)]
    assert names(tmp_path / "out") == sorted([*pictures, "sheet.png"])
    said = capsys.readouterr().out
    assert f"Wrote 6 pictures to {tmp_path / 'out'}" in said
    [same] = load(model)("Ankle boot", truncation=0.5, seed=3).images
    with Image.open(tmp_path / "out" / "Ankle-boot_0003.png") as image:
        assert image.tobytes() == same.tobytes()


def test_files_do_not_depend_on_what_else_is_asked_for(model: str, tmp_path: Path) -> None:
    assert main(["sample", model, "--seeds", "0-20", "--out", str(tmp_path / "many")]) == 0
    assert main(["sample", model, "--seeds", "20", "--classes", "Bag", "--out", str(tmp_path / "one")]) == 0
    assert len(names(tmp_path / "many")) == 3 * 21 + 1
    one, same = (tmp_path / folder / "Bag_0020.png" for folder in ("one", "many"))
    assert one.read_bytes() == same.read_bytes()


def test_like_draws_a_picture_again(model: str, tmp_path: Path, capsys: Said) -> None:
    assert main(["sample", model, "--classes", "Bag:2,2:1", "--threshold", "1", "--out", str(tmp_path / "a")]) == 0
    [picture] = [path for path in (tmp_path / "a").iterdir() if path.name != "sheet.png"]
    assert main(["sample", model, "--like", str(picture), "--out", str(tmp_path / "b")]) == 0
    assert names(tmp_path / "b") == [picture.name]
    assert (tmp_path / "b" / picture.name).read_bytes() == picture.read_bytes()
    assert main(["sample", model, "--like", str(tmp_path / "a" / "sheet.png")]) == 2
    assert "sheet of many pictures" in capsys.readouterr().err


def test_own_pictures_are_replaced_and_said_but_no_others(model: str, tmp_path: Path, capsys: Said) -> None:
    command = ["sample", model, "--classes", "Bag", "--seeds", "0-1", "--out", str(tmp_path)]
    assert main(command) == 0
    assert main(command) == 0
    assert "(2 of them replaced)" in capsys.readouterr().out
    for name in ("sheet.png", "Bag_0001.png"):
        mine = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(b"a holiday")
        assert main(command) == 2
        assert f"{tmp_path / name} is there" in capsys.readouterr().err
        assert (tmp_path / name).read_bytes() == b"a holiday"
        (tmp_path / name).write_bytes(mine)


def test_a_model_without_classes_needs_none(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", UNCONDITIONAL)
    assert main(["sample", str(folder), "--seeds", "1-2", "--out", str(tmp_path / "out")]) == 0
    assert names(tmp_path / "out") == ["image_0001.png", "image_0002.png", "sheet.png"]


def test_very_many_go_into_shards_that_are_data(model: str, tmp_path: Path, capsys: Said) -> None:
    flags = ["--seeds", "0-9,100", "--truncation", "0.5", "--shard-images", "20"]
    out = tmp_path / "out"
    assert main(["sample", model, *flags, "--out", str(out)]) == 0
    assert f"Wrote 33 pictures to {out} in 2 shards." in capsys.readouterr().out
    assert names(out) == ["00000.tar", "00001.tar", "classes.txt", "lock", "manifest.json"]
    found = prepare(str(out), 32, Data())
    assert found.class_names == ["T-shirt/top", "Bag", "Ankle boot"]
    assert found.class_counts == [11, 11, 11]
    [same] = load(model)("Bag", truncation=0.5, seed=100).images
    assert found.images[31].tobytes() == same.tobytes()


def test_several_processes_draw_shards_alone(
    model: str, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["sample", model, "--out", str(tmp_path / "out")]) == 2
    assert "give --shard-images, or start one process" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


MISTAKES = [
    (["--classes", "Bags"], "did you mean 'Bag'?"),
    (["--classes", "3"], "a number from 0 to 2"),
    (["--classes", "Bag:1,Ankle boot:-2"], "sum above 0"),
    (["--seeds", "a"], "--seeds 'a'"),
    (["--seeds", "0-100000"], "more than 100,000 seeds"),
    (["--truncation", "1.5"], "--truncation is 1.5"),
    (["--truncation", "0.5", "--threshold", "1"], "give one of them"),
    (["--threshold", "9"], "statistics from 0.5 to 2"),
    (["--device", "abacus"], "--device 'abacus'"),
    (["--batch-size", "0"], "--batch-size is 0"),
    (["--precision", "int4"], "precision"),
    (["--like", "missing.png"], "There is no picture missing.png"),
    (["--like", "missing.png", "--seeds", "1"], "give only --out and --device"),
    (["--like", "missing.png", "--precision", "bfloat16"], "give only --out and --device"),
    (["--sedes", "1"], "--sedes"),
    (["--shard-images", "0"], "--shard-images is 0"),
    (["--shard-images", "9", "--seeds", "1-"], "--seeds '1-'"),
    (["--shard-images", "9", "--threshold", "9"], "statistics from 0.5 to 2"),
    (["--shard-images", "9", "--classes", "Bag,bag"], "asked for twice"),
    (["--shard-images", "9", "--like", "missing.png"], "give only --out and --device"),
]


@pytest.mark.parametrize(("flags", "message"), MISTAKES)
def test_a_mistake_is_one_sentence_and_draws_nothing(
    model: str, tmp_path: Path, capsys: Said, flags: list[str], message: str
) -> None:
    assert main(["sample", model, *flags, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.splitlines()) == 1
    assert not said.out
    assert not (tmp_path / "out").exists()


def test_an_unknown_model_is_one_sentence(model: str, tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    for given, message in (
        ("no-such-model", "There is no model 'no-such-model'"),
        (str(tmp_path), "holds no model"),
        (str(tmp_path / "file"), "holds no model"),
        (str(tmp_path / "run"), "has not written its model yet"),
    ):
        assert main(["sample", given, "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert len(said.splitlines()) == 1
    assert main(["sample", model, "--out", str(tmp_path / "file")]) == 2
    assert "is a file; give a folder" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_one_sentence(model: str, capsys: Said) -> None:
    assert main(["sample", model, "--out", "/proc/pictures"]) == 74
    assert "Could not write" in capsys.readouterr().err


def test_drawing_imports_nothing_slow(model: str, tmp_path: Path) -> None:
    """A new process draws within seconds only while torch's compiler and its like stay out."""
    code = (
        "import sys; from biggan.cli.main import main;"
        f"main(['sample', {model!r}, '--out', {str(tmp_path / 'out')!r}]);"
        "print([name for name in ('torchvision', 'torch._dynamo', 'sympy', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
