"""A model of ours as files of BigGAN-PyTorch's.

Its layout has no place for some of what our networks can be; the first such thing is named and nothing is written.
"""

import io
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from biggan import atomic
from biggan.config import Model
from biggan.errors import ModelError
from biggan.interop.brock import record
from biggan.interop.brock.shapes import REFERENCE_EPS
from biggan.models.bundle import Bundle
from biggan.models.spectral import power_iterations

GENERATORS, DISCRIMINATOR, RECORD = ("G_ema.pth", "G.pth"), "D.pth", "state_dict.pth"
NEAR = 1e-4  # relative, of a singular value of a kept pair to that of one iteration from its u


def export(bundle: Bundle, folder: Path, *, truncation: float | None = None) -> list[Path]:
    """Writes a model as BigGAN-PyTorch's `G_ema.pth`, `G.pth` (the same), `D.pth` and `state_dict.pth`.

    Names, shapes and order of the tensors are those of its own modules, which load them strictly (D at 512 px is the
    one proposed in its issue 40, as it has none). `state_dict.pth` holds numbers and texts alone.

    Args:
        bundle: The model.
        folder: Made if need be.
        truncation: Of the latents whose statistics become the stored ones; None for z ~ N(0, 1).

    Returns:
        The files.

    Raises:
        ModelError: The layout cannot hold the model, or the folder has such files already; nothing is written.
        ConfigError: There are no statistics for that truncation.
        DiskFailed: A write failed; each file is whole or not there.
    """
    model = bundle.G.config
    for reason in _misfits(bundle):
        fits = model.architecture == "biggan-deep" and model.image_channels == 3 and model.num_classes > 0
        other = "try --format huggingface" if fits else "no other format holds it"
        raise ModelError(f"The layout of BigGAN-PyTorch {reason}; {other}.")
    there = [name for name in (*GENERATORS, DISCRIMINATOR, RECORD) if (folder / name).exists()]
    if there:
        raise ModelError(f"{folder} holds a {there[0]} already, which would be lost; give another folder.")
    generator = {**bundle.G.state_dict(), **bundle.statistics.row(truncation)}
    iterations = bundle.training.get("iterations", 0)
    names = bundle.class_names
    contents: dict[str, object] = {name: _plain(generator) for name in GENERATORS}
    if bundle.D is not None:
        contents[DISCRIMINATOR] = _plain(bundle.D.state_dict())
    contents[RECORD] = record.written(model, len(names), iterations if type(iterations) is int else 0)
    for name, content in contents.items():
        file = io.BytesIO()
        torch.save(content, file)
        atomic.write_bytes(folder / name, file.getvalue())
    return [folder / name for name in contents]


def _plain(tensors: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """A state dict as the layout has it: without the right vectors, which the left ones determine.

    Each tensor has a storage of its own, since files hold whole storages and a row of statistics is part of a table.
    """
    kept = {name: tensor.detach() for name, tensor in tensors.items() if not name.endswith(".v0")}
    return OrderedDict(
        (name, x.to("cpu", copy=True, memory_format=torch.contiguous_format)) for name, x in kept.items()
    )


def _misfits(bundle: Bundle) -> Iterator[str]:
    """What the layout cannot hold, as predicates of its name."""
    model, deep = bundle.G.config, bundle.G.config.architecture == "biggan-deep"
    if model.num_classes == 0:
        yield "has classes, and this model is unconditional"
    if model.image_channels != 3:
        yield f"has pictures of 3 channels, and this model's have {model.image_channels}"
    if model.g_blocks or model.d_blocks:
        yield "has blocks by its table, and this model lists its own"
    if model.g_widths or (model.d_widths and bundle.D):
        yield "has widths by its table, and this model lists its own"
    if deep:
        yield from _deep_misfits(model)
    elif model.hierarchical_z and model.shared_dim == 0:
        yield "splits z only beside a shared class embedding, which this model lacks"
    if model.output_norm_eps != REFERENCE_EPS:
        yield f"has an epsilon of {REFERENCE_EPS:g} in G's last norm, and this model has {model.output_norm_eps:g}"
    if bundle.D is not None:
        yield from _discriminator_misfits(model)
    if model.sn_vectors == "uv":
        for name, network in (("G", bundle.G), ("D", bundle.D)):
            for layer in _unsettled(network) if network else ():
                yield f"keeps u alone, and in {name} that of {layer} does not give the singular value of its kept pair"


def _deep_misfits(model: Model) -> Iterator[str]:
    if model.wide_output:
        yield f"has an RGB convolution with {model.image_channels} filters, and this model's has one for each channel"
    if model.condition != "yz":
        yield "puts the class embedding before z (yz), and this model has zy"
    if model.g_depth != 2:
        yield f"has 2 blocks at each resolution of a deep G, and this model has {model.g_depth}"
    if model.shared_dim == 0:
        yield "has a shared class embedding in a deep G, which this model lacks"
    if model.resolution > 256:
        yield f"has no deep networks of {model.resolution} px"


def _discriminator_misfits(model: Model) -> Iterator[str]:
    if model.spectral_norm not in ("both", "discriminator"):
        yield "has spectral norm in D, and this model has not"
    if model.d_hidden == "thin":
        yield "has the picture's channels inside the first block of a thin D, and this model is wider (thin)"
    if model.architecture == "biggan" and model.resolution == 32 and len(model.d_attention) == 1:
        yield "has attention in all blocks of D at 32 px or in none"


def _unsettled(network: nn.Module) -> Iterator[str]:
    """Layers whose kept u and v give another singular value than an iteration from u does."""
    for name, module in network.named_modules():
        buffers = dict(module.named_buffers(recurse=False))
        if "v0" in buffers:
            matrix = module.get_parameter("weight").detach().flatten(1)
            kept = buffers["v0"] @ matrix.mT @ buffers["u0"].mT
            ((found,),) = power_iterations([matrix], [[buffers["u0"]]], module.norm.eps)
            if not torch.isclose(kept, found.sigma, rtol=NEAR, atol=0).all():
                yield name
