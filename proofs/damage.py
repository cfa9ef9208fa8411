"""Cuts and flips bits of saved states and models at random places and counts what is found."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import _report

from biggan.errors import ModelError
from biggan.models.bundle import load_bundle
from biggan.training.state import DAMAGED, list_states, load_latest

TRAIN = ["--data", "fashion-mnist", "--preset", "tiny", "--seed", "0", "--device", "cpu", "--keep", "2"]
LENGTH = ["--total-images", "128", "--save-images", "64"]


def train(out: Path) -> str:
    """Runs the training command to its end and gives what it printed."""
    command = [sys.executable, "-m", "biggan", "train", *TRAIN, *LENGTH, "--out", str(out)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, check=True, text=True, capture_output=True, env=one_thread).stdout


def damages(files: list[Path], count: int, draw: random.Random) -> Iterator[str]:
    """Damages one file after the other at a random byte, each time putting it right again."""
    for trial in range(count):
        file = files[trial % len(files)]
        content = file.read_bytes()
        place = draw.randrange(len(content))
        kind = "cut" if draw.random() < 0.5 else "flipped"
        flipped = bytes([content[place] ^ 1 << draw.randrange(8)])
        file.write_bytes(content[:place] + (b"" if kind == "cut" else flipped + content[place + 1 :]))
        yield kind
        file.write_bytes(content)


def damage_states(run: Path, count: int, draw: random.Random) -> dict[str, int]:
    """Damages the newest state; each time the previous one has to be found good and used, and that said."""
    previous, newest = list_states(run)
    found = {"cut": 0, "flipped": 0, "unseen": 0}
    for kind in damages(sorted(newest.iterdir()), count, draw):
        said: list[str] = []
        state = load_latest(run, said.append)
        seen = state is not None and state.images == int(previous.name) and len(said) == 1
        found[kind if seen else "unseen"] += 1
        if seen:
            newest.with_name(newest.name + DAMAGED).rename(newest)
    return found


def damage_model(folder: Path, count: int, draw: random.Random) -> dict[str, int]:
    """Damages the tensor files of a model; each time it has to be refused."""
    found = {"cut": 0, "flipped": 0, "unseen": 0}
    for kind in damages(sorted(folder.glob("*.safetensors")), count, draw):
        try:
            load_bundle(folder)
            found["unseen"] += 1
        except ModelError:
            found[kind] += 1
    return found


def goes_on(run: Path, other: Path) -> tuple[bool, str]:
    """Whether the command itself gets over a damaged newest state to the same bytes, and what it says."""
    shutil.copytree(run, other)
    newest = list_states(other)[-1] / "G.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    printed = train(other)
    said = next((line for line in printed.splitlines() if "is damaged" in line), "nothing")
    same = (run / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    return same, said.replace(str(other), "RUN")


def main() -> None:
    """Trains, damages, counts, reports."""
    draw = random.Random(0)
    folder = Path(tempfile.mkdtemp(prefix="biggan-damage-"))
    run = folder / "run"
    train(run)
    same, said = goes_on(run, folder / "other")
    states = damage_states(run, 200, draw)
    model = damage_model(run, 200, draw)
    shutil.rmtree(folder)
    _report.write(
        "damage",
        "Damaged states and models are found",
        "A short run's newest training state was cut or had one bit flipped at a random byte of each of its files in "
        "turn (networks, optimizers, `state.json`, the manifest), and was then asked to resume. The same was done to "
        "the tensor files of its model, which was then loaded.",
        {
            "damaged states": sum(states.values()),
            "cut, found, previous state used and that said": states["cut"],
            "bit flipped, found, previous state used and that said": states["flipped"],
            "damaged models": sum(model.values()),
            "cut, refused": model["cut"],
            "bit flipped, refused": model["flipped"],
            "not found": states["unseen"] + model["unseen"],
            "what the command says": said,
            "bytes of the weights at the end, as undisturbed": "equal" if same else "DIFFERENT",
        },
    )
    sys.exit(bool(states["unseen"] + model["unseen"]) or not same)


if __name__ == "__main__":
    main()
