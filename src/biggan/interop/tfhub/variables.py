"""From a module's variables and tables of statistics, as arrays, to a bundle of ours; TensorFlow is not needed.

Not here: what the variables are called (`names.py`), and the files that they are in (`reading.py`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from biggan.config import Model
from biggan.errors import ConfigError, ModelError
from biggan.interop.checkpoint import require_shapes
from biggan.interop.imported import Imported, Overrides
from biggan.interop.tfhub.names import (
    DEEP,
    EMBEDDING,
    SHALLOW,
    accumulators_of,
    names_of,
    passed_over,
    variables_of,
)
from biggan.models.build import generator, without_memory
from biggan.models.bundle import Bundle
from biggan.models.layers import norms
from biggan.models.network import BOTTOM, Generator
from biggan.models.spectral import advance
from biggan.models.statistics import TRUNCATIONS, Statistics, Table

EPS = 1e-4  # of batch norm and spectral norm in all six
FIRST = 16  # channels of the first map, in multiples of the width
UNDAMAGED = "unpack the module anew"

Array = np.ndarray[Any, Any]


def from_variables(
    path: Path, variables: Mapping[str, Array], statistics: Sequence[Array], overrides: Overrides
) -> Imported:
    """A module's variables as ours: the averaged generator.

    Which of the six it is, its width and its dimensions follow from names and shapes.

    Args:
        path: Where they are from, for messages.
        variables: TF name, with or without `module/` and `:0` -> array, as in the checkpoint.
        statistics: Tables by truncation, mean and variance of each batch norm in forward order: 2 x norms arrays
            (51, C) for truncations 0, 0.02, …, 1, or (50, C) for 0.02, …, 1. Without them the accumulated statistics
            among the variables serve, which are those of truncation 1. They are taken as they are, since they are
            means already: BigGAN-PyTorch's converter does not divide them by their counter, and its pictures at
            truncation 1 are TF's (BigGAN-PyTorch, issue 14).
        overrides: What to take instead of the published values.

    Raises:
        ModelError: A variable is missing, unknown, of another shape or kind, or not finite; the message names it. Or
            they are of none of the six, or tables of BigGAN-deep do not fit its batch norms.
        ConfigError: An override that is not allowed.
    """
    arrays = {re.sub(r"^module/|:0$", "", name): array for name, array in variables.items()}
    given = {name: value for name, value in asdict(overrides).items() if name != "class_names" and value is not None}
    try:
        model = _config(path, arrays)
    except ConfigError as error:
        raise ModelError(f"{path}: {error}") from error
    model = replace(model, **given)  # which is no fault of the file's
    try:
        with without_memory():
            G = generator(model)
    except ConfigError as error:
        raise ModelError(f"{path}: {error}") from error
    misfit = _misfit(G, statistics) if statistics else "there are none"
    if statistics and misfit and names_of(G) is DEEP:
        raise ModelError(f"{path}: of its tables of statistics {misfit}; {UNDAMAGED}.")
    used, shapes = variables_of(G), {name: x.shape for name, x in G.state_dict().items()}
    tensors = _checked(path, G, arrays, used | (accumulators_of(G) if misfit else {}))
    state = {name: _ours(G, name, shapes[name], tensors[used[name]]) for name in used}
    G.load_state_dict({name: state.get(name, torch.zeros(shape)) for name, shape in shapes.items()}, assign=True)
    _set_singular_values(G.eval())
    table = _accumulated(G, tensors) if misfit else _table(G, statistics)
    last = {name: rows[-1:].clone() for name, rows in table.values.items()}
    tables = Statistics({"none": Table(torch.zeros(1), last), "truncation": table})
    G.use_statistics(tables.row())
    notes = _notes(G.config, misfit)
    summary = {"imported from": f"TF-Hub ({G.config.architecture}-{G.config.resolution})", "assumed": notes}
    return Imported(Bundle(G, None, overrides.names_of(G.num_classes), tables, summary), notes)


def _notes(config: Model, misfit: str | None) -> list[str]:
    notes = [
        "The averaged weights were taken; those from before averaging were left out.",
        f"Epsilon is {config.norm_eps:g} in batch norm, {config.output_norm_eps:g} in the last one and "
        f"{config.sn_eps:g} in spectral norm; the module does not say, and published ports have 0.0001.",
        "There are no statistics of untruncated latents; those of truncation 1 stand in.",
    ]
    if misfit:
        other = "; --truncations measures others"
        notes.append(f"The statistics are of truncation 1 alone (of tables by truncation {misfit}){other}.")
    return notes


def _config(path: Path, arrays: Mapping[str, Array]) -> Model:
    """Which module it is, by the number of its blocks and the shapes of its first layers."""
    deep = any(name.endswith(DEEP.ema) for name in arrays)
    names = DEEP if deep else SHALLOW
    num_classes, shared_dim = _matrix(path, arrays, f"{EMBEDDING}/w/{names.ema}")
    features, units = _matrix(path, arrays, f"Generator/{names.first}/w/{names.ema}")
    found = [re.match(r"Generator/GBlock(?:_(\d{1,3}))?/", name) for name in arrays]
    blocks = 1 + max((int(match[1] or 0) for match in found if match), default=-1)
    if blocks not in names.resolutions:
        counts = ", ".join(map(str, names.resolutions))
        raise ModelError(
            f"{path} has {blocks} blocks Generator/GBlock, and such modules have {counts}; give a whole one."
        )
    if units % (FIRST * BOTTOM**2):
        raise ModelError(f"{path} has a first layer of {units} units, no multiple of {FIRST * BOTTOM**2}; {UNDAMAGED}.")
    resolution, channels = names.resolutions[blocks], units // (FIRST * BOTTOM**2)
    settings: dict[str, Any] = {"norm_eps": EPS, "output_norm_eps": EPS, "sn_eps": EPS}
    if deep:
        settings |= {"architecture": "biggan-deep", "condition": "zy", "wide_output": True, "sn_vectors": "uv"}
    return Model(
        resolution=resolution,
        num_classes=num_classes,
        g_channels=channels,
        d_channels=channels,
        g_attention=(names.attention[resolution],),
        dim_z=features - shared_dim if deep else features * (blocks + 1),
        shared_dim=shared_dim,
        **settings,
    )


def _matrix(path: Path, arrays: Mapping[str, Array], name: str) -> tuple[int, int]:
    """The shape of a matrix that every module has."""
    if name not in arrays:
        raise ModelError(f"{path} lacks the variable {name}; give one of the six BigGAN modules of TF-Hub.")
    shape = arrays[name].shape
    if len(shape) != 2:
        raise ModelError(f"{path} has {name} of shape {list(shape)}, which is no matrix; {UNDAMAGED}.")
    return shape[0], shape[1]


def _checked(path: Path, G: Generator, arrays: Mapping[str, Array], needed: Mapping[str, str]) -> dict[str, Tensor]:
    """The needed variables (our name -> TF's) in float32, without dimensions of one.

    Raises:
        ModelError: One of them is not as it must be, or something unknown is there.
    """
    state, known = G.state_dict(), passed_over(G) | set(accumulators_of(G).values())
    expected = {variable: _squeezed(_tf_shape(name, state[name].shape)) for name, variable in needed.items()}
    asked = {name: array for name, array in arrays.items() if name in expected or name not in known}
    tensors = {name: _tensor(path, name, array) for name, array in asked.items()}
    require_shapes(path, tensors, expected)
    return tensors


def _tensor(path: Path, name: str, array: Array) -> Tensor:
    if array.dtype.kind != "f":
        raise ModelError(f"{path} has the variable {name[:80]!r} of kind {array.dtype}, not of floats; {UNDAMAGED}.")
    if not np.isfinite(array).all():
        raise ModelError(f"{path} holds NaN or Inf in {name[:80]}; {UNDAMAGED}.")
    return torch.from_numpy(np.array(array, np.float32)).squeeze()


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


def _is_matrix(name: str, shape: Sequence[int]) -> bool:
    return len(shape) == 2 and name.endswith("weight") and name != "shared.weight"


def _tf_shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a TF variable by ours: kernels are HWIO, matrices (in, out)."""
    if len(shape) == 4:
        out, channels, height, width = shape
        return height, width, channels, out
    return (shape[1], shape[0]) if _is_matrix(name, shape) else tuple(shape)


def _ours(G: Generator, name: str, shape: Sequence[int], tensor: Tensor) -> Tensor:
    """A variable as our tensor of that name and shape.

    Rows of the first layer go from (4, 4, C) to (C, 4, 4), its bias and u0 with them; columns of BigGAN's conditional
    norms from [z, class] to [class, z]. (BigGAN-deep has a setting for that order.)
    """
    x = tensor.reshape(_tf_shape(name, shape))
    if len(shape) == 4:
        x = x.permute(3, 2, 0, 1)
    elif _is_matrix(name, shape):
        x = x.mT
    if name.startswith("linear."):
        inputs = shape[1] if name == "linear.weight" else 1
        x = x.reshape(BOTTOM, BOTTOM, -1, inputs).permute(2, 0, 1, 3).reshape(*shape)
    elif ".bn" in name and _is_matrix(name, shape) and names_of(G) is SHALLOW:
        x = x.roll(G.config.shared_dim, 1)
    return x.contiguous()


def _set_singular_values(G: Generator) -> None:
    """Makes one power iteration from the u0 that are there, as TF does in each forward.

    Where v is kept, new u and v stay. Where u is kept alone, every forward makes that iteration itself, so u0 is put
    back; the singular values stay.
    """
    before = {name: x.clone() for name, x in G.state_dict().items() if name.endswith(".u0")}
    advance(G)
    if G.config.sn_vectors == "u":
        for name, u in before.items():
            G.get_buffer(name).copy_(u)


def _moments(G: Generator) -> list[str]:
    """Names of the means and variances in forward order, mean before variance."""
    return [f"{name}.{part}" for name, _ in norms(G) for part in ("stored_mean", "stored_var")]


def _misfit(G: Generator, tables: Sequence[Array]) -> str | None:
    """Why tables by truncation are not those of G's norms, if they are not."""
    names, rows = _moments(G), len(tables[0])
    if len(tables) != len(names):
        return f"there are {len(tables)} where {len(names)} are needed"
    for number, (name, table) in enumerate(zip(names, tables, strict=True)):
        shape = (max(rows, len(TRUNCATIONS) - 1), len(G.get_buffer(name)))
        if table.shape != shape or rows > len(TRUNCATIONS):
            return f"number {number} has shape {list(table.shape)} where {list(shape)} is needed"
        if table.dtype.kind != "f" or not np.isfinite(table).all() or (name.endswith("var") and (table < 0).any()):
            return f"number {number} has NaN, Inf, a variance below 0 or no floats"
    return None


def _table(G: Generator, tables: Sequence[Array]) -> Table:
    rows = (torch.from_numpy(np.array(table, np.float32)) for table in tables)
    return Table(torch.tensor(TRUNCATIONS[-len(tables[0]) :]), dict(zip(_moments(G), rows, strict=True)))


def _accumulated(G: Generator, tensors: Mapping[str, Tensor]) -> Table:
    return Table(
        torch.ones(1), {name: tensors[variable].reshape(1, -1) for name, variable in accumulators_of(G).items()}
    )
