"""Figures for a tracker that draws curves: TensorBoard's event files in `tensorboard/` of the run.

A tracker is a convenience. Whatever goes wrong with it is said once, and the run goes on without it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

from biggan.errors import ConfigError

Track = Literal["none", "tensorboard"]

FOLDER = "tensorboard"


def check_track(track: Track) -> None:
    """Checks that there is what figures are to be handed to.

    Raises:
        ConfigError: It is not known, or its package is not installed.
    """
    if track not in get_args(Track):
        raise ConfigError(f"--track is {track!r}; allowed is {', '.join(get_args(Track))}.")
    try:
        if track == "tensorboard":
            import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            '--track tensorboard needs the package tensorboard; run pip install "torch-biggan[track]".'
        ) from error


class Tracker:
    """Hands figures on to TensorBoard, until that fails.

    Args:
        run: The run folder.
        say: Takes the one sentence about a failure.
    """

    def __init__(self, run: Path, say: Callable[[str], None]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._make, self._place, self._say = SummaryWriter, run / FOLDER, say
        self._writer: SummaryWriter | None = None
        self._failed = False

    def figures(self, images: int, figures: Mapping[str, float]) -> None:
        """Adds a point at `images` to the curve of each figure.

        After a rollback or a resumption, TensorBoard shows what was written last at a number of images.
        """
        if self._failed:
            return
        try:
            self._writer = self._writer or self._make(str(self._place), purge_step=images)
            for name, value in figures.items():
                self._writer.add_scalar(name, value, images)
            self._writer.flush()
        except Exception as error:  # whatever it is, the run matters more
            self._failed = True
            self._say(f"TensorBoard failed ({str(error)[:200]}); the run goes on without it.")

    def close(self) -> None:
        """Ends the file."""
        if self._writer is not None and not self._failed:
            self._writer.close()
