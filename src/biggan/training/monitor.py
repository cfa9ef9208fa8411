"""What a run writes down as it goes: figures as JSON lines in `stats.jsonl`, plain lines in `log.txt`.

A line is written whole, so a killed run leaves at most one partial line, which `rewind` drops. Prints nothing and
knows no tensors: figures arrive as floats.
"""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path

from biggan.atomic import disk_errors, write_bytes


class Monitor:
    """Appends to a run's two files.

    Raises:
        DiskFailed: From every method, when a write fails.
    """

    def __init__(self, run: Path) -> None:
        self.stats = run / "stats.jsonl"
        self.log = run / "log.txt"

    def figures(self, images: int, seconds: float, figures: Mapping[str, float]) -> None:
        """Adds a line to `stats.jsonl`: `{"images": …, "seconds": …, <figures>}`.

        Args:
            images: Images shown to D so far.
            seconds: Seconds of training so far, over all sittings.
            figures: Name -> value; NaN and Inf, which JSON lacks, are written as null.
        """
        values = {"images": images, "seconds": round(seconds, 3), **figures}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._append(self.stats, json.dumps(finite))

    def note(self, text: str) -> None:
        """Adds a line to `log.txt`, with the date and time in front."""
        self._append(self.log, f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}")

    def rewind(self, images: int) -> None:
        """Makes `stats.jsonl` what it was when `images` images had been shown, and drops partial last lines.

        `log.txt` otherwise keeps all that happened, also what a resumed run does again.
        """
        for path in (self.stats, self.log):
            with disk_errors(str(path)):
                content = path.read_bytes() if path.exists() else b""
            whole = content.split(b"\n")[:-1]
            kept = [line + b"\n" for line in whole if path == self.log or _images(line) <= images]
            if len(b"".join(kept)) != len(content):
                write_bytes(path, b"".join(kept))

    def _append(self, path: Path, line: str) -> None:
        with disk_errors(str(path)), path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line.replace("\n", " ") + "\n")


def _images(line: bytes) -> float:
    """The image count of a line of `stats.jsonl`, infinite if it cannot be read."""
    try:
        value = json.loads(line)
        return float(value["images"])
    except (ValueError, KeyError, TypeError):
        return math.inf
