"""The bundled model's card carries what was measured of its very weights, with full records."""

import shutil
from pathlib import Path

import biggan
from biggan.models.bundle import write_card
from biggan.models.measured import latest, read, told


def test_the_card_of_the_bundled_model_carries_its_measured_numbers() -> None:
    bundle = biggan.load("fashion-mnist").bundle
    assert bundle.path is not None
    records = latest(read(bundle.path, bundle.sha256))
    assert len(records) >= 2
    card = (bundle.path / "README.md").read_text()
    assert "## Measured" in card
    for record in records:
        assert told(record) in card
        assert {"drawn_images", "real_images", "seeds", "truncation", "statistics", "versions", "date"} <= record.keys()


def test_the_card_is_the_one_that_would_be_written_today(tmp_path: Path) -> None:
    bundle = biggan.load("fashion-mnist").bundle
    assert bundle.path is not None
    again = shutil.copytree(bundle.path, tmp_path / "model")
    write_card(again, bundle)
    assert (again / "README.md").read_text() == (bundle.path / "README.md").read_text()
