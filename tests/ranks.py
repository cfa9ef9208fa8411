"""Runs a function in several processes that have met, as torchrun would start them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parent
PROGRAM = """
import sys
from importlib import import_module
from pathlib import Path

import torch

from biggan.distributed.processes import meeting

torch.set_num_threads(1)
module, function, folder = sys.argv[1:]
with meeting(torch.device("cpu")):
    getattr(import_module(module), function)(Path(folder))
"""


def environment(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun tells process `rank` of `world`."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_PORT": port}
    told = {name: str(number) for name, number in numbers.items()}
    return {**os.environ, **told, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1", "PYTHONPATH": python_path()}


def python_path() -> str:
    """Where the processes find the package that is tested, and the tests."""
    return os.pathsep.join([str(TESTS), *filter(None, sys.path)])


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def started(folder: Path, module: str, function: str, world: int = 2) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that work on `module.function(folder)`, by rank; they are killed at the end."""
    port, command = free_port(), [sys.executable, "-W", "ignore", "-c", PROGRAM, module, function, str(folder)]
    running = [
        subprocess.Popen(command, env=environment(rank, world, port), stderr=subprocess.PIPE, text=True)
        for rank in range(world)
    ]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


def run_ranks(world: int, module: str, function: str, folder: Path) -> list[str]:
    """What each of `world` processes wrote on standard error in `module.function(folder)`; all must end well."""
    with started(folder, module, function, world) as running:
        said = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0] * world, said
    return said
