"""10,000 mutated models and configs, pictures and archives made to explode, 200 paths made to escape.

Nothing may crash, take memory out of proportion, or touch what lies outside. The mutations are in `_mutations.py`, the
explosive sets in `_hostile.py`, the names in `_escapes.py`.
"""

import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import _escapes
import _hostile
import _mutations
import _report
import torch

from biggan import atomic
from biggan.config import Config
from biggan.config_json import from_json, to_json
from biggan.errors import UserError
from biggan.models.build import build
from biggan.models.bundle import Bundle, load_bundle, save_bundle
from biggan.models.statistics import standing_statistics
from biggan.presets import tiny

CASES = 10_000
MOST_GROWTH = 16.0  # MiB over what loading the undamaged model takes
MOST_HOSTILE = 300.0  # MiB


def make_model(folder: Path) -> None:
    """The tiny model with fresh weights."""
    G, D = build(tiny().model)
    names = [f"class {i}" for i in range(G.num_classes)]
    save_bundle(folder, Bundle(G, D, names, standing_statistics(G, full=False)), None)


class Peak:
    """How far resident memory rises above its level at the start, in MiB, by Linux's resettable high-water mark."""

    def __enter__(self) -> "Peak":
        Path("/proc/self/clear_refs").write_text("5")
        self.start = self._read("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.growth = (self._read("VmHWM") - self.start) / 1024

    @staticmethod
    def _read(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


def try_model(folder: Path) -> str:
    """Loads and, if it loads, draws; 'refused' in one line, 'loaded', or what went wrong."""
    try:
        bundle = load_bundle(folder)
        z = torch.zeros(1, bundle.G.dim_z)
        bundle.G(z, bundle.G.embed(torch.zeros(1, dtype=torch.long)))
        return "loaded"
    except UserError as error:
        return "refused" if "\n" not in str(error) and len(str(error)) < 1000 else f"LONG {str(error)[:200]!r}"
    except Exception as error:  # what must not happen
        return f"CRASH {type(error).__name__}: {str(error)[:200]}"


def try_settings(file: Path) -> str:
    """Reads a run's settings, as resuming does."""
    try:
        from_json(Config, atomic.read_json(file), file.name)
        return "loaded"
    except UserError:
        return "refused"
    except Exception as error:
        return f"CRASH {type(error).__name__}: {str(error)[:200]}"


def fuzz(folder: Path, cases: int) -> dict[str, object]:
    """Tries all mutations; figures of what came of them."""
    draw = random.Random(0)
    outcomes: Counter[str] = Counter()
    growth, slowest = 0.0, 0.0
    settings = json.dumps(to_json(tiny()), indent=2).encode()
    originals = {file.name: file.read_bytes() for file in folder.iterdir()} | {"run.json": settings}
    try_model(folder)  # imports and caches
    with Peak() as clean:
        try_model(folder)
    for case in range(cases):
        name, content, kind = _mutations.mutated(draw, case, originals, settings)
        began = time.monotonic()
        with Peak() as peak:
            (folder / name).write_bytes(content)
            outcome = try_settings(folder / name) if name == "run.json" else try_model(folder)
            (folder / name).write_bytes(originals[name])
        if kind == "raw tensors" and outcome == "loaded" and content != originals[name]:
            outcome = "DAMAGE UNSEEN"
        growth, slowest = max(growth, peak.growth), max(slowest, time.monotonic() - began)
        outcomes[outcome] += 1
        outcomes[f"of {kind}: {outcome}"] += 1
    bad = {text: count for text, count in outcomes.items() if not text.endswith(("refused", "loaded"))}
    kinds = {text: count for text, count in sorted(outcomes.items()) if text.startswith("of ") and text not in bad}
    return {
        "mutated files": cases,
        "refused in one line": outcomes["refused"],
        "loaded (the mutation left a valid file), and drew": outcomes["loaded"],
        **kinds,
        "crashes or unseen damage": bad or 0,
        "size of the model's files, MiB": round(sum(map(len, originals.values())) / 2**20, 2),
        "memory while loading the undamaged model, MiB": round(clean.growth, 1),
        "memory while loading a mutated one, at most, MiB": round(growth, 1),
        "slowest case, seconds": round(slowest, 2),
        "ok": not bad and growth < clean.growth + MOST_GROWTH,
    }


def main() -> None:
    """Fuzzes, measures, reports."""
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="biggan-fuzz-"))
    make_model(folder / "model")
    figures = fuzz(folder / "model", int(sys.argv[1]) if len(sys.argv) > 1 else CASES)
    explosions = _hostile.explode(folder / "explode")
    escapes = _escapes.escape(folder / "escape", folder / "model")
    shutil.rmtree(folder)
    ok = bool(figures.pop("ok")) and bool(escapes.pop("ok")) and int(str(escapes["paths made to escape"])) >= 200
    worst = max(explosions.values(), key=lambda result: result.peak)
    ok = ok and worst.peak < MOST_HOSTILE and all(result.ended for result in explosions.values())
    _report.write(
        "fuzz",
        "Hostile files crash nothing, stay small, and stay inside",
        "Config text, config values, tensor-file bytes, and tensor files with wrong but well-sealed content were "
        "mutated and loaded in one process, whose peak memory was read after each. Each explosive set was packed by "
        "`biggan.data.packed.prepare` in a process of its own; its peak resident memory is stated with what came of "
        "it. Each escaping path was offered through a zip, a `dataset.json`, a `labels.csv`, a manifest or a "
        "`config.json`, with every file that Python opened written down.",
        {
            **figures,
            **{f"explosive {name}": f"{r.peak:.0f} MiB, {r.seconds:.1f} s: {r.said}" for name, r in explosions.items()},
            "memory with an explosive set, at most, MiB": round(worst.peak),
            **escapes,
        },
    )
    sys.exit(not ok)


if __name__ == "__main__":
    main()
