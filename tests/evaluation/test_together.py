"""Several processes share the images of a measurement, and find what one finds."""

import json
import shutil
from pathlib import Path

import pytest
from measuring import ASKED, write_images
from ranks import run_ranks
from tiny_models import make_folder

import biggan


def test_two_processes_measure_what_one_does_and_write_it_once(tmp_path: Path) -> None:
    model = make_folder(tmp_path / "model")
    alone = shutil.copytree(model, tmp_path / "alone")
    images = write_images(tmp_path / "images.npz", 41)
    expected = biggan.evaluate(alone, images, metrics=ASKED, cache=tmp_path / "cache")
    run_ranks(2, "measuring", "measure_together", tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["values"] == second["values"]
    for found, one in zip(first["values"], expected, strict=True):
        assert found == pytest.approx(one["values"], rel=1e-4, abs=1e-6)
    assert "features of drawn images" in first["shown"]
    assert second["shown"] == []
    assert len((model / "metrics.jsonl").read_text().splitlines()) == 3
