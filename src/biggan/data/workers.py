"""Several processes that make the shards of one pack.

Each opens the source for itself and is told which shard to make next. A process whose parent is gone ends at once;
one that dies takes the packing with it, and the shards that are finished are kept. What is not here: the shards
(`making.py`).
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from biggan import atomic
from biggan.data import sources
from biggan.data.making import Making
from biggan.errors import BigGANError, DataError, OutOfMemory


def run(making: Making, shards: list[int], processes: int, done: Callable[[int], None]) -> None:
    """Makes shards by several processes.

    Raises:
        DataError: The source has changed meanwhile.
        DiskFailed: A write failed.
        OutOfMemory: A process was killed.
    """
    context = multiprocessing.get_context("spawn")  # a fork would take over locks that threads of this process hold
    team: dict[Connection, SpawnProcess] = {}
    resource_tracker.ensure_running()  # else the first start would do so, and unblock signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is for this process alone
    try:
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(making, theirs), daemon=True)
            process.start()
            theirs.close()
            team[ours] = process
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _serve(team, deque(shards), done)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for pipe, process in team.items():
            process.kill()
            process.join()
            pipe.close()


def _serve(team: dict[Connection, SpawnProcess], waiting: deque[int], done: Callable[[int], None]) -> None:
    """Hands out shards until all are made."""
    busy = dict(team)
    while busy:
        for pipe in wait(list(busy)):
            assert isinstance(pipe, Connection)
            try:
                said = pipe.recv()
            except EOFError:
                busy[pipe].join()
                raise OutOfMemory(
                    f"A packing process ended with code {busy[pipe].exitcode}, for want of memory or killed; finished "
                    "shards are kept: repeat the command, with fewer --workers."
                ) from None
            if isinstance(said, BaseException):
                raise said
            if isinstance(said, int):
                done(said)
            elif waiting:
                pipe.send(waiting.popleft())
            else:
                del busy[pipe]


def _work(making: Making, pipe: Connection) -> None:
    """What each process does: says None when it is free, the number of images done, or the error that ended it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is done or gone
        try:
            _make(making, pipe)
        except BigGANError as error:
            pipe.send(error)


def _make(making: Making, pipe: Connection) -> None:
    with sources.find(making.source) as found, atomic.disk_errors(str(making.folder)):
        if found.stamp != making.stamp:
            raise DataError(f"--data {making.source} has changed while it was packed; repeat the command.")
        while True:
            pipe.send(None)
            making.make(found, pipe.recv(), pipe.send)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
