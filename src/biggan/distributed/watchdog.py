"""Ends a job that hangs, with the stacks of all threads on standard error rather than in silence.

A timer in C (`faulthandler`), which no Python code can hold up, is set anew by each iteration of training. When it
runs out it writes where every thread is and ends the process, whereupon torchrun ends or restarts the others. It runs
from before the processes meet until they have parted. A process alone has nobody to wait for, and no timer.
"""

import faulthandler
import sys
from collections.abc import Iterator
from contextlib import contextmanager

FOR_ONE = 10  # times as long may what one process does for all take

_seconds: float | None = None


@contextmanager
def watched(seconds: float | None) -> Iterator[None]:
    """Sets the time after which a process in which nothing moved is ended; None for never."""
    global _seconds
    _seconds = seconds
    alive()
    try:
        yield
    finally:
        _seconds = None
        faulthandler.cancel_dump_traceback_later()


def alive(times: float = 1.0) -> None:
    """Starts the timer anew, of `times` its length."""
    if _seconds is not None:
        faulthandler.dump_traceback_later(_seconds * times, exit=True, file=sys.__stderr__ or sys.stderr)


@contextmanager
def patient() -> Iterator[None]:
    """While one process works for all, or all meet, it and those that wait for it have ten times as long."""
    alive(FOR_ONE)
    yield
    alive()
