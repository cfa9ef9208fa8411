"""`biggan export`: a model in another layout."""

from pathlib import Path
from typing import Literal

from biggan import atomic, opening
from biggan.cli.drawing import ModelPlace, say_where
from biggan.cli.parse import run_command
from biggan.errors import ConfigError
from biggan.interop import brock, huggingface


def run(argv: list[str]) -> None:
    """Runs the command on its arguments."""
    run_command(export, argv, "biggan export")


def export(
    model: ModelPlace, format: Literal["brock", "huggingface"], out: Path, truncation: float | None = None
) -> None:
    """Writes a model as BigGAN-PyTorch or the package pytorch-pretrained-biggan would have written it.

    Args:
        model: A run folder, a model folder, a published checkpoint, or a name (fashion-mnist).
        format: brock for BigGAN-PyTorch, huggingface for pytorch-pretrained-biggan (BigGAN-deep alone).
        out: Folder for the files; made if need be.
        truncation: brock: the statistics to store are this truncation's; none: those of untruncated latents.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} is there already; give a new or empty folder.")
    bundle = opening.open_model(model)
    if format == "huggingface" and truncation is not None:
        raise ConfigError("--truncation is for --format brock; the other layout holds every truncation: leave it out.")
    with atomic.whole_or_empty(out):
        if format == "brock":
            written = brock.export(bundle, out, truncation=truncation)
        else:
            written = huggingface.export(bundle, out)
    say_where(", ".join(path.name for path in written), out)
