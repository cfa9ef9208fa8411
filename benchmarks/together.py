"""What training in several processes costs on this machine: traffic, what of it hides behind the backward pass, norms.

`python benchmarks/together.py [PRESET]` trains 1, 2 and 4 processes of one thread over gloo, each with the same share
of a batch, in three forms, interleaved: alone (nothing is sent), gradients averaged (norms over a process's own
images), and norms over all processes too. Beside them stands the time of the gradients' all-reduces by themselves.
More processes than cores share these, so a process then takes longer without sending anything: the first form, run in
all processes at once, says how long. Prints a JSON line for machines and writes a report.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from statistics import median

import torch
import torch.distributed as dist
from _report import Report, seconds, table

from biggan import presets
from biggan.distributed.processes import alone, meeting, rank, world_size
from biggan.training.loop import Training, iterate
from biggan.training.trial import Noise

ROUNDS, COUNTS, SHARE = 7, (1, 2, 4), 32  # rounds; numbers of processes; images of each in a D step
BUCKET = 16 * 2**20  # bytes of an all-reduce


def meet() -> None:
    """Waits for all processes."""
    if world_size() > 1:
        dist.barrier()


def timed(run: Training, data: Noise, within: AbstractContextManager[None]) -> float:
    """Seconds of an iteration that all processes begin together, until the last has ended it."""
    meet()
    began = time.perf_counter()
    with within:
        iterate(run, data)
    meet()
    return time.perf_counter() - began


def traffic(run: Training) -> float:
    """Seconds of an iteration's gradient averaging with nothing else going on."""
    if world_size() == 1:
        return 0.0
    meet()
    return seconds(lambda: send(run))


def send(run: Training) -> None:
    """All-reduces of as many bytes as an iteration's gradients have."""
    for network in [run.D] * run.config.optim.d_steps + [run.G]:
        left = sum(parameter.numel() * 4 for parameter in network.parameters())
        while left > 0:
            dist.all_reduce(torch.zeros(min(left, BUCKET) // 4))
            left -= BUCKET


def measure(preset: str) -> dict[str, float]:
    """Median seconds of each form, in this process among others."""
    base = presets.preset(preset)
    runs: dict[str, tuple[Training, Noise]] = {}
    for form, ranks, shared in (("alone", 1, False), ("gradients", world_size(), False), ("all", world_size(), True)):
        train = replace(base.train, batch_size=SHARE * ranks, precision="float32")
        config = replace(base, model=replace(base.model, cross_replica=shared), train=train)
        runs[form] = Training(config, torch.device("cpu")), Noise(config)
    taken: dict[str, list[float]] = {form: [] for form in (*runs, "traffic")}
    for _ in range(1 + ROUNDS):
        for form, (run, data) in runs.items():
            taken[form].append(timed(run, data, alone() if form == "alone" else nullcontext()))
        taken["traffic"].append(traffic(runs["all"][0]))
    return {form: median(values[1:]) for form, values in taken.items()}


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


def row(count: int, found: dict[str, float]) -> list[object]:
    """A line of the table."""
    extra = found["gradients"] - found["alone"]
    hidden = 1 - extra / found["traffic"] if count > 1 else 0.0
    norms = found["all"] - found["gradients"]
    sent = [f"{found['traffic'] * 1e3:.1f}", f"{extra * 1e3:+.1f}", f"{min(max(hidden, 0), 1):.0%}"]
    times = [f"{found[form] * 1e3:.1f}" for form in ("alone", "gradients", "all")]
    return [count, *times, *sent, f"{norms * 1e3:+.1f}", f"{found['all'] / found['alone'] - 1:+.1%}"]


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2])
        return
    report, preset = Report("together", "Training in several processes"), (sys.argv[1:] or ["cpu-medium"])[0]
    found = {count: together(preset, count) for count in COUNTS}
    head = ["processes", "alone", "+ gradients", "+ norms", "all-reduces by themselves", "what gradients add", "hidden"]
    head += ["what norms add", "in all"]
    what = f"{preset}, {SHARE} images a process in each D step, float32; medians of {ROUNDS}, in ms. Threads: of each."
    rows = [row(count, each) for count, each in found.items()]
    report.write(what, [table(head, rows)], {"preset": preset, "seconds": found}, threads=1)


if __name__ == "__main__":
    main()
