"""A model on disk: a folder that is enough to draw from.

`config.json` says what the networks are, `model.safetensors` holds the averaged generator and its tables of standing
statistics, `discriminator.safetensors` D where it is kept, `README.md` is a model card, `samples.png` a sheet. The
folder may be a run's own and be read while the run goes on: each file is replaced in one step, and each tensor file
proves itself (`sealed.py`), so no two files have to change together. Reading is strict: what the config promises is
compared with a file's header and size before any memory is taken.
Not here: what is drawn (`sampling/`), and training states (`training/state.py`).
"""

import hashlib
import io
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from biggan import atomic
from biggan.config import Model
from biggan.config_json import from_json, to_json
from biggan.errors import ConfigError, ModelError
from biggan.models.build import discriminator, generator, without_memory
from biggan.models.card import model_card
from biggan.models.layers import norms
from biggan.models.measured import read
from biggan.models.network import Discriminator, Generator
from biggan.models.sealed import Shapes, seal, shapes_of, unseal
from biggan.models.statistics import Statistics

FORMAT = 1
CONFIG, MODEL, DISCRIMINATOR = "config.json", "model.safetensors", "discriminator.safetensors"
CARD, SAMPLES = "README.md", "samples.png"
STATISTICS = "statistics."
MOST_ROWS = 10_000  # of a table of statistics
MOST_CONFIG = 4 * 2**20  # bytes; a thousand class names are 0.02 MB
KINDS = ("none", "truncation", "threshold")


@dataclass
class Bundle:
    """A model in memory."""

    G: Generator
    """The averaged generator, in evaluation mode once loaded."""
    D: Discriminator | None
    """The discriminator, if it is kept."""
    class_names: list[str]
    """A name a class; empty when unconditional."""
    statistics: Statistics
    """G's tables of standing statistics."""
    training: dict[str, Any] = field(default_factory=dict)
    """How it was made, as JSON values; `data` and `license`, if there, go on top of the model card."""
    sha256: str = ""
    """Of `model.safetensors`, in hexadecimal; set by saving and loading."""
    path: Path | None = None
    """The folder; set by saving and loading."""


def check_place(folder: Path) -> None:
    """Checks that a model may be written into a folder.

    Raises:
        ModelError: It holds files of a model's names that are not a model's; they would be overwritten.
    """
    names = [name for name in (CONFIG, MODEL, DISCRIMINATOR, CARD, SAMPLES) if (folder / name).exists()]
    if names and CONFIG not in names:
        raise ModelError(f"{folder} holds a {names[0]} that is not a model's; choose another --out.")
    if names and (MODEL not in names or _is_foreign(folder / CONFIG)):  # else a model's folder, however damaged
        _read_config(folder)


def _is_foreign(place: Path) -> bool:
    """Whether a `config.json` is a whole one of another program."""
    try:
        values = atomic.read_json(place, MOST_CONFIG)
    except ModelError:
        return False
    return isinstance(values, dict) and "format" not in values


def check_class_names(names: object) -> None:
    """Checks that class names can be shown and stored.

    Raises:
        ModelError: Not a list of texts, or a name has over 1000 characters or control characters.
    """
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError("class_names must be a list of texts; correct config.json.")
    for name in names:
        if len(name) > 1000 or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            rule = "at most 1000 characters without control characters"
            raise ModelError(f"Class name {name[:80]!r} is not allowed; rename it to {rule}.")


def save_bundle(folder: Path, bundle: Bundle, samples: Image.Image | None) -> None:
    """Writes a model into a folder, replacing the one there file by file; sets its `sha256` and `path`.

    The training summary, by which a run knows that its model is written, is the last.

    Args:
        folder: Made if need be; other files in it are left alone.
        bundle: The model.
        samples: A sheet for the card, if there is one.

    Raises:
        ModelError: The folder holds files that are not a model's, or a class name cannot be stored.
        DiskFailed: A write failed; each file is whole, the old or the new.
    """
    check_place(folder)
    check_class_names(bundle.class_names)
    model, names = to_json(bundle.G.config), bundle.class_names
    config = {"format": FORMAT, "model": model, "class_names": names}
    if not _is_of(folder, config):
        atomic.write_json(folder / CONFIG, {**config, "training": {}})  # without it the files are no model's
    statistics = {STATISTICS + name: tensor for name, tensor in bundle.statistics.to_tensors().items()}
    content = seal({**bundle.G.state_dict(), **statistics})
    atomic.write_bytes(folder / MODEL, content)
    if bundle.D is not None:
        atomic.write_bytes(folder / DISCRIMINATOR, seal(bundle.D.state_dict()))
    else:
        atomic.remove(folder / DISCRIMINATOR)
    if samples is not None:
        png = io.BytesIO()
        samples.save(png, "PNG")
        atomic.write_bytes(folder / SAMPLES, png.getvalue())
    bundle.sha256, bundle.path = hashlib.sha256(content).hexdigest(), folder
    write_card(folder, bundle)
    atomic.write_json(folder / CONFIG, {**config, "training": bundle.training})


def _is_of(folder: Path, config: dict[str, Any]) -> bool:
    """Whether a folder's `config.json` is of the same networks and classes."""
    try:
        values = atomic.read_json(folder / CONFIG, MOST_CONFIG) if (folder / CONFIG).exists() else None
    except ModelError:
        return False
    return isinstance(values, dict) and {**values, "training": {}} == {**config, "training": {}}


def write_card(folder: Path, bundle: Bundle) -> None:
    """Writes the card of the model in a folder, with what was measured of its weights (`metrics.jsonl`).

    Raises:
        DiskFailed: The write failed; the card that was there is unchanged.
    """
    with_samples, measured = (folder / SAMPLES).exists(), read(folder, bundle.sha256)
    text = model_card(bundle.G.config, bundle.class_names, bundle.training, with_samples, measured)
    atomic.write_bytes(folder / CARD, text.encode())


def load_bundle(folder: Path) -> Bundle:
    """Reads a model from its folder; both networks come in evaluation mode, on the CPU.

    Raises:
        ModelError: No model is there, or a file is missing, damaged, of another model or of a newer format.
    """
    config, names, training = _read_config(folder)
    D: Discriminator | None = None
    try:
        with without_memory():
            G = generator(config)
            if (folder / DISCRIMINATOR).exists():
                D = discriminator(config)
    except ConfigError as error:
        raise ModelError(f"{folder / CONFIG}: {error}") from error
    state = G.state_dict()
    tensors, sha256 = unseal(folder / MODEL, lambda found: shapes_of(state) | _table_shapes(G, found))
    tables = {name.removeprefix(STATISTICS): tensors.pop(name) for name in tensors.keys() - state.keys()}
    G.load_state_dict(tensors, assign=True)
    if D is not None:
        shapes = shapes_of(D.state_dict())
        D.load_state_dict(unseal(folder / DISCRIMINATOR, lambda found: shapes)[0], assign=True)
        D.eval()
    statistics = Statistics.from_tensors(tables)
    _check_grids(folder, statistics)
    return Bundle(G.eval(), D, names, statistics, training, sha256, folder)


def _table_shapes(G: Generator, found: Shapes) -> Shapes:
    """What G's tables of statistics have to be, with as many rows as their grids in the file say."""
    shapes: Shapes = {}
    for kind in KINDS:
        rows = found.get(f"{STATISTICS}{kind}.grid", ("", ()))[1]
        if kind == "none" or rows:
            length = rows[0] if len(rows) == 1 and 0 < rows[0] <= MOST_ROWS and kind != "none" else 1
            shapes[f"{STATISTICS}{kind}.grid"] = ("F32", (length,))
            for name, norm in norms(G):
                for part in ("stored_mean", "stored_var"):
                    shape = (length, *norm.get_buffer(part).shape)
                    shapes[f"{STATISTICS}{kind}.{name}.{part}"] = ("F32", shape)
    return shapes


def _check_grids(folder: Path, statistics: Statistics) -> None:
    for kind, table in statistics.tables.items():
        if not bool((table.grid.diff() > 0).all()):
            raise ModelError(f"{folder / MODEL} has a {kind} grid that does not rise; give an undamaged model folder.")


def _read_config(folder: Path) -> tuple[Model, list[str], dict[str, Any]]:
    """The networks' config, the class names and the training summary of a model folder."""
    place = folder / CONFIG
    if not place.exists():
        raise ModelError(f"{folder} holds no model (no {CONFIG}); give a model folder, or a run that has saved one.")
    values = atomic.read_json(place, MOST_CONFIG)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ModelError(f"{place} is not of format {FORMAT}; give a model that this version of biggan can read.")
    if values.keys() != {"format", "model", "class_names", "training"} or not isinstance(values["training"], dict):
        raise ModelError(f"{place} must hold format, model, class_names and training; give an undamaged model folder.")
    try:
        model = from_json(Model, values["model"], "model")
    except ConfigError as error:
        raise ModelError(f"{place}: {error}") from error
    names = values["class_names"]
    check_class_names(names)
    if len(names) != model.num_classes:
        raise ModelError(f"{place} has {len(names)} class_names for {model.num_classes} classes; correct one of them.")
    return model, names, values["training"]
