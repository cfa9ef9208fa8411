"""Names and shapes of pytorch-pretrained-biggan's tensors, and each tensor as ours and back.

Its first layer has rows in the order (height, width, channel), ours in the order (channel, height, width).
"""

import re
from collections.abc import Iterator

import torch
from torch import Tensor

from biggan.models.network import BOTTOM, Generator

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


def names_of(G: Generator) -> dict[str, str]:
    """Our names of G's parameters and buffers -> theirs. Singular values have none; v has one, kept or not."""
    after = next((i for i, stage in enumerate(G.blocks) if len(list(stage.children())) > 1), len(G.blocks))
    kept = [name for name in G.state_dict() if not name.endswith((".sv0", ".v0"))]
    kept += [f"{name.removesuffix('.u0')}.v0" for name in kept if name.endswith(".u0")]
    return {name: _renamed(name, after) for name in kept}


def _renamed(name: str, after: int) -> str:
    """A name of ours as theirs, where attention comes after the block of that number and counts as a layer."""
    block = re.match(r"blocks\.(\d+)\.([01])\.", name)
    if block:
        number, inside = int(block[1]), int(block[2])
        name = f"generator.layers.{number + inside + (number > after)}.{name[block.end() :]}"
    name = re.sub(r"\.(bn|conv)([1-4])\.", lambda found: f".{found[1]}_{int(found[2]) - 1}.", name)
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def is_moment(name: str) -> bool:
    """Whether one of our names is of a running mean or variance."""
    return name.endswith((".stored_mean", ".stored_var"))


def expected_shapes(G: Generator, num_rows: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Their names and shapes for a generator of ours, which may be without memory."""
    state = G.state_dict()
    for name, theirs in names_of(G).items():
        shape = tuple(to_theirs(name, state[name]).shape)
        yield theirs, (num_rows, *shape) if is_moment(name) else shape


def to_ours(name: str, x: Tensor, shape: torch.Size) -> Tensor:
    """A tensor of theirs as ours of that name and shape."""
    if name == "shared.weight":
        return x.T.contiguous()
    if name.startswith("linear.") and not name.endswith("v0"):
        x = x.reshape(BOTTOM**2, -1, *x.shape[1:]).transpose(0, 1)
    return x.reshape(shape)


def to_theirs(name: str, x: Tensor) -> Tensor:
    """The inverse of `to_ours`."""
    if name == "shared.weight":
        return x.T
    if name.endswith((".u0", ".v0", ".gamma")):
        x = x.flatten()
    if name.startswith("linear.") and not name.endswith("v0"):
        x = x.reshape(-1, BOTTOM**2, *x.shape[1:]).transpose(0, 1).reshape(x.shape)
    return x
