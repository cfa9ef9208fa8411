"""`biggan grid`: one labelled sheet, as from Python."""

from pathlib import Path

import pytest
from PIL import Image
from tiny_models import make_folder

from biggan.cli.main import main
from biggan.opening import load


def test_the_sheet_is_the_one_from_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = make_folder(tmp_path / "model"), tmp_path / "sheet.png"
    assert main(["grid", str(model), "--seeds", "2-4", "--truncation", "1", "--scale", "2", "--out", str(out)]) == 0
    assert f"Wrote a sheet of 9 pictures to {out}" in capsys.readouterr().out
    with Image.open(out) as image:
        assert image.tobytes() == load(model)(num_images=3, truncation=1, seed=2).sheet(2).tobytes()
    before = out.read_bytes()
    assert main(["grid", str(model), "--seeds", "2-4", "--truncation", "1", "--scale", "2", "--out", str(out)]) == 0
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("out", "flags", "message"),
    [
        ("a.jpg", [], "ends in none of .png"),
        ("mine.png", [], "not a picture drawn by biggan"),
        ("a.png", ["--scale", "0"], "--scale is 0"),
        ("a.png", ["--classes", "Bags"], "did you mean"),
        ("a.png", ["--seeds", "0-9999", "--scale", "3"], "too large"),
    ],
)
def test_a_mistake_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, flags: list[str], message: str
) -> None:
    (tmp_path / "mine.png").write_bytes(b"mine")
    model = make_folder(tmp_path / "model")
    assert main(["grid", str(model), "--out", str(tmp_path / out), "--seeds", "0", *flags]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert (tmp_path / "mine.png").read_bytes() == b"mine"
    assert not (tmp_path / "a.png").exists()
