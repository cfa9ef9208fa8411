"""The README and the documents say what is true: their commands run, their links lead somewhere."""

import itertools
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import GOLDEN
from PIL import Image

import biggan
from biggan.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHORT = {  # a test's size
    "train": "--batch-size 4 --total-images 16 --g-widths 8 8 8 8 --d-widths 8 8 8 8 --dim-z 16",
    "evaluate": "--metrics d20",
    "report": "--images 0",
    "imagine": "--steps 1 --search 10 --cutouts 2 --seeds 0",
}
COMMAND_LINES = re.findall(r"^\$ biggan (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the README is read in: `photos`, `held-out`, and a small model in the cache of published ones."""
    place = tmp_path_factory.mktemp("desk")
    shutil.copytree(GOLDEN / "pretrained" / "layout128_ch4", place / "cache" / "biggan-deep-256")
    random = np.random.default_rng(0)
    for folder, name in itertools.product(("photos", "held-out"), ("cat", "dog")):
        (place / folder / name).mkdir(parents=True)
        for i in range(60):
            pixels = random.integers(0, 256, (40, 36, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / folder / name / f"{i}.jpg")
    return place


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_each_command_of_the_readme_runs(line: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    monkeypatch.setenv("BIGGAN_CACHE", str(desk / "cache"))
    short = SHORT.get(line.split()[0], "")
    assert main([*shlex.split(line), *shlex.split(short)]) == 0
    out = re.search(r"--out (\S+)", line)
    if out and "--dry-run" not in line:
        assert (desk / out[1]).exists()


def test_the_readme_shows_every_command_but_none_unknown() -> None:
    words = {line.split()[0] for line in COMMAND_LINES}
    assert words == set(COMMANDS)


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for block in blocks:
        exec(block, {})
    paths = list((tmp_path / "pictures").glob("*.png"))
    assert len(paths) == 8
    with Image.open(paths[0]) as image:
        assert image.size == (32, 32)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_changelog_knows_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert f"[{biggan.__version__}]" in text
