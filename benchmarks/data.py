"""Packing and reading: images/s on one core and on all, bytes an image, and shuffled reading beside reading in order.

`python benchmarks/data.py [PICTURES]` packs generated JPEGs of ImageNet's size (500 x 375, 2,000 of them unless said
otherwise) to 128 px by one thread, one process with threads and several processes; then reads generated packs through
the training loader, in order and shuffled in turn. It prints medians, ratios and the machine; a JSON line for machines;
a report in benchmarks/reports/. Takes 3 GB of disk for a while.
"""

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from biggan.config import Data
from biggan.data import loader, making, packing
from biggan.data.loader import Loader
from biggan.data.packed import Packed, make, prepare

REPORTS = Path(__file__).parent / "reports"
ROUNDS, BATCH = 7, 64
IMAGENET = 1_281_167  # images of its training part
SETS = {
    "32 px, in memory": (32, 200_000, True),
    "32 px, mapped": (32, 200_000, False),
    "128 px, mapped": (128, 20_000, False),
}


def write_jpegs(root: Path, count: int) -> float:
    """Writes pictures with coarse shapes, edges and grain, of about ImageNet's bytes; gives their mean bytes."""
    sizes = []
    for i in range(count):
        random = np.random.default_rng(i)
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
        shapes = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)).astype(np.float32)
        grain = random.normal(0, 22, shapes.shape).astype(np.float32)
        path = root / f"class{i % 10}" / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(shapes + grain, 0, 255).astype(np.uint8)).save(path, quality=90)
        sizes.append(path.stat().st_size)
    return statistics.mean(sizes)


def packing_rates(root: Path, count: int, out: Path) -> dict[str, float]:
    """Images/s of packing to 128 px in each form; medians of three, in turn."""
    packing.SHARD_IMAGES = max(1, count // 16)  # enough shards for all workers, as a large set has
    usual = making.THREADS
    forms = {"one thread": (1, 1), "one process, threads": (1, usual)}
    forms |= {f"{n} processes": (n, usual) for n in (2, 4, 8) if n <= making.CORES}
    rates: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(3):
        for form, (workers, threads) in forms.items():
            making.THREADS = threads
            began = time.perf_counter()
            make(str(root), out, 128, Data(), workers=workers)
            rates[form].append(count / (time.perf_counter() - began))
    return {form: statistics.median(values) for form, values in rates.items()}


def write_pack(folder: Path, resolution: int, count: int) -> Packed:
    """A pack of noise in as many shards as a real one has."""
    packing.SHARD_IMAGES = 4096
    noise = np.random.default_rng(0).integers(0, 256, (count, resolution, resolution, 3), np.uint8)
    np.savez(folder / "noise.npz", x=noise)
    made = make(str(folder / "noise.npz"), folder / f"pack{resolution}", resolution, Data())
    (folder / "noise.npz").unlink()
    return made


def reading_rates(packed: Packed, held: bool) -> dict[str, float]:
    """Images/s of training batches from a pack whose files are in the page cache, in order and shuffled, in turn."""
    loader.IN_MEMORY = 2**40 if held else 0
    streams = {"in order": Loader(packed, 0), "shuffled": Loader(packed, 0)}
    streams["in order"].indices = lambda start, count: np.arange(start, start + count) % packed.num_images
    rates: dict[str, list[float]] = {form: [] for form in streams}
    each = packed.num_images // BATCH * BATCH
    for turn in range(ROUNDS):
        for form, stream in streams.items():
            began = time.perf_counter()
            for start in range(turn * each, (turn + 1) * each, BATCH):
                stream.batch(start, BATCH)
            rates[form].append(each / (time.perf_counter() - began))
    return {form: statistics.median(values[1:]) for form, values in rates.items()}  # the first fills the caches


def main(count: int) -> None:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        size = write_jpegs(folder / "jpegs", count)
        packed = packing_rates(folder / "jpegs", count, folder / "pack")
        reading: dict[str, dict[str, float]] = {}
        packs: dict[int, Packed] = {}
        for name, (resolution, number, held) in SETS.items():
            if resolution not in packs:
                packs[resolution] = write_pack(folder, resolution, number)
            reading[name] = reading_rates(packs[resolution], held)
        began = time.perf_counter()
        prepare(folder / "pack128", 128, Data())
        opening = time.perf_counter() - began
    report(count, size, packed, reading, opening, load)


def report(
    count: int,
    size: float,
    packed: dict[str, float],
    reading: dict[str, dict[str, float]],
    opening: float,
    load: float,
) -> None:
    """Prints and keeps what was measured."""
    info = Path("/proc/cpuinfo")
    found = [line.partition(":")[2].strip() for line in info.open() if "model name" in line] if info.exists() else []
    machine = f"{found[0] if found else platform.processor()}, {torch.get_num_threads()} threads"
    record = {"benchmark": "data", "packing": packed, "jpeg_bytes": size, "reading": reading, "opening": opening}
    print(json.dumps({**record, "machine": machine, "load": [load, os.getloadavg()[0]]}))
    rows = ["| packing to 128 px | images/s | times one thread | ImageNet's 1,281,167 |", "|---|---|---|---|"]
    for form, rate in packed.items():
        hours = IMAGENET / rate / 3600
        rows.append(f"| {form} | {rate:.0f} | {rate / packed['one thread']:.2f} | {hours:.2f} hours |")
    rows += ["", "| reading | in order, images/s | shuffled, images/s | shuffled / in order |", "|---|---|---|---|"]
    for name, rates in reading.items():
        a, b = rates["in order"], rates["shuffled"]
        rows.append(f"| {name} | {a:,.0f} | {b:,.0f} | {b / a:.3f} |")
    loads = f"load {load:.2f} before and {os.getloadavg()[0]:.2f} after"
    told = (
        f"{count:,} generated JPEGs of 500 x 375 pixels and {size:,.0f} bytes; a pack has 49,152 bytes an image at "
        f"128 px, {IMAGENET * 49_152 / 1e9:.1f} GB for ImageNet. Reading is `Loader.batch` of {BATCH}, float tensors, "
        f"files in the page cache, medians of {ROUNDS - 1} epochs. Opening a pack of 983 MB takes {opening:.3f} s."
    )
    head = f"# Packing and reading\n\n{machine}, torch {torch.__version__}, {loads}, {date.today()}."
    text = f"{head}\n{told}\n\n" + "\n".join(rows) + "\n"
    print(text)
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / f"data_{platform.machine()}-{torch.get_num_threads()}-threads_{date.today()}.md").write_text(text)


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["2000"])[0]))
