"""The layout of pytorch-pretrained-biggan: a folder with `config.json` and the weights of a BigGAN-deep generator.

What it has beside ours: rows of batch-norm statistics for truncations from 0 to 1 at even steps, the first layer's
rows in the order (height, width, channel), and as many filters in the last convolution as its input has channels.
Not here: the settings (`huggingface_config.py`), where the published models are (`hub.py`), and the package's functions
(`pretrained.py`).
"""

import io
import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from biggan import atomic
from biggan.config import Model
from biggan.errors import ConfigError, ModelError
from biggan.interop.checkpoint import read_tensors, require_shapes
from biggan.interop.huggingface_config import PUBLISHED, BigGANConfig
from biggan.interop.imported import Imported, Overrides
from biggan.models.build import generator, without_memory
from biggan.models.bundle import Bundle
from biggan.models.network import BOTTOM, Generator
from biggan.models.spectral import power_iteration
from biggan.models.statistics import ON_GRID, Statistics, Table
from biggan.sampling import imagenet

CONFIG, WEIGHTS, SAFE_WEIGHTS = "config.json", "pytorch_model.bin", "model.safetensors"
OLD_NAMES = {f"biggan-deep-{R}-{CONFIG}": f"biggan-deep-{R}-{WEIGHTS}" for R in PUBLISHED}
"""Names of the files where they were first published."""

RENAMED = (  # ours -> theirs, one after the other
    (r"^shared\.", "embeddings."),
    (r"^linear\.", "generator.gen_z."),
    (r"^output_layer\.0\.gain$", "generator.bn.weight"),
    (r"^output_layer\.0\.", "generator.bn."),
    (r"^output_layer\.2\.", "generator.conv_to_rgb."),
    (r"\.gain\.", ".scale."),
    (r"\.bias\.", ".offset."),
    (r"\.(theta|phi|g)\.", r".snconv1x1_\1."),
    (r"\.o\.", ".snconv1x1_o_conv."),
    (r"(?<!^embeddings)(?<!^generator\.bn)\.weight$", ".weight_orig"),
    (r"\.u0$", ".weight_u"),
    (r"\.v0$", ".weight_v"),
    (r"\.stored_mean$", ".running_means"),
    (r"\.stored_var$", ".running_vars"),
)


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
        values = json.loads(files.config.read_bytes())
    except (OSError, ValueError, RecursionError):
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
        ConfigError: As many class names as there are classes were not given.
    """
    config = BigGANConfig.from_json_file(files.config)
    given = {name: value for name, value in asdict(overrides).items() if name != "class_names" and value is not None}
    try:
        model = replace(config.to_model(), **given)
    except ConfigError as error:
        raise ModelError(f"{files.config}: {error}") from error
    G, statistics = read_generator(files, config, model)
    names, notes = _class_names(model.num_classes, overrides)
    notes += [
        "There are no statistics of untruncated latents; those of truncation 1 stand in.",
        "The layout has no discriminator.",
    ]
    return Imported(Bundle(G, None, names, statistics), notes)


def _class_names(count: int, overrides: Overrides) -> tuple[list[str], list[str]]:
    """Names of the classes, and what is to be said of them."""
    names = overrides.class_names
    if names is not None and len(names) != count:
        raise ConfigError(f"{len(names)} class names were given for {count} classes; give {count}.")
    if names is not None:
        return list(names), []
    if count == imagenet.NUM_CLASSES:
        return imagenet.class_names(), ["Classes are called as in ImageNet, in the usual order."]
    return [f"class {number}" for number in range(count)], ["Classes are called by their numbers."]


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
    rows = {name: found.pop(theirs) for name, theirs in names.items() if _is_moment(name)}
    for name, value in rows.items():
        if name.endswith("var") and bool((value < 0).any()):
            raise ModelError(f"{files.weights} has a negative variance in {names[name]}; get an undamaged copy.")
    last = {name: value[-1:].clone() for name, value in rows.items()}
    grid = torch.arange(config.n_stats) / (config.n_stats - 1)
    statistics = Statistics({"none": Table(torch.zeros(1), last), "truncation": Table(grid, rows)})
    state = {name: value[0].clone() for name, value in last.items()}
    state |= {name: _ours(name, found.pop(names[name]), shapes[name]) for name in names.keys() - rows.keys()}
    state |= dict(_singular_values(state))
    G.load_state_dict(state, assign=True)
    return G.eval(), statistics


def names_of(G: Generator) -> dict[str, str]:
    """Our names of G's parameters and buffers -> theirs. Singular values have none; v has one, kept or not."""
    after = next((i for i, stage in enumerate(G.blocks) if len(list(stage.children())) > 1), len(G.blocks))
    kept = [name for name in G.state_dict() if not name.endswith((".sv0", ".v0"))]
    kept += [f"{name.removesuffix('.u0')}.v0" for name in kept if name.endswith(".u0")]
    return {name: _theirs(name, after) for name in kept}


def _theirs(name: str, after: int) -> str:
    """A name of ours as theirs, where attention comes after the block of that number and counts as a layer."""
    block = re.match(r"blocks\.(\d+)\.([01])\.", name)
    if block:
        number, inside = int(block[1]), int(block[2])
        name = f"generator.layers.{number + inside + (number > after)}.{name[block.end() :]}"
    name = re.sub(r"\.(bn|conv)([1-4])\.", lambda found: f".{found[1]}_{int(found[2]) - 1}.", name)
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _is_moment(name: str) -> bool:
    return name.endswith((".stored_mean", ".stored_var"))


def expected_shapes(G: Generator, num_rows: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Their names and shapes for a generator of ours, which may be without memory."""
    state = G.state_dict()
    for name, theirs in names_of(G).items():
        shape = tuple(_exported(name, state[name]).shape)
        yield theirs, (num_rows, *shape) if _is_moment(name) else shape


def _ours(name: str, x: Tensor, shape: torch.Size) -> Tensor:
    """A tensor of theirs as ours of that name and shape."""
    if name == "shared.weight":
        return x.T.contiguous()
    if name.startswith("linear.") and not name.endswith("v0"):
        x = x.reshape(BOTTOM**2, -1, *x.shape[1:]).transpose(0, 1)
    return x.reshape(shape)


def _exported(name: str, x: Tensor) -> Tensor:
    """The inverse of `_ours`."""
    if name == "shared.weight":
        return x.T
    if name.endswith((".u0", ".v0", ".gamma")):
        x = x.flatten()
    if name.startswith("linear.") and not name.endswith("v0"):
        x = x.reshape(-1, BOTTOM**2, *x.shape[1:]).transpose(0, 1).reshape(x.shape)
    return x


def _singular_values(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """σ = u W vᵀ of each kept pair."""
    for name, u in state.items():
        if name.endswith(".u0"):
            layer = name.removesuffix(".u0")
            yield f"{layer}.sv0", (u @ state[f"{layer}.weight"].flatten(1) @ state[f"{layer}.v0"].mT).reshape(1)


def export(bundle: Bundle, folder: Path) -> list[Path]:
    """Writes a generator so that pytorch-pretrained-biggan opens it and draws the same.

    The weights are written as `pytorch_model.bin` alone, the one form that the package opens.

    Args:
        bundle: The model; D is left out.
        folder: Made if need be; an older export in it is replaced.

    Returns:
        The files that were written.

    Raises:
        ConfigError: The layout cannot hold the model; the message names the first condition that fails.
        ModelError: The folder holds other files of these names.
        DiskFailed: A write failed; each file is whole, the old or the new.
    """
    G, table = bundle.G, bundle.statistics.tables.get("truncation")
    config = BigGANConfig.of(G.config, 0 if table is None else len(table.grid))
    rows = _even_rows(table)
    _check_place(folder)
    state = {**G.state_dict(), **rows, **_kept_pairs(G)}
    tensors = OrderedDict((theirs, _alone(_exported(name, state[name]))) for name, theirs in names_of(G).items())
    content = io.BytesIO()
    torch.save(tensors, content)
    atomic.write_bytes(folder / CONFIG, config.to_json_string().encode())
    atomic.write_bytes(folder / WEIGHTS, content.getvalue())
    return [folder / CONFIG, folder / WEIGHTS]


def _even_rows(table: Table | None) -> dict[str, Tensor]:
    """The rows of statistics by truncation, if they are as the layout has them."""
    holds = "The Hugging Face layout holds statistics at even steps from truncation 0 to 1"
    if table is None:
        raise ConfigError(f"{holds}, and this model has none by truncation; let its training finish.")
    even = torch.linspace(0, 1, len(table.grid))
    if len(even) < 2 or not torch.allclose(table.grid.float().cpu(), even, atol=ON_GRID):
        grid = ", ".join(f"{place:g}" for place in table.grid[:4].tolist())
        raise ConfigError(f"{holds}, and this model has them at {grid}, …; measure them at even steps (--truncations).")
    return table.values


def _check_place(folder: Path) -> None:
    """Checks that no file that is another's would be replaced, or read in place of the export."""
    advice = "choose another --out"
    if (folder / SAFE_WEIGHTS).exists():
        raise ModelError(f"{folder} holds a {SAFE_WEIGHTS}, which would be taken for the export's; {advice}.")
    if (folder / CONFIG).exists():
        try:
            BigGANConfig.from_json_file(folder / CONFIG)
        except ModelError as error:
            raise ModelError(f"{folder} holds a {CONFIG} that is not of an export; {advice}.") from error


@torch.no_grad()
def _kept_pairs(G: Generator) -> dict[str, Tensor]:
    """u and v of each weight such that u W vᵀ is the σ by which G divides in evaluation; none where G keeps both."""
    pairs: dict[str, Tensor] = {}
    for name, u in {} if G.config.sn_vectors == "uv" else G.state_dict().items():
        if name.endswith(".u0"):
            layer = name.removesuffix(".u0")
            us, vs = power_iteration(G.get_parameter(f"{layer}.weight").flatten(1), [u], G.config.sn_eps)
            pairs |= {name: us[0], f"{layer}.v0": vs[0]}
    return pairs


def _alone(x: Tensor) -> Tensor:
    """A tensor in float32 on the CPU, in order, with a storage of its own, since files hold whole storages."""
    x = x.detach().float().cpu().contiguous()
    return x if x.untyped_storage().nbytes() == x.nbytes else x.clone()
