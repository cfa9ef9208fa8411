"""`report`: a model and its training as one HTML page that fetches nothing.

Not here: what each part shows (the modules beside this one), and how the page looks (`templates/`).
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from biggan import __version__, atomic
from biggan.config import Data, Model
from biggan.config_json import from_json
from biggan.data import bundled
from biggan.data.packed import Packed, default_cache, prepare
from biggan.errors import ConfigError, DataError
from biggan.evaluation.eyes import random_eyes, trained_eyes
from biggan.evaluation.looking import TRUNCATIONS
from biggan.evaluation.material import Material
from biggan.models.bundle import Bundle
from biggan.models.statistics import truncation_table
from biggan.opening import open_model
from biggan.reporting import drawing, facts, measuring, moments, page, panels
from biggan.reporting.charts import Chart, Frame, framed
from biggan.reporting.history import History, read_history
from biggan.reporting.pictures import Rows
from biggan.run_record import RUN
from biggan.sampling.classes import ClassMix, parse_classes
from biggan.sampling.pipeline import Classes, Pipeline

LATENTS = 256  # behind statistics of a truncation that the model lacks
MOST_IMAGES = 20_000

Progress = Callable[[str, int, int], None]


def report(
    path_or_name: str | Path,
    out: str | Path = "report.html",
    data: str | Path | None = None,
    *,
    classes: Classes = None,
    images: int | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Writes a page about a model and its training; a run may still be going on.

    Args:
        path_or_name: A run folder, or a model as for `load`.
        out: The page, an `.html`; an older report there is replaced, anything else is not.
        data: The images that it was trained on, as for `train`; None for those that the run names, if they are there.
        classes: Those to show (see `parse_classes`); None for all, or twelve of many.
        images: Drawn to be measured at each truncation; 0 for no measuring; None for 500 up to 64 px, 200 up to 128.
        seed: Of the first picture of each row.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        batch_size: Images drawn at once.
        progress: Takes what is being done, the images done, and all of them.

    Returns:
        The page's path.

    Raises:
        UserError: The model, the images, a class or a number are not as they must be.
        DiskFailed: The page could not be written; what was there is unchanged.
    """
    place, show = Path(out), progress or (lambda what, done, total: None)
    page.check_place(place)
    if images is not None and not (images == 0 or 50 <= images <= MOST_IMAGES):
        raise ConfigError(f"--images is {images}; allowed is 0 or 50 to {MOST_IMAGES:,}.")
    bundle, history = _found(path_or_name)
    seen = _images(path_or_name, history, bundle, data, show)
    values = _context(history, bundle) | {"lacking": seen.lacking, "unproved": seen.unproved}
    if bundle is not None:
        pipe = Pipeline(bundle).to(device, batch_size=batch_size)
        mixes = drawing.shown(pipe) if classes is None else parse_classes(classes, pipe.class_names)
        packs: dict[Any, Packed] = {} if seen.packed is None else {"train": seen.packed}
        material = Material(pipe, packs, seed, None, None, default_cache(), None, show)
        count = measuring.usual_count(pipe.config.resolution) if images is None else images
        values |= _drawn(pipe, mixes, material, seed, show) | _measured(material, count)
    atomic.write_bytes(place, page.render(values).encode())
    return place


def _found(path_or_name: str | Path) -> tuple[Bundle | None, History]:
    """The model, None for a run that has not written one yet, and its history.

    Raises:
        ModelError: There is neither, or the model is damaged.
    """
    folder = Path(path_or_name)
    if (folder / RUN).is_file() and not (folder / "model.safetensors").exists():
        return None, read_history(folder)
    bundle = open_model(path_or_name)
    return bundle, read_history(bundle.path)


class TrainingImages(NamedTuple):
    """The images that a model was trained on, as far as they can be had."""

    packed: Packed | None
    lacking: str = ""
    """Why there are none, a sentence."""
    unproved: str = ""
    """What was taken for them where nothing proves that it is them."""


def _images(
    path_or_name: str | Path, history: History, bundle: Bundle | None, given: str | Path | None, show: Progress
) -> TrainingImages:
    """Finds the training images.

    Raises:
        DataError: Images that were given cannot be read.
        ConfigError: They are not those of the run.
    """
    named = history.part("data").get("source") or (str(path_or_name) if str(path_or_name) in bundled.NAMES else None)
    source = given if given is not None else named
    if source is None:
        return TrainingImages(None, "The training images are not known here; give them with --data.")
    called = facts.place_name(str(source))
    try:
        packed = _prepared(str(source), history, bundle, show)
    except (DataError, ConfigError):
        if given is not None:
            raise
        return TrainingImages(None, f"The training images ({called}) are not where they were; give --data.")
    known = history.part("data").get("sha256")
    if known is None or known == packed.sha256:
        return TrainingImages(packed, unproved=called if known is None else "")
    if given is not None:
        raise ConfigError(f"--data {given} is not what this run was trained on (its SHA-256 differs); give that.")
    return TrainingImages(None, f"{called} is not what the run began with any more; give --data.")


def _prepared(source: str, history: History, bundle: Bundle | None, show: Progress) -> Packed:
    """Images at the model's size, made into squares as the run made them."""
    model = bundle.G.config if bundle else from_json(Model, history.settings("model"), RUN)
    settings = history.settings("data")
    data = from_json(Data, settings, RUN) if settings else Data(channels=model.image_channels)
    return prepare(source, model.resolution, data, lambda done, total: show("packing", done, total))


def _context(history: History, bundle: Bundle | None) -> dict[str, Any]:
    """What needs no drawing, by the names that the template knows."""
    names = bundle.class_names if bundle else history.class_names
    return {
        "heading": facts.heading(history, bundle),
        "status": facts.status(history, bundle),
        "tiles": facts.tiles(history, bundle),
        "facts": facts.facts(history, bundle, names),
        "hashes": facts.hashes(history, bundle),
        "settings": facts.settings(history, bundle),
        "command": facts.command(history),
        "by_the_clock": bool(history.part("budget")),
        "measures": facts.measures(history, bundle),
        "metric_curves": _frames(panels.metric_curves(history.records)),
        "curves": _frames(panels.curves(history, names)),
        "is_run": history.is_run,
        "guarded": history.guarded,
        "incidents": moments.told(history.incidents),
        "moments": moments.moments(history, history.class_names),
        "has_model": bundle is not None,
        "version": __version__,
        "date": time.strftime("%-d %B %Y"),
    }


def _frames(charts: list[Chart]) -> list[Frame]:
    return [frame for frame in map(framed, charts) if frame]


def _drawn(pipe: Pipeline, mixes: list[ClassMix], material: Material, seed: int, show: Progress) -> dict[str, Any]:
    """Pictures that the model draws for the page."""
    _cover(pipe, lambda done, total: show("statistics of truncations", done, total))
    made = dict[str, Any]()
    steps: list[tuple[str, Callable[[], Rows]]] = [
        ("classes", lambda: drawing.class_rows(pipe, mixes, material, seed)),
        ("truncations", lambda: drawing.truncation_rows(pipe, mixes, TRUNCATIONS, seed)),
        ("ways", lambda: drawing.ways(pipe, mixes, seed)),
    ]
    for done, (name, draw) in enumerate(steps, 1):
        made[name] = draw()
        show("drawing", done, len(steps))
    made["num_classes"], made["num_shown"], made["seed"] = len(pipe.class_names), len(mixes), seed
    return made


def _cover(pipe: Pipeline, measured: Callable[[int, int], None]) -> None:
    """Sees to it that the model, in memory alone, has statistics for all truncations of a report.

    A run gets its tables at its end, and a checkpoint may have come without.
    """
    tables = pipe.bundle.statistics.tables
    grid = tables["truncation"].grid if "truncation" in tables else torch.empty(0)
    if not len(grid) or float(grid[0]) > TRUNCATIONS[0] or float(grid[-1]) < TRUNCATIONS[-1]:
        tables["truncation"] = truncation_table(pipe.generator, TRUNCATIONS, LATENTS, measured)


def _measured(material: Material, count: int) -> dict[str, Any]:
    """What is measured against the training images, where there are any."""
    packed = material.packs.get("train")
    if packed is None or count == 0:
        return {}
    if packed.num_images < measuring.LEAST_IMAGES:
        few = f"Not measured: that takes {measuring.LEAST_IMAGES} training images, and there are {packed.num_images}."
        return {"lacking": few}
    config = material.pipe.config
    device = material.pipe.generator.linear.weight.device
    eyes = trained_eyes(config.image_channels, 96 if config.resolution <= measuring.SMALL else None, device)
    curve = measuring.truncation_curve(material, eyes, count)
    near = measuring.neighbours(material, random_eyes(config.image_channels), count)
    found = {"curve": curve, "curve_frame": framed(curve.chart)}
    if near is None:
        return {**found, "lacking": "Not measured: so many training images are there twice that there is no yardstick."}
    return {
        **found,
        "near": near,
        "near_frame": framed(near.chart),
        "suspects": drawing.suspects(material, near),
    }
