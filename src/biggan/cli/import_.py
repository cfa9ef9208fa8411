"""`biggan import`: a model of ours from a published checkpoint, and a run from one that was being trained."""

import shlex
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from biggan import atomic, presets
from biggan.adoption import adopt
from biggan.cli.drawing import parse_numbers
from biggan.cli.parse import run_command
from biggan.cli.progress import Bar
from biggan.errors import ConfigError
from biggan.interop import recognise
from biggan.interop.imported import Overrides
from biggan.models.build import count_parameters
from biggan.models.bundle import Bundle, save_bundle
from biggan.models.statistics import MOST_AT_ONCE, truncation_table
from biggan.sitting import Watch

MOST_NAMES = 2**24  # bytes of a file of class names


def run(argv: list[str]) -> None:
    """Runs the command on its arguments."""
    run_command(import_, argv, "biggan import")


def import_(
    path: Positional[str],
    out: Path,
    copy: str | None = None,
    class_names: Path | None = None,
    truncations: str | None = None,
    latents: int = 256,
    norm_eps: float | None = None,
    output_norm_eps: float | None = None,
    sn_eps: float | None = None,
    condition: Literal["yz", "zy"] | None = None,
    data: str | None = None,
) -> None:
    """Makes a model folder of a published checkpoint: BigGAN-PyTorch's, Hugging Face's or an unpacked TF-Hub module.

    Args:
        path: File or folder of the checkpoint, or biggan-deep-128, biggan-deep-256 or biggan-deep-512.
        out: Folder for the model; with --data a run folder.
        copy: Which copy of a BigGAN-PyTorch folder, such as best3; none: the files without a suffix, else the newest.
        class_names: A text file with a name a line; none: ImageNet's for 1000 classes.
        truncations: Measure statistics at these truncations "0.2,0.5,1", for drawing with --truncation (slow on a CPU).
        latents: Latents behind each measured truncation.
        norm_eps: Epsilon of the conditional batch norms, where the files do not say it.
        output_norm_eps: Epsilon of the last batch norm, likewise.
        sn_eps: Epsilon of spectral norm, likewise.
        condition: BigGAN-deep's order of class and z, likewise.
        data: Images to go on training with, as for biggan train; needs D; without its optimizers they begin afresh.
    """
    overrides = Overrides(
        norm_eps=norm_eps,
        output_norm_eps=output_norm_eps,
        sn_eps=sn_eps,
        condition=condition,
        class_names=None if class_names is None else _read_names(class_names),
    )
    places = _truncations(truncations)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} is there already; give a new or empty folder.")
    if data is not None and class_names is not None:
        raise ConfigError("With --data the classes are called as in the data; leave out --class-names.")
    with Bar() as bar:
        found = recognise.read(path, overrides, copy=copy, training=data is not None)
        for note in found.notes:
            bar.say(f"note: {note}")
        _add_truncations(found.bundle, places, latents, bar)
        if data is not None:
            config = adopt(found, data, out, Watch(say=bar.say, packing=bar.packing))
            words = ["biggan", "train", "--data", data, *presets.as_flags(config), "--out", str(out)]
            bar.say(f"Wrote a run to {out}. Go on training: {shlex.join(words)}")
            return
        with atomic.whole_or_empty(out):
            save_bundle(out, found.bundle, None)
        G = found.bundle.G
        size = f"{G.config.resolution} px, {G.num_classes} classes, {count_parameters(G):,} parameters in G"
        bar.say(f"Wrote a model to {out}: {size}. Draw from it: biggan sample {out} --classes 0 --seeds 0-7")


def _read_names(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= MOST_NAMES else None
    except (OSError, ValueError) as error:
        raise ConfigError(f"--class-names {path} cannot be read ({error}); give a text file, a name a line.") from error
    if text is None:
        raise ConfigError(f"--class-names {path} is larger than any list of names; give a text file, a name a line.")
    return tuple(text.splitlines())


def _truncations(text: str | None) -> list[float]:
    places = sorted(set(parse_numbers(text, "--truncations"))) if text else []
    for place in places:
        if not 0 < place <= 1:
            raise ConfigError(f"--truncations has {place:g}; allowed is above 0 and up to 1.")
    return places


def _add_truncations(bundle: Bundle, places: list[float], num_latents: int, bar: Bar) -> None:
    """Measures the statistics at some truncations, rising, of a model that has none; nothing for no places."""
    if num_latents < MOST_AT_ONCE:
        raise ConfigError(f"--latents is {num_latents}; allowed is {MOST_AT_ONCE} or more.")
    if places and bundle.statistics.has(truncation=places[0]):
        raise ConfigError("This model has its statistics by truncation already; leave out --truncations.")
    if places:
        bundle.statistics.tables["truncation"] = truncation_table(bundle.G, places, num_latents, bar.measuring)
