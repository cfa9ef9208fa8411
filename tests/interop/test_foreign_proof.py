"""The small form of `proofs/foreign.py`, whose figures at full size are in `docs/proofs/foreign.md`."""

from pathlib import Path

import pytest

PROOFS = Path(__file__).parents[2] / "proofs"


def test_mutated_checkpoints_of_others_are_refused_in_one_sentence_or_loaded_as_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PROOFS)
    import foreign

    figures = foreign.fuzz(tmp_path, 60)
    assert figures["ok"], figures
