"""Names that lead outside, through every door by which `fuzz.py` knows a name to come in.

Python's audit events tell every file that is opened, listed, made, renamed or removed; what an ordinary name touches
in the same place is allowed, anything else outside of the sandbox counts as an escape.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from _hostile import GOOD, good_picture

from biggan.atomic import verify
from biggan.config import Data
from biggan.data.packed import prepare
from biggan.errors import UserError
from biggan.models.bundle import load_bundle
from biggan.sampling.pipeline import Pipeline

SECRET = "secret.png"
ORDINARY = "a/ordinary.png"
OTHER = ("os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link")

touched: list[str] = []
watching = False


def listen(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: notes paths while `watching`."""
    if watching and (event == "open" or event in OTHER):
        paths = args[:1] if event == "open" else args[:2]  # an open's second is its mode
        touched.extend(os.fsdecode(path) for path in paths if isinstance(path, str | bytes | os.PathLike))


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Notes what is touched within."""
    global watching
    touched.clear()
    watching = True
    try:
        yield
    finally:
        watching = False


def names(root: Path) -> list[str]:
    """Names that lead, or would on some system lead, from `root/inside/...` to the secret and elsewhere."""
    up = [f"{'../' * depth}{SECRET}" for depth in (1, 2, 3, 4, 40)]
    dressed = [f"a/../../{SECRET}", f"a/b/../../../{SECRET}", f"./../{SECRET}", f"a//../../{SECRET}", f"....//{SECRET}"]
    absolute = [f"{root}/{SECRET}", f"/{root}/{SECRET}", f"//{root}/{SECRET}", f"~/{SECRET}", f"file://{root}/{SECRET}"]
    windows = [f"..\\{SECRET}", f"a\\..\\..\\{SECRET}", f"C:\\{SECRET}", f"C:{SECRET}", f"\\\\host\\share\\{SECRET}"]
    coded = [f"%2e%2e/{SECRET}", f"..%2f{SECRET}", f"..\u2215{SECRET}", f"\uff0e\uff0e/{SECRET}", f"..;/{SECRET}"]
    odd = [
        f"../{SECRET}\x00.png",
        f"\x00../{SECRET}",
        f" ../{SECRET}",
        f"../{SECRET} ",
        f"..\n/{SECRET}",
        "../" + "x" * 9000,
    ]
    system = ["/etc/passwd", "/proc/self/environ", "/dev/zero", "../../../../../../../../etc/passwd"]
    return [*up, *dressed, *absolute, *windows, *coded, *odd, *system]


def zip_member(inside: Path, name: str, model: Path) -> None:
    """A zip with a member of that name."""
    with zipfile.ZipFile(inside / "x.zip", "w") as archive:
        for i in range(GOOD):
            archive.writestr(f"a/{i}.png", good_picture(i))
        archive.writestr(zipfile.ZipInfo(name.replace("\x00", "") or "x"), good_picture(1))
    with watched():
        prepare(inside / "x.zip", 32, Data(), cache=inside / "cache")


def listing(name: str, table: bool) -> tuple[str, str]:
    """A `labels.csv` or a `dataset.json` that names the ordinary pictures and one more."""
    pairs = [*((f"a/{i}.png", i % 2) for i in range(GOOD)), (name, 0)]
    if not table:
        return "dataset.json", json.dumps({"labels": pairs})
    text = io.StringIO()
    csv.writer(text).writerows([("file", "label"), *pairs])
    return "labels.csv", text.getvalue()


def listed_in_folder(inside: Path, name: str, model: Path, table: bool = False) -> None:
    """A folder whose list names it."""
    (inside / "data" / "a").mkdir(parents=True)
    for i in range(GOOD):
        (inside / "data" / "a" / f"{i}.png").write_bytes(good_picture(i))
    file, text = listing(name, table)
    (inside / "data" / file).write_text(text, encoding="utf-8", newline="")
    with watched():
        prepare(inside / "data", 32, Data(), cache=inside / "cache")


def listed_in_zip(inside: Path, name: str, model: Path, table: bool = False) -> None:
    """A zip whose list names it."""
    with zipfile.ZipFile(inside / "x.zip", "w") as archive:
        for i in range(GOOD):
            archive.writestr(f"a/{i}.png", good_picture(i))
        archive.writestr(*listing(name, table))
    with watched():
        prepare(inside / "x.zip", 32, Data(), cache=inside / "cache")


def manifest(inside: Path, name: str, model: Path) -> None:
    """A training state whose manifest names it, with the secret's own checksum."""
    digest = hashlib.sha256((inside.parent / SECRET).read_bytes()).hexdigest()
    (inside / "manifest.json").write_text(json.dumps({name: digest}))
    with watched():
        verify(inside)


def class_name(inside: Path, name: str, model: Path) -> None:
    """A model with a class of that name, a picture of which is saved under its name."""
    shutil.copytree(model, inside / "model")
    config = json.loads((model / "config.json").read_text())
    config["class_names"][0] = name
    (inside / "model" / "config.json").write_text(json.dumps(config))
    with watched():
        pipe = Pipeline(load_bundle(inside / "model"))
        pipe([0], num_images=1).save(inside / "pictures")


DOORS: dict[str, Callable[[Path, str, Path], None]] = {
    "member of a zip": zip_member,
    "dataset.json of a folder": listed_in_folder,
    "dataset.json of a zip": listed_in_zip,
    "labels.csv of a folder": lambda inside, name, model: listed_in_folder(inside, name, model, table=True),
    "labels.csv of a zip": lambda inside, name, model: listed_in_zip(inside, name, model, table=True),
    "manifest of a state": manifest,
    "class name in a config": class_name,
}


def tree(root: Path) -> dict[str, bytes | None]:
    """All that lies around the sandbox, with its bytes."""
    paths = (path for path in root.rglob("*") if path != root / "inside" and root / "inside" not in path.parents)
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


def attempt(door: Callable[[Path, str, Path], None], root: Path, name: str, model: Path) -> tuple[str, set[str]]:
    """Tries a name in a fresh sandbox; what came of it, and what was touched outside."""
    inside = root / "inside"
    shutil.rmtree(inside, ignore_errors=True)
    inside.mkdir(parents=True)
    try:
        door(inside, name, model)
        outcome = "went on without it"
    except UserError:
        outcome = "refused in one sentence"
    except Exception as error:
        outcome = f"CRASH {type(error).__name__}: {str(error)[:200]}"
    real = inside.resolve()
    return outcome, {path for path in map(os.path.realpath, touched) if not Path(path).is_relative_to(real)}


def escape(root: Path, model: Path, doors: Iterable[str] = tuple(DOORS)) -> dict[str, object]:
    """Tries every name at every door of `doors`; figures of what came of them."""
    root.mkdir(parents=True)
    (root / SECRET).write_bytes(good_picture(9))
    sys.addaudithook(listen)
    tried, escapes, outcomes = 0, [], dict.fromkeys(("refused in one sentence", "went on without it"), 0)
    for title in doors:
        door = DOORS[title]
        for _ in range(2):  # the first time Python also opens modules
            _, ordinary = attempt(door, root, ORDINARY, model)
        around = tree(root)
        for name in names(root):
            outcome, outside = attempt(door, root, name, model)
            tried += 1
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            if outside - ordinary or tree(root) != around:
                escapes.append(f"{title} {name[:60]!r}: {sorted(outside - ordinary)[:3]}")
    crashes = [outcome for outcome in outcomes if outcome.startswith("CRASH")]
    return {
        "paths made to escape": tried,
        **{f"of them {outcome}": count for outcome, count in outcomes.items()},
        "escapes (something outside was opened, listed or changed)": escapes or 0,
        "ok": not escapes and not crashes,
    }
