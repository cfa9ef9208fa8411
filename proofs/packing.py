"""Packs 200,000 pictures by one, two and four workers and through 20 kills into the same bytes; flips bits in them."""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import _report
import numpy as np
from PIL import Image

from biggan.data import loader
from biggan.data.loader import Loader
from biggan.data.packfile import open_pack

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from in_order import InOrder

RESOLUTION, BATCH, EPOCHS = 32, 64, 6


def write_pictures(path: Path, count: int) -> None:
    """A zip of ten class folders of small JPEGs, one in a thousand of them cut short."""
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            noise = np.random.default_rng(i).integers(0, 256, (5, 6, 3), np.uint8)
            buffer = path.with_suffix(".jpg")
            Image.fromarray(noise).resize((48, 40), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
            content = buffer.read_bytes()
            archive.writestr(f"class{i % 10}/{i:06}.jpg", content[:99] if i % 1000 == 7 else content)
    buffer.unlink()


def start(source: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    """The packing command as a process; what it prints goes to a file beside the pack."""
    words = ["data", "pack", str(source), "--out", str(out), "--resolution", str(RESOLUTION), "--workers", str(workers)]
    with out.with_suffix(".out").open("ab") as output:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([sys.executable, "-m", "biggan", *words], stdout=output, stderr=output, env=environment)


def finish(source: Path, out: Path, workers: int) -> float:
    """Runs the command to its end and gives the seconds that it took."""
    began = time.monotonic()
    if start(source, out, workers).wait() != 0:
        raise SystemExit(f"{out} failed: {out.with_suffix('.out').read_text()}")
    return time.monotonic() - began


def fingerprint(pack: Path) -> dict[str, str]:
    """SHA-256 of every file of a pack."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(pack.iterdir())}


def kill_and_finish(source: Path, out: Path, kills: int, longest: float, draw: random.Random) -> tuple[int, int]:
    """Kills packings at random instants, each going on from the last, and packs to the end.

    Returns:
        Kills that found the packing at work, and the shards that were kept when the last of them was started.
    """
    hit = kept = 0
    for _ in range(kills):
        process = start(source, out, draw.choice((1, 2, 4)))
        time.sleep(draw.uniform(0, longest))
        process.send_signal(signal.SIGKILL)
        hit += process.wait() == -signal.SIGKILL
        if out.exists():  # this one came to its end: begin anew
            shutil.rmtree(out)
        kept = max(kept, len(list(out.parent.glob(f".{out.name}.*.making/*.json"))))
    finish(source, out, 2)
    return hit, kept


def flips_found(pack: Path, flips: int, draw: random.Random) -> int:
    """Flips one random bit of a random file at a time; how often `biggan data verify` names that file."""
    found = 0
    files = sorted(pack.iterdir())
    for k in range(flips):
        path = files[k % len(files)]
        at, bit = draw.randrange(path.stat().st_size), draw.randrange(8)
        with path.open("r+b") as file:
            for turn in range(2):
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ (1 << bit)]))
                file.flush()
                if turn == 0:
                    words = [sys.executable, "-m", "biggan", "data", "verify", str(pack)]
                    done = subprocess.run(words, capture_output=True, text=True)
                    named = path.name in done.stderr or path.name == "manifest.json"
                    found += done.returncode == 2 and "is damaged" in done.stderr and named
    return found


def reading(pack: Path) -> tuple[float, float]:
    """Images/s in order and shuffled, mapped, epochs in turn; medians."""
    loader.IN_MEMORY = 0
    packed = open_pack(pack)
    streams = {"in order": Loader(packed, 0), "shuffled": Loader(packed, 0)}
    streams["in order"].indices = InOrder(0, packed.num_images)
    rates: dict[str, list[float]] = {form: [] for form in streams}
    each = packed.num_images // BATCH * BATCH
    for turn in range(EPOCHS + 1):
        for form, stream in streams.items():
            began = time.perf_counter()
            for place in range(turn * each, (turn + 1) * each, BATCH):
                stream.batch(place, BATCH)
            rates[form].append(each / (time.perf_counter() - began))
    ordered, shuffled = (statistics.median(values[1:]) for values in rates.values())
    return ordered, shuffled


def main() -> None:
    """Packs, kills, flips, reads, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--flips", type=int, default=100)
    asked = parser.parse_args()
    draw, folder = random.Random(0), Path(tempfile.mkdtemp(prefix="biggan-packing-"))
    source = folder / "pictures.zip"
    write_pictures(source, asked.images)
    seconds = {workers: finish(source, folder / f"by{workers}", workers) for workers in (1, 2, 4)}
    expected = fingerprint(folder / "by1")
    equal = sum(fingerprint(folder / f"by{workers}") == expected for workers in seconds)
    print(f"{equal} of {len(seconds)} equal; seconds {seconds}", flush=True)
    hits = kept = same = 0
    for run in range(asked.runs):
        hit, most = kill_and_finish(
            source, folder / f"run{run}", asked.kills // asked.runs, seconds[2] / (asked.kills // asked.runs), draw
        )
        hits, kept = hits + hit, max(kept, most)
        same += fingerprint(folder / f"run{run}") == expected
        print(f"{hits} kills, {same} of {run + 1} runs equal", flush=True)
    left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    found = flips_found(folder / "by1", asked.flips, draw)
    undisturbed = fingerprint(folder / "by1") == expected
    ordered, shuffled = reading(folder / "by1")
    facts = json.loads((folder / "by1/pack.json").read_text())
    shutil.rmtree(folder)
    ratio = shuffled / ordered
    _report.write(
        "packing",
        "Packs are the same bytes however they are made, and damage to them is found",
        f"{asked.images:,} generated JPEGs of 48 x 40 pixels in a zip, one in a thousand of them cut short, were "
        f"packed by `biggan data pack --resolution {RESOLUTION}` with one, two and four workers. Others were killed "
        "with SIGKILL at random instants, each time going on with one, two or four workers, and then ran to their end. "
        "Compared are the bytes of all files. Then one random bit at a time was flipped in each file in turn and "
        "`biggan data verify` was asked. Reading is `Loader.batch` from the mapped files, in order and shuffled.",
        {
            "pictures": asked.images,
            "of them cut short, counted and left out": len(facts["skipped"]),
            "files of images": len(facts["shards"]),
            "seconds with one, two and four workers": ", ".join(f"{value:.0f}" for value in seconds.values()),
            "packs by one, two and four workers with the same bytes": f"{equal} of {len(seconds)}",
            "SIGKILLs that found the packing at work": hits,
            "files of images that such a packing kept, at most": kept,
            "packings that were killed and ended with the same bytes": f"{same} of {asked.runs}",
            "things left over": len(left),
            "bits flipped": asked.flips,
            "found, and the file named (or manifest.json was it)": found,
            "images/s in order": f"{ordered:,.0f}",
            "images/s shuffled": f"{shuffled:,.0f}",
            "shuffled / in order": f"{ratio:.3f}",
        },
    )
    whole = equal == len(seconds) and same == asked.runs and found == asked.flips and undisturbed and not left
    sys.exit(not whole or ratio < 0.9)


if __name__ == "__main__":
    main()
