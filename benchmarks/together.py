"""What training in several processes costs on this machine: traffic, what of it hides behind the backward pass, norms.

`python benchmarks/together.py [PRESET]` trains 1, 2 and 4 processes of one thread over gloo, each with the same share
of a batch, in three forms, interleaved: alone (nothing is sent), gradients averaged (norms over a process's own
images), and norms over all processes too. Beside them stands the time of the gradients' all-reduces by themselves.
More processes than cores share these, so a process then takes longer without sending anything: the first form, run in
all processes at once, says how long. Prints a JSON line for machines and writes a report.
"""

import json
import os
import platform
import subprocess
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist

from biggan import presets
from biggan.distributed.processes import alone, meeting, rank, world_size
from biggan.training.loop import Training, iterate
from biggan.training.trial import Noise

REPORTS = Path(__file__).parent / "reports"
ROUNDS, COUNTS, SHARE = 7, (1, 2, 4), 32  # rounds; numbers of processes; images of each in a D step
BUCKET = 16 * 2**20  # bytes of an all-reduce


def meet() -> None:
    """Waits for all processes."""
    if world_size() > 1:
        dist.barrier()


def timed(run: Training, data: Noise, within: AbstractContextManager[None]) -> float:
    """Seconds of an iteration that all processes begin together."""
    meet()
    began = time.perf_counter()
    with within:
        iterate(run, data)
    return time.perf_counter() - began


def traffic(run: Training) -> float:
    """Seconds of an iteration's gradient averaging with nothing else going on."""
    if world_size() == 1:
        return 0.0
    meet()
    began = time.perf_counter()
    for network in [run.D] * run.config.optim.d_steps + [run.G]:
        left = sum(parameter.numel() * 4 for parameter in network.parameters())
        while left > 0:
            dist.all_reduce(torch.zeros(min(left, BUCKET) // 4))
            left -= BUCKET
    return time.perf_counter() - began


def measure(preset: str) -> dict[str, float]:
    """Median seconds of each form, in this process among others."""
    base = presets.preset(preset)
    runs: dict[str, tuple[Training, Noise]] = {}
    for form, ranks, shared in (("alone", 1, False), ("gradients", world_size(), False), ("all", world_size(), True)):
        train = replace(base.train, batch_size=SHARE * ranks, precision="float32")
        config = replace(base, model=replace(base.model, cross_replica=shared), train=train)
        runs[form] = Training(config, torch.device("cpu")), Noise(config)
    seconds: dict[str, list[float]] = {form: [] for form in (*runs, "traffic")}
    for _ in range(1 + ROUNDS):
        for form, (run, data) in runs.items():
            seconds[form].append(timed(run, data, alone() if form == "alone" else nullcontext()))
        seconds["traffic"].append(traffic(runs["all"][0]))
    return {form: median(values[1:]) for form, values in seconds.items()}


def work(preset: str) -> None:
    """One process's part; the first prints what it measured."""
    torch.set_num_threads(1)
    with meeting(torch.device("cpu")):
        found = measure(preset)
        if rank() == 0:
            print(json.dumps(found))


def together(preset: str, count: int) -> dict[str, float]:
    """What `count` processes measure."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    told = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, *launch, __file__, "--worker", preset]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=told)
    found: dict[str, float] = json.loads(out.stdout.splitlines()[-1])
    return found


def row(count: int, found: dict[str, float]) -> str:
    """A line of the table."""
    extra = found["gradients"] - found["alone"]
    hidden = 1 - extra / found["traffic"] if count > 1 else 0.0
    norms = found["all"] - found["gradients"]
    sent = f"{found['traffic'] * 1e3:.1f} | {extra * 1e3:+.1f} | {min(max(hidden, 0), 1):.0%}"
    times = f"{found['alone'] * 1e3:.1f} | {found['gradients'] * 1e3:.1f} | {found['all'] * 1e3:.1f}"
    return f"| {count} | {times} | {sent} | {norms * 1e3:+.1f} | {found['all'] / found['alone'] - 1:+.1%} |"


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2])
        return
    load, preset = os.getloadavg()[0], (sys.argv[1:] or ["cpu-medium"])[0]
    rows = []
    for count in COUNTS:
        found = together(preset, count)
        rows.append(row(count, found))
        print(json.dumps({"benchmark": "together", "preset": preset, "processes": count, "seconds": found}), flush=True)
    loads = f"load {load:.2f} before and {os.getloadavg()[0]:.2f} after"
    about = f"{preset}, {SHARE} images a process in each D step, float32, one thread each, {os.cpu_count()} cores, "
    about += f"{platform.machine()}, torch {torch.__version__}, {loads}, {date.today()}; medians of {ROUNDS}, in ms."
    head = (
        "| processes | alone | + gradients | + norms | all-reduces by themselves | what gradients add | hidden "
        "| what norms add | in all |\n|---|---|---|---|---|---|---|---|---|"
    )
    text = "\n".join(["# Training in several processes", "", about, "", head, *rows, ""])
    print(text)
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / f"together_{platform.machine()}_{date.today()}.md").write_text(text)


if __name__ == "__main__":
    main()
