"""`biggan interpolate`: strips and films between classes and seeds, as from Python."""

from pathlib import Path

import pytest
from PIL import Image
from tiny_models import UNCONDITIONAL, make_folder

from biggan.cli.main import main
from biggan.opening import load


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_folder(tmp_path_factory.mktemp("interpolate") / "model"))


def test_a_strip_is_the_one_from_python(model: str, tmp_path: Path) -> None:
    flags = ["--from", "Bag", "--to", "ankle boot", "--seeds", "3,8", "--steps", "4", "--truncation", "0.5"]
    assert main(["interpolate", model, *flags, "--out", str(tmp_path / "a.png")]) == 0
    way = load(model).interpolate(["Bag", "Ankle boot"], [3, 8], steps=4, truncation=0.5)
    with Image.open(tmp_path / "a.png") as image:
        assert image.tobytes() == way.sheet().tobytes()


@pytest.mark.parametrize(
    ("flags", "frames"),
    [
        (["--from", "Bag"], 24),  # two seeds
        (["--from", "Bag", "--to", "0", "--steps", "5", "--seeds", "7"], 5),
        (["--from", "Bag", "--via", "0,2", "--steps", "5"], 3 * 4 + 1),  # and back to Bag
        (["--from", "Bag", "--via", "0", "--to", "2", "--loop", "--steps", "5", "--fps", "25"], 3 * 4),
    ],
)
@pytest.mark.parametrize("name", ["a.webp", "a.gif"])
def test_a_film_has_a_frame_for_each_step(model: str, tmp_path: Path, flags: list[str], frames: int, name: str) -> None:
    assert main(["interpolate", model, *flags, "--scale", "1", "--out", str(tmp_path / name)]) == 0
    with Image.open(tmp_path / name) as film:
        assert getattr(film, "n_frames", 1) == frames
    assert main(["interpolate", model, *flags, "--scale", "1", "--out", str(tmp_path / name)]) == 0


def test_a_model_without_classes_goes_between_seeds(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", UNCONDITIONAL)
    assert main(["interpolate", str(folder), "--seeds", "1,2,3", "--out", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--from is missing"),
        (["--from", "Bga"], "did you mean 'Bag'"),
        (["--from", "Bag", "--seeds", "3"], "two ends"),
        (["--from", "Bag", "--to", "0", "--seeds", "1,2,3"], "do not pair up"),
        (["--from", "Bag", "--steps", "1"], "--steps is 1"),
        (["--from", "Bag", "--fps", "0", "--out", "a.gif"], "--fps is 0"),
        (["--from", "Bag", "--out", "a.mp4"], "ends in none of .png, .webp, .gif"),
        (["--from", "Bag", "--out", "mine.gif"], "not a picture drawn by biggan"),
    ],
)
def test_a_mistake_is_one_sentence(
    model: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (4, 4)).save("mine.gif", comment=b"mine")
    assert main(["interpolate", model, *flags]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.gif"]
