"""What `biggan train --compile` costs at the start and gains after it, for the preset of the demo.

`python benchmarks/compiling.py [ROUNDS] [PRESET]`. The first start has an empty cache of torch's; the second finds what
the first has left there. Each is a process of its own, of which the first iteration is timed. Iterations of the plain
form, of ours and of ours compiled then take turns in a third; what is told are medians.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

import torch
from _report import LEAST_ROUNDS, Report, in_turn, seconds, table
from _training import NO_BFLOAT16, ours, plain, settings

from biggan import presets

BATCH = 5  # iterations timed at once


def start(preset: str) -> float:
    """Seconds of the first iteration of a compiled run in this process."""
    return seconds(ours(settings(preset, presets.preset(preset).train.batch_size), compiled=True))


def several(iteration: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(BATCH):
            iteration()

    return run


def main(rounds: int, preset: str) -> None:
    report = Report("compiling", "Compiled training")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        command = [sys.executable, __file__, "start", preset]
        starts = [
            float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])
            for _ in range(2)
        ]
        config = settings(preset, presets.preset(preset).train.batch_size)
        forms = {"plain": plain(config), "ours": ours(config), "ours compiled": ours(config, compiled=True)}
        forms["ours compiled"]()  # compiles
        with torch.compiler.set_stance("fail_on_recompile"):
            found = in_turn({name: several(form) for name, form in forms.items()}, rounds)
    found = {name: value / BATCH for name, value in found.items()}
    rows = [[name, f"{value:.4f}", f"{found['plain'] / value:.2f}"] for name, value in found.items()]
    each = [[name, f"{value:.1f}"] for name, value in zip(("first", "second"), starts, strict=True)]
    tables = [
        table([preset, "seconds an iteration", "times as fast"], rows),
        table(["start", "seconds to the end of the first iteration"], each),
    ]
    what = f"Random weights and images, float32, medians of {rounds} rounds in turn.{NO_BFLOAT16}"
    report.write(what, tables, {"preset": preset, "iterations": found, "starts": starts, "rounds": rounds})


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] == ["start"]:
        print(start(given[1]))
    else:
        number = int(given.pop(0)) if given and given[0].isdigit() else LEAST_ROUNDS
        main(number, given[0] if given else "cpu-small")
