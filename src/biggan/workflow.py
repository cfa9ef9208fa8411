"""Each task as one call with everything wired: plan, train.

What Python users and the command line both use.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from biggan import budgeting, rescue
from biggan.budgeting import Budget
from biggan.config import Augment, Config
from biggan.data.loader import Loader
from biggan.data.overlap import check_held_out
from biggan.data.packed import Packed, prepare
from biggan.distributed.collective import first_on_each_machine, lead, same_everywhere
from biggan.distributed.launch import processes
from biggan.distributed.processes import meeting, rank
from biggan.distributed.watchdog import watched
from biggan.errors import ConfigError, DataError, Interrupted, OutOfMemory
from biggan.evaluation.material import aligned
from biggan.models.bundle import SAMPLES, Bundle
from biggan.models.statistics import MOST_AT_ONCE, truncation_table
from biggan.opening import open_model
from biggan.overseer import BEST, INCIDENTS, Unhealthy
from biggan.run_record import as_begun, begin, check_begun, check_place, relengthened
from biggan.sitting import Sitting, Watch
from biggan.training import transfer
from biggan.training.compiling import Start, check_compiler
from biggan.training.hardware import Precision, compute_dtype, pick_device, pick_precision, plain_float32
from biggan.training.interrupt import StopRequest
from biggan.training.little import Inherited, check_together, choose
from biggan.training.loop import Hook, Training, every, fit
from biggan.training.memory import Need, estimate, fitted, keep_freed
from biggan.training.pace import Timekeeper
from biggan.training.runlock import RunLock
from biggan.training.state import list_states
from biggan.training.trackers import Track, check_track


def plan(
    source: str,
    config: Config,
    *,
    out: str | Path | None = None,
    budgeted: bool = False,
    test_data: str | Path | None = None,
    init: str | Path | None = None,
    device: str = "auto",
    watch: Watch | None = None,
) -> tuple[Config, Need]:
    """What `train` would do: the settings as they will be, and what they need.

    Args:
        source: As `train`, and so all that is not named here.
        config: The settings.
        out: The run folder, if it is known.
        budgeted: Whether the settings were chosen for a budget.
        test_data: Images that are not trained on.
        init: A model to start from.
        device: Where the run would be.
        watch: Who follows.

    Raises:
        UserError: What `train` would raise of these before its first iteration; too little memory is but said.
    """
    if out is not None:
        check_out(Path(out), source)
        config = as_begun(Path(out), config, init is not None)
    watch, start = watch or Watch(), None if init is None else open_model(init)
    check_early(config, start is not None)
    packed = prepare(source, config.model.resolution, config.data, watch.packing)
    if test_data is not None:
        _held_out(str(test_data), packed, config, watch.packing)
    place = pick_device(device)
    resolved = resolve(config, packed, pick_precision(config.train.precision, place), start)
    try:
        resolved = fitted(resolved, place)
    except OutOfMemory as error:
        watch.say(str(error))
    if out is not None:
        origin = transfer.Origin(str(init), start) if start else None
        check_begun(Path(out), resolved, source, packed, origin, budgeted)
    for note in (*packed.notes, *([why] if (why := reasons(config, packed, start)) else [])):
        watch.say(note)
    return resolved, estimate(resolved, processes(), gpu=place.type == "cuda")


def resolve(config: Config, packed: Packed, precision: Precision, start: Bundle | None = None) -> Config:
    """The settings in full: classes, colours and what makes little data go far by the data, precision by the hardware.

    Args:
        config: What was asked for.
        packed: The data.
        precision: Of convolutions.
        start: The model to start from, if there is one.

    Raises:
        ConfigError: A setting does not suit the data, or the model to start from.
    """
    num_classes = packed.num_classes if config.data.labels else 0
    model = replace(config.model, num_classes=num_classes, image_channels=packed.channels)
    augment, total = _choose(config, packed, start)[0], config.train.total_images
    check_together(augment, config.optim.loss, config.data.labels, packed.num_classes)
    transfer.check_start(model, augment, start)
    if augment.hold_g and augment.hold_g >= total:
        raise ConfigError(f"--hold-g is {augment.hold_g}, and --total-images {total}, so G would not learn; lower it.")
    return replace(config, model=model, augment=augment, train=replace(config.train, precision=precision))


def reasons(config: Config, packed: Packed, start: Bundle | None = None) -> str:
    """A sentence on what `resolve` chooses by the data, and why; empty where it is all as usual."""
    return _choose(config, packed, start)[1]


def _choose(config: Config, packed: Packed, start: Bundle | None) -> tuple[Augment, str]:
    inherited: Inherited = "nothing" if start is None else "G" if start.D is None else "both"
    return choose(config.augment, packed, config.train.total_images, inherited, config.optim.loss)


def settings_of(init: str | Path, base: Config) -> Config:
    """`base` with the networks and the colours of a model to start from, for `train(…, init=init)`.

    Raises:
        ModelError: No such model.
    """
    model = open_model(init).G.config
    channels = model.image_channels if model.image_channels in (1, 3, 4) else None
    return replace(base, model=model, data=replace(base.data, channels=channels))


def train(
    source: str | Path,
    out: str | Path,
    config: Config | None = None,
    *,
    budget: str | None = None,
    fixed: Mapping[str, object] | None = None,
    test_data: str | Path | None = None,
    init: str | Path | None = None,
    device: str = "auto",
    max_minutes: float | None = None,
    hang_minutes: float = 30,
    track: Track = "none",
    watch: Watch | None = None,
) -> Path:
    """Trains a model, or goes on with a run of the same settings, bit for bit where it stopped.

    Under torchrun all its processes call this alike, and train one model together.

    Args:
        source: Where the images are: a path, or the name of a bundled set.
        out: The run folder.
        config: The settings; classes and image channels come from the data, and what has no value in `augment`. None
            with a budget.
        budget: A time such as `30m` or `1h30m`, for which settings are chosen and with which training ends.
        fixed: With a budget: name of a setting -> its value, whatever would have been chosen.
        test_data: Images of the same classes that are not trained on, to see whether D learns images by heart.
        init: A model to start from, as `load` opens it, for a config by `settings_of`; None to start from scratch.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        max_minutes: Minutes after which to stop with everything saved.
        hang_minutes: With several processes, minutes without an iteration after which one that hangs is ended.
        track: `tensorboard` for curves in the run's `tensorboard/` besides.
        watch: Who follows the run.

    Returns:
        The run folder, which `load` opens.

    Raises:
        UserError: Data, settings or folder are not as they must be.
        RunInUse: Another process works in the folder.
        Interrupted: Stopped by a signal or `max_minutes`, with everything saved.
        Collapsed: The run collapsed more often than the guard may go back; the best model is kept.
        Diverged: NaN or Inf came up in a run without guard; the last saved state is untouched.
        DiskFailed: A write failed; earlier states are as they were.
    """
    out, watch, began = Path(out), watch or Watch(), time.monotonic()
    check_limits(max_minutes, hang_minutes)
    wanted, allowed = _settings(str(source), out, config, (budget, fixed), device, watch)
    check_early(wanted, init is not None)
    hang_seconds = hang_minutes * 60 if processes() > 1 else None
    with StopRequest() as stop, watched(hang_seconds), meeting(pick_device(device)) as place, ExitStack() as held:
        held.enter_context(plain_float32())
        lead(lambda: check_track(track))
        lead(lambda: check_out(out, source))
        wanted = lead(partial(as_begun, out, wanted, init is not None))
        start = None if init is None else open_model(init)
        packing = _stoppable(watch.packing if rank() == 0 else lambda done, total: None, stop)
        packed = _prepared(str(source), wanted, packing)
        held_out = None if test_data is None else _held_out(str(test_data), packed, wanted, packing)
        why = reasons(wanted, packed, start)
        asked = lead(lambda: resolve(wanted, packed, pick_precision(wanted.train.precision, place), start))
        settings = lead(lambda: fitted(asked, place))
        keep_freed(settings, place)
        lead(lambda: held.enter_context(RunLock(out)) and None)
        origin = transfer.Origin(str(init), start) if start else None
        told = asdict(allowed) if allowed else None
        length = "" if allowed else lead(lambda: relengthened(out, settings))
        lead(lambda: begin(out, settings, str(source), packed, origin, told))
        run = Training(settings, place, compute_dtype(settings.train.precision))
        most = None if max_minutes is None else max_minutes * 60 - (time.monotonic() - began)
        keeper = Timekeeper(run, allowed.seconds, allowed.images_per_second) if allowed else None
        sitting = Sitting(run, out, packed, str(source), stop, watch, most, track, origin, keeper, held_out)
        if sitting.tracker:
            held.callback(sitting.tracker.close)
        chosen = allowed.reasons if allowed and not list_states(out) else []
        for note in (*packed.notes, *chosen, *filter(None, (why, length))):
            sitting.say(note)
        if settings != asked:
            sitting.say(f"The batch does not fit at once: it goes in microbatches of {settings.train.microbatch}.")
        sitting.restore()
        balanced = settings.augment.class_sampling == "balanced"
        go(sitting, Loader(packed, settings.train.seed, settings.data.mirror, place, balanced))
    return out


def _settings(
    source: str,
    out: Path,
    config: Config | None,
    asked: tuple[str | None, Mapping[str, object] | None],
    device: str,
    watch: Watch,
) -> tuple[Config, Budget | None]:
    """The settings given, or those for a budget.

    Raises:
        ConfigError: Both or neither are given; or as `budgeting.settle`.
    """
    budget, fixed = asked
    if (config is None) == (budget is None):
        raise ConfigError("Training needs either settings or --budget; give one of them.")
    if fixed and budget is None:
        raise ConfigError("fixed is for a budget; put these values into the settings.")
    if budget is not None:
        check_out(out, source)  # before the trial
        return budgeting.settle(source, out, budget, fixed or {}, device, watch)
    assert config is not None
    return config, None


def check_limits(max_minutes: float | None, hang_minutes: float) -> None:
    """Checks the limits of a sitting.

    Raises:
        ConfigError: One is not above 0.
    """
    for flag, minutes in (("--max-time", max_minutes), ("--hang-minutes", hang_minutes)):
        if minutes is not None and not minutes > 0:
            raise ConfigError(f"{flag} is {minutes:g}; allowed is above 0 minutes.")


def check_early(config: Config, initiated: bool) -> None:
    """Checks, before any images are packed, what can be told without them.

    Args:
        config: What was asked for.
        initiated: Whether there is a model to start from.

    Raises:
        ConfigError: Settings do not go together, or this machine cannot do them.
    """
    check_shares(config)
    check_together(config.augment, config.optim.loss, config.data.labels)
    if not initiated:
        transfer.check_start(config.model, config.augment, None)
    if config.train.compile:
        check_compiler()


def check_shares(config: Config) -> None:
    """Checks that the processes can share a batch equally, and its norms be shared in groups.

    Raises:
        ConfigError: They cannot.
    """
    ranks, train, group = processes(), config.train, config.model.replica_group
    if train.batch_size % (ranks * (train.microbatch or 1)):
        factor = f" x --microbatch {train.microbatch}" if train.microbatch else ""
        allowed = f"a multiple of the number of processes{factor} ({ranks} processes here)"
        raise ConfigError(f"--batch-size is {train.batch_size}; allowed is {allowed}.")
    if group and ranks % group:
        raise ConfigError(f"--replica-group is {group}; allowed is a divisor of the number of processes, {ranks}.")


def check_out(out: Path, source: str | Path) -> None:
    """Checks that a run may be in a folder.

    Raises:
        ConfigError: It lies within the images, is a file, or holds other things than a run.
    """
    check_apart(out, source)
    check_place(out)


def _prepared(source: str, config: Config, packing: Callable[[int, int], None]) -> Packed:
    """The data, packed by one process of each machine.

    Raises:
        DataError: They cannot be read, or differ between machines.
    """
    packed = first_on_each_machine(lambda: prepare(source, config.model.resolution, config.data, packing))
    if not same_everywhere(packed.sha256):
        raise DataError(f"--data {source} is not the same on all machines; copy it from one to the others.")
    return packed


def _held_out(source: str, packed: Packed, config: Config, packing: Callable[[int, int], None]) -> Packed:
    """Images to watch a run by, packed by one process of each machine, with the classes numbered as the data have them.

    Raises:
        DataError: They cannot be read, are among those of the data, or are of other classes or colours.
    """
    like = replace(config.data, channels=packed.channels)
    held_out = first_on_each_machine(
        lambda: prepare(source, config.model.resolution, like, packing, flag="--test-data")
    )
    if held_out.sha256 == packed.sha256:
        raise DataError(f"--test-data {source} has the images of --data, which D sees; give others, or leave it out.")
    lead(lambda: check_held_out(held_out, packed, source))
    alone = sorted({*held_out.class_names} ^ {*packed.class_names})
    if alone:
        raise DataError(f"--test-data {source} must have the classes of --data; only one of them has {alone[0]!r}.")
    labels = aligned(held_out, packed.class_names)
    return held_out if labels is None else replace(held_out, labels=labels.numpy(), class_names=packed.class_names)


def add_truncations(
    bundle: Bundle, places: Sequence[float], num_latents: int, measured: Callable[[int, int], None]
) -> None:
    """Measures the statistics at some truncations of a model that has none; nothing for no places.

    Args:
        bundle: The model.
        places: Truncations in (0, 1], rising.
        num_latents: Latents behind each row, 64 or more.
        measured: Takes rows measured so far, and all of them.

    Raises:
        ConfigError: Too few latents, or the model has such statistics.
    """
    if num_latents < MOST_AT_ONCE:
        raise ConfigError(f"--latents is {num_latents}; allowed is {MOST_AT_ONCE} or more.")
    if places and bundle.statistics.has(truncation=places[0]):
        raise ConfigError("This model has its statistics by truncation already; leave out --truncations.")
    if places:
        bundle.statistics.tables["truncation"] = truncation_table(bundle.G, places, num_latents, measured)


def check_apart(out: Path, source: str | Path) -> None:
    """Checks that a run's folder is not within the images.

    Raises:
        ConfigError: It is.
    """
    if out.resolve().is_relative_to(Path(source).resolve()):
        raise ConfigError(f"--out {out} lies in --data {source}, whose pictures it would join; give another --out.")


def _stoppable(packing: Callable[[int, int], None], stop: StopRequest) -> Callable[[int, int], None]:
    """Progress of packing that ends it when asked to."""

    def progress(done: int, total: int) -> None:
        packing(done, total)
        if stop:
            raise Interrupted("Stopped while packing images; the same command begins again.", stop.exit_code)

    return progress


def go(sitting: Sitting, loader: Loader) -> None:
    """Trains to the end with the hooks of a sitting."""
    length = sitting.run.config.train
    hooks: list[Hook] = [
        sitting.note_end,
        partial(rescue.look, sitting),
        partial(budgeting.keep_time, sitting),
        every(length.report_images, sitting.report),
        every(length.sheet_images, sitting.sheet),
        every(length.save_images, sitting.save),
        partial(budgeting.keep_settled, sitting),  # with all that belongs to these images written
        sitting.obey,
    ]
    rescue.check(sitting)
    if length.compile and not sitting.run.done:
        hooks.insert(0, Start(sitting.say))
    while not sitting.run.done:
        try:
            fit(sitting.run, loader, hooks)
        except Unhealthy as unhealthy:
            rescue.go_back(sitting, unhealthy.verdict)
    sitting.complete()
    budgeting.note_length(sitting)
    best = lead(lambda: sitting.overseer.best_images)
    if best not in (None, sitting.run.images):
        sitting.say(f"Nearest to the real images was the model of {best:,} images, which is in {sitting.out / BEST}.")
    if incidents := sitting.overseer.guard.incidents:
        times = "once" if incidents == 1 else f"{incidents} times"
        sitting.say(
            f"The run had to go back {times} ({sitting.out / INCIDENTS}): look at {sitting.out / SAMPLES} and at "
            f"{sitting.out / BEST}, the best on the way, before you use them; lower --lr-g and --lr-d if both are bad."
        )
