"""What a run of text guidance was asked, and the files that it leaves.

Not here: the run (`imagine.py`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from biggan import __version__, atomic
from biggan.config_json import to_json
from biggan.editing.goal import Request
from biggan.editing.guidance import Guide
from biggan.editing.settings import Guidance
from biggan.errors import ConfigError, ModelError
from biggan.sampling import grids
from biggan.sampling.pipeline import Pipeline
from biggan.sampling.recipe import check_replaceable, png_bytes
from biggan.sampling.sampler import to_bytes

ASKED, RESULT, PREVIEW, STRIP = "imagine.json", "result.json", "preview.png", "strip.png"
FORMAT = 1
MOST_COLUMNS, MOST_ROWS = 9, 32  # of the strip
MOST_CLASSES, LEAST_CLASS = 5, 0.01  # named in the results


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """All that decides the pictures, but for how long it goes on."""

    request: Request
    image_sha256: str | None
    """Of the picture that is a prompt, if there is one."""
    scorer: str
    seeds: tuple[int, ...]
    settings: Guidance
    model: str
    """SHA-256 of the weights."""

    @classmethod
    def make(cls, pipe: Pipeline, request: Request, scorer: str, seeds: Sequence[int], settings: Guidance) -> "Asked":
        """What is asked of a model.

        Raises:
            ConfigError: The picture that is a prompt cannot be read.
        """
        digest = None
        if request.image is not None:
            try:
                digest = atomic.sha256(request.image)
            except OSError as error:
                raise ConfigError(
                    f"--image {request.image} cannot be opened ({error.strerror}); give a picture."
                ) from error
        model = pipe.bundle.sha256
        return cls(
            request=request, image_sha256=digest, scorer=scorer, seeds=tuple(seeds), settings=settings, model=model
        )

    def values(self) -> dict[str, Any]:
        """The same as flat JSON values, by the names of the flags."""
        prompts = self.request.values()
        who = {"seeds": list(self.seeds), "scorer": self.scorer, "model": self.model}
        return {**prompts, "image_sha256": self.image_sha256, **who, **to_json(self.settings)}

    def text(self, **more: object) -> str:
        """What a picture says of itself."""
        versions = {"biggan": __version__, "torch": torch.__version__}
        return json.dumps({"imagined": True, **more, **self.values(), **versions}, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class Imagined:
    """The pictures of a run; a notebook shows the best of each seed."""

    folder: Path
    seeds: list[int]
    best: list[Image.Image]
    """Of each seed the picture that scored best."""
    last: list[Image.Image]
    """Of each seed the picture at the end."""
    scores: list[float]
    """Of the best: the weighted sum of its cut-outs' mean cosines with the prompts."""

    def _repr_png_(self) -> bytes:
        return png_bytes(grids.sheet(self.best, min(len(self.best), MOST_COLUMNS)), "{}")


def begin_folder(out: Path, asked: Asked, check_only: bool = False) -> None:
    """Writes what is asked, after checking that a folder is new, empty, or of a run that was asked the same.

    Args:
        out: The folder.
        asked: What is asked.
        check_only: Write nothing.

    Raises:
        ConfigError: The folder is a file or holds other things, or its run was asked something else, which is named.
        ModelError: The record of what it was asked is damaged.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a folder.")
    names = [path.name for path in out.iterdir()] if out.is_dir() else []
    others = sorted(name for name in names if name != "lock" and not atomic.LEFTOVER.fullmatch(name))
    if others and ASKED not in others:
        raise ConfigError(f"--out {out} holds other files ({others[0]}); give a new folder.")
    if others:
        _same(out, asked.values())
    for path in _pictures(out, asked.seeds):
        check_replaceable(path)
    if not check_only:
        atomic.write_json(out / ASKED, {"format": FORMAT, "asked": asked.values()})


def _same(out: Path, now: dict[str, Any]) -> None:
    before = atomic.read_json(out / ASKED)
    if not isinstance(before, dict) or before.get("format") != FORMAT or not isinstance(before.get("asked"), dict):
        raise ModelError(f"{out / ASKED} is damaged or of another format; give another --out.")
    for name, value in json.loads(json.dumps(now)).items():
        was = before["asked"].get(name)
        if was != value:
            told = f"{_short(value)} and the run in {out} began with {_short(was)}"
            raise ConfigError(f"--{name.replace('_', '-')} is {told}; give that, or another --out.")


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _stem(seed: int) -> str:
    return f"seed_{seed:04}"


def _pictures(out: Path, seeds: Sequence[int]) -> list[Path]:
    names = [f"{_stem(seed)}_{kind}.png" for seed in seeds for kind in ("best", "last")]
    return [out / name for name in (PREVIEW, STRIP, *names)]


Frames = Sequence[tuple[int, Tensor]]
"""Steps, and the pictures of all seeds then, (N, C, W, W) uint8."""


def write_pictures(out: Path, asked: Asked, frames: Frames) -> None:
    """Writes how the pictures stand and how they formed."""
    step, now = frames[-1]
    labels = grids.seed_labels(asked.seeds, False)
    shown = grids.to_images(now)[:MOST_ROWS]
    page = grids.sheet(shown, min(len(shown), MOST_COLUMNS), column_labels=labels if len(shown) <= MOST_COLUMNS else [])
    atomic.write_bytes(out / PREVIEW, png_bytes(page, asked.text(sheet=True, step=step)))
    chosen = _evenly(frames)
    rows = zip(*(grids.to_images(frame) for _, frame in chosen), strict=True)
    images = [image for row in list(rows)[:MOST_ROWS] for image in row]
    heads = [f"step {step}" for step, _ in chosen]
    strip = grids.sheet(images, len(chosen), labels[:MOST_ROWS], heads)
    atomic.write_bytes(out / STRIP, png_bytes(strip, asked.text(sheet=True)))


def _evenly(frames: Frames) -> Frames:
    """At most nine frames, at steps as even as may be, with the first and the last."""
    last = max(1, frames[-1][0])
    wanted = [last * i / (MOST_COLUMNS - 1) for i in range(MOST_COLUMNS)]
    places = {min(range(len(frames)), key=lambda i: abs(frames[i][0] - step)) for step in wanted}
    return [frames[place] for place in sorted(places)]


def write_results(out: Path, asked: Asked, guide: Guide, frames: Frames, class_names: Sequence[str]) -> Imagined:
    """Writes the best and the last picture of each seed with their latents, and the figures."""
    kinds = {"best": guide.best, "last": guide.average.value()}
    x = {kind: to_bytes(guide.draw(*latents)).cpu() for kind, latents in kinds.items()}
    images = {kind: grids.to_images(pixels) for kind, pixels in x.items()}
    steps = {"best": guide.best_step.tolist(), "last": [guide.done] * len(asked.seeds)}
    for i, seed in enumerate(asked.seeds):
        for kind, pictures in images.items():
            text = asked.text(seed=seed, kind=kind, step=steps[kind][i])
            atomic.write_bytes(out / f"{_stem(seed)}_{kind}.png", png_bytes(pictures[i], text))
        atomic.write_bytes(out / f"{_stem(seed)}.safetensors", _latents(guide, kinds, i))
    write_pictures(out, asked, frames)
    scores = guide.best_score.tolist()
    classes = guide.soft(guide.best[1]).mean(1).cpu()
    figures = [
        {"seed": seed, "score": scores[i], "step": steps["best"][i], "classes": _largest(classes[i], class_names)}
        for i, seed in enumerate(asked.seeds)
    ]
    atomic.write_json(out / RESULT, {"format": FORMAT, "steps": guide.done, "pictures": figures, **asked.values()})
    best, last = images["best"], images["last"]
    return Imagined(folder=out, seeds=list(asked.seeds), best=best, last=last, scores=scores)


def _latents(guide: Guide, kinds: dict[str, list[Tensor]], i: int) -> bytes:
    """Latents and soft classes of a seed's two pictures: `best.z` (R, dim_z), `best.classes` (R, K), …"""
    tensors: dict[str, Tensor] = {}
    for kind, (z, logits) in kinds.items():
        tensors[f"{kind}.z"], tensors[f"{kind}.classes"] = z[i], guide.soft(logits[i])
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(plain, {"step": str(guide.done)})


def _largest(classes: Tensor, class_names: Sequence[str]) -> dict[str, float]:
    """The classes that count most in a picture, and how much."""
    order = classes.argsort(descending=True, stable=True)[:MOST_CLASSES].tolist()
    return {class_names[k]: round(float(classes[k]), 4) for k in order if classes[k] > LEAST_CLASS or k == order[0]}
