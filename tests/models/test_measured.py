"""Records of measurements: lines that survive a kill, and the rows that a card shows of them."""

from pathlib import Path

import pytest
from tiny_models import make_bundle

from biggan.models.bundle import save_bundle, write_card
from biggan.models.measured import METRICS, append, figure, latest, read, told

PACKS = (4.0, "b"), (5.0, "c"), (6.0, "b")


def record(name: str, weights: str = "a", **values: float) -> dict[str, object]:
    return {"name": name, "values": values, "errors": {}, "weights": {"sha256": weights}, "drawn_images": 2000}


def test_records_come_back_in_order_and_by_weights(tmp_path: Path) -> None:
    first, second = record("kid2k_train", x=1.0), record("d2k", "b", y=2.0)
    append(tmp_path, first)
    append(tmp_path, second)
    assert read(tmp_path) == [first, second]
    assert read(tmp_path, "b") == [second]
    assert read(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "line", ["{", '{"name": 3}', "[]", '{"name": "x", "weights": {"sha256": "a"}, "values": 2}', ""]
)
def test_lines_that_are_no_records_are_passed_over(tmp_path: Path, line: str) -> None:
    (tmp_path / METRICS).write_text(line + "\n")
    append(tmp_path, record("d2k", x=1.0))
    assert [each["name"] for each in read(tmp_path)] == ["d2k"]


def test_a_half_written_line_takes_no_other_with_it(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text('{"name": "kid2k_tr')
    append(tmp_path, record("d2k", x=1.0))
    append(tmp_path, record("d4k", x=1.0))
    assert [each["name"] for each in read(tmp_path)] == ["d2k", "d4k"]


def test_the_newest_of_a_name_a_truncation_and_a_set_counts() -> None:
    old, new, other = record("d2k", x=1.0), record("d2k", x=2.0), {**record("d2k", x=3.0), "truncation": 0.5}
    of_test = [{**record("kid2k_test", x=x), "split": "test", "real_sha256": {"test": images}} for x, images in PACKS]
    assert latest([old, other, *of_test, new]) == [new, other, of_test[2], of_test[1]]


def test_figures_are_told_with_their_errors() -> None:
    told_of = {**record("x", distance=12.3456, other=0.00012345), "errors": {"distance": 0.4321}}
    assert told(told_of) == "distance 12.35 ± 0.43, other 0.0001234"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (12345.6, "12346"), (-0.5, "-0.5000"), (1.0, "1.000"), (float("nan"), "nan")]
)
def test_numbers_are_never_powers_of_ten(value: float, text: str) -> None:
    assert figure(value) == text


def test_the_card_shows_what_was_measured_of_its_weights(tmp_path: Path) -> None:
    bundle = make_bundle()
    save_bundle(tmp_path, bundle, None)
    assert "## Measured" not in (tmp_path / "README.md").read_text()
    append(tmp_path, record("kid2k_train|x", bundle.sha256, distance=0.5))
    append(tmp_path, record("kid2k_test", "other weights", distance=0.75))
    write_card(tmp_path, bundle)
    card = (tmp_path / "README.md").read_text()
    assert "| kid2k_train&#124;x | distance 0.5000 | 2,000 drawn |" in card
    assert "kid2k_test" not in card
    save_bundle(tmp_path, bundle, None)
    assert (tmp_path / "README.md").read_text() == card
