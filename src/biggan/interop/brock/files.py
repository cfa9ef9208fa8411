"""Which of BigGAN-PyTorch's files a path holds: the roles of a save, and the saves in a folder.

A save is `G.pth`, `G_ema.pth`, `D.pth`, `G_optim.pth`, `D_optim.pth` and `state_dict.pth`, each with a suffix such as
`_copy0` or `_best3`, and any of them may be missing. What a file is of is told by its tensors, not its name.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from biggan.errors import ModelError, nearest
from biggan.interop.brock import record, shapes
from biggan.interop.checkpoint import read_shapes

NAME = re.compile(r"(?P<role>G|G_ema|G_optim|D|D_optim|state_dict)(_(?P<copy>(?!ema|optim)\w+))?\.(pth|pt)")
NETWORKS = ("G_ema", "G", "D")
ENDINGS = (".pth", ".pt")


@dataclass(frozen=True, slots=True)
class Save:
    """The files of one save by role, and what its suffix is; '' for the plain one."""

    files: dict[str, Path]
    copy: str = ""

    @property
    def generator(self) -> Path:
        """The file to draw from: the averaged generator's where there is one."""
        return self.files.get("G_ema") or self.files["G"]


def saves(folder: Path) -> dict[str, Save]:
    """The saves in a folder that have a generator, by suffix."""
    found: dict[str, dict[str, Path]] = {}
    for path in _files(folder):
        name = NAME.fullmatch(path.name)
        if name:
            found.setdefault(name["copy"] or "", {})[name["role"]] = path
    return {copy: Save(files, copy) for copy, files in found.items() if files.keys() & {"G", "G_ema"}}


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:  # not allowed to look
        return []


def holds(path: Path) -> bool:
    """Whether a path is a folder with a save of BigGAN-PyTorch's, or a file of one of its networks.

    A file that cannot be read counts where its name is one of theirs, so that reading it says why.
    """
    if path.is_dir():
        names = (NAME.fullmatch(file.name) for file in _files(path))
        return any(name and name["role"] in NETWORKS and holds(path / name.string) for name in names)
    try:
        return path.is_file() and shapes.kind(read_shapes(path)) is not None
    except ModelError:
        return path.suffix in ENDINGS


def find(path: Path, copy: str | None, notes: list[str]) -> Save:
    """The save to read.

    Args:
        path: A folder, or the file of a generator, beside which the settings of its own save are used.
        copy: The suffix, such as 'best3'; None for the plain files, else the latest.
        notes: Takes a sentence on what was chosen.

    Raises:
        ModelError: There is no such save.
    """
    if path.is_file():
        return _single(path, copy, notes)
    found = saves(path) if path.is_dir() else {}
    if not found:
        raise ModelError(f"{path} holds no generator of BigGAN-PyTorch; give a folder with G.pth or G_ema.pth.")
    if copy is not None:
        if copy not in found:
            there = nearest(copy, list(found)) or f"; there are {', '.join(name or 'plain files' for name in found)}."
            raise ModelError(f"{path} has no copy {copy!r}{there}")
        return found[copy]
    if "" in found:
        return found[""]
    latest = max(found.values(), key=_age)
    if len(found) > 1:
        notes.append(f"Of the copies {', '.join(found)} the latest was read, {latest.copy}.")
    return latest


def _age(save: Save) -> tuple[int, float]:
    """How far a save came: in iterations where it says so, then by the clock."""
    path = save.files.get("state_dict")
    return (record.read(path, []).iterations if path else 0), save.generator.stat().st_mtime


def _single(path: Path, copy: str | None, notes: list[str]) -> Save:
    if copy is not None:
        raise ModelError(f"{path} is one file and has no copy {copy!r}; give its folder, or leave the copy out.")
    if shapes.kind(read_shapes(path)) != "G":
        raise ModelError(f"{path} holds no generator of BigGAN-PyTorch; give the file of one, or its folder.")
    name = NAME.fullmatch(path.name)
    beside = path.with_name(f"state_dict_{name['copy']}.pth" if name and name["copy"] else "state_dict.pth")
    if not name or not beside.is_file():
        return Save({"G": path})
    notes.append(f"Settings are from {beside.name} beside it.")
    return Save({"G": path, "state_dict": beside})
