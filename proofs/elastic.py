"""Kills one of two processes that train together, at 20 random instants; lets torchrun restart them; compares bytes."""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import _report
from kill import LENGTH, TRAIN, fingerprint, images_shown, leftovers, newest_state

RANKS, RESTARTS = 2, 100


@dataclass
class Tally:
    """What was seen over all runs."""

    kills: int = 0
    of_the_first: int = 0
    before_any_state: int = 0
    runs: int = 0
    equal_runs: int = 0
    lost: int = 0


def launch(out: Path, ranks: int, *flags: str) -> subprocess.Popen[bytes]:
    """The training command under torchrun; what it prints goes to a file beside the run."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    train = ["-m", "biggan", "train", *TRAIN, *LENGTH, "--out", str(out), *flags]
    # Else torchrun gives restarted processes the addresses of those before (docs/clusters.md).
    told = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    with out.with_suffix(".out").open("ab") as output:
        command = [*torchrun, f"--max-restarts={RESTARTS}", *train]
        return subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **told})


def workers(launcher: int) -> list[int]:
    """Process numbers of a launcher's workers, by rank."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    ranked = []
    for child in map(int, children):
        try:
            told = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        ranked += [(int(text[5:]), child) for text in told if text.startswith(b"RANK=")]
    return [child for _, child in sorted(ranked)]


def finish(launcher: subprocess.Popen[bytes], out: Path) -> None:
    """Waits for the end of a job, which must be a good one."""
    if launcher.wait() != 0:
        raise SystemExit(f"{out} ended with {launcher.returncode}: {out.with_suffix('.out').read_text()[-4000:]}")


def disturbed(out: Path, seconds: float, kills: int, draw: random.Random, tally: Tally) -> None:
    """One job of which up to `kills` workers are killed, each at a random instant after the last."""
    launcher = launch(out, RANKS)
    for _ in range(kills):
        until = time.monotonic() + draw.uniform(0.05, 0.5) * seconds
        while time.monotonic() < until and launcher.poll() is None:
            time.sleep(0.05)
        found = workers(launcher.pid) if launcher.poll() is None else []
        if len(found) < RANKS:
            continue
        victim = draw.randrange(RANKS)
        tally.before_any_state += newest_state(out) == 0
        tally.lost = max(tally.lost, images_shown(out) - newest_state(out))
        os.kill(found[victim], signal.SIGKILL)
        tally.kills += 1
        tally.of_the_first += victim == 0
    finish(launcher, out)


def main() -> None:
    """Kills, waits, compares, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--per-run", type=int, default=5)
    asked = parser.parse_args()
    draw, tally = random.Random(0), Tally()
    folder = Path(tempfile.mkdtemp(prefix="biggan-elastic-"))
    began = time.monotonic()
    finish(launch(folder / "undisturbed", RANKS), folder / "undisturbed")
    seconds, expected = time.monotonic() - began, fingerprint(folder / "undisturbed")
    while tally.kills < asked.kills:
        tally.runs += 1
        out = folder / f"run{tally.runs}"
        disturbed(out, seconds, min(asked.per_run, asked.kills - tally.kills), draw, tally)
        tally.equal_runs += fingerprint(out) == expected and not leftovers(out)
        print(f"{tally.kills} kills, {tally.equal_runs} of {tally.runs} runs equal", flush=True)
    shutil.rmtree(folder)
    _report.write(
        "elastic",
        "A job of two processes, one of them killed, ends with the same bytes",
        f"`torchrun --nproc-per-node {RANKS} --max-restarts {RESTARTS} -m biggan train "
        f"{' '.join(TRAIN + LENGTH)}`: one "
        f"of its two processes, drawn at random, was killed with SIGKILL at a random instant, up to {asked.per_run} "
        "times a job, each instant counted from the last. torchrun started both again and the job went on to its end. "
        "Compared are the bytes of the model's tensor files and of all kept states, and the figures of every step.",
        {
            "SIGKILLs": tally.kills,
            "of them of process 0, which writes": tally.of_the_first,
            "of them before any state was saved": tally.before_any_state,
            "jobs": tally.runs,
            "jobs equal to the undisturbed one in every byte, with nothing left over": tally.equal_runs,
            "images of progress lost by a kill, at most": tally.lost,
            "images between saved states": 64,
        },
    )
    sys.exit(tally.equal_runs != tally.runs)


if __name__ == "__main__":
    main()
