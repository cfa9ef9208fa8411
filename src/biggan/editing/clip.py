"""CLIP (Radford et al. 2021, arXiv:2103.00020) as a scorer, through open_clip (the extra `clip`).

open_clip is kept from its silent mistakes: an activation other than the weights were trained with, a preprocessing
that is guessed, a text that is cut off, a model left at random. Not here: the protocol (`scorers.py`).
"""

import hashlib
import logging
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from biggan.atomic import read_json
from biggan.errors import ConfigError, ModelError, nearest

CONFIG = "open_clip_config.json"


class Clip:
    """A CLIP model, frozen, in float32; make one with `Clip.load`."""

    def __init__(self, title: str, model: Any, tokenizer: Any, device: str | torch.device) -> None:
        self._model = model.float().eval().requires_grad_(False).to(device)
        self._tokenizer, self._length, self._device = tokenizer, int(model.context_length), device
        size, settings = model.visual.image_size, model.visual.preprocess_cfg
        height, width = size if isinstance(size, tuple | list) else (size, size)
        if height != width:
            raise ConfigError(f"{title} looks at {width} x {height} pictures; give a CLIP model of square ones.")
        self.image_size = int(height)
        self._mean, self._deviation = (torch.tensor(settings[k], device=device)[:, None, None] for k in ("mean", "std"))
        self.name = f"clip ({title}; {_fingerprint(model)[:12]})"

    @staticmethod
    def load(what: str, device: str | torch.device = "cpu") -> "Clip":
        """A CLIP model from local weights or a download.

        Args:
            what: A folder with `open_clip_config.json` and its weights; or `MODEL,WEIGHTS`, where MODEL is an
                architecture that open_clip knows and WEIGHTS a file or the name of weights it downloads, as
                `ViT-B-32-quickgelu,openai`. Weights trained with quick GELU (OpenAI's) need a MODEL with it.
            device: Where it computes.

        Raises:
            ConfigError: No such folder, architecture or weights, ones that do not go together, open_clip is not
                installed, or there is no network for the download.
            ModelError: The weights are damaged or of another architecture.
        """
        open_clip = _open_clip()
        model, file, settings = _in_folder(what) if Path(what).is_dir() else _named(open_clip, what)
        try:
            with _silence():
                network = open_clip.create_model(
                    model,
                    pretrained=file or None,
                    precision="fp32",
                    force_preprocess_cfg=settings,
                    require_pretrained=True,
                    weights_only=True,
                )
                tokenizer = open_clip.get_tokenizer(model)
        except Exception as error:  # whatever open_clip and the readers below it raise for a file
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"{what} cannot be opened as a CLIP model: {reason}; give undamaged weights.") from error
        return Clip(what, network, tokenizer, device)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """(T, D), a row a text.

        Raises:
            ConfigError: A text is blank or longer than the model reads.
        """
        longer = self._tokenizer(["", *texts], context_length=self._length + 1)
        for text, tokens in zip(texts, longer[1:], strict=True):
            if not text.strip():
                raise ConfigError(f"The text {text!r} says nothing; write some words.")
            if tokens[-1] != longer[0, -1]:  # no longer padding
                raise ConfigError(f"The text {text[:40]!r}… has over {self._length - 2} tokens; shorten it.")
        tokens = self._tokenizer(list(texts), context_length=self._length)
        vectors: Tensor = self._model.encode_text(tokens.to(self._device))
        return vectors

    def encode_image(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) in [0, 1] → (N, D), differentiable in x."""
        vectors: Tensor = self._model.encode_image((x - self._mean) / self._deviation)
        return vectors


def _open_clip() -> Any:
    try:
        return import_module("open_clip")
    except ImportError:
        raise ConfigError('CLIP needs the package open_clip_torch; run pip install "torch-biggan[clip]".') from None


def _in_folder(what: str) -> tuple[str, str, dict[str, Any]]:
    """As `_named`, of a folder, which has to say all by itself."""
    place = Path(what) / CONFIG
    if not place.is_file():
        raise ConfigError(f"{what} holds no {CONFIG}; give a folder in open_clip's layout (--scorer clip:).")
    config = read_json(place)
    shown = config.get("preprocess_cfg") if isinstance(config, dict) else None
    if not isinstance(shown, dict) or not {"mean", "std"} <= shown.keys():
        raise ConfigError(f"{place} has no preprocess_cfg with mean and std; add those of the model's training.")
    return f"local-dir:{what}", "", {}


def _named(open_clip: Any, what: str) -> tuple[str, str, dict[str, Any]]:
    """Architecture, file of weights and preprocessing of a `MODEL,WEIGHTS`."""
    model, _, weights = what.partition(",")
    models = open_clip.list_models()
    if model not in models:
        offer = nearest(model, models) or f"; give a folder with {CONFIG}, or MODEL,WEIGHTS"
        raise ConfigError(f"{model[:80]!r} is neither a folder nor a model of open_clip{offer} (--scorer clip:).")
    known = {tag: open_clip.get_pretrained_cfg(model, tag) for tag in open_clip.list_pretrained_tags_by_model(model)}
    if weights in known:
        return model, _download(open_clip, model, weights, known[weights]), _preprocessing(known[weights])
    if not weights or not Path(weights).is_file():
        tags = ", ".join(known) or "none that open_clip downloads"
        raise ConfigError(f"{model} has no weights {weights[:80]!r}; give {model}, and a file or one of: {tags}.")
    if _is_script(weights):  # as OpenAI published its own
        raise ConfigError(f"{weights} is TorchScript, which holds code; give its tensors alone, or {model},openai.")
    settings = [_preprocessing(entry) for entry in known.values()]
    if not settings or any(other != settings[0] for other in settings):
        raise ConfigError(f"{weights} does not say how {model} is to see pictures; give a folder with {CONFIG}.")
    return model, weights, settings[0]


def _is_script(file: str) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _preprocessing(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("mean", "std") if key in entry}


def _download(open_clip: Any, model: str, weights: str, entry: dict[str, Any]) -> str:
    """The file of weights that open_clip names, from its cache or the network."""
    quick = bool(open_clip.get_model_config(model).get("quick_gelu", False))
    if quick != bool(entry.get("quick_gelu", False)):
        other = model.removesuffix("-quickgelu") if quick else f"{model}-quickgelu"
        raise ConfigError(f"The weights {weights} were trained with another activation; write {other},{weights}.")
    try:
        with _silence():
            return str(open_clip.download_pretrained(entry))
    except Exception as error:  # of the network's many
        rule = f"give a folder or {model},FILE instead (--scorer clip:), or words"
        raise ConfigError(f"The weights {weights} of {model} could not be downloaded; {rule}.") from error


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps open_clip and the hub from writing to the terminal what the error will say."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def _fingerprint(model: torch.nn.Module) -> str:
    """The SHA-256 of a model's weights with their names, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
