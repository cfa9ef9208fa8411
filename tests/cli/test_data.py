"""`biggan data` says what is in the data, what was done to it, what that would take, and whether it is still sound."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biggan.cli.main import main


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes of unequal size, one broken file."""
    random = np.random.default_rng(0)
    for name, count in (("[red] cat", 30), ("dog", 10)):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / "set" / name / f"{i}.png")
    (tmp_path / "set/dog/broken.png").write_bytes(b"no picture")
    return tmp_path / "set"


def test_inspect_prints_all_that_is_known(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(images), "--resolution", "32", "--out", str(tmp_path / "sheet.png")]) == 0
    said = capsys.readouterr().out
    for words in (
        "40 images, 32 x 32, red+green+blue, 2 classes",
        "[red] cat",
        "dog/broken.png is not a JPEG",
        "40 of 40 images are not square and were cut to their central square",
        "only 40 images",
        "red    mean 0.",
        f"pack: {images / '.biggan'}",
    ):
        assert words in said
    bars = [line.count("█") for line in said.splitlines() if "█" in line]
    assert bars == [40, 13]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 64
    assert not any("\x1b" in line for line in said.splitlines())


def test_pack_makes_data(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--resolution", "32", "--crop", "pad", "--background", "black", "--channels", "1"]
    assert main(["data", "pack", str(images), "--out", str(tmp_path / "pack"), *words]) == 0
    assert "40 images, 32 x 32, grey, 2 classes" in capsys.readouterr().out
    assert main(["data", "inspect", str(tmp_path / "pack"), "--out", str(tmp_path / "sheet.png")]) == 0
    assert "were padded to a square" in capsys.readouterr().out
    assert not (images / ".biggan").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inspect", "fasion-mnist"], "did you mean 'fashion-mnist'"),
        (["inspect", "fashion-mnist", "--resolution", "48"], "--resolution is 48"),
        (["inspect", "fashion-mnist", "--channels", "2"], "--channels is 2"),
        (["inspect", "fashion-mnist", "--background", "nocolour"], "--background is 'nocolour'"),
        (["inspect", "fashion-mnist", "--crop", "stretch"], "--crop"),
        (["inspect", "fashion-mnist", "--rows", "0"], "--rows is 0"),
        (["inspect", "fashion-mnist", "--out", "sheet.jpg"], ".png"),
        (["pack", "fashion-mnist", "--resolution", "32"], "--out"),
        (["pack", "fashion-mnist", "--resolution", "32", "--out", "x", "--workers", "0"], "--workers is 0"),
        (["pack", "fashion-mnist", "--resolution", "33", "--out", "x", "--dry-run"], "--resolution is 33"),
        (["verify", "fashion-mnst"], "did you mean 'fashion-mnist'"),
        (["verify", "."], "no pack"),
        (["pakc", "x"], "did you mean 'pack'"),
    ],
)
def test_mistakes_are_one_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *words]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_packing_takes_and_writes_nothing(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "pack", str(images), "--out", str(tmp_path / "a/pack"), "--resolution", "64", "--workers", "3"]
    assert main([*words, "--dry-run"]) == 0
    said = capsys.readouterr().out
    for text in (
        "41 images",
        "12,288 bytes each",
        "images/s on one core",
        "1 cannot be read",
        "with --workers 3",
        "GB",
    ):
        assert text in said
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert [path.name for path in images.iterdir() if path.name.startswith(".")] == []


def test_verify_says_which_file_is_damaged(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "inspect", str(images), "--out", str(tmp_path / "sheet.png"), "--resolution"]
    assert main([*words, "32"]) == main([*words, "64"]) == 0
    capsys.readouterr()
    assert main(["data", "verify", str(images)]) == 0
    said = capsys.readouterr().out
    assert said.count("40 images in 1 files, all as they were written") == 2
    shard = next((images / ".biggan").glob("*/images-00000.u8"))
    content = bytearray(shard.read_bytes())
    content[1234] ^= 16
    shard.write_bytes(content)
    for given in (images, shard.parent):
        assert main(["data", "verify", str(given)]) == 2
        err = capsys.readouterr().err
        assert "images-00000.u8" in err
        assert err.count("\n") == 1


def test_all_commands_start_without_torch() -> None:
    import subprocess
    import sys

    script = "import biggan.cli.data, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
