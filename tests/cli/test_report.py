"""`biggan report`: a page from the command line, and mistakes in one sentence."""

from pathlib import Path

import pytest
from tiny_models import make_folder

from biggan.cli.main import main


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_folder(tmp_path_factory.mktemp("report") / "model"))


def test_a_page_is_written_and_replaced(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    for _ in range(2):
        assert main(["report", model, "--class", "Bag", "--out", str(out)]) == 0
        assert f"MB to {out}" in capsys.readouterr().out
    assert out.read_text().startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "page.pdf"], "does not end in .html"),
        (["--out", "mine.html"], "is not a report by biggan"),
        (["--images", "7"], "--images is 7; allowed is 0 or 50 to 20,000"),
        (["--class", "Bags"], "did you mean"),
        (["--data", "none"], "none"),
        (["--seed", "-1"], "seed"),
        (["--device", "abacus"], "--device 'abacus'"),
    ],
)
def test_a_mistake_is_one_sentence(
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.html").write_text("<p>a page of mine</p>")
    assert main(["report", model, *flags]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert Path("mine.html").read_text() == "<p>a page of mine</p>"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.html"]


def test_no_such_model_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "none"), "--out", str(tmp_path / "page.html")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
