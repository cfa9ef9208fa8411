"""Each task as one call with everything wired: load, plan, train; what Python users and the command line both use."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from biggan.config import Config
from biggan.data.loader import Loader
from biggan.data.packed import Packed, prepare
from biggan.errors import ConfigError, Interrupted, ModelError, nearest
from biggan.models.bundle import CONFIG, MODEL, load_bundle
from biggan.sampling.pipeline import Pipeline
from biggan.sitting import Sitting, Watch, begin, check_place
from biggan.training.hardware import Need, Precision, check_memory, compute_dtype, estimate, pick_device, pick_precision
from biggan.training.interrupt import StopRequest
from biggan.training.loop import Training, every, fit
from biggan.training.runlock import RunLock

BUNDLED = Path(__file__).parent / "models" / "bundled"


def load(path_or_name: str | Path) -> Pipeline:
    """Loads a model to draw from, on the CPU (`Pipeline.to` moves it).

    Args:
        path_or_name: The folder of a run or a model, or the name of a model that ships with the package.

    Raises:
        ModelError: No such folder or name, or the folder holds no undamaged model.
    """
    return Pipeline(load_bundle(find_model(path_or_name)))


def bundled_models() -> list[str]:
    """Names of the models that ship with the package."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{MODEL}"))


def find_model(path_or_name: str | Path) -> Path:
    """The folder of a model by path or bundled name; a folder that holds a model goes first.

    Raises:
        ModelError: No such folder or name, or the folder holds no model.
    """
    path, names = Path(path_or_name), bundled_models()
    needed = f"a model is a folder with {CONFIG} and {MODEL}"
    if (path / CONFIG).is_file() and (path / MODEL).is_file():
        return path
    if str(path_or_name) in names:
        return BUNDLED / str(path_or_name)
    if (path / "run.json").is_file():
        raise ModelError(f"The run {path} has not written a model yet ({MODEL}); let it train a little longer.")
    if path.exists():
        raise ModelError(f"{path} holds no model; {needed}, as `biggan train --out` makes it.")
    offer = nearest(str(path_or_name), names) or f"; {needed}{''.join(f', or {name}' for name in names)}."
    raise ModelError(f"There is no model {str(path_or_name)!r}{offer}")


def plan(source: str, config: Config, *, device: str = "auto", watch: Watch | None = None) -> tuple[Config, Need]:
    """What `train` would do: the settings as they will be, and what they need; arguments as `train`.

    Raises:
        UserError: The data cannot be read, or a setting does not suit it.
    """
    packed = prepare(source, config.model.resolution, config.data, (watch or Watch()).packing)
    resolved = resolve(config, packed, pick_precision(config.train.precision, pick_device(device)))
    return resolved, estimate(resolved)


def resolve(config: Config, packed: Packed, precision: Precision) -> Config:
    """The settings with classes and colours taken from the data, and precision from the hardware."""
    num_classes = packed.num_classes if config.data.labels else 0
    model = replace(config.model, num_classes=num_classes, image_channels=packed.channels)
    return replace(config, model=model, train=replace(config.train, precision=precision))


def train(
    source: str | Path,
    out: str | Path,
    config: Config,
    *,
    device: str = "auto",
    max_minutes: float | None = None,
    watch: Watch | None = None,
) -> Path:
    """Trains a model, or goes on with a run of the same settings, bit for bit where it stopped.

    Args:
        source: Where the images are: a path, or the name of a bundled set.
        out: The run folder.
        config: The settings; classes and image channels come from the data.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        max_minutes: Minutes after which to stop with everything saved.
        watch: Who follows the run.

    Returns:
        The run folder, which `load` opens.

    Raises:
        UserError: Data, settings or folder are not as they must be.
        RunInUse: Another process works in the folder.
        Interrupted: Stopped by a signal or `max_minutes`, with everything saved.
        Diverged: NaN or Inf came up; the last saved state is untouched.
        DiskFailed: A write failed; earlier states are as they were.
    """
    out, watch = Path(out), watch or Watch()
    if max_minutes is not None and not max_minutes > 0:
        raise ConfigError(f"--max-time is {max_minutes:g}; allowed is above 0 minutes.")
    if out.resolve().is_relative_to(Path(source).resolve()):
        raise ConfigError(f"--out {out} lies in --data {source}, whose pictures it would join; give another --out.")
    check_place(out)
    place = pick_device(device)
    with StopRequest() as stop:
        packed = prepare(str(source), config.model.resolution, config.data, _stoppable(watch.packing, stop))
        config = resolve(config, packed, pick_precision(config.train.precision, place))
        check_memory(config, place)
        with RunLock(out):
            begin(out, config, str(source), packed)
            run = Training(config, place, compute_dtype(config.train.precision))
            sitting = Sitting(run, out, packed, str(source), stop, watch, max_minutes and max_minutes * 60)
            for note in packed.notes:
                sitting.say(note)
            sitting.restore()
            go(sitting, Loader(packed, config.train.seed, config.data.mirror, place))
    return out


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
    hooks = [
        every(length.report_images, sitting.report),
        every(length.sheet_images, sitting.sheet),
        every(length.save_images, sitting.save),
        sitting.obey,
    ]
    fit(sitting.run, loader, hooks)
    sitting.complete()
