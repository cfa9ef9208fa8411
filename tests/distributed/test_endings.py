"""How a job of two processes ends before its time: by a signal to one of them, or as one hangs or never comes."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ranks import environment, free_port, started

from biggan.training.state import list_states, load_state

LENGTH = ["--total-images", "80000", "--save-images", "80000", "--sheet-images", "80000", "--report-images", "8"]
TRAIN = ["train", "--data", "fashion-mnist", "--preset", "tiny", *LENGTH]


class Job:
    """Two processes that train together, once they have begun to."""

    def __init__(self, out: Path) -> None:
        port, command = free_port(), [sys.executable, "-W", "ignore", "-m", "biggan", *TRAIN, "--out", str(out)]
        self.processes = [
            subprocess.Popen(command, env=environment(rank, 2, port), stderr=subprocess.PIPE, text=True)
            for rank in range(2)
        ]
        while not (out / "stats.jsonl").exists():
            assert [process.poll() for process in self.processes] == [None, None]
            time.sleep(0.02)

    def ended(self) -> list[tuple[int, str]]:
        """Each process's exit code and what it said on standard error."""
        said = [process.communicate(timeout=120)[1] for process in self.processes]
        return [(process.returncode, text) for process, text in zip(self.processes, said, strict=True)]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    begun = Job(tmp_path / "run")
    yield begun
    for process in begun.processes:
        process.kill()


def test_a_signal_to_one_process_stops_all_with_a_state_saved(job: Job, tmp_path: Path) -> None:
    job.processes[1].send_signal(signal.SIGUSR1)
    (first, said), (second, silence) = job.ended()
    assert (first, second) == (75, 75)
    saved = load_state(list_states(tmp_path / "run")[-1])
    assert f"Stopped after {saved.images:,} images with everything saved" in said
    assert silence == ""


def test_a_process_that_hangs_ends_the_others_with_their_stacks(tmp_path: Path) -> None:
    with started(tmp_path, "together", "hang_together") as (waits, hangs):
        said = waits.communicate(timeout=120)[1]
        assert waits.returncode == 1
        assert "in iterate" in said
        assert hangs.poll() is None


def test_a_process_that_waits_for_one_that_never_comes_ends_with_its_stack(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "biggan", *TRAIN, "--out", str(tmp_path / "run")]
    alone = environment(0, 2, free_port())
    ended = subprocess.run([*command, "--hang-minutes", "0.005"], env=alone, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "in meeting" in ended.stderr
