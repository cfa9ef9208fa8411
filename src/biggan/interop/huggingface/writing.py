"""A generator of ours as pytorch-pretrained-biggan opens it.

Not here: what of a network its layout cannot hold (`config.py`); statistics that it cannot hold are refused here.
"""

import io
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor

from biggan import atomic
from biggan.errors import ConfigError, ModelError
from biggan.interop.huggingface.config import BigGANConfig
from biggan.interop.huggingface.names import names_of, to_theirs
from biggan.interop.huggingface.reading import CONFIG, SAFE_WEIGHTS, WEIGHTS
from biggan.models.bundle import Bundle
from biggan.models.network import Generator
from biggan.models.spectral import power_iterations
from biggan.models.statistics import ON_GRID, Table


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
    tensors = OrderedDict((theirs, _alone(to_theirs(name, state[name]))) for name, theirs in names_of(G).items())
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
            weight = G.get_parameter(f"{layer}.weight").flatten(1)
            ((found,),) = power_iterations([weight], [[u]], G.config.sn_eps)
            pairs |= {name: found.u, f"{layer}.v0": found.v}
    return pairs


def _alone(x: Tensor) -> Tensor:
    """A tensor in float32 on the CPU, in order, with a storage of its own, since files hold whole storages."""
    x = x.detach().float().cpu().contiguous()
    return x if x.untyped_storage().nbytes() == x.nbytes else x.clone()
