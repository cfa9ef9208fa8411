"""What the variables of the six TF-Hub modules are called, and the sizes that tell the modules apart.

Names come without `module/` before and `:0` behind them. Every trained variable is there twice, as it was trained
and, one level below, averaged; the averaged ones are those that draw. Not here: what becomes of the numbers
(`variables.py`).
Source: the converters of BigGAN-PyTorch (`TFHub/converter.py`) and pytorch-pretrained-biggan.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from biggan.models.network import Generator

EMBEDDING = "linear"
DERIVED = ("sv0", "v0")  # buffers of ours that follow from the others
IGNORED = ("global_step",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The words of one architecture."""

    ema: str
    """Leaf of an averaged variable."""
    first: str
    """Scope of the first linear layer."""
    convs: Mapping[str, str]
    """Our convolution of a block -> its scope."""
    norm: str
    """Scope of a block's first batch norm; the next have _1, _2, _3."""
    accumulators: str
    """Scope of its statistics."""
    gain: str
    bias: str
    last_norm: str
    last_accumulators: str
    last_conv: str
    resolutions: Mapping[int, int]
    """Number of blocks -> pixels."""
    attention: Mapping[int, int]
    """Pixels of the image -> pixels at which there is self-attention."""


SHALLOW = Names(
    ema="ema_b999900",
    first="G_Z/G_linear",
    convs={"conv1": "conv0", "conv2": "conv1", "conv_sc": "conv_sc"},
    norm="HyperBN",
    accumulators="CrossReplicaBN",
    gain="gamma",
    bias="beta",
    last_norm="ScaledCrossReplicaBN",
    last_accumulators="ScaledCrossReplicaBNbn",
    last_conv="conv_2d",
    resolutions={5: 128, 6: 256, 7: 512},
    attention={128: 64, 256: 128, 512: 64},
)
DEEP = Names(
    ema="ema_0.9999",
    first="GenZ/G_linear",
    convs={f"conv{k + 1}": f"conv{k}" for k in range(4)},
    norm="BatchNorm",
    accumulators="BatchNorm",
    gain="scale",
    bias="offset",
    last_norm="BatchNorm",
    last_accumulators="BatchNorm",
    last_conv="conv_to_rgb",
    resolutions={10: 128, 12: 256, 14: 512},
    attention={128: 64, 256: 64, 512: 64},
)


def names_of(G: Generator) -> Names:
    """The words of G's architecture."""
    return DEEP if G.config.architecture == "biggan-deep" else SHALLOW


def variables_of(G: Generator) -> dict[str, str]:
    """Name in G's state -> TF variable, for weights, biases, gains, gammas and u0."""
    names, ends = names_of(G), (*DERIVED, "stored_mean", "stored_var")
    return {name: _variable(name, names) for name in G.state_dict() if not name.endswith(ends)}


def accumulators_of(G: Generator) -> dict[str, str]:
    """Name of a running mean or variance in G's state -> TF variable."""
    names = names_of(G)
    return {name: _variable(name, names) for name in G.state_dict() if name.endswith(("stored_mean", "stored_var"))}


def passed_over(G: Generator) -> set[str]:
    """Known variables that are not needed: weights before averaging, u1, counters, the step."""
    end, used = f"/{names_of(G).ema}", variables_of(G).values()
    raw = {name.removesuffix(end) for name in used if name.endswith(end)}
    u1 = {name.removesuffix("u0") + "u1" for name in used if name.endswith("/u0")}
    counters = {f"{name.rpartition('/')[0]}/accumulation_counter" for name in accumulators_of(G).values()}
    return raw | u1 | counters | set(IGNORED)


def _variable(name: str, names: Names) -> str:
    """The TF variable of one name in our state."""
    ends = {"weight": f"w/{names.ema}", "bias": f"b/{names.ema}", "gamma": f"gamma/{names.ema}", "u0": "u0"}
    moments = {"stored_mean": "accumulated_mean", "stored_var": "accumulated_var"}
    parts = {"gain": names.gain, "bias": names.bias}
    match name.split("."):
        case ["shared", leaf]:
            return f"{EMBEDDING}/{ends[leaf]}"
        case ["linear", leaf]:
            return f"Generator/{names.first}/{ends[leaf]}"
        case ["output_layer", "0", ("stored_mean" | "stored_var") as leaf]:
            return f"Generator/{names.last_accumulators}/{moments[leaf]}"
        case ["output_layer", "0", leaf]:
            return f"Generator/{names.last_norm}/{parts[leaf]}/{names.ema}"
        case ["output_layer", _, leaf]:
            return f"Generator/{names.last_conv}/{ends[leaf]}"
        case ["blocks", _, "1", "gamma"]:
            return f"Generator/attention/{ends['gamma']}"
        case ["blocks", _, "1", conv, leaf]:
            return f"Generator/attention/{'o_conv' if conv == 'o' else conv}/{ends[leaf]}"
        case ["blocks", block, _, conv, leaf] if conv in names.convs:
            return f"{_numbered('Generator/GBlock', block)}/{names.convs[conv]}/{ends[leaf]}"
        case ["blocks", block, _, norm, leaf]:
            place = _numbered(names.accumulators, int(norm.removeprefix("bn")) - 1)
            return f"{_numbered('Generator/GBlock', block)}/{place}/{moments[leaf]}"
        case ["blocks", block, _, norm, part, leaf]:
            place = _numbered(names.norm, int(norm.removeprefix("bn")) - 1)
            return f"{_numbered('Generator/GBlock', block)}/{place}/{parts[part]}/{ends[leaf]}"
    raise AssertionError(name)


def _numbered(scope: str, number: int | str) -> str:
    """A scope as TF repeats it: X, X_1, X_2, …"""
    return f"{scope}_{number}" if int(number) else scope
