"""The golden data of BigGAN-PyTorch: where it is, how it is read, and the settings it was made with."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from biggan.config import Model

GOLDEN = Path(__file__).parent / "golden"

BIGGAN32 = Model(
    resolution=32,
    num_classes=10,
    g_channels=8,
    d_channels=8,
    g_attention=(),
    d_attention=(),
    dim_z=40,
    shared_dim=16,
    sn_eps=1e-6,
    power_iteration="per_forward",
)
# The reference's `D_attn 16` at 32 px means all four blocks of D, whose outputs have 16, 8, 8 and 8 px.
SAGAN32 = Model(
    resolution=32,
    num_classes=10,
    g_channels=8,
    d_channels=8,
    g_attention=(16,),
    d_attention=(16, 8),
    dim_z=32,
    hierarchical_z=False,
    shared_dim=0,
    init="xavier",
    sn_eps=1e-8,
    power_iteration="per_forward",
)
DEEP64 = Model(
    architecture="biggan-deep",
    resolution=64,
    num_classes=10,
    g_channels=8,
    d_channels=8,
    g_attention=(32,),
    d_attention=(32,),
    dim_z=40,
    shared_dim=16,
    sn_eps=1e-6,
    power_iteration="per_forward",
)
GOLDEN_MODELS = {"biggan32": BIGGAN32, "sagan32": SAGAN32, "biggandeep64_attn32": DEEP64}


def golden(name: str) -> dict[str, Tensor]:
    """The tensors of `golden/<name>.safetensors`."""
    return load_file(GOLDEN / f"{name}.safetensors")


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix/`, without it."""
    return {key.removeprefix(f"{prefix}/"): t for key, t in tensors.items() if key.startswith(f"{prefix}/")}


def assert_all_close(actual: dict[str, Tensor], expected: dict[str, Tensor], *, atol: float, rtol: float = 0) -> None:
    """Every tensor of `expected` is in `actual`, as near as asked (compared in float64)."""
    missing = expected.keys() - actual.keys()
    assert not missing, f"missing {sorted(missing)}"
    for name, tensor in expected.items():
        torch.testing.assert_close(
            actual[name].detach().double(),
            tensor.double(),
            atol=atol,
            rtol=rtol,
            msg=lambda m, name=name: f"{name}: {m}",
        )
