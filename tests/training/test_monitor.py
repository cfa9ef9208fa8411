"""What a run writes down parses after any kill, and holds each step once."""

import json
from pathlib import Path

import pytest

from biggan.errors import DiskFailed
from biggan.training.monitor import Monitor


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_figures_are_json_lines(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path)
    monitor.figures(64, 1.23456, {"loss_d": 2.0, "loss_g": float("nan")})
    monitor.figures(128, 2.5, {"loss_d": 1.5, "loss_g": float("-inf")})
    assert lines(tmp_path / "stats.jsonl") == [
        {"images": 64, "seconds": 1.235, "loss_d": 2.0, "loss_g": None},
        {"images": 128, "seconds": 2.5, "loss_d": 1.5, "loss_g": None},
    ]


def test_a_note_is_one_line_whatever_it_holds(tmp_path: Path) -> None:
    Monitor(tmp_path).note("a\nb \udc80\r")
    Monitor(tmp_path).note("c")
    written = (tmp_path / "log.txt").read_bytes().split(b"\n")
    assert [line[19:] for line in written] == [rb"  a b \udc80" + b"\r", b"  c", b""]


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_after_a_kill_at_any_byte_each_step_is_there_once(tmp_path: Path, cut: int) -> None:
    def steps(monitor: Monitor, first: int) -> None:
        for images in range(first, 6):
            monitor.figures(images, images / 2, {"loss": 0.5})

    monitor = Monitor(tmp_path)
    steps(monitor, 1)
    whole = monitor.stats.read_bytes()
    monitor.stats.write_bytes(whole[:-cut])  # killed while it wrote; the last saved state is of 3 images
    monitor.rewind(3)
    assert [line["images"] for line in lines(monitor.stats)] == [1, 2, 3]
    steps(monitor, 4)
    assert monitor.stats.read_bytes() == whole


def test_rewinding_keeps_the_log_but_a_partial_line(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path)
    monitor.note("started\rover")
    whole = monitor.log.read_bytes()
    monitor.log.write_bytes(whole + b"2026-01-01 00:0")
    monitor.stats.write_bytes(b"\xff\x00 not a line of ours\n[]\n{}\n")
    monitor.rewind(0)
    assert monitor.log.read_bytes() == whole
    assert monitor.stats.read_bytes() == b""


def test_rewinding_a_new_run_makes_no_files(tmp_path: Path) -> None:
    Monitor(tmp_path).rewind(0)
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "log.txt").mkdir()
    with pytest.raises(DiskFailed, match=r"^Could not write .*log\.txt: Is a directory; make room"):
        Monitor(tmp_path).note("x")
