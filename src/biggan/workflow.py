"""Each task as one call with everything wired: plan, train.

What Python users and the command line both use.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from biggan import budgeting, rescue
from biggan.beginning import begin_with, check_out
from biggan.budgeting import Budget
from biggan.config import Config
from biggan.data.loader import Loader
from biggan.distributed.collective import lead
from biggan.distributed.launch import processes
from biggan.distributed.processes import meeting, rank
from biggan.distributed.watchdog import watched
from biggan.errors import ConfigError, Interrupted, OutOfMemory
from biggan.models.bundle import SAMPLES
from biggan.opening import open_model
from biggan.overseer import BEST, INCIDENTS, Unhealthy
from biggan.run_record import begin, check_begun, relengthened
from biggan.sitting import Sitting, Watch
from biggan.training.compiling import Start
from biggan.training.hardware import compute_dtype, pick_device, plain_float32
from biggan.training.interrupt import StopRequest
from biggan.training.loop import Hook, Training, every, fit
from biggan.training.memory import Need, estimate, fitted, keep_freed
from biggan.training.pace import Timekeeper
from biggan.training.runlock import RunLock
from biggan.training.state import list_states
from biggan.training.trackers import Track, check_track


def plan(
    source: str | Path,
    config: Config | None = None,
    *,
    out: str | Path | None = None,
    budget: str | None = None,
    fixed: Mapping[str, object] | None = None,
    test_data: str | Path | None = None,
    init: str | Path | None = None,
    device: str = "auto",
    watch: Watch | None = None,
) -> tuple[Config, Need]:
    """What `train` would do: the settings as they will be, and what they need.

    Args:
        source: As `train`, and so all that is not named here.
        config: The settings; None with a budget.
        out: The run folder, if it is known.
        budget: A time for which settings are chosen.
        fixed: Name of a setting -> its value, whatever would have been chosen for that time.
        test_data: Images that are not trained on.
        init: A model to start from.
        device: Where the run would be.
        watch: Who follows.

    Raises:
        UserError: What `train` would raise of these before its first iteration; too little memory is but said.
    """
    source, out, watch, place = str(source), None if out is None else Path(out), watch or Watch(), pick_device(device)
    wanted, allowed = _settings(source, out, config, (budget, fixed), device, watch)
    for reason in allowed.reasons if allowed else ():
        watch.say(reason)
    beginning = begin_with(source, wanted, out, place, watch.packing, test_data=test_data, init=init)
    settings = beginning.config
    try:
        settings = fitted(settings, place)
    except OutOfMemory as error:
        watch.say(str(error))
    if out is not None:
        check_begun(out, settings, source, beginning.packed, beginning.origin, allowed is not None)
    for note in beginning.notes:
        watch.say(note)
    return settings, estimate(settings, processes(), gpu=place.type == "cuda")


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
    source, out, watch, began = str(source), Path(out), watch or Watch(), time.monotonic()
    check_limits(max_minutes, hang_minutes)
    wanted, allowed = _settings(source, out, config, (budget, fixed), device, watch)
    hang_seconds = hang_minutes * 60 if processes() > 1 else None
    with StopRequest() as stop, watched(hang_seconds), meeting(pick_device(device)) as place, ExitStack() as held:
        held.enter_context(plain_float32())
        lead(lambda: check_track(track))
        packing = _stoppable(watch.packing if rank() == 0 else lambda done, total: None, stop)
        beginning = begin_with(source, wanted, out, place, packing, test_data=test_data, init=init)
        packed, origin = beginning.packed, beginning.origin
        settings = lead(lambda: fitted(beginning.config, place))
        keep_freed(settings, place)
        lead(lambda: held.enter_context(RunLock(out)) and None)
        told = asdict(allowed) if allowed else None
        length = "" if allowed else lead(lambda: relengthened(out, settings))
        lead(lambda: begin(out, settings, source, packed, origin, told))
        run = Training(settings, place, compute_dtype(settings.train.precision))
        most = None if max_minutes is None else max_minutes * 60 - (time.monotonic() - began)
        keeper = Timekeeper(run, allowed.seconds, allowed.images_per_second) if allowed else None
        sitting = Sitting(run, out, packed, source, stop, watch, most, track, origin, keeper, beginning.held_out)
        if sitting.tracker:
            held.callback(sitting.tracker.close)
        chosen = allowed.reasons if allowed and not list_states(out) else ()
        for note in (*chosen, *beginning.notes, *filter(None, [length])):
            sitting.say(note)
        if settings != beginning.config:
            sitting.say(f"The batch does not fit at once: it goes in microbatches of {settings.train.microbatch}.")
        sitting.restore()
        balanced = settings.augment.class_sampling == "balanced"
        go(sitting, Loader(packed, settings.train.seed, settings.data.mirror, place, balanced))
    return out


def _settings(
    source: str,
    out: Path | None,
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
        if out is not None:
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
