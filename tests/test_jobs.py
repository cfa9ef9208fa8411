"""The example job files: Slurm's script with stand-ins for Slurm's commands, and what can be said of the others."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from ranks import python_path
from tiny_models import make_folder

from biggan import presets

JOBS = Path(__file__).parent.parent / "examples" / "jobs"

COMMANDS = {
    "biggan": f'exec {sys.executable} -W ignore -m biggan "$@"',
    "scontrol": 'if [ "$1" = show ]; then printf "machine1\\nmachine2\\n"; else echo "$@" >> "$ASIDE/requeued"; fi',
    "scancel": 'echo "$@" >> "$ASIDE/cancelled"',
    "srun": 'echo "$@" >> "$ASIDE/step"; eval "$STEP"',
}

STEPS = {  # what a step does instead of training
    "done": "true",
    "moved on": 'mkdir -p "$RUN/states/000000000500"; exit 1',
    "asked to stop": "kill -USR1 $PPID; sleep 0.5; exit 1",
    "failed": "exit 1",
}


@dataclass
class Ended:
    """A job of Slurm's script, when it has ended."""

    code: int
    folder: Path

    def noted(self, name: str) -> str:
        """What a stand-in wrote down."""
        path = self.folder / name
        return path.read_text().strip() if path.exists() else ""


def submit(folder: Path, step: str) -> subprocess.Popen[bytes]:
    """Slurm's script on the run in `folder`."""
    commands = folder / "commands"
    commands.mkdir(parents=True)
    for name, text in COMMANDS.items():
        (commands / name).write_text(f"#!/bin/bash\n{text}\n")
        (commands / name).chmod(stat.S_IRWXU)
    told = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "machine[1-2]", "SLURM_JOB_NUM_NODES": "2", "STEP": step}
    told |= {"ASIDE": str(folder), "RUN": str(folder / "run"), "FLAGS": "--preset tiny --seed 3"}
    told |= {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": python_path()}
    return subprocess.Popen(["bash", str(JOBS / "slurm.sh")], env={**os.environ, **told}, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """Jobs whose step did each of STEPS, at once."""
    place = tmp_path_factory.mktemp("slurm")
    (make_folder(place / "done" / "run") / "run.json").write_text('{"config": {"train": {"total_images": 0}}}')
    running = {name: submit(place / name, step) for name, step in STEPS.items()}
    return {name: Ended(job.wait(timeout=120), place / name) for name, job in running.items()}


def test_slurm_starts_a_torchrun_on_each_machine(slurm: dict[str, Ended]) -> None:
    words = slurm["done"].noted("step").split()
    assert words[words.index("torchrun") :][:5] == ["torchrun", "--nnodes", "2", "--nproc-per-node", "gpu"]
    assert words[words.index("--rdzv-endpoint") + 1] == "machine1:29400"
    assert words[-4:] == ["--preset", "tiny", "--seed", "3"]


def test_slurm_ends_when_the_run_is_done(slurm: dict[str, Ended]) -> None:
    assert (slurm["done"].code, slurm["done"].noted("requeued")) == (0, "")


@pytest.mark.parametrize("step", ["moved on", "asked to stop"])
def test_slurm_begins_again_while_the_run_is_not_done(slurm: dict[str, Ended], step: str) -> None:
    assert (slurm[step].code, slurm[step].noted("requeued")) == (0, "requeue 7")


def test_slurm_hands_its_warning_to_the_processes(slurm: dict[str, Ended]) -> None:
    assert slurm["asked to stop"].noted("cancelled") == "--signal=TERM 7"


def test_slurm_gives_up_where_nothing_moves(slurm: dict[str, Ended]) -> None:
    assert (slurm["failed"].code, slurm["failed"].noted("requeued")) == (1, "")


def test_the_train_job_has_the_fields_of_its_schema() -> None:
    """Names only; the values were validated once with the models of `kubeflow-trainer-api` (docs/clusters.md)."""
    job = yaml.safe_load((JOBS / "trainjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    assert job["spec"]["runtimeRef"] == {"name": "torch-distributed"}
    trainer = {"image", "numNodes", "numProcPerNode", "resourcesPerNode", "env", "command", "args"}
    assert set(job["spec"]["trainer"]) == trainer
    words = job["spec"]["trainer"]["args"][0].split()
    assert words[words.index("--preset") + 1] in presets.PRESETS
    claims = json.dumps(job["spec"]["runtimePatches"])
    assert all(
        f'"mountPath": "/{words[words.index(flag) + 1].split("/")[1]}"' in claims for flag in ("--data", "--out")
    )
