"""Three hosts in network namespaces of their own, joined by a bridge; needs root and Linux."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from types import TracebackType

NETWORK = "10.77.0."
CARD = "eth0"  # each host's network card


class NoNamespaces(Exception):
    """This machine or user cannot make network namespaces."""


class Network:
    """Context manager with hosts `<prefix>1`, `<prefix>2`, … at 10.77.0.1, 10.77.0.2, …; cables to one bridge.

    Leaving it ends every process within and removes what was made, whatever happened.

    Raises:
        NoNamespaces: They cannot be made here.
    """

    def __init__(self, hosts: int) -> None:
        self.prefix = f"biggan{os.getpid()}-"
        self.numbers = range(1, hosts + 1)
        self.bridge = f"{self.prefix}bridge"  # the namespace in which the other ends of the cables are, `port<number>`

    def name(self, number: int) -> str:
        """A host's namespace."""
        return f"{self.prefix}{number}"

    def inside(self, number: int) -> list[str]:
        """What goes before a command to run it on a host."""
        return ["ip", "netns", "exec", self.name(number)]

    def __enter__(self) -> "Network":
        if os.geteuid() != 0 or not shutil.which("ip"):
            raise NoNamespaces("it needs root and the command `ip` (iproute2)")
        try:
            self._make()
        except subprocess.CalledProcessError as error:
            self._remove()
            raise NoNamespaces(error.stderr.decode().strip()) from error
        except BaseException:
            self._remove()
            raise
        return self

    def _make(self) -> None:
        _ip("netns", "add", self.bridge)
        _ip("-n", self.bridge, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self.bridge, "link", "set", "bridge", "up")
        for number in self.numbers:
            host, port = self.name(number), f"port{number}"
            _ip("netns", "add", host)
            _ip("-n", self.bridge, "link", "add", port, "type", "veth", "peer", "name", CARD, "netns", host)
            _ip("-n", self.bridge, "link", "set", port, "master", "bridge", "up")
            _ip("-n", host, "addr", "add", f"{NETWORK}{number}/24", "dev", CARD)
            for card in ("lo", CARD):
                _ip("-n", host, "link", "set", card, "up")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for host in (*map(self.name, self.numbers), self.bridge):
            with suppress(subprocess.CalledProcessError):
                while found := _ip("netns", "pids", host).split():
                    for process in found:
                        with suppress(ProcessLookupError):
                            os.kill(int(process), signal.SIGKILL)
                    time.sleep(0.1)
                _ip("netns", "delete", host)


def _ip(*words: str) -> str:
    """What a command of `ip` says.

    Raises:
        CalledProcessError: It failed.
    """
    return subprocess.run(["ip", *words], check=True, capture_output=True).stdout.decode()
