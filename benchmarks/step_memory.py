"""Peak memory of one iteration at 128 px, ch 96, batch 8, in the plain form and in ours.

`python benchmarks/step_memory.py`. Each form runs in a process of its own. Told is the most that was resident during
the iteration less what was there before it (the libraries, weights and their average) and less the gradients and Adam's
moments, which it makes: what the activations and all that is passing take. Nothing is computed again.
"""

import gc
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from _report import Report, largest_memory, table
from _training import BFLOAT16, NO_BFLOAT16, ours, plain, settings

from biggan.config import Config
from biggan.models.build import count_parameters, skeleton

FORMS: dict[str, Callable[[Config], Callable[[], object]]] = {
    "plain": plain,
    "ours": partial(ours, kept=False),
    "ours, freed memory kept": ours,
}
if BFLOAT16:
    FORMS |= {
        "ours bfloat16": partial(ours, precision="bfloat16", kept=False),
        "ours bfloat16, freed memory kept": partial(ours, precision="bfloat16"),
    }
KEPT = 3 * 4  # bytes that a first iteration leaves for each parameter: its gradient and two moments


def measure(form: str) -> tuple[int, int]:
    """Bytes that an iteration adds to this process at its peak, and those of gradients and moments among them."""
    tiny = settings("tiny", 8)
    ours(tiny, kept=False)()  # loads the libraries
    config = settings("biggan128", 8)
    iteration = FORMS[form](config)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = largest_memory()
    iteration()
    return largest_memory() - before, KEPT * sum(map(count_parameters, skeleton(config.model)))


def main() -> None:
    report = Report("step_memory", "Peak memory of an iteration")
    found = {}
    for form in FORMS:
        done = subprocess.run([sys.executable, __file__, form], check=True, stdout=subprocess.PIPE, text=True)
        peak, kept = map(int, done.stdout.split()[-2:])
        found[form] = {"peak": peak, "kept": kept, "rest": peak - kept}
    rest = {form: values["rest"] for form, values in found.items()}
    rows = [
        [
            form,
            *(f"{values[part] / 2**30:.2f}" for part in ("peak", "kept", "rest")),
            f"{rest[form] / rest['plain']:.2f}",
        ]
        for form, values in found.items()
    ]
    head = ["added, GiB", "gradients and moments, GiB", "rest, GiB", "of plain"]
    what = f"BigGAN, 128 px, ch 96, batch 8, two D steps and one G step, float32 unless said.{NO_BFLOAT16}"
    report.write(what, [table(["form", *head], rows)], {"bytes": found})


if __name__ == "__main__":
    if sys.argv[1:]:
        print(*measure(sys.argv[1]))
    else:
        main()
