"""`biggan grid`: one sheet of classes and seeds."""

from pathlib import Path

import tyro

from biggan.cli.drawing import Machine, ModelPlace, Truncated, check_file, load, parse_seeds, say_where
from biggan.cli.parse import run_command
from biggan.sampling.classes import parse_classes
from biggan.sampling.drawn import SHEET_ENDINGS
from biggan.sampling.grids import check_room


def run(argv: list[str]) -> None:
    """Runs the command on its arguments."""
    run_command(grid, argv, "biggan grid")


def grid(
    model: ModelPlace,
    classes: str | None = None,
    seeds: str = "0-7",
    out: Path = Path("grid.png"),
    scale: int | None = None,
    truncated: tyro.conf.OmitArgPrefixes[Truncated] = Truncated(),
    machine: tyro.conf.OmitArgPrefixes[Machine] = Machine(),
) -> None:
    """Draws a sheet: a row for each class, a column for each seed.

    Args:
        model: A run folder, a model folder, a published checkpoint, or fashion-mnist, which ships with the package.
        classes: Names, numbers or mixes, as for biggan sample; none: every class.
        seeds: Seeds "0,3,7-9".
        out: The sheet, a .png.
        scale: Whole factor by which pictures are magnified; none: until they have 96 pixels.
    """
    check_file(out, SHEET_ENDINGS)
    chosen = parse_seeds(seeds)
    pipe = load(model, machine)
    pairs = [(mix, seed) for mix in parse_classes(classes, pipe.class_names) for seed in chosen]
    check_room(len(pairs), pipe.config.resolution, scale)
    pipe.draw(pairs, len(chosen), truncated.truncation, truncated.threshold).save_sheet(out, scale)
    say_where(f"a sheet of {len(pairs)} pictures", out)
