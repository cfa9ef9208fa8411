"""Folders of BigGAN-PyTorch files made for tests, of tiny networks and of the golden ones."""

import functools
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from cases import golden
from torch import Tensor, nn

from biggan.config import Model
from biggan.errors import ModelError
from biggan.interop import brock
from biggan.interop.brock.reading import own_statistics
from biggan.interop.imported import Imported, Overrides
from biggan.models.build import build
from biggan.models.bundle import Bundle

NONE = Overrides()
CONFIG = {"BN_eps": 1e-3, "SN_eps": 1e-8, "G_nl": "inplace_relu", "D_nl": "relu", "resolution": 32, "n_classes": 5}
"""What a `state_dict.pth` of `TINY` may say."""
TINY = Model(
    resolution=32,
    num_classes=5,
    g_channels=2,
    d_channels=2,
    g_attention=(),
    d_attention=(),
    dim_z=12,
    shared_dim=3,
    power_iteration="per_forward",
    cross_replica=False,
)


def put(folder: Path, files: Mapping[str, object], *, stream: bool = False) -> Path:
    """A folder of torch files, `G` for `G.pth`; a stream is the format before PyTorch 1.6."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        torch.save(value, folder / f"{name}.pth", _use_new_zipfile_serialization=not stream)
    return folder


made = functools.cache(build)


def networks(model: Model = TINY, seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """`G` and `D` of a model, as state dicts."""
    pair = zip("GD", made(model, seed), strict=True)
    return {name: {key: t.clone() for key, t in network.state_dict().items()} for name, network in pair}


def bundle(model: Model = TINY) -> Bundle:
    """Networks of a model with the statistics that they have."""
    G, D = build(model)
    G, D = G.eval(), D.eval()
    return Bundle(G, D, [f"class {i}" for i in range(model.num_classes)], own_statistics(G))


def golden_networks(name: str) -> dict[str, dict[str, Tensor]]:
    return {"G": golden(f"{name}/G_init"), "D": golden(f"{name}/D_init")}


def load(path: Path, overrides: Overrides = NONE, **chosen: str) -> Imported:
    return brock.load(path, overrides, **chosen)


def refusal(path: Path, overrides: Overrides = NONE, **chosen: str) -> str:
    """The one sentence that a checkpoint is refused with."""
    with pytest.raises(ModelError) as caught:
        load(path, overrides, **chosen)
    said = str(caught.value)
    assert "\n" not in said
    assert said[-1] in ".?"
    return said


def same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether tensors are equal, name by name."""
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


def optimizer(network: nn.Module, *, old: bool = False) -> dict[str, object]:
    """Adam's file for a network after a step; an old one has addresses for numbers and whole numbers for steps."""
    keys = [10**14 + 64 * i if old else i for i, _ in enumerate(network.parameters())]
    state = {
        key: {"step": 3 if old else torch.tensor(3.0), "exp_avg": 0.1 * p.detach(), "exp_avg_sq": p.detach().square()}
        for key, p in zip(keys, network.parameters(), strict=True)
    }
    settings = {"lr": 2e-4, "betas": (0.0, 0.999), "eps": 1e-6, "weight_decay": 0, "amsgrad": False}
    return {"state": state, "param_groups": [{**settings, "params": keys}]}
