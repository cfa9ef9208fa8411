"""Opening BigGAN-deep-256 from a folder of pytorch-pretrained-biggan and drawing one picture: ours beside the package.

`python benchmarks/pretrained.py [ROUNDS] [FOLDER]` writes random weights at real size once (into FOLDER, if it has
none), then opens and draws in fresh processes, ours and the package's in turn. It prints medians, their ratio and the
machine; a JSON line for machines; a report in benchmarks/reports/. For Linux.
"""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path

from _report import Report, largest_memory, since_start, table

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

    before = since_start()
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
    Path(picture).write_bytes(x.numpy().tobytes())
    figures = {"import": spent[0], "open": spent[1], "first": spent[2], "later": statistics.median(spent[3:])}
    figures |= {"total": before + times[3] - times[0], "memory": largest_memory() / 2**20}
    print(json.dumps({**figures, "threads": torch.get_num_threads()}))


def child(*words: str) -> str:
    """What this script prints when run in a process of its own, which is not large from what was done before."""
    done = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main(rounds: int, folder: Path) -> None:
    report = Report("pretrained", "Opening a published generator and drawing")
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
    rows: list[list[str]] = []
    for name, said in MEASURED.items():
        a, b = (medians[form][name] for form in MODULES)
        rows.append([said, f"{a:.4g}", f"{b:.4g}", f"{b / a:.2f}"])
    what = (
        f"float32. Random weights, {size:.0f} MB; medians of {rounds} fresh processes each, in turn; files in the page "
        f"cache. The two pictures differ by {apart:.1e} at most."
    )
    figures = {"medians": medians, "rounds": rounds, "apart": apart}
    threads = int(runs["ours"][-1]["threads"])
    head = ["BigGAN-deep-256, one picture", "ours", "package", "package / ours"]
    report.write(what, [table(head, rows)], figures, threads)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[:1] == ["write"]:
        write(arguments[1])
    elif arguments[:1] == ["measure"]:
        measure(*arguments[1:])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(int((arguments or ["5"])[0]), Path((arguments[1:] or [temporary])[0]))
