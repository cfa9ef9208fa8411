"""Whether the planner is right here: predicted against measured peak memory and time of ten configurations.

`OMP_NUM_THREADS=1 python benchmarks/planner.py [--quick]`. Memory is told by shapes alone, and measured in a fresh
process: its resident high-water mark, and of that what was not yet resident after a warm-up of a tiny run. Time is told
by a trial of one or two microbatches (`training/trial.py`). A shared machine's pace changes by a third within seconds,
so trial and measurement take turns in one process, and the least of each is compared: the pace of the undisturbed
machine. The range of the rounds' own ratios says how disturbed it was. Prints a JSON line and writes a report.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from _report import Report, largest_memory, seconds, table

from biggan import presets
from biggan.config import Config
from biggan.training.loop import Training, iterate
from biggan.training.memory import estimate
from biggan.training.trial import CPU, Noise, iteration_seconds
from biggan.training.trial import ROUNDS as TRIAL_ROUNDS

ROUNDS = 5
CASES: dict[str, tuple[str, int, int, dict[str, Any]]] = {  # preset, batch, microbatch, changes of the model
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


def memory(name: str) -> dict[str, list[float]]:
    """Bytes of the process as told, as measured, and before the case; in this process, which must be fresh."""
    tiny = presets.preset("tiny")
    iterate(Training(tiny, CPU), Noise(tiny))  # loads the libraries
    before = resident()
    config = settings(name)
    run, data = Training(config, CPU), Noise(config)
    Path("/proc/self/clear_refs").write_text("5")
    for _ in range(2):
        iterate(run, data)
    return {"memory": [estimate(config).memory, largest_memory(), before]}


def times(name: str) -> dict[str, list[float]]:
    """Seconds of an iteration in each round: as the planner's trial tells, and the least of as many real ones."""
    config = settings(name)
    accumulation = config.train.batch_size // (config.train.microbatch or config.train.batch_size)
    run, data = Training(config, CPU), Noise(config)
    iterate(run, data)
    told, measured = [], []
    for _ in range(ROUNDS):
        told.append(iteration_seconds(config, accumulation))
        measured.append(min(seconds(partial(iterate, run, data)) for _ in range(TRIAL_ROUNDS)))
    return {"told": told, "measured": measured}


def row(name: str) -> tuple[list[str], dict[str, float]]:
    """A line of the table, and by how much the planner was off."""
    said, found, before = ask("--memory", name)["memory"]
    rounds = ask("--times", name)
    ratios = [told / measured - 1 for told, measured in zip(rounds["told"], rounds["measured"], strict=True)]
    told, measured = min(rounds["told"]), min(rounds["measured"])
    off = {
        "memory": said / found - 1,
        "of the run": (said - before) / (found - before) - 1,
        "seconds": told / measured - 1,
    }
    sizes = [f"{value / 2**20:,.0f}" for value in (said, found, said - before, found - before)]
    spread = f"{min(ratios):+.0%} to {max(ratios):+.0%}"
    cells = [name, *sizes[:2], f"{off['memory']:+.1%}", *sizes[2:], f"{off['of the run']:+.1%}"]
    return [*cells, f"{told:.3f}", f"{measured:.3f}", f"{off['seconds']:+.1%}", spread], off


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] in ("--memory", "--times"):
        print(json.dumps((memory if sys.argv[1] == "--memory" else times)(sys.argv[2])))
        return
    report = Report("planner", "The planner against this machine")
    rows: list[list[str]] = []
    worst = dict.fromkeys(("memory", "of the run", "seconds"), 0.0)
    for name in list(CASES)[: 2 if "--quick" in sys.argv else None]:
        cells, off = row(name)
        rows.append(cells)
        worst = {key: max(worst[key], abs(off[key])) for key in worst}
        print(*cells, flush=True)
    head = ["configuration", "MiB of the process told", "measured", "off", "MiB of the run told", "measured", "off"]
    head += ["seconds told", "measured", "off", "rounds"]
    what = f"float32. Seconds: the least of {ROUNDS} rounds of a trial and of {TRIAL_ROUNDS} iterations."
    report.write(what, [table(head, rows)], {"worst": worst})


def ask(how: str, name: str) -> dict[str, list[float]]:
    """The answer of a fresh process."""
    out = subprocess.run([sys.executable, __file__, how, name], check=True, capture_output=True, text=True)
    answer: dict[str, list[float]] = json.loads(out.stdout)
    return answer


if __name__ == "__main__":
    main()
