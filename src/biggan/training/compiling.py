"""Training with compiled networks: torch.compile, what it needs of a machine, and what its start costs.

A step uses each network in two ways: G draws for D without gradients and learns, D learns and judges for G with its
weights held. Each way is compiled once, in the first iteration, and nothing later compiles again. Copies of a network
are plain, and so are its pictures and all that hooks measure. Not here: compiled drawing.
"""

import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from biggan.distributed.launch import processes
from biggan.errors import ConfigError
from biggan.models.resample import spread

BACKEND = "inductor"  # torch's own
MOST_FORMS = 64  # ways in which a network can be used, of which every microbatch of a step adds one of G's


def check_compiler() -> None:
    """Checks that torch.compile has what it needs here.

    Raises:
        ConfigError: There are several processes, whose exchanges inside the networks were never tried compiled; there
            is no C++ compiler; or Python's headers are missing.
    """
    if processes() > 1:
        raise ConfigError(f"--compile is for one process and there are {processes()}; leave it out.")
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        raise ConfigError(
            f"--compile needs the C++ compiler {compiler}, which is not here; install it or leave it out."
        )
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        raise ConfigError(f"--compile needs {header}, which is not here; install Python's headers or leave it out.")


def compile_network(network: nn.Module) -> None:
    """Has a network compiled where it is next called, for batches of one size."""
    import torch._dynamo.config as settings  # slow to import

    settings.recompile_limit = max(settings.recompile_limit, MOST_FORMS)
    torch.compiler.assume_constant_result(spread)
    network.compile(dynamic=False, backend=BACKEND)


class Start:
    """Hook that says once, after the first iteration, how long it took to compile.

    Args:
        say: Takes the sentences.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say, self.began, self.done = say, time.monotonic(), False
        say("Compiling the networks within the first iteration ...")

    def __call__(self, run: object, figures: dict[str, Tensor]) -> None:
        if not self.done:
            self.say(f"Compiled in {time.monotonic() - self.began:.0f} s; the next start on this machine takes less.")
            self.done = True
