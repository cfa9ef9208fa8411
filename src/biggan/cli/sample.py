"""`biggan sample`: pictures of chosen classes and seeds as files that know their recipe."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import tyro
from PIL import Image
from rich.console import Console
from rich.progress import track

from biggan.atomic import write_bytes
from biggan.cli.drawing import Machine, ModelPlace, Truncated, load, parse_ranges, parse_seeds, say_where
from biggan.cli.parse import run_command
from biggan.cli.progress import Bar
from biggan.distributed.collective import first_on_each_machine
from biggan.distributed.launch import processes
from biggan.distributed.processes import meeting
from biggan.errors import ConfigError
from biggan.sampling import grids
from biggan.sampling.classes import ClassMix, parse_classes
from biggan.sampling.drawn import sheet_text
from biggan.sampling.many import draw_many
from biggan.sampling.pipeline import Pipeline, in_margin
from biggan.sampling.recipe import check_replaceable, png_bytes
from biggan.sampling.shards import Order
from biggan.training.hardware import pick_device
from biggan.training.interrupt import StopRequest

SHEET = "sheet.png"
SHEET_ROWS, SHEET_COLUMNS, SHEET_PIXELS = 32, 16, 40_000_000  # at most on the sheet; `biggan grid` has no such limit

LIKE_ALONE = (None, None, None, Truncated(), Machine())


def run(argv: list[str]) -> None:
    """Runs the command on its arguments."""
    run_command(sample, argv, "biggan sample")


def sample(
    model: ModelPlace,
    classes: str | None = None,
    seeds: str | None = None,
    out: Path = Path("samples"),
    like: Path | None = None,
    shard_images: int | None = None,
    truncated: tyro.conf.OmitArgPrefixes[Truncated] = Truncated(),
    machine: tyro.conf.OmitArgPrefixes[Machine] = Machine(),
) -> None:
    """Draws every class with every seed into a folder, as <class>_<seed>.png with a sheet.png of them.

    Each picture holds its recipe; --like draws it again. Pictures of the same name that biggan drew are replaced.
    With --shard-images very many go into tar shards; torchrun shares them, and the same command again goes on.

    Args:
        model: A run folder, a model folder, a published checkpoint, or fashion-mnist, which ships with the package.
        classes: Names or numbers "Ankle boot,Sneaker", a mix "Sneaker:0.7,Bag:0.3", several mixes set apart by
            semicolons; none: every class.
        seeds: Seeds "0,3,7-9"; none: 0.
        out: Folder for the pictures.
        like: A picture to draw again from the recipe in it; goes with --out and --device alone.
        shard_images: Write tar files of this many pictures each (WebDataset), which are a --data too; 10000 suits.
    """
    if shard_images is not None and like is None:
        return _into_shards(model, classes, "0" if seeds is None else seeds, out, shard_images, truncated, machine)
    if processes() > 1:
        raise ConfigError("Several processes draw shards alone; give --shard-images, or start one process.")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a folder for the pictures.")
    if like is not None:
        if (classes, seeds, shard_images, truncated, replace(machine, device="auto")) != LIKE_ALONE:
            raise ConfigError(
                "The picture of --like says by itself what to draw; give only --out and --device with it."
            )
        return _again(load(model, machine), like, out)
    chosen = parse_seeds("0" if seeds is None else seeds)
    pipe = load(model, machine)
    mixes = parse_classes(classes, pipe.class_names)
    replaced = _check_places(pipe, mixes, chosen, out)
    sheet = _draw_all(pipe, mixes, chosen, out, truncated)
    write_bytes(out / SHEET, sheet)
    those = f" ({replaced} of them replaced)" if replaced else ""
    count = len(mixes) * len(chosen)
    print(f"Wrote {count} picture{'s' * (count > 1)}{those} to {out}; {out / SHEET} shows them on one page")


def _into_shards(
    model: str, classes: str | None, seeds: str, out: Path, each: int, how: Truncated, machine: Machine
) -> None:
    """Draws into shards, with all processes that were started together."""
    ranges = parse_ranges(seeds)
    with StopRequest() as stop, meeting(pick_device(machine.device)) as device, Bar() as bar:
        pipe = first_on_each_machine(lambda: load(model, replace(machine, device=str(device))))
        order = Order(parse_classes(classes, pipe.class_names), ranges, each)
        before = draw_many(pipe, order, out, how.truncation, how.threshold, stop, bar.drawing)
        those = f" ({before:,} of them were there)" if before else ""
        count = len(order.shards)
        bar.say(f"Wrote {order.num_images:,} pictures{those} to {out} in {count:,} shard{'s' * (count > 1)}.")


def _check_places(pipe: Pipeline, mixes: Sequence[ClassMix], seeds: Sequence[int], out: Path) -> int:
    """Checks that only pictures of ours would be replaced; gives their number."""
    paths = [out / pipe.file_name(mix, seed) for mix in mixes for seed in seeds]
    for path in (*paths, out / SHEET):
        check_replaceable(path)
    return sum(path.exists() for path in paths)


def _draw_all(pipe: Pipeline, mixes: Sequence[ClassMix], seeds: Sequence[int], out: Path, how: Truncated) -> bytes:
    """Draws and writes a batch at a time; gives the content of the sheet of the first classes and seeds."""
    pairs = [(mix, seed) for mix in mixes for seed in seeds]
    columns, rows = _sheet_shape(pipe.config.resolution, len(mixes), len(seeds))
    kept: list[Image.Image] = []
    for start in _progress(range(0, len(pairs), pipe.sampler.batch_size)):
        chunk = pairs[start : start + pipe.sampler.batch_size]
        drawn = pipe.draw(chunk, len(chunk), how.truncation, how.threshold)
        drawn.save(out)
        for place, image in enumerate(drawn.images, start):
            row, column = divmod(place, len(seeds))
            kept += [image] if row < rows and column < columns else []
    labels = [in_margin(mix) for mix in mixes[:rows]] if pipe.class_names else []
    heads = grids.seed_labels(seeds[:columns], bool(labels))
    sheet = grids.sheet(kept, columns, labels, heads, corner="seed")
    return png_bytes(sheet, sheet_text(drawn.drawn_with))


def _sheet_shape(resolution: int, classes: int, seeds: int) -> tuple[int, int]:
    """Columns and rows of the sheet."""
    tile = resolution * grids.usual_scale(resolution)
    columns = min(seeds, SHEET_COLUMNS)
    return columns, min(classes, SHEET_ROWS, max(1, SHEET_PIXELS // (columns * tile**2)))


def _progress(steps: range) -> Iterable[int]:
    """The steps, with a bar on a terminal."""
    console = Console(stderr=True)
    return track(steps, "Drawing", console=console, transient=True, disable=not console.is_terminal)


def _again(pipe: Pipeline, like: Path, out: Path) -> None:
    drawn = pipe.like(like)
    check_replaceable(out / drawn.names[0])
    say_where("the picture", drawn.save(out)[0])
