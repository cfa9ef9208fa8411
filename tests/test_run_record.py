"""`run.json` says how a run made its images, and how long it is."""

from pathlib import Path

import pytest

from biggan import atomic
from biggan.budgeting import Budget
from biggan.config import Data
from biggan.config_json import from_json
from biggan.errors import ConfigError, ModelError
from biggan.run_record import RUN, note_total, record_of_images


def test_images_are_measured_as_the_run_made_them_also_those_of_its_best_model(tmp_path: Path) -> None:
    assert record_of_images(None) == record_of_images(tmp_path) == (None, None)
    settings, data = {"data": {"crop": "pad", "background": "black"}}, {"sha256": "0a1b"}
    atomic.write_json(tmp_path / RUN, {"config": settings, "data": data})
    padded = Data(crop="pad", background="black")
    assert record_of_images(tmp_path) == record_of_images(tmp_path / "best") == (padded, "0a1b")
    assert record_of_images(tmp_path / "other") == (None, None)


def test_a_length_that_was_settled_replaces_the_first_and_nothing_else(tmp_path: Path) -> None:
    record = {"config": {"train": {"total_images": 9, "seed": 1}}, "class_names": ["a"]}
    atomic.write_json(tmp_path / RUN, record)
    note_total(tmp_path, 5)
    record["config"]["train"]["total_images"] = 5  # type: ignore[call-overload,index]
    assert atomic.read_json(tmp_path / RUN) == record
    atomic.write_json(tmp_path / RUN, {"config": []})
    with pytest.raises(ModelError, match="is damaged; put it back, or give another --out"):
        note_total(tmp_path, 5)


def test_a_record_without_a_field_that_it_needs_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"budget lacks the field 'images_per_second'\."):
        from_json(Budget, {"seconds": 60.0, "reasons": []}, "budget")
