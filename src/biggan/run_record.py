"""`run.json`: what a run began with, and whether a command that would go on with it asks for the same."""

import dataclasses
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from biggan import __version__, atomic
from biggan.config import FREE_ON_RESUME, PLAIN, Config, Data
from biggan.config_json import from_json, to_json
from biggan.data import bundled
from biggan.data.packed import Packed
from biggan.errors import ConfigError, ModelError
from biggan.models.bundle import MODEL
from biggan.presets import FROM_DATA, flag
from biggan.training import state
from biggan.training.transfer import Origin

RUN = "run.json"
FORMAT = 1


def check_place(out: Path) -> None:
    """Checks that a folder is a run's, empty, or not there yet.

    Raises:
        ConfigError: It is a file, or holds other things.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a folder for the run.")
    names = [path.name for path in out.iterdir()] if out.is_dir() else []
    others = [name for name in names if name != "lock" and not atomic.LEFTOVER.fullmatch(name)]
    if others and RUN not in others:
        raise ConfigError(f"--out {out} holds other files ({sorted(others)[0]}); give a new folder for the run.")


def check_begun(
    out: Path, config: Config, source: str, packed: Packed, origin: Origin | None = None, budgeted: bool = False
) -> None:
    """Checks that a run that has saved states already is the one that is asked for.

    Args:
        out: The run folder.
        config: The settings in full.
        source: What the data was asked for as.
        packed: The data.
        origin: The model to start from.
        budgeted: Whether a `--budget` is asked for.

    Raises:
        ConfigError: The run began with other settings, other data or another model; the message names the first
            difference.
        ModelError: Its `run.json` is damaged.
    """
    if before := _before(out):
        _same_start(before.get("init"), _told(origin))
        if bool(before.get("budget")) != budgeted:
            was, flag = ("with", "give it") if before.get("budget") else ("without", "leave it out")
            raise ConfigError(f"This run began {was} --budget; {flag}, or give another --out.")
        _same_settings(_settings(before, out), config)
        if before["data"].get("sha256") != packed.sha256:
            raise ConfigError(f"--data {source} is not what this run began with; give that, or another --out.")


def as_begun(out: Path, config: Config, initiated: bool = False) -> Config:
    """Settings in which what is left to the data or the machine is as the run in `out` chose it when it began.

    A longer run would choose otherwise, and so would another machine.

    Args:
        out: The run folder.
        config: What is asked for.
        initiated: Whether a model to start from is given.

    Raises:
        ConfigError: Its record holds what is not allowed, or a model to start from, and none is given.
        ModelError: It is damaged.
    """
    before = _before(out)
    if before is None:
        return config
    if not initiated:
        _same_start(before.get("init"), None)
    begun, augment, train = _settings(before, out), config.augment, config.train
    unsaid = [field.name for field in dataclasses.fields(augment) if getattr(augment, field.name) is None]
    augment = replace(augment, **{name: getattr(begun.augment, name) for name in unsaid})
    precision = begun.train.precision if train.precision == "auto" else train.precision
    return replace(config, augment=augment, train=replace(train, precision=precision))


def _before(out: Path) -> dict[str, Any] | None:
    """The record of a run that has saved states already."""
    if not (out / RUN).exists():
        return None
    if not state.list_states(out):
        if (out / MODEL).exists():
            raise ConfigError(f"--out {out} holds a model and no states to go on from; give another --out.")
        return None
    before = atomic.read_json(out / RUN)
    if not isinstance(before, dict) or not isinstance(before.get("data"), dict):
        raise ModelError(f"{out / RUN} is damaged; put it back, or give another --out.")
    return before


def _settings(before: Mapping[str, Any], out: Path) -> Config:
    settings = before.get("config")
    if isinstance(settings, dict):
        settings = {"augment": to_json(PLAIN), **settings}  # runs from before there was a choice
    return from_json(Config, settings, str(out / RUN))


def relengthened(out: Path, config: Config) -> str:
    """A sentence where the run in `out` is asked to be of another length than it was; empty where it is not."""
    before = _before(out)
    was, now = _settings(before, out).train.total_images if before else None, config.train.total_images
    told = f"The run's length is now {now:,} images, where it was {was or 0:,} (--total-images)."
    return "" if was in (None, now) else told


def begin(
    out: Path,
    config: Config,
    source: str,
    packed: Packed,
    origin: Origin | None = None,
    budget: Mapping[str, Any] | None = None,
) -> None:
    """Writes `run.json`, after `check_begun`, which says what all but the last argument is.

    Args:
        budget: What `--budget` asked for and what was made of it.

    Raises:
        UserError: As `check_begun`.
    """
    check_begun(out, config, source, packed, origin, bool(budget))
    versions = {"biggan": __version__, "torch": torch.__version__, "python": platform.python_version()}
    if source not in bundled.NAMES and Path(source).exists():
        source = str(Path(source).resolve())  # to be found again from anywhere
    data = {"source": source, "sha256": packed.sha256, "num_images": packed.num_images}
    values = {"format": FORMAT, "config": to_json(config), "data": data, "init": _told(origin), "versions": versions}
    values["budget"] = dict(budget) if budget else None
    atomic.write_json(out / RUN, {**values, "class_names": packed.class_names, "processor": platform.processor()})


def record_of_images(folder: Path | None) -> tuple[Data | None, str | None]:
    """How the run in a folder, or the one whose best model is in it, brings its images to size, and their SHA-256.

    Each is None if not recorded.

    Raises:
        ConfigError: The record holds what is not allowed.
        ModelError: It is damaged.
    """
    for place in (folder, folder.parent) if folder and folder.name == "best" else (folder,) if folder else ():
        if (place / RUN).is_file():
            record = atomic.read_json(place / RUN)
            config, data = (record.get(part) if isinstance(record, dict) else None for part in ("config", "data"))
            settings = config.get("data") if isinstance(config, dict) else None
            sha256 = data.get("sha256") if isinstance(data, dict) else None
            return from_json(Data, settings, str(place / RUN)) if settings else None, sha256
    return None, None


def note_total(out: Path, total_images: int) -> None:
    """Writes down the length of a run as its clock has settled it.

    Raises:
        ModelError: Its `run.json` is damaged.
    """
    values = atomic.read_json(out / RUN)
    try:
        train = values["config"]["train"]
        if train["total_images"] == total_images:
            return
        train["total_images"] = total_images
    except (KeyError, TypeError) as error:
        raise ModelError(f"{out / RUN} is damaged; put it back, or give another --out.") from error
    atomic.write_json(out / RUN, values)


def _told(origin: Origin | None) -> dict[str, str] | None:
    return {"source": origin.source, "sha256": origin.sha256} if origin else None


def _same_start(before: Any, now: dict[str, str] | None) -> None:
    if before is not None and not isinstance(before, dict):
        raise ModelError("The run's run.json is damaged; put it back, or give another --out.")
    if (before or {}).get("sha256") != (now or {}).get("sha256"):
        was = f"from --init {str(before.get('source'))[:200]}" if before else "without --init"
        given = f"--init {now['source']} is not that model" if now else "no --init is given"
        raise ConfigError(f"This run began {was}, and {given}; give that, or another --out.")


def _same_settings(before: Config, now: Config) -> None:
    free = FREE_ON_RESUME.union(FROM_DATA)
    for part in dataclasses.fields(Config):
        old, new = getattr(before, part.name), getattr(now, part.name)
        for field in dataclasses.fields(old):
            was, is_ = getattr(old, field.name), getattr(new, field.name)
            if was != is_ and field.name not in free:
                began, given = (" ".join(flag(field.name, value)) for value in (was, is_))
                raise ConfigError(f"This run began with {began}, not with {given}; give that, or another --out.")
