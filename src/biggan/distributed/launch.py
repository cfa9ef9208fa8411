"""What a launcher such as torchrun says of this process in its environment, before the processes have met."""

import os


def processes() -> int:
    """Number of processes that were started together."""
    return int(os.environ.get("WORLD_SIZE", 1))


def local_rank() -> int:
    """This process's number on its own machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", 0))


def local_processes() -> int:
    """Number of them on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def is_silent() -> bool:
    """Whether this process leaves speaking to the first of them."""
    return processes() > 1 and int(os.environ.get("RANK", 0)) != 0
