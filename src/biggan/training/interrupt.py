"""Stopping a run politely: signals are remembered, and the loop asks between two iterations."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 75, signal.SIGUSR1: 75, signal.SIGHUP: 75}


class StopRequest:
    """Context manager in which Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP only ask; true once one of them came.

    After the first signal of any kind Ctrl-C is Python's own again (KeyboardInterrupt), so a second one quits at once.
    Signals reach the main thread alone; elsewhere nothing is caught and only `ask` stops the run.

    Attributes:
        exit_code: 130 if Ctrl-C came first, 75 if another, 0 if nothing came.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self._before: dict[signal.Signals, Any] = {}

    def __bool__(self) -> bool:
        return self.exit_code != 0

    def ask(self, exit_code: int = 75) -> None:
        """Asks to stop, as a signal does; only the first counts."""
        self.exit_code = self.exit_code or exit_code

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.ask(EXIT_CODES[signal.Signals(number)])
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._receive) for number in EXIT_CODES}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
