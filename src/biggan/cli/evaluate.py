"""`biggan evaluate`: a model measured against real images, as a table."""

import os
from pathlib import Path
from typing import Any

from tyro.conf import OmitArgPrefixes

from biggan import assess
from biggan.cli.drawing import ModelPlace, Truncated
from biggan.cli.parse import run_command
from biggan.cli.progress import Bar
from biggan.evaluation.names import KINDS, parse_name
from biggan.interop.recognise import is_foreign
from biggan.models.measured import METRICS, figure


def run(argv: list[str]) -> None:
    """Runs the command on its arguments."""
    run_command(evaluate, argv, "biggan evaluate")


def evaluate(
    model: ModelPlace,
    data: str | None = None,
    test_data: str | None = None,
    metrics: str | None = None,
    truncated: OmitArgPrefixes[Truncated] = Truncated(),
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    inception: Path | None = None,
    cache: Path | None = None,
) -> None:
    """Measures a model against the images it was trained on, and others that it never saw.

    A measurement is asked for by a name that says what is done: a metric, a number of drawn images, the real images,
    the network. kid2k_test@efficientnet_lite0 is the kernel distance of 2,000 drawn images to the held-out ones. The
    metrics are fid, fd, kid, is, score, pr, dc, ifid, ifd, acc, cas, copies, trunc and d; docs/evaluation.md says which
    to trust for what. Results are added to metrics.jsonl and the card in the model's folder. After Ctrl-C the same
    command goes on.

    Args:
        model: A run folder, a model folder, a published checkpoint, or fashion-mnist, which ships with the package.
        data: The images that it was trained on, as for biggan train.
        test_data: Images of the same kind that it never saw (fashion-mnist-test for fashion-mnist).
        metrics: Names set apart by commas; none: what a laptop can do in minutes.
        seed: Of the first drawn image; the others follow.
        device: auto, cpu, cuda, cuda:1 or mps.
        batch_size: Images drawn at once; none: 16, fewer above 128 px, on a CPU above 32.
        inception: The weights file of the 2015 Inception network, pt_inception-2015-12-05-6726825d.pth.
        cache: Where features of images are kept; none: the user's cache folder.
    """
    with Bar() as bar:
        assess.evaluate(
            model,
            data,
            test_data,
            metrics,
            truncation=truncated.truncation,
            threshold=truncated.threshold,
            seed=seed,
            device=device,
            batch_size=batch_size,
            inception=inception,
            cache=cache,
            progress=bar.counting,
            found=lambda record: bar.say("\n".join(rows(record))),
        )
        if (Path(model) / METRICS).exists() and os.access(model, os.W_OK) and not is_foreign(model):
            bar.say(f"Full records: {Path(model) / METRICS}")
        else:
            bar.say(
                "No record was kept: only a model's own folder that can be written has one; give a copy, or what "
                "biggan import makes."
            )


def rows(record: dict[str, Any]) -> list[str]:
    """A record for reading: its name and title, a line a figure, notes."""
    better = KINDS[parse_name(record["name"]).metric].better
    way = "" if better == "neither" else f" ({better} is better)"
    lines = [f"{record['name']}  {record['title']}{way}, {record['seconds']:.0f} s"]
    for name, value in record["values"].items():
        error = f" ± {figure(record['errors'][name], 2)}" if name in record["errors"] else ""
        lines.append(f"  {name:<22}{figure(value):>10}{error}")
    return [*lines, *(f"  {note}" for note in record["notes"])]
