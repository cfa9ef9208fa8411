"""What a path holds, by its contents, and its reader.

Each reader tells its own format (`holds`) and reads it (`load`). Not here: our own model folders (`models/bundle.py`).
"""

import hashlib
import json
from pathlib import Path
from typing import Literal

from biggan.config_json import to_json
from biggan.errors import ConfigError, ModelError, nearest
from biggan.interop import brock, hub, huggingface, tfhub
from biggan.interop.imported import Imported, Overrides
from biggan.models.bundle import CONFIG, MODEL, Bundle

Format = Literal["brock", "huggingface", "tfhub"]

NEEDED = (
    "BigGAN-PyTorch's G*.pth, a folder with config.json and pytorch_model.bin or model.safetensors as the Hugging Face "
    "package has them, or an unpacked TF-Hub module"
)


def format_of(path: Path) -> Format | None:
    """The foreign format that a path holds; None for anything else, our own model folders included."""
    if huggingface.holds(path):
        return "huggingface"
    if tfhub.holds(path):
        return "tfhub"
    return "brock" if brock.holds(path) else None


def is_foreign(path_or_name: str) -> bool:
    """Whether `read` can read it, by path or, where nothing of that path is there, by a published name."""
    path = Path(path_or_name)
    return format_of(path) is not None or (path_or_name in hub.NAMES and not path.exists())


def read(
    path_or_name: str, overrides: Overrides | None = None, *, copy: str | None = None, training: bool = False
) -> Imported:
    """Reads a foreign checkpoint.

    Args:
        path_or_name: A file or folder, or one of `hub.NAMES`.
        overrides: What the file leaves unsaid.
        copy: Which of the copies in a BigGAN-PyTorch folder, such as `best3`.
        training: Read what training goes on from too, where it is there.

    Raises:
        ModelError: Nothing that we read is there, or it is damaged; the message names the file or tensor.
        ConfigError: An override that does not suit it, or a package to read it with is missing.
    """
    found = _read(path_or_name, overrides or Overrides(), copy, training)
    found.bundle.sha256 = fingerprint(found.bundle)
    found.bundle.path = found.bundle.path or Path(path_or_name)
    return found


def _read(path_or_name: str, overrides: Overrides, copy: str | None, training: bool) -> Imported:
    path = Path(path_or_name)
    kind = format_of(path)
    if copy is not None and kind != "brock":
        raise ConfigError(f"--copy {copy} is for folders of BigGAN-PyTorch, and {path} is none; leave it out.")
    if kind == "huggingface":
        return huggingface.load(path, overrides)
    if kind == "tfhub":
        return tfhub.load(path, overrides)
    if kind == "brock":
        return brock.load(path, overrides, copy=copy, training=training)
    if path_or_name in hub.NAMES:
        files = hub.find(path_or_name)
        found = huggingface.read(files, overrides)
        found.bundle.path = files.weights.parent
        return found
    if (path / CONFIG).is_file() and (path / MODEL).is_file():
        raise ModelError(f"{path} is a model of ours already; draw from it as it is, or give {NEEDED}.")
    if path.exists():
        raise ModelError(f"{path} is not a checkpoint that can be read; give {NEEDED}.")
    raise ModelError(f"There is no {path}{nearest(path_or_name, [*hub.NAMES]) or f'; give {NEEDED}.'}")


def fingerprint(bundle: Bundle) -> str:
    """SHA-256 of all that a model's pictures depend on, in hexadecimal: what a picture's recipe knows it by."""
    digest = hashlib.sha256(json.dumps(to_json(bundle.G.config)).encode())
    for name, tensor in sorted({**bundle.G.state_dict(), **bundle.statistics.to_tensors()}.items()):
        digest.update(name.encode())
        digest.update(memoryview(tensor.contiguous().flatten().numpy()).cast("B"))
    return digest.hexdigest()
