"""BigGAN-PyTorch's `state_dict.pth`: the settings of a training, how far it came, and back.

It is read without loading anything (`checkpoint.read_record`): numbers and texts, and the names of activation modules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from biggan.config import Model
from biggan.errors import ModelError
from biggan.interop.checkpoint import read_record
from biggan.interop.pickled import Activation

RELU = ("relu", "inplace_relu")
INITS = {"ortho": "ortho", "N02": "N02", "xavier": "xavier", "glorot": "xavier"}
NUMBERS = {  # theirs -> ours, where they mean the same
    "G_lr": "lr_g",
    "D_lr": "lr_d",
    "adam_eps": "adam_eps",
    "num_D_steps": "d_steps",
    "ema_decay": "ema_decay",
    "ema_start": "ema_start",
    "G_ortho": "ortho_g",
    "D_ortho": "ortho_d",
    "seed": "seed",
}
WHOLE = ("d_steps", "ema_start", "seed")  # numbers that count
MOST = 2**40


@dataclass(frozen=True, slots=True)
class Record:
    """What a `state_dict.pth` says; empty where there is none."""

    path: Path | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    """By BigGAN-PyTorch's names."""
    iterations: int = 0

    def number(self, name: str) -> int | float | None:
        """A setting that is a finite number, and not beyond all that is ever set."""
        value = self.settings.get(name)
        ok = isinstance(value, int | float) and abs(value) < MOST  # which NaN is not
        return value if ok and not isinstance(value, bool) else None  # type: ignore[return-value]

    def model(self) -> dict[str, int | float | str]:
        """Settings of the networks that no shape shows, by our names."""
        found: dict[str, int | float | str] = {}
        for theirs, ours in {"BN_eps": "norm_eps", "SN_eps": "sn_eps", "num_G_SV_itrs": "num_power_iterations"}.items():
            value = self.number(theirs)
            if value is not None:
                found[ours] = value
        init = self.settings.get("G_init")
        if isinstance(init, str) and init in INITS:
            found["init"] = INITS[init]
        return found

    def training(self) -> dict[str, object]:
        """Settings of training, by our names."""
        found: dict[str, object] = {}
        for theirs, ours in NUMBERS.items():
            value = self.number(theirs)
            if value is not None:
                found[ours] = int(value) if ours in WHOLE else value
        if "ortho_g" in found or "ortho_d" in found:
            found["ortho_kind"] = "reference"
        for ours, theirs in (("beta1", "B1"), ("beta2", "B2")):
            pair = self.number(f"G_{theirs}"), self.number(f"D_{theirs}")
            if pair[0] is not None and pair[0] == pair[1]:
                found[ours] = pair[0]
        size, splits = self.number("batch_size"), self.number("num_D_accumulations")
        if size is not None:
            found["batch_size"] = int(size * (splits or 1))
            found["microbatch"] = int(size)
        return found


def read(path: Path, notes: list[str]) -> Record:
    """What a `state_dict.pth` says; one that cannot be read or says nothing of the kind is noted and passed over.

    Raises:
        ModelError: It says that a network has another activation than ReLU, which we do not have.
    """
    try:
        value = read_record(path)
    except ModelError as error:
        said = str(error).replace(str(path), path.name).partition(";")[0].rstrip(".")
        notes.append(f"{said}; it was passed over.")
        return Record()
    settings = value.get("config") if isinstance(value, dict) else None
    if not isinstance(settings, dict):
        notes.append(f"{path.name} records no config; it was passed over.")
        return Record()
    for name in ("G_nl", "D_nl", "G_activation", "D_activation"):
        given = settings.get(name, "relu")
        activation = given.name if isinstance(given, Activation) else given
        if not isinstance(activation, str) or activation.lower() not in RELU:
            # what is no text is not shown: it may be without end
            shown = repr(activation[:80]) if isinstance(activation, str) else f"a {type(activation).__name__}"
            raise ModelError(f"{path} says that {name} is {shown}; only networks with ReLU can be read.")
    iterations = value.get("itr", 0)
    ok = type(iterations) is int and 0 <= iterations < MOST
    record = Record(path, settings, iterations if ok else 0)
    variance = record.number("z_var")
    if variance not in (None, 1):
        notes.append(f"{path.name} says that z_var is {variance:g}; here pictures are drawn from N(0, 1).")
    return record


def written(model: Model, num_classes: int, iterations: int) -> dict[str, object]:
    """The `state_dict.pth` of networks, of plain values alone."""
    deep = model.architecture == "biggan-deep"

    def places(attention: tuple[int, ...]) -> str:
        return "_".join(map(str, attention)) or "0"

    config: dict[str, object] = {
        "model": "BigGANdeep" if deep else "BigGAN",
        "resolution": model.resolution,
        "n_classes": num_classes,
        "G_ch": model.g_channels,
        "D_ch": model.d_channels,
        "G_depth": model.g_depth,
        "D_depth": model.d_depth,
        "D_wide": model.d_hidden == "wide",
        "G_shared": model.shared_dim > 0,
        "shared_dim": model.shared_dim,
        "dim_z": model.dim_z,
        "z_var": 1.0,
        "hier": model.hierarchical_z,
        "cross_replica": model.cross_replica,
        "mybn": False,
        "G_nl": "relu",
        "D_nl": "relu",
        "G_attn": places(model.g_attention),
        "D_attn": places(model.d_attention if model.resolution > 32 else model.d_attention[:1]),
        "norm_style": {"batch": "bn", "instance": "in", "none": "nonorm"}[model.norm],
        "G_param": "SN" if model.spectral_norm in ("both", "generator") else "none",
        "D_param": "SN",
        "G_init": model.init,
        "D_init": model.init,
        "num_G_SVs": model.num_singular_values,
        "num_D_SVs": model.num_singular_values,
        "num_G_SV_itrs": model.num_power_iterations,
        "num_D_SV_itrs": model.num_power_iterations,
        "BN_eps": model.norm_eps,
        "SN_eps": model.sn_eps,
    }
    counts = {"itr": iterations, "epoch": 0, "save_num": 0, "save_best_num": 0}
    return {**counts, "best_IS": 0.0, "best_FID": 999999.0, "config": config}
