"""Opening BigGAN-deep-256 from a folder of pytorch-pretrained-biggan and drawing one picture: ours beside the package.

`python benchmarks/pretrained.py [ROUNDS] [FOLDER]` writes random weights at real size once (into FOLDER, if it has
none), then opens and draws in fresh processes, ours and the package's in turn. It prints medians, their ratio and the
machine; a JSON line for machines; a report in benchmarks/reports/. For Linux.
"""

import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from array import array
from datetime import date
from pathlib import Path

REPORTS = Path(__file__).parent / "reports"
MODULES = {"ours": "biggan.interop.pretrained", "package": "pytorch_pretrained_biggan"}
MEASURED = {
    "import": "seconds to import it",
    "open": "seconds to open the folder",
    "first": "seconds to the first picture",
    "later": "seconds a later picture",
    "total": "seconds from the start of the process to the first picture",
    "memory": "largest memory of the process, MB",
}
LATER = 3  # pictures after the first


def write(folder: str) -> None:
    """Random weights with the singular vectors and statistics that training would leave."""
    from dataclasses import replace

    import torch

    from biggan.interop.huggingface import export
    from biggan.interop.huggingface.config import published
    from biggan.models.build import build
    from biggan.models.bundle import Bundle
    from biggan.models.statistics import TRUNCATIONS, Statistics, Table, batch_moments

    model = replace(published(256).to_model(), init="N02")
    G, _ = build(model)
    torch.manual_seed(0)
    moments = batch_moments(G, torch.randn(2, G.dim_z), G.embed(torch.tensor([1, 2])))
    rows = {name: value.expand(len(TRUNCATIONS), -1).contiguous() for name, value in moments.items()}
    names = [f"class {number}" for number in range(model.num_classes)]
    tables = Statistics({"truncation": Table(torch.tensor(TRUNCATIONS), rows)})
    export(Bundle(G.eval(), None, names, tables), Path(folder))


def measure(form: str, folder: str, picture: str) -> None:
    """Prints what opening and drawing took in this process, and writes the picture's numbers."""
    import time
    from importlib import import_module

    ticks = os.sysconf("SC_CLK_TCK")
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / ticks
    before = time.clock_gettime(time.CLOCK_BOOTTIME) - started
    times = [time.perf_counter()]
    module = import_module(MODULES[form])
    times.append(time.perf_counter())
    model = module.BigGAN.from_pretrained(folder).eval()
    times.append(time.perf_counter())
    import torch

    z, y = torch.from_numpy(module.truncated_noise_sample(seed=0, truncation=0.4)), torch.zeros(1, 1000)
    y[0, 207] = 1
    with torch.no_grad():
        for _ in range(1 + LATER):
            x = model(z, y, 0.4)
            times.append(time.perf_counter())
    spent = [end - start for start, end in itertools.pairwise(times)]
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    Path(picture).write_bytes(x.numpy().tobytes())
    figures = {"import": spent[0], "open": spent[1], "first": spent[2], "later": statistics.median(spent[3:])}
    figures |= {"total": before + times[3] - times[0], "memory": int(peak.split()[1]) / 1024}
    print(json.dumps({**figures, "torch": torch.__version__, "threads": torch.get_num_threads()}))


def child(*words: str) -> str:
    """What this script prints when run in a process of its own, which is not large from what was done before."""
    done = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main(rounds: int, folder: Path) -> None:
    load = os.getloadavg()[0]
    if not (folder / "pytorch_model.bin").exists():
        child("write", str(folder))
    size = (folder / "pytorch_model.bin").stat().st_size / 1e6
    runs: dict[str, list[dict[str, float]]] = {form: [] for form in MODULES}
    for _ in range(rounds):
        for form in MODULES:
            runs[form].append(json.loads(child("measure", form, str(folder), str(folder / form))))
    ours, theirs = (array("f", (folder / form).read_bytes()) for form in MODULES)
    apart = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    medians = {
        form: {name: statistics.median(run[name] for run in runs[form]) for name in MEASURED} for form in MODULES
    }
    rows = ["| BigGAN-deep-256, one picture | ours | package | package / ours |", "|---|---|---|---|"]
    for name, said in MEASURED.items():
        a, b = (medians[form][name] for form in MODULES)
        rows.append(f"| {said} | {a:.4g} | {b:.4g} | {b / a:.2f} |")
    last, info = runs["ours"][-1], Path("/proc/cpuinfo")
    found = [line.partition(":")[2].strip() for line in info.open() if "model name" in line]
    machine = (
        f"{found[0] if found else platform.processor()}, {last['threads']} threads, float32, torch {last['torch']}"
    )
    loads = f"load {load:.2f} before and {os.getloadavg()[0]:.2f} after"
    record = {"benchmark": "pretrained", "medians": medians, "rounds": rounds, "apart": apart, "machine": machine}
    print(json.dumps({**record, "load": [load, os.getloadavg()[0]]}))
    head = f"# Opening a published generator and drawing\n\n{machine}, {loads}, {date.today()}."
    told = f"Random weights, {size:.0f} MB; medians of {rounds} fresh processes each, in turn; files in the page cache."
    text = f"{head}\n{told}\nThe two pictures differ by {apart:.1e} at most.\n\n" + "\n".join(rows) + "\n"
    print(text)
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / f"pretrained_{platform.machine()}-{last['threads']}-threads_{date.today()}.md").write_text(text)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["write"]:
        write(arguments[1])
    elif arguments[:1] == ["measure"]:
        measure(*arguments[1:])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(int((arguments or ["5"])[0]), Path((arguments[1:] or [temporary])[0]))
