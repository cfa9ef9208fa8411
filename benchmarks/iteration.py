"""One training iteration, two D steps and one G step, against the plain form, and against its convolutions alone.

`python benchmarks/iteration.py [ROUNDS] [ROW ...]`. Plain is resampling and convolutions apart, float32, NCHW, eager:
the reference's arithmetic. Ours is `biggan train` without flags, in float32 and, where the processor is fast in it,
bfloat16. The floor is the convolutions that are left, replayed alone on tensors of the same shapes: 100 % would be an
iteration with nothing beside them. The forms take turns; what is told are medians.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial

from _report import LEAST_ROUNDS, Report, in_turn, table
from _training import BFLOAT16, NO_BFLOAT16, convolutions, ours, plain, settings

from biggan.config import Config

ROWS: dict[str, Callable[[], Config]] = {
    "32 px, ch 64, batch 25": partial(settings, "cifar10", 25),
    "32 px, ch 64, batch 64": partial(settings, "cifar10", 64),
    "128 px, ch 96, batch 4": partial(settings, "biggan128", 4),
    "cpu-small": partial(settings, "cpu-small", 32),
}
LONG = ("32 px, ch 64, batch 64", "128 px, ch 96, batch 4")  # take a quarter of an hour; measured when named
BATCHES = (8, 16, 32, 64, 128)  # of cpu-small


def compare(config: Config, rounds: int) -> dict[str, float]:
    """Median seconds of an iteration in each form, of its convolutions alone, and their multiply-adds."""
    forms = {"plain": plain(config), "ours float32": ours(config)}
    alone, count = convolutions(forms["ours float32"])
    forms |= {"convolutions alone": alone}
    if BFLOAT16:
        forms["ours bfloat16"] = ours(config, "bfloat16")
        forms["convolutions alone in bfloat16"], _ = convolutions(forms["ours bfloat16"])
    _, of_plain = convolutions(forms["plain"])
    return in_turn(forms, rounds) | {"plain GMAC": of_plain / 1e9, "GMAC": count / 1e9}


def row(name: str, found: dict[str, float], precision: str) -> Sequence[object]:
    """What is told of a row in one precision."""
    own, floor = found[f"ours {precision}"], "convolutions alone" + (" in bfloat16" if precision == "bfloat16" else "")
    rate = 2 * found["GMAC"] / found[floor]
    return [
        name,
        precision,
        f"{found['plain']:.3f}",
        f"{own:.3f}",
        f"{found['plain'] / own:.2f}",
        f"{found['plain GMAC']:.3g}, {found['GMAC']:.3g}",
        f"{rate:.3g}",
        f"{100 * found[floor] / own:.0f} %",
    ]


def main(rounds: int, names: Sequence[str]) -> None:
    report = Report("iteration", "One training iteration")
    found: dict[str, dict[str, float]] = {}
    for name in names:
        found[name] = compare(ROWS[name](), rounds)
        print(name, {form: round(value, 3) for form, value in found[name].items()}, flush=True)
    precisions = ["float32", "bfloat16"] if BFLOAT16 else ["float32"]
    head = ["plain, s", "ours, s", "times as fast", "GMAC plain, ours", "GFLOP/s alone", "share of floor"]
    rows = [row(name, each, precision) for name, each in found.items() for precision in precisions]
    tables = [table(["networks", "precision", *head], rows)]
    figures: dict[str, object] = {"rows": found}
    if "cpu-small" in names:
        seconds = in_turn({str(size): ours(settings("cpu-small", size)) for size in BATCHES}, rounds)
        figures["batch"] = seconds
        each = [[size, f"{value:.3f}", f"{1e3 * value / int(size):.2f}"] for size, value in seconds.items()]
        tables.append(table(["batch of cpu-small", "seconds an iteration", "ms for each image of the batch"], each))
    what = f"Random weights and images, medians of {rounds} rounds in turn.{NO_BFLOAT16}"
    report.write(what, tables, figures | {"rounds": rounds, "precisions": precisions})


if __name__ == "__main__":
    given = sys.argv[1:]
    number = int(given.pop(0)) if given and given[0].isdigit() else LEAST_ROUNDS
    main(number, given or [name for name in ROWS if name not in LONG])
