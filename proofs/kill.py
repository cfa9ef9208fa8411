"""Kills a short training run with SIGKILL at 100 instants and compares its weights with an undisturbed run's."""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import _report

TRAIN = ["--data", "fashion-mnist", "--preset", "tiny", "--seed", "0", "--device", "cpu"]
LENGTH = ["--total-images", "640", "--save-images", "64", "--sheet-images", "320", "--report-images", "32"]
COMPARED = ("model.safetensors", "discriminator.safetensors", "samples.png")


@dataclass
class Tally:
    """What was seen over all runs."""

    kills: int = 0
    during_saves: int = 0
    before_any_state: int = 0
    finished_in_time: int = 0
    equal_runs: int = 0
    lost: list[int] = field(default_factory=list)
    """Images of progress that each kill cost."""


def start(out: Path) -> subprocess.Popen[bytes]:
    """The training command as a process on one thread; what it prints goes to a file beside the run."""
    command = [sys.executable, "-m", "biggan", "train", *TRAIN, *LENGTH, "--out", str(out)]
    with out.with_suffix(".out").open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"})


def leftovers(out: Path) -> list[Path]:
    """What a save in progress has beside its place."""
    return [*out.glob(".*.tmp"), *out.glob(".*.old"), *out.glob("states/.*.tmp"), *out.glob("states/.*.old")]


def wait_for_save(process: subprocess.Popen[bytes], out: Path, draw: random.Random) -> None:
    """Returns in the midst of one of the next files or folders to be saved, or when the process has ended."""
    before, seen, wanted = set(leftovers(out)), 0, draw.randint(1, 16)
    while process.poll() is None and seen < wanted:
        now = set(leftovers(out))
        seen += len(now - before)
        before = now
        time.sleep(0.0003)
    time.sleep(draw.choice((0.0, 0.0, 0.001, 0.01)))


def images_shown(out: Path) -> int:
    """Images after which the last figures were written."""
    stats = out / "stats.jsonl"
    lines = stats.read_bytes().split(b"\n")[:-1] if stats.exists() else []
    return int(json.loads(lines[-1])["images"]) if lines else 0


def newest_state(out: Path) -> int:
    """Images of the newest saved state."""
    return max((int(path.name) for path in out.glob("states/" + "[0-9]" * 12)), default=0)


def sitting(out: Path, draw: random.Random, seconds: tuple[float, float], tally: Tally) -> bool:
    """One start of the run and one SIGKILL: at a random time, or (every second one) in the midst of a save.

    Returns:
        Whether the run ended before it was killed.
    """
    process = start(out)
    if tally.kills % 2:
        wait_for_save(process, out, draw)
    else:
        time.sleep(draw.uniform(*seconds))
    process.send_signal(signal.SIGKILL)
    code = process.wait()
    if code == 0:
        tally.finished_in_time += 1
        return True
    if code != -signal.SIGKILL:
        raise SystemExit(f"{out} ended with {code}: {out.with_suffix('.out').read_text()}")
    tally.kills += 1
    tally.during_saves += bool(leftovers(out))
    tally.before_any_state += newest_state(out) == 0
    tally.lost.append(max(images_shown(out) - newest_state(out), 0))
    return False


def finish(out: Path) -> float:
    """Runs the command to its end and gives the seconds that it took."""
    began = time.monotonic()
    code = start(out).wait()
    if code != 0:
        raise SystemExit(f"{out} ended with {code}: {out.with_suffix('.out').read_text()}")
    return time.monotonic() - began


def fingerprint(out: Path) -> dict[str, str]:
    """SHA-256 of the tensors of the model, the best model and the states, of pictures, and the lines of figures."""
    files = [out / name for name in COMPARED]
    for kind in ("states/*/*.safetensors", "best/*.safetensors", "sheets/*.png"):
        files += sorted(out.glob(kind))
    sums = {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    steps = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    return sums | {"figures": json.dumps([{**step, "seconds": 0} for step in steps])}


def main() -> None:
    """Kills, finishes, compares, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--per-run", type=int, default=10)
    asked = parser.parse_args()
    draw, tally, runs = random.Random(0), Tally(), 0
    folder = Path(tempfile.mkdtemp(prefix="biggan-kill-"))
    whole = finish(folder / "undisturbed")
    expected = fingerprint(folder / "undisturbed")
    while tally.kills < asked.kills:
        runs += 1
        out = folder / f"run{runs}"
        for _ in range(asked.per_run):
            if tally.kills == asked.kills or sitting(out, draw, (0.1 * whole, whole), tally):
                break
        finish(out)
        tally.equal_runs += fingerprint(out) == expected and not leftovers(out)
        print(f"{tally.kills} kills, {tally.equal_runs} of {runs} runs equal", flush=True)
    shutil.rmtree(folder)
    _report.write(
        "kill",
        "Killed runs end with the same bytes",
        f"`biggan train {' '.join(TRAIN + LENGTH)}` was killed with SIGKILL and started again, up to "
        f"{asked.per_run} times a run: half of the kills at random instants between its start and its end, half while "
        "a save was seen in progress. Then it ran to its end. Compared are the bytes of the tensors of the model, the "
        "best model and of all kept states, of samples and sheets, and the figures of every step.",
        {
            "SIGKILLs": tally.kills,
            "of them during a save (half-written files were left)": tally.during_saves,
            "of them before any state was saved": tally.before_any_state,
            "starts that ended before their kill": tally.finished_in_time,
            "runs": runs,
            "runs equal to the undisturbed one in every byte, with nothing left over": tally.equal_runs,
            "images of progress lost by a kill, at most": max(tally.lost),
            "images between saved states": 64,
        },
    )
    sys.exit(tally.equal_runs != runs)


if __name__ == "__main__":
    main()
