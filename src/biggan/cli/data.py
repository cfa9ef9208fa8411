"""`biggan data pack`, `inspect` and `verify`. Nothing here loads torch, so they start at once and stay small."""

import json
import shutil
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from biggan import atomic
from biggan.cli.parse import run_words
from biggan.cli.progress import Bar, clock
from biggan.config import Data
from biggan.data import packed, packfile, sources
from biggan.data.estimate import estimate
from biggan.data.making import CORES
from biggan.data.packfile import Packed, is_pack, open_pack
from biggan.errors import ConfigError, Interrupted
from biggan.sampling.recipe import check_replaceable, png_bytes

BAR = 40  # characters of the longest bar
MOST_LINES = 100  # classes, and skipped files, that are printed
BANDS = {1: ["grey"], 3: ["red", "green", "blue"], 4: ["red", "green", "blue", "alpha"]}


SourcePlace = Annotated[str, Positional, arg(metavar="SOURCE")]


def run(argv: list[str]) -> None:
    """Runs `biggan data` on its arguments."""
    run_words({"pack": pack, "inspect": inspect, "verify": verify}, argv, "biggan data")


def pack(
    source: SourcePlace,
    out: Path,
    resolution: int,
    channels: int | None = None,
    crop: Literal["center", "pad"] = "center",
    background: str = "white",
    labels: bool = True,
    workers: int | None = None,
    dry_run: bool = False,
) -> None:
    """Packs images into memory-mapped files at training size; the folder they are in is itself a --data.

    An interrupted packing goes on where it was when the command is repeated, whatever its --workers.

    Args:
        source: A folder of class folders, a flat folder, a zip, tars (WebDataset), IDX, CIFAR or npz files, an address
            of tars (s3://, https://), or fashion-mnist.
        out: The folder to make; a pack that is there is replaced.
        resolution: Height and width in pixels: 32, 64, 128, 256 or 512.
        channels: 1 grey, 3 RGB, 4 RGBA; none: 1 when every image is grey, else 3.
        crop: Non-square images: cut out the central square, or pad to a square with the background.
        background: Colour behind transparent pixels and padding: a name or #rrggbb.
        labels: Keep the labels.
        workers: Processes at once; none: one for every core where there are many images. The pack is the same.
        dry_run: Write nothing; try a few seconds of it and say how long it will take and how large it will be.
    """
    data = Data(channels=channels, crop=crop, background=background, labels=labels)
    with Bar() as bar:
        here = packed.local(source, progress=bar.fetching)
    if dry_run:
        return _say_estimate(here, out, resolution, data, workers or CORES)
    with Bar() as bar:
        try:
            made = packed.make(here, out, resolution, data, bar.packing, workers)
        except KeyboardInterrupt:
            raise Interrupted("Stopped; the same command goes on with what is finished.", 130) from None
    _say_facts(bar.console, source, made)


def _say_estimate(source: str, out: Path, resolution: int, data: Data, workers: int) -> None:
    """Prints what packing would take."""
    packed.check_resolution(resolution)
    with sources.find(source) as found:
        told = estimate(found, resolution, data)
    console = Bar().console
    size = f"{resolution} x {resolution}, {'+'.join(BANDS[told.channels])}"
    each = f"{told.bytes_per_image:,} bytes each, {told.size / 1e9:,.2f} GB in all"
    console.print(Text(f"{source}: {told.num_images:,} images, {size}, {each}"))
    speed = f"{told.images_per_second:,.0f} images/s on one core, by {told.tried:,} of them from all over"
    console.print(Text(f"{speed} ({told.unreadable:,} cannot be read)"))
    times = [f"{_long(told.seconds(count))} with --workers {count}" for count in dict.fromkeys((1, workers))]
    console.print(Text(f"packing takes about {', '.join(times)}, if the disk keeps up"))
    there = next(parent for parent in out.absolute().parents if parent.exists())
    console.print(Text(f"free where it would lie ({there}): {shutil.disk_usage(there).free / 1e9:,.2f} GB"))


def _long(seconds: float) -> str:
    """Seconds as days and hours where they are many."""
    days, left = divmod(seconds, 86_400)
    return f"{days:.0f} days {clock(left)}" if days else clock(left)


def verify(source: SourcePlace) -> None:
    """Reads every byte of a pack and compares it with the checksums; one flipped bit is found, and its file named.

    Args:
        source: A pack, or images beside which packs lie.
    """
    for place in packed.packs(source):
        with Bar() as bar:
            found = packfile.verify(place, bar.verifying)
        images = f"{found.num_images:,} images in {found.num_files:,} files"
        bar.console.print(Text(f"{place}: {images}, all as they were written"))


def inspect(
    source: SourcePlace,
    resolution: int = 32,
    channels: int | None = None,
    crop: Literal["center", "pad"] = "center",
    background: str = "white",
    out: Path = Path("contact-sheet.png"),
    rows: int = 10,
) -> None:
    """Says what is in a set of images: classes, statistics, what was skipped and why; draws a contact sheet.

    Args:
        source: As for biggan data pack, or a pack.
        resolution: Height and width in pixels to look at it in; a pack is looked at in its own.
        channels: 1 grey, 3 RGB, 4 RGBA; none: 1 when every image is grey, else 3.
        crop: Non-square images: cut out the central square, or pad to a square with the background.
        background: Colour behind transparent pixels and padding: a name or #rrggbb.
        out: The picture to write the contact sheet to.
        rows: Rows of the contact sheet, one a class.
    """
    if out.is_dir() or out.suffix.lower() != ".png":
        raise ConfigError(f"--out is {out}; allowed is the name of a .png file.")
    check_replaceable(out)
    if not 1 <= rows <= 100:
        raise ConfigError(f"--rows is {rows}; allowed is 1 to 100.")
    data = Data(channels=channels, crop=crop, background=background)
    with Bar() as bar:
        place = Path(source)
        found = open_pack(place) if is_pack(place) else packed.prepare(source, resolution, data, bar.packing)
    _say_facts(bar.console, source, found)
    atomic.write_bytes(out, png_bytes(found.contact_sheet(rows), json.dumps({"contact sheet of": source})))
    bar.console.print(Text(f"contact sheet: {out}"))


def _say_facts(console: Console, source: str, found: Packed) -> None:
    """Prints all that is known of a pack."""
    size = f"{found.resolution} x {found.resolution}, {'+'.join(BANDS[found.channels])}"
    classes = f"{found.num_classes:,} classes" if found.num_classes else "no labels"
    console.print(Text(f"{source}: {found.num_images:,} images, {size}, {classes}"))
    if found.num_classes:
        console.print(_histogram(found))
    mean, std = found.statistics()
    for band, m, s in zip(BANDS[found.channels], mean, std, strict=True):
        console.print(Text(f"{band:<6} mean {m:.4f}  std {s:.4f}  (of 0 to 1)"))
    if found.skipped:
        console.print(f"skipped {len(found.skipped):,} files:")
    for name, reason in found.skipped[:MOST_LINES]:
        console.print(Text(f"  {name} {reason}"))
    if len(found.skipped) > MOST_LINES:
        console.print(f"  and {len(found.skipped) - MOST_LINES:,} more")
    for note in found.notes:
        console.print(Text(f"note: {note}"))
    console.print(Text(f"pack: {found.place or 'in memory, nothing is written'}"))


def _histogram(found: Packed) -> Table:
    """Images of each class as numbers and bars."""
    table = Table.grid(padding=(0, 1))
    most = max(found.class_counts)
    for name, count in list(zip(found.class_names, found.class_counts, strict=True))[:MOST_LINES]:
        bar = "█" * max(1, round(BAR * count / most))
        table.add_row(Text(f"  {name}"), Text(f"{count:,}", justify="right"), Text(bar))
    if found.num_classes > MOST_LINES:
        fewest = min(found.class_counts)
        table.add_row(Text(f"  and {found.num_classes - MOST_LINES:,} more, {fewest:,} to {most:,} images each"))
    return table
