"""Whether the planner is right here: predicted against measured peak memory and time of ten configurations.

`OMP_NUM_THREADS=1 python benchmarks/planner.py [--quick]`. Time is told by a trial of one or two microbatches
(`training/trial.py`), memory by shapes alone. Each configuration then runs in a fresh process: memory is the resident
high-water mark of that process, and of its iterations less what was resident after a warm-up of a tiny run; time is the
least of several iterations. Prints a JSON line for machines and writes a report.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from _report import Report, largest_memory, seconds, table

from biggan import presets
from biggan.config import Config
from biggan.training.loop import Training, iterate
from biggan.training.memory import estimate
from biggan.training.trial import Noise, iteration_seconds

ROUNDS = 5
CASES: dict[str, tuple[str, int, int, dict[str, object]]] = {  # preset, batch, microbatch, changes of the model
    "cpu-small": ("cpu-small", 32, 32, {}),
    "cpu-small in four": ("cpu-small", 64, 16, {}),
    "cpu-small plain": ("cpu-small", 32, 32, {"fused_resampling": False}),
    "cpu-medium": ("cpu-medium", 32, 32, {}),
    "cpu-medium in two": ("cpu-medium", 32, 16, {}),
    "cpu-large": ("cpu-large", 16, 16, {}),
    "cpu-deep": ("cpu-deep", 32, 32, {}),
    "cifar10 ch 32": ("cifar10", 16, 16, {"g_channels": 32, "d_channels": 32}),
    "biggan128 ch 16": ("biggan128", 4, 4, {"g_channels": 16, "d_channels": 16}),
    "biggan-deep128 ch 32": ("biggan-deep128", 4, 4, {"g_channels": 32, "d_channels": 32}),
}


def settings(name: str) -> Config:
    """A case's settings, in float32."""
    preset, batch, microbatch, changes = CASES[name]
    base = presets.preset(preset)
    train = replace(base.train, batch_size=batch, microbatch=microbatch, precision="float32")
    return replace(base, model=replace(base.model, **changes), train=train)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(name: str) -> dict[str, float]:
    """Bytes and seconds of a case, in this process, which must be fresh."""
    tiny = presets.preset("tiny")
    iterate(Training(tiny, torch.device("cpu")), Noise(tiny))  # loads the libraries
    before = resident()
    config = settings(name)
    run, data = Training(config, torch.device("cpu")), Noise(config)
    Path("/proc/self/clear_refs").write_text("5")
    taken = [seconds(partial(iterate, run, data)) for _ in range(1 + ROUNDS)]
    return {"memory": largest_memory(), "before": before, "seconds": min(taken[1:])}


def told(name: str) -> dict[str, float]:
    """The planner's word on the same."""
    config = settings(name)
    need, train = estimate(config), config.train
    predicted = iteration_seconds(config, train.batch_size // (train.microbatch or train.batch_size))
    return {"memory": need.memory, "seconds": predicted}


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] in ("--case", "--told"):
        print(json.dumps((measure if sys.argv[1] == "--case" else told)(sys.argv[2])))
        return
    report = Report("planner", "The planner against this machine")
    rows: list[list[str]] = []
    worst = dict.fromkeys(("memory", "of the run", "seconds"), 0.0)
    for name in list(CASES)[: 2 if "--quick" in sys.argv else None]:
        said, found = (ask(how, name) for how in ("--told", "--case"))
        for values in (said, found):
            values["of the run"] = values["memory"] - found["before"]
        off = {key: said[key] / found[key] - 1 for key in worst}
        worst = {key: max(worst[key], abs(value)) for key, value in off.items()}
        sizes = [
            [f"{said[key] / 2**20:,.0f}", f"{found[key] / 2**20:,.0f}", f"{off[key]:+.1%}"]
            for key in ("memory", "of the run")
        ]
        times = [f"{said['seconds']:.3f}", f"{found['seconds']:.3f}", f"{off['seconds']:+.1%}"]
        rows.append([name, *sizes[0], *sizes[1], *times])
        print(*rows[-1], flush=True)
    head = ["configuration", "MiB of the process told", "measured", "off", "MiB of the run told", "measured", "off"]
    head += ["seconds told", "measured", "off"]
    what = f"float32; seconds are the least of {ROUNDS} iterations."
    report.write(what, [table(head, rows)], {"worst": worst})


def ask(how: str, name: str) -> dict[str, float]:
    """The answer of a fresh process."""
    out = subprocess.run([sys.executable, __file__, how, name], check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(out.stdout)
    return answer


if __name__ == "__main__":
    main()
