"""Draws a million 32 px images into shards by several processes, killed once on the way; watches rate and memory."""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _report

import biggan
from biggan.sampling.recipe import png_bytes, to_text

MODEL, CLASSES = "fashion-mnist", 10
PAUSE = 0.5  # seconds between looks


@dataclass
class Seen:
    """What was seen of one sitting."""

    images: list[int] = field(default_factory=list)
    """Images in finished shards, each time that there were more."""
    seconds: list[float] = field(default_factory=list)
    """When, from the start of the sitting."""
    resident: list[int] = field(default_factory=list)
    """Memory of the largest process then, in KiB."""
    worked: list[float] = field(default_factory=list)
    """Processor seconds of all processes by then."""
    code: int = 0

    @property
    def pace(self) -> float:
        """Images a second from the first finished turn to the last."""
        return (self.images[-1] - self.images[0]) / max(self.seconds[-1] - self.seconds[0], 1e-9)

    @property
    def work(self) -> float:
        """Processor milliseconds an image, from the first finished turn to the last but one."""
        return 1000 * (self.worked[-2] - self.worked[0]) / max(self.images[-2] - self.images[0], 1)


def start(out: Path, images: int, each: int, ranks: int) -> subprocess.Popen[bytes]:
    """The drawing command under torchrun; what it prints goes to a file beside the folder."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), "-m", "biggan"]
    flags = ["--seeds", f"0-{images // CLASSES - 1}", "--shard-images", str(each), "--device", "cpu", "--out", str(out)]
    with out.with_suffix(".out").open("ab") as output:
        command = [sys.executable, *launch, "sample", MODEL, *flags]
        return subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"})


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes that torchrun has started."""
    listed = [path.read_text().split() for path in Path(f"/proc/{process.pid}/task").glob("*/children")]
    return [int(number) for numbers in listed for number in numbers]


def resident(process: subprocess.Popen[bytes]) -> int:
    """Memory that the largest of the drawing processes holds now, in KiB."""
    texts = [_told(number, "status") for number in children(process)]
    lines = [line.split() for text in texts for line in text.splitlines() if line.startswith("VmRSS")]
    return max((int(line[1]) for line in lines), default=0)


def worked(process: subprocess.Popen[bytes]) -> float:
    """Processor seconds that the drawing processes have used."""
    texts = [_told(number, "stat").rpartition(")")[2].split() for number in children(process)]
    return sum(int(ticks) for text in texts for ticks in text[11:13]) / os.sysconf("SC_CLK_TCK")


def _told(number: int, what: str) -> str:
    """What the system tells of a process; nothing of one that has gone."""
    try:
        return Path(f"/proc/{number}/{what}").read_text()
    except OSError:
        return ""


def manifest(out: Path) -> dict[str, Any]:
    """What the manifest tells now."""
    place = out / "manifest.json"
    return json.loads(place.read_text()) if place.exists() else {"shards": [], "complete": False}


def drawn(out: Path) -> int:
    """Images in finished shards."""
    return sum(shard["last"] - shard["first"] + 1 for shard in manifest(out)["shards"])


def sitting(out: Path, asked: argparse.Namespace, kill_at: int | None) -> Seen:
    """One start of the command, killed by SIGKILL once so many images are in shards; the rest of a turn is lost."""
    last = drawn(out)
    process, seen, began = start(out, asked.images, asked.shard_images, asked.ranks), Seen(), time.monotonic()
    while process.poll() is None:
        done = drawn(out)
        if done > last:
            last = done
            seen.images.append(done)
            seen.seconds.append(time.monotonic() - began)
            seen.resident.append(resident(process))
            seen.worked.append(worked(process))
            print(f"{done:,} images after {seen.seconds[-1]:.0f} s, {seen.resident[-1] / 1024:.0f} MiB", flush=True)
        if kill_at is not None and done >= kill_at:
            time.sleep(PAUSE)  # into the next turn
            for number in [process.pid, *children(process)]:
                os.kill(number, signal.SIGKILL)
        time.sleep(PAUSE)
    seen.code = process.wait()
    return seen


def same_as_alone(out: Path, shards: list[dict[str, Any]], count: int) -> int:
    """How many of some pictures, chosen at random, are the bytes that the model draws alone."""
    pipe, draw, equal = biggan.load(MODEL), random.Random(0), 0
    for _ in range(count):
        shard = draw.choice(shards)
        i = draw.randint(shard["first"], shard["last"])
        with tarfile.open(out / shard["name"]) as tar:
            file = tar.extractfile(f"{i:09}.png")
            found = file.read() if file else b""
        alone = pipe(i % CLASSES, 1, seed=i // CLASSES)
        equal += found == png_bytes(alone.images[0], to_text(alone.recipes[0]))
    return equal


def main() -> None:
    """Draws, kills, draws on, verifies, reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--shard-images", type=int, default=10_000)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--alone", type=int, default=200, help="pictures that are drawn again alone")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="biggan-million-"))
    out, began = folder / "drawn", time.monotonic()
    killed = sitting(out, asked, asked.images * 3 // 10)
    kept = drawn(out)
    resumed = sitting(out, asked, None)
    told, seconds = manifest(out), time.monotonic() - began
    if resumed.code or not told["complete"]:
        raise SystemExit(f"{out} failed: {out.with_suffix('.out').read_text()}")
    shards = told["shards"]
    intact = sum(hashlib.sha256((out / shard["name"]).read_bytes()).hexdigest() == shard["sha256"] for shard in shards)
    equal = same_as_alone(out, shards, asked.alone)
    left = [path.name for path in out.iterdir() if path.name.startswith(".")]
    held = [size / 1024 for size in resumed.resident[:-1]]  # at the last the processes are on their way out
    quarter = max(1, len(held) // 4)
    first, last = (sum(part) / len(part) for part in (held[:quarter], held[-quarter:]))
    _report.write(
        "million",
        f"{asked.images:,} images in resumable shards",
        f"`biggan sample {MODEL} --seeds 0-{asked.images // CLASSES - 1} --shard-images {asked.shard_images}` ran "
        f"under torchrun with {asked.ranks} processes of one thread. All were killed with SIGKILL once three tenths "
        "were in shards, and the command was repeated. Memory is the resident size of the largest process, after "
        "each turn of the second sitting.",
        {
            "images": f"{told['num_images']:,}",
            "shards": len(shards),
            "bytes": f"{sum(shard['bytes'] for shard in shards):,}",
            "images in shards when killed, kept by the second sitting": f"{killed.images[-1]:,}, {kept:,}",
            "images/s in the first sitting, in the second": f"{killed.pace:,.0f}, {resumed.pace:,.0f}",
            "processor milliseconds an image, in the second sitting": f"{resumed.work:.2f}",
            "minutes in all": f"{seconds / 60:.1f}",
            "memory, MiB: least, most": f"{min(held):.0f}, {max(held):.0f}",
            "memory, MiB: mean of the first quarter, of the last": f"{first:.0f}, {last:.0f}",
            "shards whose SHA-256 is the manifest's": intact,
            f"of {asked.alone} pictures at random, those equal in every byte to the picture drawn alone": equal,
            "half-written files left over": len(left),
        },
    )
    shutil.rmtree(folder)
    sys.exit(intact != len(shards) or equal != asked.alone or bool(left))


if __name__ == "__main__":
    main()
