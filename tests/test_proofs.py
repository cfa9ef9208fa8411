"""The small form of the proofs in `proofs/`, whose figures at full size are in `docs/proofs/`."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROOFS = Path(__file__).parent.parent / "proofs"

KILLED = """
import os, random, signal, sys, time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from biggan import presets, workflow
from biggan.models import statistics

statistics.NUM_LATENTS, statistics.TRUNCATIONS, statistics.THRESHOLDS = 64, (0.5, 1.0), (1.0,)  # cheap tables
tiny = presets.preset("tiny")
lengths = dict(total_images=48, save_images=16, sheet_images=48, report_images=16)
config = replace(tiny, train=replace(tiny.train, **lengths))

def sitting(out, seconds):
    child = os.fork()
    if child == 0:
        workflow.train("fashion-mnist", out, config)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]

def digests(out):
    files = [out / "model.safetensors", *sorted(out.glob("states/*/*.safetensors"))]
    return [(str(file.relative_to(out)), sha256(file.read_bytes()).hexdigest()) for file in files]

root, draw = Path(sys.argv[1]), random.Random(0)
began = time.monotonic()
assert sitting(root / "whole", None) == 0
whole = time.monotonic() - began
kills = [sitting(root / "killed", whole * draw.uniform(0.1, 0.6)) for _ in range(4)]
assert sitting(root / "killed", None) == 0
left = [file for file in root.rglob(".*") if file.name.endswith((".tmp", ".old"))]
print(kills.count(signal.SIGKILL), digests(root / "whole") == digests(root / "killed"), left)
"""


@pytest.fixture(autouse=True)
def _proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROOFS)


def test_a_run_killed_at_random_instants_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """The small form of `proofs/kill.py`; processes are forked, which saves them the start."""
    command, one_thread = [sys.executable, "-c", KILLED, str(tmp_path)], {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=one_thread)
    kills, rest = done.stdout.split(" ", 1)
    assert rest == "True []\n", done.stderr
    assert int(kills) >= 2


def test_mutated_models_and_settings_crash_nothing_and_stay_small(tmp_path: Path) -> None:
    """The small form of `proofs/fuzz.py`."""
    import fuzz

    fuzz.make_model(tmp_path)
    figures = fuzz.fuzz(tmp_path, 240)
    assert figures["ok"], figures


def test_no_name_leads_outside(tmp_path: Path) -> None:
    """Manifests and class names; `tests/data/test_escape.py` has the names in data sets."""
    import _escapes
    import fuzz

    fuzz.make_model(tmp_path / "model")
    figures = _escapes.escape(
        tmp_path / "escape", tmp_path / "model", ("manifest of a state", "class name in a config")
    )
    assert figures["ok"], figures


def test_the_guard_tried_on_recorded_looks_says_what_it_said(tmp_path: Path) -> None:
    """What `proofs/collapse.py` rests on where it spares healthy runs."""
    import collapse

    from biggan.training.guard import Guard
    from biggan.training.monitor import Monitor

    monitor, guard, said = Monitor(tmp_path), Guard(), []
    for images in range(1000, 30_001, 1000):
        far = 4.0 if images in (20_000, 24_000, 25_000) else 0.3
        look = {"distance": far, "diversity": 0.8, "d_real": 0.2, "d_fake": -0.2, "gradient_g": 1.0}
        look |= {"gradient_g": math.nan} if images == 29_000 else {}
        monitor.figures(images - 500, 1.0, {"loss_g": 0.1})
        monitor.figures(images, 1.0, look)
        verdict = guard.judge(images, look)
        if verdict:
            said.append(f"{verdict.rule} at {images:,}: {verdict.reason}")
            guard = Guard()
    assert collapse.alarms(tmp_path / "stats.jsonl") == said
    assert [text.partition(":")[0] for text in said] == ["jump at 25,000", "finite at 29,000"]
