"""What a report says in words and numbers: what was trained on what, how far, with which settings, by which hashes."""

import json
import math
import shlex
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from biggan.config import Config
from biggan.config_json import from_json, to_json
from biggan.errors import ConfigError, ModelError
from biggan.models.build import count_parameters
from biggan.models.bundle import Bundle
from biggan.models.card import ARCHITECTURES
from biggan.models.measured import Record, compared_with, figure, latest
from biggan.presets import as_flags
from biggan.reporting.history import LOOK, Figures, History
from biggan.reporting.panels import called, is_quality, reading, title

CHANNELS = {1: "grey", 2: "grey and alpha", 3: "colour", 4: "colour and alpha"}
PARTS = {
    "model": "Networks",
    "data": "Images",
    "augment": "Little data",
    "optim": "Losses and optimizers",
    "train": "Run",
}


class Tile(NamedTuple):
    """A number at the head of the page."""

    value: str
    of: str
    note: str


class Fact(NamedTuple):
    """A name and what there is to say."""

    name: str
    text: str
    code: bool = False
    """Whether it is to be copied letter by letter."""


class Measure(NamedTuple):
    """A row of the table of measurements."""

    name: str
    title: str
    figures: list[tuple[str, str]]
    """Name and value of each, with its error."""
    of: str
    reading: str


def heading(history: History, bundle: Bundle | None) -> str:
    """What the page is about."""
    source = (bundle.training.get("data") if bundle else None) or history.part("data").get("source")
    return f"BigGAN of {place_name(str(source))}" if source else "A BigGAN"


def place_name(source: str) -> str:
    """What images were asked for as, without the folders on the way: a page may be sent, and these are its writer's."""
    is_path = "://" in source or source.startswith(("/", "~", ".")) or (" " not in source and "/" in source)
    return PurePath(source).name or source if is_path else source


def images_of(history: History, bundle: Bundle | None) -> int | None:
    """Images shown until now, if that is known."""
    known = [int(history.figures[-1]["images"])] if history.figures else []
    of_model = bundle.training.get("images") if bundle else None
    known += [of_model] if isinstance(of_model, int) else []
    return max(known, default=None)


def status(history: History, bundle: Bundle | None) -> str:
    """How far the training is, as a sentence."""
    if not history.is_run:
        return "A model without the folder of its run, so there is no history to show."
    images, total = images_of(history, bundle) or 0, history.settings("train").get("total_images")
    if not isinstance(total, int) or total <= 0:
        return f"{images:,} images shown so far."
    if images >= total:
        return f"Finished: {images:,} images shown."
    return f"Not finished: {images:,} of {total:,} images shown ({images / total:.0%})."


def tiles(history: History, bundle: Bundle | None) -> list[Tile]:
    """The few numbers to begin with."""
    found = []
    images, seconds = images_of(history, bundle), _seconds(history, bundle)
    if images:
        found.append(Tile(f"{images:,}", "images shown to D", _epochs(history, images)))
    if seconds:
        pace = f"{images / seconds:,.0f} images a second" if images else ""
        found.append(Tile(duration(seconds), "of training", pace))
    newest = {called(record): record for record in _of_weights(history.records, bundle) if is_quality(record)}
    found += [_headline(record) for record in newest.values()][:2]
    if history.figures and LOOK in history.figures[-1]:
        found += _of_looks(history.figures[0], history.figures[-1])
    if history.is_run and history.figures:
        count = len(history.incidents)
        note = "" if history.guarded else "without a guard"
        found.append(Tile(str(count), "incident" if count == 1 else "incidents", note))
    return found


def _headline(record: Record) -> Tile:
    """The figure that a measurement is named for."""
    name, value = next(iter(record["values"].items()))
    words = title(record["name"]) if name == "distance" else name
    return Tile(rounded(value, record["errors"].get(name), 1), words, called(record))


def rounded(value: float, error: float | None, digits: int = 2) -> str:
    """A figure with as many places as so many digits of its standard error are worth, and that."""
    if error is None or not math.isfinite(error) or error <= 0:
        return figure(value, 3)
    places = max(0, digits - 1 - math.floor(math.log10(error)))
    return f"{value:.{places}f} ± {error:.{places}f}"


def _of_looks(first: Figures, last: Figures) -> list[Tile]:
    note = "1 is as varied as real images"
    varied = [Tile(figure(last["diversity"], 2), "variety within a class", note)] if "diversity" in last else []
    fell = f"the run's own measure, {figure(first['distance'], 3)} at first"
    return [Tile(figure(last["distance"], 3), "distance to real images", fell), *varied]


def _epochs(history: History, images: int) -> str:
    count = history.part("data").get("num_images")
    return f"{count:,} images, {images / count:.3g} times each" if isinstance(count, int) and count > 0 else ""


def _seconds(history: History, bundle: Bundle | None) -> float | None:
    known = [row["seconds"] for row in history.figures[-1:] if "seconds" in row]
    of_model = bundle.training.get("seconds") if bundle else None
    known += [of_model] if isinstance(of_model, int | float) else []
    return max(known, default=None)


def duration(seconds: float) -> str:
    """Seconds as 2 h 05 min, 12 min or 40 s."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, rest = divmod(minutes, 60)
    return f"{hours:,} h {rest:02} min" if hours else f"{minutes} min"


def facts(history: History, bundle: Bundle | None, class_names: Sequence[str]) -> list[Fact]:
    """What the model is and how it came about."""
    found = []
    model = to_json(bundle.G.config) if bundle else history.settings("model")
    training = bundle.training if bundle else {}
    if model:
        colour = CHANNELS.get(model.get("image_channels", 0), "")
        size = f"{model.get('resolution')} x {model.get('resolution')} pixels, {colour}"
        found.append(Fact("Draws", f"{size}, {f'{len(class_names):,} classes' if class_names else 'no classes'}"))
    if bundle:
        sizes = f"G {count_parameters(bundle.G):,} parameters"
        sizes += f", D {count_parameters(bundle.D):,}" if bundle.D is not None else ", no D kept"
        found.append(Fact("Networks", f"{ARCHITECTURES[bundle.G.config.architecture]}, {sizes}"))
    data = history.part("data")
    source = training.get("data") or data.get("source")
    if source:
        count = f", {data['num_images']:,} images" if isinstance(data.get("num_images"), int) else ""
        found.append(Fact("Trained on", f"{place_name(str(source))}{count}"))
    if history.part("init").get("source"):
        found.append(Fact("Started from", place_name(str(history.part("init")["source"]))))
    if training.get("license"):
        found.append(Fact("Licence", f"{training['license']} (of the weights; images have their own)"))
    if isinstance(history.best.get("images"), int):
        distance = history.best.get("distance")
        by = f" by {history.best['distance_by']}" if history.best.get("distance_by") else ""
        measured = f", distance {figure(distance, 3)}{by}" if isinstance(distance, int | float) else ""
        found.append(Fact("Best model kept", f"after {history.best['images']:,} images{measured}, in best/"))
    return found


def hashes(history: History, bundle: Bundle | None) -> list[Fact]:
    """What proves which weights and images these are, and by what they were made."""
    training, data = bundle.training if bundle else {}, history.part("data")
    versions = training.get("versions") or history.part("versions")
    found = [
        Fact("Weights, SHA-256", bundle.sha256 if bundle else "", code=True),
        Fact("Training images, SHA-256", str(data.get("sha256") or ""), code=True),
        Fact("Started from, SHA-256", str(history.part("init").get("sha256") or ""), code=True),
        Fact("Seed", str(training.get("seed", history.settings("train").get("seed", "")))),
        Fact("Precision", str(training.get("precision", history.settings("train").get("precision", "")))),
        Fact("Versions", ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, dict) else ""),
    ]
    return [fact for fact in found if fact.text]


def settings(history: History, bundle: Bundle | None) -> dict[str, list[Fact]]:
    """All settings by what they are about."""
    parts = dict(history.part("config"))
    if bundle and "model" not in parts:
        parts["model"] = to_json(bundle.G.config)
    return {
        PARTS.get(part, part): [Fact(name.replace("_", " "), _value(value)) for name, value in values.items()]
        for part, values in parts.items()
        if isinstance(values, dict)
    }


def command(history: History) -> str:
    """The command that began the run, empty where it cannot be told."""
    source = history.part("data").get("source")
    if not source or not history.part("config"):
        return ""
    try:
        flags = as_flags(from_json(Config, history.part("config"), "run.json"))
    except (ConfigError, ModelError, ValueError):
        return ""
    init = history.part("init").get("source")
    begin = ["--init", place_name(str(init))] if init else []
    return shlex.join(["biggan", "train", "--data", place_name(str(source)), *begin, *flags])


def _value(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else json.dumps(value).strip('"')


def measures(history: History, bundle: Bundle | None) -> list[Measure]:
    """The newest record of each measurement of these weights with each set of real images."""
    return [
        Measure(
            called(record),
            title(record["name"]),
            [(name, rounded(value, record["errors"].get(name))) for name, value in record["values"].items()],
            _of(record),
            reading(record["name"]),
        )
        for record in latest(_of_weights(history.records, bundle))
    ]


def _of_weights(records: Sequence[dict[str, Any]], bundle: Bundle | None) -> list[dict[str, Any]]:
    return [each for each in records if bundle and each["weights"]["sha256"] == bundle.sha256]


def _of(record: Record) -> str:
    """How many images of which set, and by which network."""
    network = record.get("network")
    seen = [f"{network.get('name')} at {network.get('size')} px"] if isinstance(network, dict) else []
    return ", ".join([*compared_with(record), *seen])
