"""`biggan report`: a model and its training as one page to look at and to send."""

from pathlib import Path
from typing import Annotated

import tyro

from biggan.cli.drawing import ModelPlace
from biggan.cli.parse import run_command
from biggan.cli.progress import Bar
from biggan.reporting.report import report as write_report


def run(argv: list[str]) -> None:
    """Runs the command on its arguments."""
    run_command(report, argv, "biggan report")


def report(
    model: ModelPlace,
    data: str | None = None,
    classes: Annotated[str | None, tyro.conf.arg(name="class", aliases=("--classes",))] = None,
    images: int | None = None,
    seed: int = 0,
    out: Path = Path("report.html"),
    device: str = "auto",
    batch_size: int | None = None,
) -> None:
    """Writes one HTML page about a model and how it was trained: pictures over time, classes, truncation, neighbours
    among the training images, measurements, curves with a sentence on how to read each, incidents, settings.

    The page fetches nothing, so it can be sent as it is. A run may still be going on. Of a model without its run, what
    is missing is said.

    Args:
        model: A run folder, a model folder, a published checkpoint, or fashion-mnist, which ships with the package.
        data: The images that it was trained on, as for biggan train; none: those that the run names, if they are there.
        classes: Classes to show, as for biggan sample; none: all, or twelve of many.
        images: Images drawn to be measured at each truncation, 50 or more; 0: no measuring; none: 500 up to 64 px, 200
            up to 128, else 0.
        seed: Of the first picture of each row.
        out: The page, an .html.
        device: auto, cpu, cuda, cuda:1 or mps.
        batch_size: Images drawn at once; none: 16, fewer above 128 px, on a CPU above 32.
    """
    with Bar() as bar:
        place = write_report(
            model,
            out,
            data,
            classes=classes,
            images=images,
            seed=seed,
            device=device,
            batch_size=batch_size,
            progress=bar.counting,
        )
        bar.say(f"Wrote a report of {place.stat().st_size / 1e6:.1f} MB to {place}; open it in a browser.")
