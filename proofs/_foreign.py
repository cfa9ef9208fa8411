"""Other people's checkpoints, tiny, and their mutations for `foreign.py`: bits, frames, pickles, headers, tensors."""

import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _mutations import bytes_mutated, dumped, header_of, values_mutated
from safetensors.torch import load as load_safe
from safetensors.torch import save as save_safe

from biggan.config import Model
from biggan.interop import brock, huggingface
from biggan.interop.imported import Imported, Overrides
from biggan.models.build import build

TINY = Model(
    resolution=32,
    num_classes=5,
    g_channels=2,
    d_channels=2,
    g_attention=(8,),
    d_attention=(16, 8),
    dim_z=12,
    shared_dim=3,
)
GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "pretrained" / "tiny"


@dataclass(frozen=True)
class Subject:
    """A checkpoint of which one file is mutated."""

    name: str
    folder: Path
    target: str
    """Name of the file."""
    format: str
    """'zip', 'stream', 'safetensors' or 'json'."""
    load: Callable[[Path], Imported]

    @property
    def file(self) -> Path:
        return self.folder / self.target


def subjects(root: Path) -> list[Subject]:
    """Checkpoints of both layouts in all their formats, made in `root`; a generator alone, the quickest, twice."""
    G, D = build(TINY)
    moments = {"step": torch.tensor(2.0)}
    state = {i: {**moments, "exp_avg": p.detach(), "exp_avg_sq": p.detach()} for i, p in enumerate(G.parameters())}
    adam = {"state": state, "param_groups": [{"lr": 1e-4, "betas": (0.0, 0.999), "eps": 1e-6, "params": [*state]}]}
    config = {"BN_eps": 1e-4, "SN_eps": 1e-8, "G_activation": torch.nn.ReLU(), "G_lr": 1e-4, "n_classes": 5}
    record = {"itr": 9, "best_FID": torch.tensor(7.0), "config": config}
    whole = {"G": dict(G.state_dict()), "D": dict(D.state_dict()), "G_optim": adam, "state_dict": record}

    def made(name: str, values: dict[str, Any], stream: bool = False) -> Path:
        folder = root / name
        folder.mkdir(parents=True)
        for key, value in values.items():
            torch.save(value, folder / f"{key}.pth", _use_new_zipfile_serialization=not stream)
        return folder

    def hub(name: str, weights: str) -> Path:
        folder = root / name
        folder.mkdir(parents=True)
        for file in ("config.json", weights):
            shutil.copy(GOLDEN / file, folder)
        return folder

    def theirs(path: Path) -> Imported:
        return brock.load(path, Overrides())

    def one_file(path: Path) -> Imported:
        return theirs(path / "G.safetensors")

    def packaged(path: Path) -> Imported:
        return huggingface.load(path, Overrides())

    alone, single = {"G": whole["G"]}, root / "single"
    single.mkdir(parents=True)
    (single / "G.safetensors").write_bytes(save_safe(alone["G"]))
    needed = {"D": ("G", "D"), "G_optim": ("G", "D", "G_optim"), "state_dict": ("G", "state_dict")}
    parts = {target: made(f"with {target}", {key: whole[key] for key in keys}) for target, keys in needed.items()}
    bin_, safe, config_ = (
        hub(name, weights)
        for name, weights in (
            ("bin", "pytorch_model.bin"),
            ("safe", "model.safetensors"),
            ("config", "model.safetensors"),
        )
    )
    generators = [
        Subject("BigGAN-PyTorch, zip", made("zip", alone), "G.pth", "zip", theirs),
        Subject("BigGAN-PyTorch, stream", made("stream", alone, True), "G.pth", "stream", theirs),
        Subject("BigGAN-PyTorch, safetensors", single, "G.safetensors", "safetensors", one_file),
    ]
    return [
        *generators,
        *generators,
        *(Subject(f"BigGAN-PyTorch, {key}.pth", folder, f"{key}.pth", "zip", theirs) for key, folder in parts.items()),
        Subject("pytorch-pretrained-biggan, zip", bin_, "pytorch_model.bin", "zip", packaged),
        Subject("pytorch-pretrained-biggan, safetensors", safe, "model.safetensors", "safetensors", packaged),
        Subject("pytorch-pretrained-biggan, config", config_, "config.json", "json", packaged),
    ]


def mutated(draw: random.Random, subject: Subject, content: bytes) -> tuple[bytes, str]:
    """The content of a subject's file mutated, and by which kind of mutation."""
    match subject.format:
        case "json" if draw.random() < 0.5:
            return dumped(values_mutated(draw, json.loads(content))), "values"
        case "zip" if draw.random() < 0.4:
            return reframed(draw, content), "zip with good checksums"
        case "safetensors" if draw.random() < 0.4:
            header, data = header_of(content)
            text = dumped(values_mutated(draw, header))
            return len(text).to_bytes(8, "little") + text + data, "header"
    named = subject.format != "json" and subject.target not in ("G_optim.pth", "state_dict.pth")
    if named and draw.random() < 0.4:
        return retensored(draw, subject.format, content), "tensors"
    start = {"safetensors": 8 + int.from_bytes(content[:8], "little"), "stream": 9000}.get(subject.format, len(content))
    return bytes_mutated(draw, content, draw.choice((min(start, len(content)), len(content)))), "bytes"


def reframed(draw: random.Random, content: bytes) -> bytes:
    """A torch zip with its pickle or storages mutated and every checksum right, as an attacker would make it."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        chosen = (
            draw.choice(old.namelist()) if draw.random() < 0.3 else next(n for n in old.namelist() if "data.pkl" in n)
        )
        for name in old.namelist():
            inside = old.read(name)
            if name == chosen:
                inside = bytes_mutated(draw, inside, len(inside))
            new.writestr(name, inside)
    return file.getvalue()


def retensored(draw: random.Random, format_: str, content: bytes) -> bytes:
    """A well-made file in which one tensor is missing, unknown, misshapen, of another type, or not finite."""
    is_safe = format_ == "safetensors"
    tensors = dict(load_safe(content) if is_safe else torch.load(io.BytesIO(content), weights_only=True))
    name = draw.choice(list(tensors))
    tensor = tensors[name]
    match draw.randrange(6):
        case 0:
            del tensors[name]
        case 1:
            tensors[draw.choice(("extra", "module.x", name + ".weight", "\x1b[2J", "x" * 3000))] = tensors.pop(name)
        case 2:
            tensors[name] = torch.cat([tensor.flatten(), tensor.flatten()])
        case 3:
            tensors[name] = tensor.to(draw.choice((torch.float64, torch.int64, torch.int8, torch.bool)))
        case 4:
            tensors[name] = tensor.clone().fill_(draw.choice((float("nan"), float("inf"), float("-inf"))))
        case _:
            tensors[draw.choice(("extra", "blocks.9.0.conv1.weight", "linear.u7"))] = torch.ones(3)
    if is_safe:
        return save_safe(tensors)
    file = io.BytesIO()
    torch.save(tensors, file, _use_new_zipfile_serialization=format_ == "zip")
    return file.getvalue()
