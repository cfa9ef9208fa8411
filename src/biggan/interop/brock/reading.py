"""From the files of a save of BigGAN-PyTorch's to a model of ours, and to what training goes on from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from biggan.config import Model
from biggan.errors import ConfigError, ModelError
from biggan.interop.brock import optimizers, record, shapes
from biggan.interop.brock.files import Save, find
from biggan.interop.brock.record import Record
from biggan.interop.brock.shapes import Listing
from biggan.interop.checkpoint import read_tensors, require_shapes
from biggan.interop.imported import Imported, Overrides
from biggan.models.build import discriminator, generator, without_memory
from biggan.models.bundle import Bundle
from biggan.models.layers import norms
from biggan.models.network import Discriminator, Generator
from biggan.models.statistics import Statistics, Table

STANDING = re.compile(r"(.+)\.bn\.(stored_mean|stored_var|accumulation_counter)")  # of the reference's own batch norm
SINGULAR = re.compile(r".+\.(?:u|sv)(\d{1,3})")
TOLD = {"resolution": "resolution", "n_classes": "num_classes", "G_ch": "g_channels"}  # what must not differ

Tensors = dict[str, Tensor]


def load(path: Path, overrides: Overrides, *, copy: str | None = None, training: bool = True) -> Imported:
    """Reads a checkpoint of BigGAN-PyTorch, or of a program that writes the same tensors.

    Args:
        path: A folder with G.pth, G_ema.pth or both, D.pth, optimizers and state_dict.pth as far as there are; or the
            file of a generator.
        overrides: What the files leave unsaid, or say wrongly.
        copy: The suffix of the save to read, such as `best3`; None for the plain files, else the latest.
        training: Read what training goes on from too: G beside its average, and the optimizers.

    Raises:
        ModelError: A file is missing, damaged, of another network or of another run; the message names the file and
            the first tensor that is wrong.
        ConfigError: An override that is not allowed.
    """
    notes: list[str] = []
    save = find(path, copy, notes)
    said = record.read(save.files["state_dict"], notes) if "state_dict" in save.files else Record()
    found = {"G_ema": _tensors(save.generator, "G", notes)}
    if "D" in save.files:
        found["D"] = _tensors(save.files["D"], "D", notes)
    model = _model(save, found, said, overrides, notes)
    names = overrides.names_of(model.num_classes)
    if "G_ema" not in save.files and path.is_dir():  # of a single file the name says nothing
        notes.append(f"There is no averaged generator; pictures are drawn from {save.generator.name}.")
    G, D = _unfilled(save.generator, model, "D" in found)
    found["G_ema"] = _fitted(save.generator, found["G_ema"], G, notes)
    G.load_state_dict(found["G_ema"], assign=True)
    if D is not None:
        found["D"] = _fitted(save.files["D"], found["D"], D, notes)
        D.load_state_dict(found["D"], assign=True)
        D.eval()
    trained, settings = _trained(save, found, G, D, notes) if training else ({}, {})
    notes = list(dict.fromkeys(notes))
    summary: dict[str, Any] = {"imported from": f"BigGAN-PyTorch ({save.generator.name})", "assumed": notes}
    if said.iterations:
        summary["iterations"] = said.iterations
    bundle = Bundle(G.eval(), D, names, own_statistics(G), summary)
    return Imported(bundle, notes, trained, {**settings, **said.training()}, said.iterations)


def own_statistics(G: Generator) -> Statistics:
    """The one row of statistics for untruncated latents that a generator's own buffers are."""
    values = {
        f"{name}.{part}": norm.get_buffer(part).clone().unsqueeze(0)
        for name, norm in norms(G)
        for part in ("stored_mean", "stored_var")
    }
    return Statistics({"none": Table(torch.zeros(1), values)})


def _tensors(path: Path, role: str, notes: list[str]) -> Tensors:
    """A network's tensors by our names.

    BigGAN-PyTorch's own batch norm (`mybn`) has its statistics one level deeper, and while it gathers standing
    statistics they are sums.
    """
    found = read_tensors(path)
    what = {"G": "generator", "D": "discriminator", None: "network of BigGAN-PyTorch"}
    if shapes.kind(found) != role:
        raise ModelError(f"{path} holds no {what[role]}'s tensors; give the files of one save under their own names.")
    ours = Tensors()
    for name, tensor in found.items():
        deeper = STANDING.fullmatch(name)
        if not deeper:
            ours[name] = tensor
        elif deeper[2] != "accumulation_counter":
            count = found.get(f"{deeper[1]}.bn.accumulation_counter")
            if count is None or count.numel() != 1 or not 0 <= float(count) < 2**24:
                raise ModelError(f"{path} lacks the tensor {deeper[1]}.bn.accumulation_counter; {shapes.WHOLE}.")
            ours[f"{deeper[1]}.{deeper[2]}"] = tensor / count if float(count) else tensor
            if float(count):
                notes.append(f"{path.name} holds standing statistics of {float(count):g} batches.")
    return ours


def _model(save: Save, found: Mapping[str, Tensors], said: Record, overrides: Overrides, notes: list[str]) -> Model:
    """The networks' settings, by tensors, then by the record, then by the overrides."""
    listed = {role: {name: tuple(t.shape) for name, t in tensors.items()} for role, tensors in found.items()}
    G = Listing(save.generator, listed["G_ema"])
    D = Listing(save.files["D"], listed["D"]) if "D" in listed else None
    model = shapes.model_of(G, D, said.settings.get("norm_style"), said.number("resolution"))
    for theirs, ours in TOLD.items():
        value, shown = said.number(theirs), getattr(model, ours)
        if value is not None and value != shown and not (ours == "g_channels" and model.g_widths):
            one = "give the files of one run"
            raise ModelError(f"{said.path} says that {theirs} is {value}, and {G.path} has {shown}; {one}.")
    try:
        recorded = said.model()
        if said.settings:  # then BigGAN-PyTorch itself ran it, whose last norm has this epsilon whatever is set
            recorded["output_norm_eps"] = shapes.REFERENCE_EPS
        model = replace(model, **recorded)  # type: ignore[arg-type]
    except ConfigError as error:
        raise ModelError(f"{said.path}: {error}") from error
    given = {name: getattr(overrides, name) for name in ("norm_eps", "output_norm_eps", "sn_eps", "condition")}
    given = {name: value for name, value in given.items() if value is not None}
    notes += _assumptions(model, D is not None, said, given.keys() | recorded.keys())
    return replace(model, **given)


def _assumptions(model: Model, with_D: bool, said: Record, known: set[str]) -> list[str]:
    """A sentence for each setting that neither tensors nor record nor overrides say."""
    notes = []
    looks = ", as in the published generators of TF-Hub, which it looks like"
    looks = looks if model.norm_eps == shapes.TFHUB_EPS else ""
    words = {"norm_eps": "batch norm", "output_norm_eps": "the last batch norm", "sn_eps": "spectral norm"}
    for name, what in words.items():
        if name not in known:
            notes.append(f"The epsilon of {what} is taken to be {getattr(model, name):g}{looks}.")
    if not said.settings:
        notes.append("Activations are taken to be ReLU and norms batch norm, as no state_dict.pth says otherwise.")
    if model.architecture == "biggan-deep":
        if "condition" not in known:
            notes.append("The condition is taken to be the class embedding and then z (yz).")
        if not with_D and said.number("resolution") is None:
            blocks = f"{model.g_depth} blocks at each resolution"
            notes.append(f"It is taken to draw {model.resolution} px with {blocks}, as its widths suggest.")
    return notes


def _unfilled(path: Path, model: Model, with_D: bool) -> tuple[Generator, Discriminator | None]:
    """The networks without memory."""
    try:
        with without_memory():
            return generator(model), discriminator(model) if with_D else None
    except ConfigError as error:  # layers that do not fit each other
        raise ModelError(f"{path} is of no BigGAN that there is: {str(error).rstrip('.')}; {shapes.WHOLE}.") from error


def _fitted(path: Path, tensors: Tensors, network: nn.Module, notes: list[str]) -> Tensors:
    """Tensors in the network's order, all and no others.

    Singular values, which only a log reads, are 1 where an old file has none of them; vectors of further singular
    values than the other network has are left out.
    """
    expected = network.state_dict()
    tracked = Listing(path, {name: () for name in tensors}).count("linear.u{}")
    extra = {name: SINGULAR.fullmatch(name) for name in tensors if name not in expected}
    further = {name for name, found in extra.items() if found and 0 < int(found[1]) < tracked}
    if further:
        notes.append(f"{path.name} tracks more singular values than the other network; these are left out.")
    fitted = {name: tensor for name, tensor in tensors.items() if name not in further}
    logged = [name for name in expected if ".sv" in name]
    if logged and not any(name in fitted for name in logged):
        notes.append(f"{path.name} lacks the singular values of its log, which begin again at 1.")
        fitted |= {name: torch.ones(1) for name in logged}
    require_shapes(path, fitted, {name: tensor.shape for name, tensor in expected.items()})
    return {name: fitted[name] for name in expected}


def _trained(
    save: Save, found: Mapping[str, Tensors], G: Generator, D: nn.Module | None, notes: list[str]
) -> tuple[dict[str, Tensors], dict[str, object]]:
    """What training goes on from, and its settings that the optimizers' files have."""
    if "G" not in save.files or D is None:
        lacking = "G.pth" if "G" not in save.files else "D.pth"
        notes.append(f"There is no {lacking} with it, so training cannot go on from this checkpoint.")
        return {}, {}
    trained, settings = {"G": found["G_ema"], "D": found["D"], "G_ema": found["G_ema"]}, dict[str, object]()
    if "G_ema" in save.files:
        trained["G"] = _fitted(save.files["G"], _tensors(save.files["G"], "G", notes), G, notes)
    groups: list[dict[str, float]] = []
    for role, name, network in (("G_optim", "optim_g", G), ("D_optim", "optim_d", D)):
        if role in save.files:
            trained[name], group = optimizers.read(save.files[role], network)
            settings |= {f"lr_{name[-1]}": group.pop("lr")} if "lr" in group else {}
            groups.append(group)
        else:
            trained[name] = {}
            notes.append(f"There is no {role}.pth with it, so that optimizer begins afresh.")
    return trained, {**settings, **_of_both(groups, notes)}


def _of_both(groups: Sequence[Mapping[str, float]], notes: list[str]) -> dict[str, float]:
    """Settings that the optimizers, which have one here, agree on."""
    agreed: dict[str, float] = {}
    for name in dict.fromkeys(name for group in groups for name in group):
        values = list(dict.fromkeys(group[name] for group in groups if name in group))
        if len(values) == 1:
            agreed[name] = values[0]
        else:
            of_G, of_D = values
            notes.append(
                f"{name} is {of_G:g} in G's optimizer and {of_D:g} in D's; both have one here, so it was left out."
            )
    return agreed
