"""One process a run: an exclusive lock on `run/lock` that the operating system drops when its holder dies.

The file stays behind and says who held it last, which is harmless; only the lock counts.
"""

import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType

from biggan.atomic import disk_errors
from biggan.errors import RunInUse


class RunLock:
    """Context manager that holds a run folder, making it if need be.

    Raises:
        RunInUse: Another process holds it; the message names its id and host.
        DiskFailed: The folder or the lock cannot be written.
    """

    def __init__(self, run: Path) -> None:
        self.run = run

    def __enter__(self) -> "RunLock":
        with disk_errors(str(self.run / "lock")):
            self.run.mkdir(parents=True, exist_ok=True)
            self.file = (self.run / "lock").open("a+", encoding="utf-8", errors="replace")
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = self._owner()
                self.file.close()
                raise RunInUse(f"{self.run} is in use by {owner}; wait for it or choose another --out.") from None
            self.file.truncate(0)
            self.file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            self.file.flush()
        return self

    def _owner(self) -> str:
        self.file.seek(0)
        return " ".join(self.file.read(200).split()) or "another process"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()
