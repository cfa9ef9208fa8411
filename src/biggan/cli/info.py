"""`biggan info`: what a model or run folder is."""

import contextlib
import json
import math
import stat
from pathlib import Path
from typing import Annotated, Any

import tyro

from biggan import atomic, opening
from biggan.cli.drawing import ModelPlace
from biggan.cli.parse import run_command
from biggan.config_json import to_json
from biggan.errors import Collapsed, Interrupted
from biggan.models.build import count_parameters
from biggan.models.bundle import Bundle
from biggan.overseer import INCIDENTS
from biggan.run_record import RUN
from biggan.training.state import list_states

LAST_LINES = 16 * 2**10  # bytes at the end of stats.jsonl in which its last line is looked for


def run(argv: list[str]) -> None:
    """Runs the command on its arguments."""
    run_command(info, argv, "biggan info")


def info(model: ModelPlace, as_json: Annotated[bool, tyro.conf.arg(name="json")] = False, done: bool = False) -> None:
    """Says what a model or run folder is: networks, classes, how it was trained, its states and files.

    Args:
        model: A run folder, a model folder, a published checkpoint, or fashion-mnist, which ships with the package.
        as_json: Say it as JSON.
        done: Say it by the exit code too: 75 for a run that the same command goes on with, 1 for one that collapsed.
    """
    facts = describe(model)
    print(_as_json(facts) if as_json else _as_text(facts))
    if done and facts.get("collapsed"):
        raise Collapsed(f"The run {model} collapsed more often than --incidents allows; see {INCIDENTS}.jsonl in it.")
    if done and not facts.get("done", True):
        raise Interrupted(f"The run {model} is not done; the same command goes on from there.")


def describe(path_or_name: str | Path) -> dict[str, Any]:
    """The facts about a folder, as JSON values.

    Raises:
        ModelError: There is no model or run, or it is damaged.
    """
    path = Path(path_or_name)
    is_run = (path / RUN).is_file()
    facts: dict[str, Any] = {}
    if not is_run or (path / "model.safetensors").exists():
        bundle = opening.open_model(path_or_name)
        path, facts = bundle.path or path, _model_facts(bundle)
    facts = {"folder": str(path), "kind": "run" if is_run else "model", **facts}
    if is_run:
        facts |= {"states": [int(state.name) for state in list_states(path)], "figures": _last_figures(path)}
        train = _length(path)
        facts["collapsed"] = bool(train.get("guard")) and _incidents(path) > train.get("incidents", math.inf)
        facts["done"] = not facts["collapsed"] and _is_done(train, facts)
    return {**facts, "files": _sizes(sorted(path.iterdir()) if path.is_dir() else [path])}


def _sizes(places: list[Path]) -> dict[str, int]:
    """Bytes of those that are files; a run renames its own meanwhile."""
    sizes = {}
    for place in places:
        with contextlib.suppress(FileNotFoundError):
            found = place.stat()
            if stat.S_ISREG(found.st_mode):
                sizes[place.name] = found.st_size
    return sizes


def _model_facts(bundle: Bundle) -> dict[str, Any]:
    networks = {"G": bundle.G, **({"D": bundle.D} if bundle.D is not None else {})}
    return {
        "model": to_json(bundle.G.config),
        "parameters": {name: count_parameters(network) for name, network in networks.items()},
        "class_names": bundle.class_names,
        "statistics": [kind for kind in bundle.statistics.tables if kind != "none"],
        "training": bundle.training,
        "sha256": bundle.sha256,
    }


def _length(run: Path) -> dict[str, Any]:
    """A run's settings of length and files; empty where its record has none.

    Raises:
        ModelError: The record cannot be read.
    """
    try:
        train = atomic.read_json(run / RUN)["config"]["train"]
    except (KeyError, TypeError):
        return {}
    return train if isinstance(train, dict) else {}


def _incidents(run: Path) -> int:
    """How often a run has collapsed."""
    place = run / f"{INCIDENTS}.jsonl"
    return place.read_bytes().count(b"\n") if place.is_file() else 0


def _is_done(train: dict[str, Any], facts: dict[str, Any]) -> bool:
    """Whether a run has shown all its images, and its model has all its tables, which it gets last."""
    shown = facts.get("training", {}).get("images", 0)
    return "truncation" in facts.get("statistics", ()) and shown >= train.get("total_images", math.inf)


def _last_figures(run: Path) -> dict[str, Any]:
    """The last whole line of a run's `stats.jsonl`; empty where there is none."""
    path = run / "stats.jsonl"
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LAST_LINES))
        lines = file.read().split(b"\n")[:-1]
    try:
        figures = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return figures if isinstance(figures, dict) else {}


def _as_json(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=2, ensure_ascii=False)


def _as_text(facts: dict[str, Any]) -> str:
    """The facts for reading, a line each."""
    rows = [("folder", f"{facts['folder']}, a {facts['kind']}")]
    if "model" in facts:
        rows += _model_rows(facts)
    elif facts["kind"] == "run":
        when = "the same command writes it" if facts["states"] else "it is written with the first state"
        rows.append(("model", f"none yet; {when}"))
    if "states" in facts:
        states = ", ".join(f"{images:,}" for images in facts["states"])
        rows.append(("states", f"after {states} images" if states else "none yet"))
        rows.append(("figures", _pairs(facts["figures"]) or "none yet"))
        rows.append(("done", "yes" if facts["done"] else "no, it collapsed" if facts["collapsed"] else "no"))
    rows.append(("files", ", ".join(f"{name} ({_size(size)})" for name, size in facts["files"].items())))
    return "\n".join(f"{name:<12} {text}" for name, text in rows)


def _model_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    model, names = facts["model"], facts["class_names"]
    colours = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}[model["image_channels"]]
    classes = f"{len(names)}: {', '.join(names[:20])}{', …' if len(names) > 20 else ''}" if names else "none"
    return [
        ("model", f"{model['architecture']}, {model['resolution']} px, {colours}, dim_z {model['dim_z']}"),
        ("parameters", ", ".join(f"{name} {count:,}" for name, count in facts["parameters"].items())),
        ("classes", classes),
        ("drawing", " and ".join(["plain", *(f"--{kind}" for kind in facts["statistics"])])),
        ("training", _pairs(facts["training"]) or "not told"),
        ("sha256", facts["sha256"]),
    ]


def _pairs(values: dict[str, Any]) -> str:
    """Names and values in one line, nested ones flattened."""
    told = {name: value for name, value in values.items() if value != []}
    parts = [f"{name} ({_pairs(v)})" if isinstance(v, dict) else f"{name} {_short(v)}" for name, v in told.items()]
    return ", ".join(parts)


def _short(value: object) -> str:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):  # sentences, such as an import's notes
        return f"({' '.join(value)})"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)[:80]


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
