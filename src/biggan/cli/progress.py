"""How long work shows itself: a live line on a terminal, plain lines elsewhere."""

import contextlib
import os
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, TaskID, TextColumn
from rich.text import Text

from biggan.distributed.launch import is_silent

PLAIN_SECONDS = 5.0  # between lines about packing where there is no terminal


def clock(seconds: float) -> str:
    """Seconds as `h:mm:ss` or `m:ss`."""
    minutes, left = divmod(round(min(seconds, 359_999)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


class _Patient(Console):
    """A console whose reader may leave, as `| head` does, without ending the work."""

    def on_broken_pipe(self) -> None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
        self.file = sys.stdout


class Bar:
    """Context manager with a line that moves at the foot of a terminal; of several processes the first alone speaks."""

    def __init__(self) -> None:
        self.console = _Patient(file=sys.stdout, highlight=False, soft_wrap=True, quiet=is_silent())
        self.live = self.console.is_terminal
        line = TextColumn("{task.description}")
        self.progress = Progress(line, console=self.console, transient=True, disable=not self.live)
        self.task: TaskID | None = None
        self.counted, self.first, self.last = "", 0, 0  # what is counted, how many there were at first, and last
        self.began = self.printed = time.monotonic()

    def say(self, text: str) -> None:
        """Prints a line above the moving one."""
        with contextlib.suppress(OSError):  # a full or closed output is no reason to stop
            self.console.print(Text(text))

    def move(self, text: str, done: int, total: int) -> None:
        """Shows how far the work is; only on a terminal."""
        if self.task is None:
            self.task = self.progress.add_task(text, total=total)
        self.progress.update(self.task, description=text, completed=done, total=total)

    def counting(self, what: str, done: int, total: int) -> None:
        """Shows how many images something is done with; without a terminal every five seconds."""
        now, text = time.monotonic(), f"{what}: {done:,} of {total:,}"
        if self.live:
            self.move(text, done, total)
        elif now - self.printed > PLAIN_SECONDS:
            self.printed = now
            self.say(text)

    def packing(self, done: int, total: int) -> None:
        """Shows how many images are packed; without a terminal every five seconds."""
        self._count("packed", "images", done, total)

    def fetching(self, done: int, total: int) -> None:
        """Shows how many files are fetched, likewise."""
        self._count("fetched", "files", done, total)

    def verifying(self, done: int, total: int) -> None:
        """Shows how many files are compared with their checksums, likewise."""
        self._count("verified", "files", done, total)

    def drawing(self, done: int, total: int) -> None:
        """Shows how many images are drawn, likewise."""
        self._count("drew", "images", done, total)

    def measuring(self, done: int, total: int) -> None:
        """Shows how many rows of statistics are measured, likewise."""
        self._count("measured", "rows of statistics", done, total)

    def _count(self, did: str, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if did != self.counted or done < self.last:  # others, or the same anew
            self.counted, self.first, self.began = did, done, now  # what was done before says nothing about the speed
        self.last, pace = done, max(done - self.first, 1) / max(now - self.began, 1e-3)
        text = f"{did} {done:,} of {total:,} {what}"
        if done > self.first:
            text += (f", {pace:,.0f}/s" if pace >= 1 else "") + f", {clock((total - done) / pace)} left"
        if self.live:
            self.move(text, done, total)
        elif now - self.printed > PLAIN_SECONDS:
            self.printed = now
            self.say(text)

    def __enter__(self) -> "Bar":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
