"""From a function to a command: its signature are the flags, its docstring is the help, a mistake is one sentence."""

import contextlib
import functools
import io
import itertools
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
            call = tyro.cli(
                deferred, args=argv, prog=prog, config=(tyro.conf.HelptextFromCommentsOff, tyro.conf.DisallowNone)
            )
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
    _, *lines = filter(None, (" ".join(line.split()) for line in plain.splitlines()))
    ends = ("For full helptext", "Argument helptext")
    kept = list(itertools.takewhile(lambda line: not line.startswith(ends), lines))
    text = re.sub(r"^Error parsing \S+: (?=--)", "", " ".join(kept))
    if wrong := _wrong_value(text):
        return f"{wrong}. See {prog} --help."
    if unknown := re.search(r"Unrecognized options: (.*?)( Perhaps you meant:|$)", text):
        offered = itertools.dropwhile(lambda line: not line.startswith("Perhaps"), kept)
        near = [line.split()[0] for line in offered if line.startswith("--")][:3]
        offer = f"; did you mean {' or '.join(near)}?" if near else "."
        return f"{unknown[1].replace(', ', ' ')} is not known{offer} See {prog} --help."
    if text.startswith("Missing from"):
        names = [line.split()[0] for line in kept if re.match(r"--[a-z-]+ |[A-Z]+$", line)]
        text = f"Missing: {', '.join(names)}"
    return f"{text.rstrip('. ')}. See {prog} --help."


def _wrong_value(text: str) -> str:
    """What the parser says of a value that a flag does not take, in our words; empty of any other mistake."""
    if found := re.search(
        r"invalid choice (?P<value>'.*?') for argument '(?P<flag>--.+?)'\. Expected one of (.*)", text
    ):
        words = sorted({word for word in re.findall(r"'(.*?)'", found[3]) if word != "None"})
        return f"{found['flag']} is {found['value']}; allowed is {', '.join(words)}"
    for pattern, allowed in (
        (r"invalid literal for int\(\) with base 10: (?P<value>'.*?')", "a whole number"),
        (r"could not convert string to float: (?P<value>'.*?')", "a number"),
        (r"Could not find valid parse for arguments: \[(?P<value>'.*')\]", "numbers with spaces between them"),
    ):
        if found := re.search(rf"Error parsing (?P<flag>--\S+): .*?{pattern}", text):
            return f"{found['flag']} is {found['value']}; allowed is {allowed}"
    return ""
