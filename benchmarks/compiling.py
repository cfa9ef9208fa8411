"""What `biggan train --compile` costs at the start and gains after it.

`python benchmarks/compiling.py [ROUNDS] [ROW]`, a row of `iteration.py`, cpu-small unless given. The first start has an
empty cache of torch's; the second finds what the first has left there. Each is a process of its own, of which the first
iteration is timed, in the precision that `--precision auto` takes here. Iterations of the plain form, of ours and of
ours compiled then take turns in a third; what is told are medians.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

import torch
from _report import LEAST_ROUNDS, Report, in_turn, seconds, table
from _training import BFLOAT16, NO_BFLOAT16, ours, plain
from iteration import ROWS

PRECISION = "bfloat16" if BFLOAT16 else "float32"
USUAL = "cpu-small"
BATCH = 5  # iterations timed at once, of small networks


def several(iteration: Callable[[], object], count: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            iteration()

    return run


def main(rounds: int, row: str) -> None:
    report = Report("compiling", "Compiled training")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        command = [sys.executable, __file__, "start", row]
        starts = [
            float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])
            for _ in range(2)
        ]
        config = ROWS[row]()
        forms = {"plain": plain(config), "ours float32": ours(config)}
        forms |= {f"ours {PRECISION}": ours(config, PRECISION)}
        forms |= {f"ours {PRECISION}, compiled": ours(config, PRECISION, compiled=True)}
        forms[f"ours {PRECISION}, compiled"]()  # compiles
        count = BATCH if row == USUAL else 1
        with torch.compiler.set_stance("fail_on_recompile"):
            found = in_turn({name: several(form, count) for name, form in forms.items()}, rounds)
    found = {name: value / count for name, value in found.items()}
    rows = [[name, f"{value:.4f}", f"{found['plain'] / value:.2f}"] for name, value in found.items()]
    each = [[name, f"{value:.1f}"] for name, value in zip(("first", "second"), starts, strict=True)]
    tables = [
        table([row, "seconds an iteration", "times as fast"], rows),
        table(["start", f"seconds to the end of the first iteration, {PRECISION}"], each),
    ]
    what = f"Random weights and images, medians of {rounds} rounds in turn.{NO_BFLOAT16}"
    report.write(what, tables, {"row": row, "iterations": found, "starts": starts, "rounds": rounds})


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] == ["start"]:
        print(seconds(ours(ROWS[given[1]](), PRECISION, compiled=True)))
    else:
        number = int(given.pop(0)) if given and given[0].isdigit() else LEAST_ROUNDS
        main(number, given[0] if given else USUAL)
