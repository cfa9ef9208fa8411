"""What every benchmark has beside its figures: timing in turn, the machine and its load, tables, the report."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

REPORTS = Path(__file__).parent / "reports"
LEAST_ROUNDS = 5


def seconds(action: Callable[[], object]) -> float:
    """Of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def in_turn(forms: Mapping[str, Callable[[], object]], rounds: int = LEAST_ROUNDS) -> dict[str, float]:
    """Median seconds of a call of each form: one after the other in every round, so that a load meets all alike.

    Args:
        forms: Name -> what is timed.
        rounds: At least five; one more comes first and is not counted, as it fills the caches.
    """
    if rounds < LEAST_ROUNDS:
        raise SystemExit(f"{rounds} rounds are too few for a median; give {LEAST_ROUNDS} or more.")
    taken = [{name: seconds(action) for name, action in forms.items()} for _ in range(1 + rounds)][1:]
    return {name: statistics.median(each[name] for each in taken) for name in forms}


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; a row may begin with cells and end before the head does."""
    lines = [head, ["---"] * len(head), *([*row, *[""] * (len(head) - len(row))] for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def processor() -> str:
    """The processor's name and number of cores, where the system tells them."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor() or platform.machine()


def largest_memory() -> int:
    """The most bytes that this process has had resident; for Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def since_start() -> float:
    """Seconds since this process was started, before any import; for Linux."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


class Report:
    """A benchmark's report, made before it measures, so that it knows the load until then.

    Args:
        name: Of the script, without its ending.
        title: What is measured.
    """

    def __init__(self, name: str, title: str) -> None:
        self.name, self.title, self.load = name, title, os.getloadavg()[0]

    def write(
        self, what: str, tables: Sequence[str], figures: Mapping[str, object], threads: int | None = None
    ) -> None:
        """Prints a JSON line and the report, and keeps the report in `reports/`, named by machine, threads and date.

        Args:
            what: How it was measured, with the precision.
            tables: From `table`.
            figures: What the JSON line says beside the machine.
            threads: Of the computation; None for this process's.
        """
        import torch  # slow, and some benchmarks time what comes before it

        from biggan.training.hardware import pick_precision

        threads = threads or torch.get_num_threads()
        loads = [self.load, os.getloadavg()[0]]
        machine = {"machine": processor(), "threads": threads, "torch": version("torch"), "load": loads}
        print(json.dumps({"benchmark": self.name, **figures, **machine}), flush=True)
        told = f"{processor()}, {threads} threads, torch {machine['torch']}"
        told = f"{told}, load {loads[0]:.2f} before and {loads[1]:.2f} after, {date.today()}."
        text = "\n\n".join([f"# {self.title}", told, what, *tables]) + "\n"
        print(text, flush=True)
        REPORTS.mkdir(exist_ok=True)
        fast = "-bfloat16" if pick_precision("auto", torch.device("cpu")) == "bfloat16" else ""
        place = f"{self.name}_{platform.machine()}{fast}-{threads}-threads_{date.today()}.md"
        (REPORTS / place).write_text(text)
