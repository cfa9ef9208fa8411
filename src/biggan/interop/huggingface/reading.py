"""A folder of pytorch-pretrained-biggan as ours: `config.json` and the weights of a BigGAN-deep generator.

Not here: the settings (`config.py`), and where the published models are (`interop/hub.py`).
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from biggan.atomic import read_json
from biggan.config import Model
from biggan.errors import ConfigError, ModelError
from biggan.interop.checkpoint import read_tensors, require_shapes
from biggan.interop.huggingface.config import MOST_BYTES, PUBLISHED, BigGANConfig
from biggan.interop.huggingface.names import expected_shapes, is_moment, names_of, to_ours
from biggan.interop.imported import Imported, Overrides
from biggan.models.build import generator, without_memory
from biggan.models.bundle import Bundle
from biggan.models.network import Generator
from biggan.models.statistics import Statistics, Table

CONFIG, WEIGHTS, SAFE_WEIGHTS = "config.json", "pytorch_model.bin", "model.safetensors"
OLD_NAMES = {f"biggan-deep-{R}-{CONFIG}": f"biggan-deep-{R}-{WEIGHTS}" for R in PUBLISHED}
"""Names of the files where they were first published."""


class Files(NamedTuple):
    """The two files of a model."""

    config: Path
    weights: Path


def holds(path: Path) -> bool:
    """Whether a path is a folder of this layout; our own model folders, whose config has a `format`, are not."""
    files = find_files(path)
    if files is None or files.weights.name != SAFE_WEIGHTS:
        return files is not None
    try:
        values = read_json(files.config, MOST_BYTES)
    except ModelError:
        return False
    return isinstance(values, dict) and "format" not in values


def load(path: Path, overrides: Overrides) -> Imported:
    """A folder as ours; see `read`, whose errors it raises."""
    return read(files_in(path), overrides)


def files_in(folder: Path) -> Files:
    """The files of a folder.

    Raises:
        ModelError: They are not there.
    """
    files = find_files(folder)
    if files is None:
        needed = f"{CONFIG} and {WEIGHTS} or {SAFE_WEIGHTS}"
        raise ModelError(f"{folder} holds no generator of pytorch-pretrained-biggan; it must have {needed}.")
    return files


def find_files(folder: Path) -> Files | None:
    """The files of a folder, if they are there; safetensors before others."""
    pairs = [(CONFIG, SAFE_WEIGHTS), (CONFIG, WEIGHTS), *OLD_NAMES.items()]
    found = [Files(folder / config, folder / weights) for config, weights in pairs]
    return next((files for files in found if files.config.is_file() and files.weights.is_file()), None)


def read(files: Files, overrides: Overrides) -> Imported:
    """A model's files as ours.

    Args:
        files: Where they are.
        overrides: What to take instead of what the config says.

    Raises:
        ModelError: A file is missing or damaged, the config is not this layout's, or a tensor is missing, unknown or
            of another shape; the message names it.
        ConfigError: An override that is not allowed, or not as many class names as there are classes.
    """
    config = BigGANConfig.from_json_file(files.config)
    given = {name: value for name, value in asdict(overrides).items() if name != "class_names" and value is not None}
    try:
        model = config.to_model()
    except ConfigError as error:
        raise ModelError(f"{files.config}: {error}") from error
    model = replace(model, **given)  # which is no fault of the file's
    G, statistics = read_generator(files, config, model)
    notes = [
        "There are no statistics of untruncated latents; those of truncation 1 stand in.",
        "The layout has no discriminator.",
    ]
    names, summary = overrides.names_of(model.num_classes), {"imported from": files.weights.name, "assumed": notes}
    return Imported(Bundle(G, None, names, statistics, summary), notes)


def read_generator(files: Files, config: BigGANConfig, model: Model) -> tuple[Generator, Statistics]:
    """G in evaluation mode with the statistics of truncation 1, and its tables.

    Args:
        files: Where the weights are, and for messages the config.
        config: What the config says.
        model: The same as ours.

    Raises:
        ModelError: As `read`.
    """
    try:
        with without_memory():
            G = generator(model)
    except ConfigError as error:
        raise ModelError(f"{files.config}: {error}") from error
    names, shapes = names_of(G), {name: x.shape for name, x in G.state_dict().items()}
    found = read_tensors(files.weights)
    require_shapes(files.weights, found, dict(expected_shapes(G, config.n_stats)))
    rows = {name: found.pop(theirs) for name, theirs in names.items() if is_moment(name)}
    for name, value in rows.items():
        if name.endswith("var") and bool((value < 0).any()):
            raise ModelError(f"{files.weights} has a negative variance in {names[name]}; get an undamaged copy.")
    last = {name: value[-1:].clone() for name, value in rows.items()}
    grid = torch.arange(config.n_stats) / (config.n_stats - 1)
    statistics = Statistics({"none": Table(torch.zeros(1), last), "truncation": Table(grid, rows)})
    state = {name: value[0].clone() for name, value in last.items()}
    state |= {name: to_ours(name, found.pop(names[name]), shapes[name]) for name in names.keys() - rows.keys()}
    state |= dict(_singular_values(state))
    G.load_state_dict(state, assign=True)
    return G.eval(), statistics


def _singular_values(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """σ = u W vᵀ of each kept pair."""
    for name, u in state.items():
        if name.endswith(".u0"):
            layer = name.removesuffix(".u0")
            yield f"{layer}.sv0", (u @ state[f"{layer}.weight"].flatten(1) @ state[f"{layer}.v0"].mT).reshape(1)
