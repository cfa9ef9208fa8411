"""Packing, reading and the start of training: images/s, shuffled beside in order, and what the number of images costs.

`python benchmarks/data.py [PICTURES]` packs generated JPEGs of ImageNet's size (500 x 375, 2,000 of them unless said
otherwise) to 128 px by one thread, one process with threads and several processes; then reads generated packs through
the training loader on one core: in order and shuffled in turn, and shuffled from 1,000 to a million images in turn;
then starts training from packs of both sizes in fresh processes. Takes 3 GB of disk for a while. For Linux.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _report import Report, in_turn, seconds, since_start, table
from PIL import Image

from biggan import atomic
from biggan.config import Data
from biggan.data import loader, making, packing
from biggan.data.loader import Loader
from biggan.data.packed import Packed, make, prepare
from biggan.data.packfile import FACTS, open_pack

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from in_order import InOrder

ROUNDS, BATCH = 7, 64
STARTS = 5
IMAGENET = 1_281_167  # images of its training part
ASKED = {32: 20_000, 128: 2_000}  # images/s, by resolution
SETS = {  # resolution, whether all images are held in memory
    "32 px, in memory": (32, True),
    "32 px, mapped": (32, False),
    "128 px, mapped": (128, False),
}
COUNTS = {32: 102_400, 128: 20_480}  # images in the packs, whole shards of 4,096
SIZES = (1_000, 10_000, 102_400, 1_024_000)


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
    """Images/s of packing to 128 px in each form; medians of three, in turn, as a round takes long."""
    packing.SHARD_IMAGES = max(1, count // 16)  # enough shards for all workers, as a large set has
    usual = making.THREADS
    forms = {"one thread": (1, 1), "one process, threads": (1, usual)}
    forms |= {f"{n} processes": (n, usual) for n in (2, 4, 8) if n <= making.CORES}
    rates: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(3):
        for form, (workers, threads) in forms.items():
            making.THREADS = threads
            rates[form].append(count / seconds(partial(make, str(root), out, 128, Data(), workers=workers)))
    return {form: statistics.median(values) for form, values in rates.items()}


def write_pack(folder: Path, resolution: int, count: int) -> Packed:
    """A pack of noise in as many shards as a real one has."""
    packing.SHARD_IMAGES = 4096
    noise = np.random.default_rng(0).integers(0, 256, (count, resolution, resolution, 3), np.uint8)
    np.savez(folder / "noise.npz", x=noise)
    made = make(str(folder / "noise.npz"), folder / f"pack{resolution}-{count}", resolution, Data())
    (folder / "noise.npz").unlink()
    return made


def repeated(packed: Packed, times: int, place: Path) -> Packed:
    """A pack of the same images several times over, without the bytes: its files are links to the same few."""
    assert packed.place is not None
    place.mkdir()
    facts, sums = (atomic.read_json(packed.place / name) for name in (FACTS, atomic.MANIFEST))
    shards: dict[str, int] = {}
    for _ in range(times):
        for name, count in facts["shards"].items():
            link = f"images-{len(shards):05}.u8"
            os.link(packed.place / name, place / link)
            shards[link], sums[link] = count, sums[name]
    (place / FACTS).write_text(json.dumps(facts | {"shards": shards}))
    atomic.write_json(place / atomic.MANIFEST, sums | {FACTS: atomic.sha256(place / FACTS)})
    return open_pack(place)


@contextmanager
def one_core() -> Iterator[None]:
    """This process, its threads too, on one core."""
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)


class Reading:
    """A stream of batches, read on a stretch a call."""

    def __init__(self, packed: Packed, images: int, held: bool, in_order: bool = False) -> None:
        loader.IN_MEMORY = 2**40 if held else 0
        self.stream, self.images, self.start = Loader(packed, 0), images // BATCH * BATCH, 0
        if in_order:
            self.stream.indices = InOrder(0, packed.num_images)

    def __call__(self) -> None:
        for start in range(self.start, self.start + self.images, BATCH):
            self.stream.batch(start, BATCH)
        self.start += self.images


def rates_by_order(packed: Packed, held: bool) -> dict[str, float]:
    """Images/s of training batches from files in the page cache, in order and shuffled."""
    each = 20_480 * 32**2 // packed.resolution**2
    forms = {form: Reading(packed, each, held, form == "in order") for form in ("in order", "shuffled")}
    return {form: forms[form].images / spent for form, spent in in_turn(forms, ROUNDS).items()}


def microseconds_by_size(packs: Sequence[Packed]) -> dict[int, float]:
    """Microseconds an image of shuffled batches by the number of images; in memory where a run would hold them."""
    usual = 2**30
    forms = {str(p.num_images): Reading(p, 20_480, p.images.nbytes <= usual) for p in packs}
    medians = in_turn(forms, ROUNDS)
    return {int(size): 1e6 * spent / forms[size].images for size, spent in medians.items()}


def seconds_to_start(packs: Sequence[Packed]) -> dict[int, float]:
    """Median seconds from the start of `biggan train`'s process to its first batch, by the number of images."""
    taken: dict[int, list[float]] = {packed.num_images: [] for packed in packs}
    for _ in range(STARTS):
        for packed in packs:
            command = [sys.executable, __file__, "start", str(packed.place), str(packed.place) + ".run"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            taken[packed.num_images].append(float(done.stdout.split()[-1]))
    return {size: statistics.median(values) for size, values in taken.items()}


def start(pack: str, out: str) -> None:
    """Starts training from a pack as the command does, and prints when the first batch has come."""
    batch = Loader.batch

    def first(self: Loader, start: int, count: int) -> None:
        batch(self, start, count)
        print(since_start(), flush=True)
        os._exit(0)

    Loader.batch = first  # type: ignore[assignment]
    from biggan.cli.main import main as command

    command(["train", "--data", pack, "--preset", "cpu-small", "--out", out])


def main(count: int) -> None:
    report = Report("data", "Packing and reading")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        size = write_jpegs(folder / "jpegs", count)
        packed = packing_rates(folder / "jpegs", count, folder / "pack")
        packs = {resolution: write_pack(folder, resolution, number) for resolution, number in COUNTS.items()}
        times = SIZES[-1] // COUNTS[32]
        sizes = [write_pack(folder, 32, number) for number in SIZES[:2]]
        sizes += [packs[32], repeated(packs[32], times, folder / "many")]
        with one_core():
            reading = {name: rates_by_order(packs[resolution], held) for name, (resolution, held) in SETS.items()}
            cost = microseconds_by_size(sizes)
        starts = seconds_to_start([sizes[0], sizes[-1]])
        opening = seconds(partial(prepare, folder / f"pack128-{COUNTS[128]}", 128, Data()))
    hours = {form: f"{IMAGENET / rate / 3600:.2f} hours" for form, rate in packed.items()}
    by_form = [[form, f"{r:.0f}", f"{r / packed['one thread']:.2f}", hours[form]] for form, r in packed.items()]
    orders = [
        [name, *(f"{rate:,.0f}" for rate in rates.values()), f"{rates['shuffled'] / rates['in order']:.3f}", asked]
        for (name, rates), asked in zip(reading.items(), (f"{ASKED[r]:,}" for r, _ in SETS.values()), strict=True)
    ]
    by_size = [[f"{n:,}", f"{value:.1f}", f"{value / cost[SIZES[0]]:.3f}"] for n, value in cost.items()]
    by_start = [[f"{n:,}", f"{value:.2f}"] for n, value in starts.items()]
    what = (
        f"{count:,} generated JPEGs of 500 x 375 pixels and {size:,.0f} bytes; a pack has 49,152 bytes an image at "
        f"128 px, {IMAGENET * 49_152 / 1e9:.1f} GB for ImageNet. Reading is `Loader.batch` of {BATCH} on one core, "
        f"float tensors, files in the page cache, medians of {ROUNDS}. The million images are the files of 102,400, "
        f"ten times over. Opening a pack of {COUNTS[128] * 49_152 / 1e6:,.0f} MB takes {opening:.3f} s."
    )
    tables = [
        table(["packing to 128 px", "images/s", "times one thread", "ImageNet's 1,281,167"], by_form),
        table(["reading", "in order, images/s", "shuffled, images/s", "shuffled / in order", "asked"], orders),
        table(["images, 32 px", "microseconds an image", "of the first"], by_size),
        table(["images, 32 px", "seconds from the start of `biggan train` to its first batch"], by_start),
    ]
    record = {"packing": packed, "jpeg_bytes": size, "reading": reading, "microseconds": cost, "starts": starts}
    report.write(what, tables, {**record, "opening": opening})


if __name__ == "__main__":
    if sys.argv[1:2] == ["start"]:
        start(*sys.argv[2:])
    else:
        main(int((sys.argv[1:] or ["2000"])[0]))
