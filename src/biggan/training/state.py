"""Training states: everything a resumed run needs, saved so that no kill, cut or flipped bit goes unseen.

`run/states/<images, 12 digits>/` holds a safetensors file for each network and optimizer, `state.json`, and a
manifest of SHA-256 sums (`atomic.new_folder`). There is no random state to keep: every draw of a run is a function of
its seed and the images shown. Not here: the model that one draws from (`models/bundle.py`), the run's lock
(`runlock.py`), and what goes into `record` (`sitting.py`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from biggan import atomic
from biggan.distributed.collective import broadcast, lead
from biggan.distributed.processes import world_size
from biggan.errors import Diverged, ModelError
from biggan.models.sealed import is_finite

FORMAT = 1
STATES = "states"
DAMAGED = ".damaged"  # suffix of a state that was set aside
AFTER_NAN = "saved states are untouched: give lower --lr-g and --lr-d, or --precision float32, and another --out"

Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class State:
    """A saved moment of a run."""

    images: int
    """Images shown to D so far."""
    tensors: dict[str, Tensors]
    """'G', 'D', 'G_ema', 'G_more0' …, 'optim_g', 'optim_d', 'adaptive' -> name -> tensor, on the CPU."""
    record: dict[str, Any]
    """What else the run needs to know again, as JSON values."""


def save_state(run: Path, images: int, tensors: Mapping[str, Mapping[str, Tensor]], record: Mapping[str, Any]) -> Path:
    """Saves a state, replacing one at the same number of images.

    Args:
        run: The run folder.
        images: Images shown to D so far.
        tensors: Name of a network or optimizer -> name of a tensor -> tensor, on any device.
        record: JSON values to keep with it.

    Returns:
        The state's folder.

    Raises:
        Diverged: A tensor holds NaN or Inf; nothing was written.
        DiskFailed: A write failed; earlier states are as they were.
    """
    require_finite(tensors)
    place = run / STATES / f"{images:012}"
    with atomic.new_folder(place) as folder:
        for name, group in tensors.items():
            save_file({key: t.detach().cpu().contiguous() for key, t in group.items()}, folder / f"{name}.safetensors")
        atomic.write_json(folder / "state.json", {"format": FORMAT, "images": images, "record": dict(record)})
    return place


def require_finite(tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Checks that no tensor holds NaN or Inf.

    Raises:
        Diverged: One does; the message names it.
    """
    for part, group in tensors.items():
        for name, tensor in group.items():
            if not is_finite(tensor):
                raise Diverged(f"{part} holds NaN or Inf in {name}; {AFTER_NAN}.")


def list_states(run: Path) -> list[Path]:
    """Folders of the saved states, oldest first, unchecked."""
    states = run / STATES
    found = states.iterdir() if states.is_dir() else ()
    return sorted(path for path in found if re.fullmatch(r"\d{12}", path.name) and path.is_dir())


def load_state(folder: Path) -> State:
    """Reads one state after checking it against its manifest.

    Raises:
        ModelError: The folder is damaged or of another format.
    """
    atomic.verify(folder)
    record = read_record(folder)
    try:
        files = sorted(folder.glob("*.safetensors"))
        return State(int(folder.name), {path.stem: load(path.read_bytes()) for path in files}, record)
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(f"{folder} cannot be read ({str(error)[:200]}); give an undamaged folder.") from error


def read_record(folder: Path) -> dict[str, Any]:
    """What a state's record says, not checked against its manifest.

    Raises:
        ModelError: It cannot be read or is of another format.
    """
    about = atomic.read_json(folder / "state.json")
    of_format = isinstance(about, dict) and about.get("format") == FORMAT and about.get("images") == int(folder.name)
    if not of_format or not isinstance(about.get("record"), dict):
        raise ModelError(f"{folder} is not a state of format {FORMAT}; use the version of biggan that wrote it.")
    return dict(about["record"])


def load_latest(run: Path, say: Callable[[str], None], most: int | None = None) -> State | None:
    """The newest undamaged state of a run, or None if none was saved yet.

    What a killed process left half-written is cleared away. Damaged states that are newer than the one used are said
    and renamed to `….damaged`, to go with the next `prune`. Needs the run's lock, as it changes the folder.

    Args:
        run: The run folder.
        say: Takes one sentence for each damaged state.
        most: Images of the newest state to look at, if not all.

    Raises:
        ModelError: There are states and all are damaged; nothing was changed, so that nothing is lost.
        DiskFailed: A damaged state could not be renamed.
    """
    for folder in (run, *(path for path in run.glob("*") if path.is_dir())):
        atomic.recover(folder)
    damaged: list[tuple[Path, str]] = []
    wanted = [folder for folder in list_states(run) if most is None or int(folder.name) <= most]
    for folder in reversed(wanted):
        try:
            state = load_state(folder)
        except ModelError as error:
            damaged.append((folder, str(error).partition(";")[0].rpartition("is damaged: ")[2]))
            continue
        for bad, reason in damaged:
            _set_aside(bad)
            say(f"State {bad.name} is damaged ({reason}); going on from {folder.name}.")
        return state
    if damaged:
        names = ", ".join(folder.name for folder, _ in damaged)
        raise ModelError(f"No state in {run / STATES} is undamaged ({names}); remove it to train from the start.")
    return None


def load_shared(run: Path, say: Callable[[str], None], most: int | None = None) -> State | None:
    """What `load_latest` finds in process 0, in every process, as other machines may not see the run folder."""
    if world_size() == 1:
        return load_latest(run, say, most)
    found: list[State] = []

    def look() -> State | None:
        saved = load_latest(run, say, most)
        found.extend([saved] if saved else [])
        return saved and State(saved.images, _all(saved.tensors, lambda t: t.to("meta")), saved.record)

    like = lead(look)
    if like is None:
        return None
    state = (
        found[0] if found else replace(like, tensors=_all(like.tensors, lambda t: torch.empty_like(t, device="cpu")))
    )
    for group in state.tensors.values():
        broadcast(group)
    return state


def _all(tensors: Mapping[str, Tensors], change: Callable[[Tensor], Tensor]) -> dict[str, Tensors]:
    return {part: {name: change(tensor) for name, tensor in group.items()} for part, group in tensors.items()}


def _set_aside(folder: Path) -> None:
    aside = folder.with_name(folder.name + DAMAGED)
    atomic.remove(aside)
    with atomic.disk_errors(str(folder)):
        folder.rename(aside)


def prune(run: Path, images: int, keep: int, healthy: int | None = None) -> None:
    """Removes states that a run needs no more; call it after a good save.

    These are states later than `images`, from which the run went back, all but the newest `keep` of the others, and
    those set aside as damaged.

    Args:
        run: The run folder.
        images: Images shown to D so far.
        keep: Number of states to keep.
        healthy: Images; the newest state not after that is kept too, to go back to, or the oldest if there is none.
    """
    states = [folder for folder in list_states(run) if int(folder.name) <= images]
    good = [] if healthy is None else [folder for folder in states if int(folder.name) <= healthy][-1:] or states[:1]
    spared = {*states[-keep:], *good}
    unneeded = [folder for folder in list_states(run) if folder not in spared]
    for folder in (*reversed(unneeded), *sorted((run / STATES).glob(f"*{DAMAGED}"))):
        atomic.discard(folder)
