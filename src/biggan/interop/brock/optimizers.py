"""BigGAN-PyTorch's optimizer files as a training state has them.

A file maps to parameters by position: `params` lists numbers from 0, or in files of PyTorch 1.0 the addresses that the
parameters had.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from biggan.errors import ModelError
from biggan.interop.checkpoint import read_torch

MOST = 2**40  # of steps, and of any setting
WHOLE = "give the optimizer's file of the same save, or leave it out"


def read(path: Path, network: nn.Module) -> tuple[dict[str, Tensor], dict[str, float]]:
    """An optimizer's file.

    Args:
        path: `G_optim.pth` or `D_optim.pth`.
        network: Whose parameters it is of; only names and shapes matter.

    Returns:
        Adam's state in the form of `training.adam.Adam.tensors`, and its settings `lr`, `beta1`, `beta2` and
        `adam_eps`, as far as it has them.

    Raises:
        ModelError: It is damaged, not of Adam with one group, or of other parameters; the message names the first.
    """
    value = read_torch(path)
    groups, states = (value.get(name) if isinstance(value, dict) else None for name in ("param_groups", "state"))
    ok = isinstance(groups, list) and len(groups) == 1 and isinstance(groups[0], dict) and isinstance(states, dict)
    if not ok:
        raise ModelError(f"{path} holds no state of one optimizer with one group; {WHOLE}.")
    assert isinstance(groups, list)
    assert isinstance(states, dict)
    keys, parameters = groups[0].get("params"), list(network.named_parameters())
    if not isinstance(keys, list) or len(keys) != len(parameters):
        number = len(keys) if isinstance(keys, list) else "no"
        raise ModelError(f"{path} is of {number} parameters and the network has {len(parameters)}; {WHOLE}.")
    tensors: dict[str, Tensor] = {}
    for i, (key, (name, parameter)) in enumerate(zip(keys, parameters, strict=True)):
        if not states:  # saved before the first step
            break
        state = states.get(key) if isinstance(key, int | str) else None
        if not isinstance(state, dict):
            raise ModelError(f"{path} has no state for {name}; {WHOLE}.")
        tensors[f"{i}.step"] = _step(path, name, state.get("step"))
        for moment in ("exp_avg", "exp_avg_sq"):
            tensors[f"{i}.{moment}"] = _moment(path, name, moment, state.get(moment), parameter.shape)
    return tensors, _settings(groups[0])


def _step(path: Path, name: str, step: object) -> Tensor:
    """The number of steps, which old files have as a plain number."""
    value = step.item() if isinstance(step, Tensor) and step.numel() == 1 else step
    if not isinstance(value, int | float) or not 0 <= value < MOST:  # which NaN is not
        raise ModelError(f"{path} has no number of steps for {name}; {WHOLE}.")
    return torch.tensor(float(value))


def _moment(path: Path, name: str, moment: str, tensor: object, shape: Sequence[int]) -> Tensor:
    if not isinstance(tensor, Tensor) or tensor.shape != shape or not tensor.is_floating_point():
        found = f"of shape {list(tensor.shape)}" if isinstance(tensor, Tensor) else "missing"
        raise ModelError(f"{path} has {moment} of {name} {found}, where {list(shape)} is needed; {WHOLE}.")
    if not bool(torch.isfinite(tensor).all()):
        raise ModelError(f"{path} holds NaN or Inf in {moment} of {name}; {WHOLE}.")
    return tensor.detach().float().contiguous()


def _settings(group: dict[str, Any]) -> dict[str, float]:
    betas = group.get("betas")
    pair = betas if isinstance(betas, tuple | list) and len(betas) == 2 else (None, None)
    found: dict[str, Any] = {"lr": group.get("lr"), "adam_eps": group.get("eps"), "beta1": pair[0], "beta2": pair[1]}
    return {name: float(value) for name, value in found.items() if type(value) in (int, float) and abs(value) < MOST}
