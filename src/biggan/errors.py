"""Every error a user can meet, and the exit code that goes with it.

```
BigGANError
├── UserError            exit 2   the user's mistake; the message is one sentence that says what to change
│   ├── ConfigError               a setting that is not allowed, or a run that differs from its command
│   ├── DataError                 images or labels that cannot be read
│   ├── ModelError                a model folder or training state that is damaged or of another kind
│   └── OutOfMemory               the machine is too small for the settings
├── Diverged             exit 1   NaN or Inf in training; the last saved state is untouched
├── Collapsed            exit 1   training collapsed more often than it may; the best model is kept
├── RunInUse             exit 73  another process works in the run folder
├── DiskFailed           exit 74  a write failed or the disk is full
└── Interrupted          exit 75  stopped by SIGTERM or a time limit with a state written (130 by Ctrl-C)
```

`UserError` is also a `ValueError`, so Python users can catch it as one.
"""


class BigGANError(Exception):
    """Root of all errors that this package raises on purpose."""

    exit_code = 1


class UserError(BigGANError, ValueError):
    """The user's mistake: one sentence with what was given, what is allowed, what to change."""

    exit_code = 2


class ConfigError(UserError):
    """A setting outside what is allowed."""


class DataError(UserError):
    """Images or labels that cannot be read as asked."""


class ModelError(UserError):
    """A model folder or training state that is missing, damaged or of another kind."""


class OutOfMemory(UserError):
    """The settings need more memory than the machine has."""


class Diverged(BigGANError):
    """A loss, a weight or a statistic is NaN or Inf."""


class Collapsed(BigGANError):
    """Training collapsed once more than it may; the best model so far is kept."""


class RunInUse(BigGANError):
    """Another process holds the run folder."""

    exit_code = 73


class DiskFailed(BigGANError):
    """A file could not be written; what was there before is untouched."""

    exit_code = 74


class Interrupted(BigGANError):
    """The run was asked to stop, and did so with a state written.

    Args:
        message: What was written and how to go on.
        exit_code: 130 after Ctrl-C, 75 after SIGTERM, SIGUSR1 or a time limit.
    """

    def __init__(self, message: str, exit_code: int = 75) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python's or torch's says that there was not enough memory, of a machine or of a device."""
    words = str(error).lower()
    told = isinstance(error, RuntimeError) and ("alloc" in words or "out of memory" in words)
    return told or isinstance(error, MemoryError)


def nearest(word: str, choices: list[str], most: int = 3) -> str:
    """The choices most like `word`, case-blind, as `"; did you mean 'Bag'?"` (empty when none is near)."""
    from difflib import get_close_matches

    by_lower = {choice.lower(): choice for choice in choices}
    found = [by_lower[low] for low in get_close_matches(word.lower(), list(by_lower), most, 0.5)]
    return f"; did you mean {' or '.join(repr(name) for name in found)}?" if found else ""
