"""What BigGAN-PyTorch's tensors are of: the settings of two networks, from the names and shapes of their tensors.

Everything that shows is taken from there; what does not show (epsilons, instance norm, the order of a deep condition)
is left at what BigGAN-PyTorch does. Not here: what its `state_dict.pth` records (`record.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from biggan.config import RESOLUTIONS, Model
from biggan.errors import ConfigError, ModelError
from biggan.models.network import BOTTOM, D_TABLE, G_TABLE

MOST_DEPTH = 16
WHOLE = "give a whole checkpoint of one network"
REFERENCE_EPS = 1e-5  # of batch norm
SN_EPS = 1e-6  # as the reference's launch scripts have it
TFHUB_EPS, TFHUB_CHANNELS = 1e-4, 96  # of the published generators, which were converted without singular values


@dataclass(frozen=True, slots=True)
class Listing:
    """The names and shapes of a file's tensors, by our names."""

    path: Path
    shapes: Mapping[str, Sequence[int]]

    def of(self, name: str, dimensions: int) -> tuple[int, ...]:
        """The shape of a tensor that has to be there.

        Raises:
            ModelError: It is missing, or has another number of dimensions.
        """
        if name not in self.shapes:
            raise ModelError(f"{self.path} lacks the tensor {name}; {WHOLE}.")
        shape = tuple(self.shapes[name])
        if len(shape) != dimensions:
            raise ModelError(f"{self.path} has {name} of shape {list(shape)}, which BigGAN has not; {WHOLE}.")
        return shape

    def count(self, pattern: str) -> int:
        """How many of `pattern` with 0, 1, … in its braces are there in a row."""
        number = 0
        while pattern.format(number) in self.shapes:
            number += 1
        return number


def kind(names: Mapping[str, object]) -> Literal["G", "D"] | None:
    """Whether tensors of these names are a generator's or a discriminator's of BigGAN-PyTorch, or neither."""
    if not {"linear.weight", "linear.bias", "blocks.0.0.conv1.weight"} <= names.keys():
        return None
    return "G" if any(name.startswith("output_layer.") for name in names) else "D"


def model_of(G: Listing, D: Listing | None, norm_style: object = None, resolution: object = None) -> Model:
    """The settings of networks with these tensors.

    Args:
        G: The generator's tensors.
        D: The discriminator's, if it is there.
        norm_style: What the checkpoint records of G's norm, which 'in' makes instance norm.
        resolution: What it records of the resolution, which may be needed to tell a deep generator's depth.

    Raises:
        ModelError: A tensor is missing, or the shapes are no BigGAN's; the message names the file and the first.
    """
    deep = "blocks.0.0.conv4.weight" in G.shapes
    settings = _deep_generator(G, D, resolution) if deep else _generator(G)
    normalises = {"generator": "linear.u0" in G.shapes, "discriminator": D is None or "linear.u0" in D.shapes}
    chosen = [network for network, does in normalises.items() if does]
    values = [listing.count("linear.u{}") for listing in (G, D) if listing and "linear.u0" in listing.shapes]
    converted = not deep and "linear.sv0" not in G.shapes and settings.get("g_channels") == TFHUB_CHANNELS
    bn_eps, sn_eps = (TFHUB_EPS, TFHUB_EPS) if converted else (REFERENCE_EPS, SN_EPS)
    settings |= {
        "architecture": "biggan-deep" if deep else "biggan",
        "spectral_norm": "both" if len(chosen) == 2 else (*chosen, "none")[0],
        "num_singular_values": min(values, default=1),
        "norm": _norm(G, norm_style),
        "norm_eps": bn_eps,
        "output_norm_eps": bn_eps,
        "sn_eps": sn_eps,
        "power_iteration": "per_forward",
        "cross_replica": False,
        **(_discriminator(D, deep, settings) if D else _unknown_discriminator(settings)),
    }
    try:
        return Model(**settings)
    except ConfigError as error:
        raise ModelError(f"{G.path} is of no BigGAN that there is: {str(error).rstrip('.')}; {WHOLE}.") from error


def _norm(G: Listing, norm_style: object) -> str:
    if "blocks.0.0.bn1.stored_mean" not in G.shapes:
        return "none"
    return "instance" if norm_style == "in" else "batch"


def _widths(prefix: str, widths: tuple[int, ...], table: Mapping[int, tuple[int, ...]], size: int) -> dict[str, Any]:
    """Channels as a multiplier where they are the table's, else as they are."""
    multiples = table.get(size, ())
    channels = widths[-1] // multiples[-1] if multiples else 0
    if channels and widths == tuple(channels * multiple for multiple in multiples):
        return {f"{prefix}_channels": channels}
    return {f"{prefix}_widths": widths}


def _generator(G: Listing) -> dict[str, Any]:
    blocks = G.count("blocks.{}.0.conv1.weight")
    resolution = _resolution(G, blocks, "blocks")
    outs = (G.of(f"blocks.{i}.0.conv1.weight", 4)[0] for i in range(blocks))
    widths = (G.of("linear.weight", 2)[0] // BOTTOM**2, *outs)
    chunk = G.of("linear.weight", 2)[1]
    rows, condition = G.of("blocks.0.0.bn1.gain.weight", 2)
    shared = "shared.weight" in G.shapes
    num_classes, shared_dim = G.of("shared.weight", 2) if shared else (rows, 0)
    hierarchical = shared and condition > shared_dim
    return {
        "resolution": resolution,
        "image_channels": G.of("output_layer.2.weight", 4)[0],
        "num_classes": num_classes,
        "shared_dim": shared_dim,
        "hierarchical_z": hierarchical,
        "dim_z": chunk * (blocks + 1) if hierarchical else chunk,
        "g_attention": tuple(2 * BOTTOM << i for i in range(blocks) if f"blocks.{i}.1.gamma" in G.shapes),
        **_widths("g", widths, G_TABLE, resolution),
    }


def _resolution(listing: Listing, doublings: int, what: str) -> int:
    resolution = BOTTOM << min(doublings, 16)
    if resolution not in RESOLUTIONS:
        raise ModelError(f"{listing.path} has {doublings} {what} in a row, and BigGAN has 3 to 7; {WHOLE}.")
    return resolution


def _deep_generator(G: Listing, D: Listing | None, recorded: object) -> dict[str, Any]:
    blocks = G.count("blocks.{}.0.conv1.weight")
    ins = [G.of(f"blocks.{i}.0.conv1.weight", 4)[1] for i in range(blocks)]
    outs = [G.of(f"blocks.{i}.0.conv4.weight", 4)[0] for i in range(blocks)]
    attention = [i for i in range(blocks) if f"blocks.{i}.1.gamma" in G.shapes]
    told = BOTTOM << min(D.count("blocks.{}.0.conv1.weight"), 16) if D else recorded
    depth = _depth(G, ins, outs, attention, told)
    resolution = BOTTOM << blocks // depth
    num_classes, shared_dim = G.of("shared.weight", 2)
    filters, last = G.of("output_layer.2.weight", 4)[:2]
    wide = filters == last and filters > 4
    image_channels = D.of("input_conv.weight", 4)[1] if D else 3
    return {
        "resolution": resolution,
        "image_channels": image_channels if wide else filters,
        "wide_output": wide,
        "num_classes": num_classes,
        "shared_dim": shared_dim,
        "dim_z": G.of("linear.weight", 2)[1] - shared_dim,
        "g_depth": depth,
        "g_attention": tuple(2 * BOTTOM << i // depth for i in attention),
        **_widths("g", (ins[0], *outs[depth - 1 :: depth]), G_TABLE, resolution),
    }


def _depth(G: Listing, ins: list[int], outs: list[int], attention: list[int], told: object) -> int:
    """Blocks at each resolution: only the last of them may change channels and have attention after it.

    Where several would do, D's stages or the record decide, then whether the widths are the table's, then the
    reference's own depth of 2.
    """

    def fits(depth: int) -> bool:
        inner = [i for i in range(len(ins)) if i % depth != depth - 1]
        return all(ins[i] == outs[i] for i in inner) and not set(inner) & set(attention)

    def rank(depth: int) -> tuple[bool, bool, bool]:
        size, widths = BOTTOM << len(ins) // depth, (ins[0], *outs[depth - 1 :: depth])
        in_table = "g_channels" in _widths("g", widths, G_TABLE, size)
        return size == told, in_table, depth == 2

    counts = [doublings for doublings in range(3, 8) if ins and len(ins) % doublings == 0]
    depths = [depth for depth in (len(ins) // doublings for doublings in counts) if depth <= MOST_DEPTH and fits(depth)]
    if not depths:
        raise ModelError(f"{G.path} has {len(ins)} blocks in a row that no BigGAN-deep has; {WHOLE}.")
    return max(depths, key=rank)


def _unknown_discriminator(settings: dict[str, Any]) -> dict[str, Any]:
    """What a discriminator would be like that is not there: as wide as G, without attention."""
    return {"d_channels": settings.get("g_channels", 1), "d_attention": ()}


def _discriminator(D: Listing, deep: bool, settings: dict[str, Any]) -> dict[str, Any]:
    blocks, size = D.count("blocks.{}.0.conv1.weight"), settings["resolution"]
    halvings = 2 if size == 32 else blocks if deep else blocks - 1
    sizes = [size >> min(i + 1, halvings) for i in range(blocks)]
    if deep:
        depth = D.count("blocks.0.{}.conv1.weight")
        outs = (D.of(f"blocks.{i}.0.conv4.weight", 4)[0] for i in range(blocks))
        widths: tuple[int, ...] = (D.of("input_conv.weight", 4)[0], *outs)
        # a block's own channels beside those that it adds to
        attention = {place for i, place in enumerate(sizes) if f"blocks.{i}.{depth}.gamma" in D.shapes}
        table, others = D_TABLE, dict[str, Any](d_depth=depth)
    else:
        widths = tuple(D.of(f"blocks.{i}.0.conv2.weight", 4)[0] for i in range(blocks))
        attention = {place for i, place in enumerate(sizes) if f"blocks.{i}.1.gamma" in D.shapes}
        table, others = D_TABLE, {"d_hidden": _hidden(D, blocks)}
    if not blocks:
        raise ModelError(f"{D.path} has no blocks; {WHOLE}.")
    places = tuple(sorted(attention, reverse=True))
    return {"d_attention": places, **others, **_widths("d", widths, table, size)}


def _hidden(D: Listing, blocks: int) -> str:
    """Which rule a discriminator's hidden widths follow."""
    shapes = [(D.of(f"blocks.{i}.0.conv1.weight", 4), D.of(f"blocks.{i}.0.conv2.weight", 4)) for i in range(blocks)]
    if all(first[0] == second[0] for first, second in shapes):
        return "wide"
    return "thin-reference" if shapes[0][0][0] == shapes[0][0][1] else "thin"
