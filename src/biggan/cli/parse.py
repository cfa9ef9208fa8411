"""From a function to a command: its signature are the flags, its docstring is the help, a mistake is one sentence."""

import contextlib
import functools
import io
import re
import sys
from collections.abc import Callable
from typing import Any

import tyro

from biggan.errors import UserError, nearest


def run_command(function: Callable[..., None], argv: list[str], prog: str) -> None:
    """Parses `argv` into the arguments of `function` and calls it.

    Raises:
        UserError: A flag is unknown, missing or of the wrong kind.
        SystemExit: With code 0 after `--help`.
    """

    @functools.wraps(function)
    def deferred(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(function, *args, **kwargs)

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            call = tyro.cli(deferred, args=argv, prog=prog, config=(tyro.conf.HelptextFromCommentsOff,))
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(_one_sentence(said.getvalue(), prog)) from None
    call()


def run_words(functions: dict[str, Callable[..., None]], argv: list[str], prog: str) -> None:
    """Runs one of several commands by its first word, as `biggan data pack`; raises as `run_command`."""
    if argv and argv[0] in functions:
        return run_command(functions[argv[0]], argv[1:], f"{prog} {argv[0]}")
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: {prog} WORD [OPTIONS]\n")
        for word, function in functions.items():
            print(f"  {word:<10} {(function.__doc__ or '').strip().splitlines()[0]}")
        print(f"\n{prog} WORD --help says more.")
        sys.exit(0 if argv else 2)
    raise UserError(
        f"{prog} {argv[0]!r} is not known; allowed is {', '.join(functions)}{nearest(argv[0], [*functions])}"
    )


def _one_sentence(box: str, prog: str) -> str:
    """The parser's framed message as one line."""
    plain = re.sub(r"\x1b\[[0-9;]*m|[╭╮╰╯│─]", " ", box)
    lines = [" ".join(line.split()) for line in plain.splitlines()]
    kept: list[str] = []
    for line in lines[1:]:  # the first is the frame's title
        if line.startswith(("For full helptext", "Argument helptext")):
            break
        kept.append(line)
    text = re.sub(r"^Error parsing \S+: (?=--)|^Missing from [^:]*:", "", " ".join(filter(None, kept))).strip()
    text = text.replace("(required)", "").replace(" Unrecognized options:", "; not known:")
    if text.startswith("--") and " is " not in text:
        text = f"Missing: {text}"
    return f"{text.rstrip('. ')} (see {prog} --help)."
