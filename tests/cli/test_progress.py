"""What a line of progress says."""

import pytest

from biggan.cli import progress

Said = pytest.CaptureFixture[str]


def test_each_count_has_a_pace_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    clock = iter((0, 0, 1_000, 1_010, 1_020, 5_000, 5_010, 5_020))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    bar = progress.Bar()
    bar.drawing(0, 500)
    for _ in range(2):  # a table, and the same again for another model
        for done in (1, 2, 3):
            bar.measuring(done, 4)
    told = capsys.readouterr().out.splitlines()
    assert told[:3] == told[3:]
    assert told[1] == "measured 2 of 4 rows of statistics, 0:20 left"
