"""`biggan truncation-curve`: the same images at several truncations, on one sheet."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from biggan.cli.drawing import Machine, ModelPlace, check_file, load, parse_numbers, parse_seeds, say_where
from biggan.cli.parse import run_command
from biggan.sampling.classes import parse_classes
from biggan.sampling.drawn import SHEET_ENDINGS
from biggan.sampling.grids import check_room


def run(argv: list[str]) -> None:
    """Runs the command on its arguments."""
    run_command(truncation_curve, argv, "biggan truncation-curve")


def truncation_curve(
    model: ModelPlace,
    classes: Annotated[str | None, tyro.conf.arg(name="class", aliases=("--classes",))] = None,
    seeds: str = "0-7",
    values: str = "0.1,0.3,0.5,0.8,1.0",
    by: Literal["truncation", "threshold"] = "truncation",
    out: Path = Path("truncation.png"),
    scale: int | None = None,
    machine: tyro.conf.OmitArgPrefixes[Machine] = Machine(),
) -> None:
    """Draws a sheet of what truncation does: a row for each value, a column for each seed.

    Args:
        model: A run folder, a model folder, a published checkpoint, or fashion-mnist, which ships with the package.
        classes: Class, or several, as for biggan sample; none: every class.
        seeds: Seeds "0,3,7-9".
        values: Truncations, from typical to varied.
        by: Which convention the values are of (see biggan sample).
        out: The sheet, a .png.
        scale: Whole factor by which pictures are magnified; none: until they have 96 pixels.
    """
    check_file(out, SHEET_ENDINGS)
    numbers, chosen = parse_numbers(values, "--values"), parse_seeds(seeds)
    pipe = load(model, machine)
    mixes = parse_classes(classes, pipe.class_names)
    check_room(len(mixes) * len(numbers) * len(chosen), pipe.config.resolution, scale)
    pictures = pipe.truncation_curve(numbers, mixes, chosen, by)
    pictures.save_sheet(out, scale)
    say_where(f"a sheet of {len(pictures.images)} pictures", out)
