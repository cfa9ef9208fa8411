"""`--budget`: looks at the data, times iterations, settles the settings, and keeps the run to its time.

Not here: the rules (`training/budget.py`), the arithmetic of the length (`training/pace.py`), and what pictures should
look like (`training/expected.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import BinaryIO

import numpy as np
import torch

from biggan import atomic
from biggan.config import Config, Data
from biggan.config_json import from_json
from biggan.data import sources
from biggan.data.decode import Unreadable, shorter_side
from biggan.data.estimate import estimate
from biggan.data.packed import local
from biggan.data.packfile import is_pack, open_pack
from biggan.data.records import Pixels
from biggan.distributed.collective import lead
from biggan.distributed.launch import processes
from biggan.errors import ConfigError, DataError, ModelError, OutOfMemory, out_of_memory
from biggan.run_record import RUN, note_total
from biggan.sitting import Sitting, Watch
from biggan.training import expected, state
from biggan.training.budget import SIZES, Facts, choose, in_words, parse_seconds, with_fixed
from biggan.training.compiling import check_compiler
from biggan.training.hardware import pick_device, pick_precision
from biggan.training.loop import Figures, Training
from biggan.training.memory import fitted, keep_freed
from biggan.training.trial import iteration_seconds

PICTURES = 64  # whose size is looked at
LOOK_SECONDS = 1.0  # spent on whether pictures are grey


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a run may take, and what was made of that."""

    seconds: float
    """Of training, over all sittings."""
    images_per_second: float
    """In the trial before the run."""
    reasons: tuple[str, ...]
    """What was chosen and why, a sentence a line."""


def settle(
    source: str,
    out: Path | None,
    time: str,
    fixed: Mapping[str, object],
    device: str = "auto",
    watch: Watch | None = None,
) -> tuple[Config, Budget]:
    """The settings for a time: those of the run in a folder, or else chosen by the data and this machine.

    Args:
        source: Where the images are.
        out: The run folder, if it is known.
        time: As `30m` or `1h30m`.
        fixed: Name of a setting -> the value that the user has fixed.
        device: Where the run will be.
        watch: Who follows.

    Raises:
        ConfigError: The time cannot be read, several processes train, or the run began without a budget.
        DataError: The images cannot be read.
        ModelError: The run's `run.json` is damaged.
    """
    seconds = parse_seconds(time)
    if processes() > 1:
        raise ConfigError("--budget times one process; with several, give --preset and --total-images.")
    if out is not None and (out / RUN).exists() and state.list_states(out):
        config, budget = _begun(out)
        return with_fixed(config, fixed), replace(budget, seconds=seconds)
    if fixed.get("compile"):
        check_compiler()
    (watch or Watch()).say("Looking at the pictures and timing a few iterations ...")
    data = {field.name: fixed[field.name] for field in fields(Data) if field.name in fixed}
    facts = look(source, with_fixed(Config(), data).data)
    if is_pack(Path(local(source))):
        if facts.side not in SIZES:
            sizes = ", ".join(map(str, SIZES))
            raise ConfigError(f"The pack --data {source} is of {facts.side} px; with --budget allowed is {sizes}.")
        fixed = {"resolution": facts.side, **fixed}  # a pack is of one size
    place = pick_device(device)

    def speed(config: Config) -> float:
        tried, accumulation = for_trial(config, facts, place)
        try:
            return tried.optim.d_steps * tried.train.batch_size / iteration_seconds(tried, accumulation, place)
        except RuntimeError as error:  # others may use the same device
            if out_of_memory(error):
                raise OutOfMemory("There is not enough memory; lower --batch-size, or give --microbatch.") from error
            raise

    choice = choose(facts, seconds, speed, fixed)
    reasons = tuple(choice.reasons)
    return choice.config, Budget(seconds=seconds, images_per_second=choice.images_per_second, reasons=reasons)


def for_trial(config: Config, facts: Facts, device: torch.device) -> tuple[Config, int]:
    """Settings as a trial runs them, and the microbatches of a step: those that are given, or else that fit.

    Args:
        config: As they may be chosen.
        facts: Of the data.
        device: Where the run will be.

    Raises:
        OutOfMemory: Not even one image fits.
    """
    model = replace(config.model, num_classes=facts.num_classes, image_channels=facts.channels)
    # Compiled it is about as fast, but for the start, which would take longer than a short budget.
    train = replace(config.train, precision=pick_precision(config.train.precision, device), compile=False)
    config = fitted(replace(config, model=model, train=train), device)
    keep_freed(config, device)
    batch = config.train.batch_size
    microbatch = config.train.microbatch or batch
    return replace(config, train=replace(config.train, microbatch=microbatch)), batch // microbatch


def _begun(out: Path) -> tuple[Config, Budget]:
    """What a run that has saved states began with."""
    before = atomic.read_json(out / RUN)
    if not isinstance(before, dict):
        raise ModelError(f"{out / RUN} is damaged; put it back, or give another --out.")
    if not before.get("budget"):
        raise ConfigError(f"The run in {out} began without --budget; leave it out, or give another --out.")
    return from_json(Config, before.get("config"), str(out / RUN)), from_json(Budget, before["budget"], str(out / RUN))


def look(source: str, data: Data) -> Facts:
    """What is seen of the data before they are packed.

    Raises:
        DataError: They cannot be read.
    """
    source = local(source)
    if is_pack(Path(source)):
        packed = open_pack(Path(source))
        classes = packed.num_classes if data.labels else 0
        return Facts(
            num_images=packed.num_images, num_classes=classes, channels=packed.channels, side=packed.resolution
        )
    with sources.find(source) as found:
        channels = estimate(found, 32, data, LOOK_SECONDS).channels
        places = np.unique(np.linspace(0, found.num_images - 1, PICTURES).astype(np.int64))
        sides = [side for side in (_side(found.read(int(i))) for i in places) if side]
        classes = len(found.class_names) if data.labels and found.labels is not None else 0
        if not sides:
            raise DataError(
                f"None of the pictures of --data {source} that were tried can be read; biggan data inspect says why."
            )
        return Facts(num_images=found.num_images, num_classes=classes, channels=channels, side=int(median(sides)))


def _side(picture: BinaryIO | Pixels) -> int | None:
    try:
        return shorter_side(picture)
    except Unreadable:
        return None


def keep_time(sitting: Sitting, run: Training, figures: Figures) -> None:
    """Hook: settles the run's length where that is due, and says how the pictures should look."""
    keeper = sitting.keeper
    if keeper is None or not keeper.is_due:
        return
    before, now = (round(10 * seconds / keeper.budget) for seconds in (keeper.pace.seconds, sitting.seconds))
    keeper.settle(sitting.seconds)
    sitting.note_end(run, figures)  # where the time is over
    if now > before:
        sitting.say(standing(run, sitting.seconds, keeper.budget, sitting.seen.get("distance")))


def keep_settled(sitting: Sitting, run: Training, figures: Figures) -> None:
    """Hook, after those that write: saves a state where the length was settled, as a resumed run goes on by it."""
    keeper = sitting.keeper
    if keeper is not None and keeper.pace.images == run.images and not run.done:
        sitting.save_state()
        note_length(sitting)


def note_length(sitting: Sitting) -> None:
    """Writes the length as it was last settled to `run.json`, where there is a budget."""
    if sitting.keeper:
        lead(lambda: note_total(sitting.out, sitting.run.config.train.total_images))


def standing(run: Training, seconds: float, budget: float, distance: float | None) -> str:
    """A sentence on where a run is, and another where its pictures lag."""
    model = run.config.model
    kind = model.image_channels, model.num_classes
    text = f"{in_words(seconds)} of {in_words(budget)}, {run.images:,} images: {expected.words(run.images, *kind)}"
    if distance is None:
        return f"{text}, if all is well."
    text += f", distance {distance:.2g} where about {expected.distance(run.images, *kind):.2g} is usual."
    if expected.lags(distance, run.images, *kind):
        text += " They lag behind that: look at the newest sheet, and give more time or other settings if it is bad."
    return text
