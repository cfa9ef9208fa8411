"""TensorBoard gets every figure, and its failure is no failure of the run."""

from pathlib import Path

import pytest

from biggan.errors import ConfigError
from biggan.training.trackers import FOLDER, Tracker, check_track

tensorboard = pytest.importorskip("tensorboard")


def points(place: Path) -> list[tuple[str, int, float]]:
    """What the event files in a folder say."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(place)).Reload()
    return [(name, e.step, e.value) for name in events.Tags()["scalars"] for e in events.Scalars(name)]


def test_figures_reach_the_event_file(tmp_path: Path) -> None:
    said: list[str] = []
    tracker = Tracker(tmp_path, said.append)
    tracker.figures(64, {"distance": 0.5, "d_real": 1.0})
    tracker.figures(128, {"distance": 0.25, "d_real": float("nan")})
    tracker.close()
    found = points(tmp_path / FOLDER)
    assert found[:3] == [("distance", 64, 0.5), ("distance", 128, 0.25), ("d_real", 64, 1.0)]
    assert said == []


def test_a_tracker_that_cannot_write_is_said_once_and_let_be(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("in the way")
    said: list[str] = []
    tracker = Tracker(tmp_path, said.append)
    for images in (64, 128):
        tracker.figures(images, {"distance": 0.5})
    tracker.close()
    assert len(said) == 1
    assert said[0].startswith("TensorBoard failed (")
    assert said[0].endswith("the run goes on without it.")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"torch-biggan\[track\]"):
        check_track("tensorboard")
    check_track("none")
    with pytest.raises(ConfigError, match="--track is 'wandb'; allowed is none, tensorboard"):
        check_track("wandb")  # type: ignore[arg-type]
