"""`biggan interpolate`: the way from one image to another, as a strip or a film."""

from pathlib import Path
from typing import Annotated

import tyro

from biggan.cli.drawing import Machine, ModelPlace, Truncated, check_file, load, parse_seeds, say_where
from biggan.cli.parse import run_command
from biggan.errors import ConfigError
from biggan.sampling.classes import ClassMix, parse_classes
from biggan.sampling.drawn import FILM_ENDINGS, SHEET_ENDINGS
from biggan.sampling.pipeline import Pipeline

STRIP_STEPS, FILM_STEPS = 9, 24


def run(argv: list[str]) -> None:
    """Runs the command on its arguments."""
    run_command(interpolate, argv, "biggan interpolate")


def interpolate(
    model: ModelPlace,
    start: Annotated[str | None, tyro.conf.arg(name="from")] = None,
    end: Annotated[str | None, tyro.conf.arg(name="to")] = None,
    via: str | None = None,
    seeds: str | None = None,
    steps: int | None = None,
    loop: bool = False,
    out: Path = Path("interpolation.png"),
    scale: int | None = None,
    fps: float = 12,
    truncated: tyro.conf.OmitArgPrefixes[Truncated] = Truncated(),
    machine: tyro.conf.OmitArgPrefixes[Machine] = Machine(),
) -> None:
    """Draws the way from one class and seed to another: spherical in z, linear in the class embedding.

    Args:
        model: A run folder, a model folder, a published checkpoint, or fashion-mnist, which ships with the package.
        start: Class at the start, a name, number or mix; a model without classes takes none.
        end: Class at the end; none: the one at the start.
        via: Classes to pass on the way, "Bag,Coat"; a row of the strip each.
        seeds: Seeds of the start, the stops and the end, "3,8", or one for all; none: 0, 1, ….
        steps: Pictures from one stop to the next, both included; none: 9, or 24 in a film.
        loop: Go back to the start at the end.
        out: A strip (.png) or a film (.webp, .gif).
        scale: Whole factor by which pictures are magnified; none: until they have 96 pixels.
        fps: Pictures of a film a second.
    """
    check_file(out, SHEET_ENDINGS + FILM_ENDINGS)
    given = None if seeds is None else parse_seeds(seeds)
    pipe = load(model, machine)
    mixes = _stops(pipe, start, via, end)
    chosen = list(range(max(2, len(mixes)))) if given is None else given
    usual = FILM_STEPS if out.suffix.lower() in FILM_ENDINGS else STRIP_STEPS
    each = usual if steps is None else steps
    way = pipe.interpolate(mixes, chosen, each, loop, truncated.truncation, truncated.threshold)
    way.save(out, scale, fps)
    say_where(f"{len(way.frames())} pictures", out)


def _stops(pipe: Pipeline, start: str | None, via: str | None, end: str | None) -> list[ClassMix]:
    """The classes from start to end; one for all stops where no other is given."""
    if start is None and pipe.class_names:
        raise ConfigError(f"--from is missing; name the class to start from, {pipe.class_names[0]!r} for example.")
    if start is None:
        return parse_classes(None, pipe.class_names)
    first = parse_classes(start, pipe.class_names)
    if via is None and end is None:
        return first
    between = [] if via is None else parse_classes(via, pipe.class_names)
    return [*first, *between, *(first if end is None else parse_classes(end, pipe.class_names))]
