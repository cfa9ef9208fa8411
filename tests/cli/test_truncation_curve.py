"""`biggan truncation-curve`: the sheet from Python, and what is refused."""

from pathlib import Path

import pytest
from PIL import Image
from tiny_models import make_folder

from biggan.cli.main import main
from biggan.opening import load


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_folder(tmp_path_factory.mktemp("curve") / "model"))


@pytest.mark.parametrize("flag", ["--class", "--classes"])
@pytest.mark.parametrize(("by", "values"), [("truncation", [0.1, 1.0]), ("threshold", [0.5, 1.5])])
def test_the_sheet_is_the_one_from_python(model: str, tmp_path: Path, flag: str, by: str, values: list[float]) -> None:
    out, text = tmp_path / "a.png", ",".join(map(str, values))
    flags = [flag, "Bag;0", "--seeds", "2-3", "--by", by, "--values", text, "--out", str(out)]
    assert main(["truncation-curve", model, *flags]) == 0
    curve = load(model).truncation_curve(values, "Bag;0", [2, 3], by)  # type: ignore[arg-type]
    with Image.open(out) as image:
        assert image.tobytes() == curve.sheet().tobytes()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--values", "0.1,high"], "--values '0.1,high'"),
        (["--values", "2"], "--truncation is 2"),
        (["--by", "threshold", "--values", "0.1"], "statistics from 0.5 to 2"),
        (["--class", "Bags"], "did you mean"),
        (["--seeds", "x"], "--seeds 'x'"),
    ],
)
def test_a_mistake_is_one_sentence(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main(["truncation-curve", model, *flags, "--out", str(tmp_path / "a.png")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())
