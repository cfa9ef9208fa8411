"""What fused resampling and bfloat16 gain in training: seconds of one iteration, against the plain float32 form.

`python benchmarks/iteration.py [PRESET ...]` interleaves the three forms in one run and prints medians of seven, their
ratio to the baseline and the machine; a JSON line for machines; a report in benchmarks/reports/.
"""

import json
import os
import platform
import statistics
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import torch

from biggan import presets
from biggan.training.loop import Training, iterate
from biggan.training.trial import Noise

REPORTS = Path(__file__).parent / "reports"
ROUNDS = 7
FORMS = {"plain float32": (False, None), "fused float32": (True, None), "fused bfloat16": (True, torch.bfloat16)}


def measure(name: str) -> dict[str, float]:
    """Median seconds of an iteration in each form, rounds interleaved."""
    runs: dict[str, tuple[Training, Noise]] = {}
    for form, (fused, dtype) in FORMS.items():
        base = presets.preset(name)
        config = replace(base, model=replace(base.model, fused_resampling=fused))
        runs[form] = (Training(config, torch.device("cpu"), dtype), Noise(config))
        iterate(*runs[form])
    seconds: dict[str, list[float]] = {form: [] for form in FORMS}
    for _ in range(ROUNDS):
        for form, (run, data) in runs.items():
            began = time.perf_counter()
            for _ in range(5):
                iterate(run, data)
            seconds[form].append((time.perf_counter() - began) / 5)
    return {form: statistics.median(values) for form, values in seconds.items()}


def main() -> None:
    load = os.getloadavg()[0]
    rows = ["| preset | form | seconds an iteration | times the baseline's speed |", "|---|---|---|---|"]
    for name in sys.argv[1:] or ["cpu-small", "cpu-medium"]:
        medians = measure(name)
        ratios = {form: medians["plain float32"] / value for form, value in medians.items()}
        rows += [f"| {name} | {form} | {value:.4f} | {ratios[form]:.2f} |" for form, value in medians.items()]
        print(json.dumps({"benchmark": "iteration", "preset": name, "seconds": medians, "ratio": ratios}), flush=True)
    info = Path("/proc/cpuinfo")
    found = [line.partition(":")[2].strip() for line in info.open() if "model name" in line] if info.exists() else []
    machine = f"{found[0] if found else platform.processor()}, {torch.get_num_threads()} threads"
    text = "\n".join(rows)
    loads = f"load {load:.2f} before and {os.getloadavg()[0]:.2f} after"
    text = f"# One training iteration\n\n{machine}, torch {torch.__version__}, {loads}, {date.today()}.\n\n{text}\n"
    print(text)
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / f"iteration_{platform.machine()}-{torch.get_num_threads()}-threads_{date.today()}.md").write_text(text)


if __name__ == "__main__":
    main()
