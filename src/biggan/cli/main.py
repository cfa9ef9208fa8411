"""The command `biggan`: finds the word's module, runs it, turns errors into one line and an exit code."""

import os
import sys
from importlib import import_module
from keyword import iskeyword

from biggan import __version__
from biggan.distributed.launch import is_silent
from biggan.errors import BigGANError, ConfigError, OutOfMemory, UserError, nearest, out_of_memory

COMMANDS = {
    "train": "train a generator on your images; the same command again resumes",
    "plan": "say what a run will need on given devices: memory, time, traffic, disk",
    "sample": "draw images of chosen classes",
    "interpolate": "draw the way between two images, as a strip or an animation",
    "grid": "draw a sheet of classes and seeds",
    "truncation-curve": "draw the same images at several truncations",
    "evaluate": "measure a model against real images",
    "report": "write a page about a model and its training",
    "imagine": "draw what a text says",
    "import": "make a model of ours of a published checkpoint",
    "export": "write a model in another layout",
    "data": "pack and inspect images",
    "info": "say what a model or run folder is",
}


def usage() -> str:
    """The text of `biggan --help`."""
    lines = [f"  {word:<18} {text}" for word, text in COMMANDS.items()]
    head = ["usage: biggan COMMAND [OPTIONS]", "", "BigGAN made real, on the machine you have.", ""]
    return "\n".join([*head, *lines, "", "biggan COMMAND --help says more; biggan --version says which this is."])


def dispatch(argv: list[str]) -> None:
    """Runs the command that `argv` names."""
    word = argv[0] if argv else "--help"
    if word in ("-h", "--help", "help"):
        print(usage())
    elif word in ("-V", "--version"):
        print(f"torch-biggan {__version__}")
    elif word in COMMANDS:
        module = word.replace("-", "_") + "_" * iskeyword(word)
        import_module(f"biggan.cli.{module}").run(argv[1:])
    else:
        raise UserError(f"biggan {word!r} is not a command{nearest(word, [*COMMANDS]) or '; see biggan --help.'}")


def main(argv: list[str] | None = None) -> int:
    """Runs `argv` (the process's own by default) and gives the exit code (see `biggan.errors`)."""
    try:
        dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BigGANError as error:
        if not (is_silent() and type(error) in (UserError, ConfigError)):  # a wrong command is told by process 0
            print(f"biggan: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("biggan: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # of a path that was given; what is read and written there has errors of its own
        if error.filename is None:
            raise
        print(f"biggan: {str(error.filename)[:200]} cannot be used ({error.strerror}); give another.", file=sys.stderr)
        return UserError.exit_code
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            print("biggan: not enough memory; lower --microbatch, --batch-size or the widths.", file=sys.stderr)
            return OutOfMemory.exit_code
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
