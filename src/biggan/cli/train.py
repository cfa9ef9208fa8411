"""`biggan train`: the flags are the fields of the settings, with the preset's values as defaults."""

import dataclasses
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from tyro.conf import OmitArgPrefixes

from biggan import config, presets, workflow
from biggan.cli.parse import run_command
from biggan.cli.progress import Bar, clock
from biggan.config import Config
from biggan.config_json import to_json
from biggan.errors import ConfigError
from biggan.sitting import Progress, Watch
from biggan.training import budget as rules
from biggan.training.memory import Need
from biggan.training.trackers import Track, check_track

DEFAULT_PRESET = "cpu-small"
PARTS, LEAST_PART = 8, 2_000  # of a run whose length is given: saves and sheets, and images between them at the least
OF_ANY_SIZE: dict[str, Any] = {"g_widths": (), "d_widths": (), "dim_z": 840}  # networks that suit every resolution
INITS = get_args(get_type_hints(config.Model)["init"])  # what --init means besides a model


def run(argv: list[str]) -> None:
    """Runs the command with the defaults of the preset that `argv` names, and the networks of a model to start from."""
    base, init = presets.preset(preset_name(argv)), _given(argv, "--init")
    fixed = _fixed(argv, init) if _given(argv, "--budget") is not None else ()
    if _given(argv, "--budget") is not None:
        base = replace(base, model=replace(base.model, **OF_ANY_SIZE))
    if init is None or init in INITS:
        init = None
    else:
        base, argv = workflow.settings_of(init, base), _without(argv, "--init")
        asked, has = _given(argv, "--resolution"), base.model.resolution
        if asked not in (None, str(has)):
            raise ConfigError(f"--resolution is {asked}, and the model of --init draws {has} px; leave it out.")
    base = replace(base, train=_in_parts(base.train, _values(argv, "--total-images")))

    def train(
        data: str,
        out: Path | None = None,
        test_data: str | None = None,
        preset: str = DEFAULT_PRESET,
        model: OmitArgPrefixes[config.Model] = base.model,
        images: OmitArgPrefixes[config.Data] = base.data,
        augment: OmitArgPrefixes[config.Augment] = base.augment,
        optim: OmitArgPrefixes[config.Optim] = base.optim,
        train: OmitArgPrefixes[config.Train] = base.train,
        budget: str | None = None,
        device: str = "auto",
        max_time: float | None = None,
        hang_minutes: float = 30,
        track: Track = "none",
        dry_run: bool = False,
    ) -> None:
        """Trains a generator on your images; the same command again resumes.

        Args:
            data: A folder of class folders, a flat folder, a zip, an archive, or fashion-mnist.
            out: The run folder; runs/ and the data's name if not given.
            test_data: Images of the same classes that are not trained on, to see whether D learns images by heart
                (fashion-mnist-test for fashion-mnist).
            preset: Settings to start from; every flag below changes one of them.
            budget: Instead of a preset: a time such as 90s, 30m or 1h30m, with which training ends. Settings are
                chosen by the data and this machine's speed; every flag below fixes one of them.
            device: auto, cpu, cuda, cuda:1 or mps.
            max_time: Minutes after which this sitting stops with everything saved.
            hang_minutes: Under torchrun, minutes without an iteration after which a process that hangs is ended.
            track: Curves for TensorBoard besides, in tensorboard/ of the run.
            dry_run: Print the settings, sizes and memory, and do not train; images are packed, and fetched, for it.
        """
        for flag, given, kept, instead in (
            ("--num-classes", model.num_classes, base.model.num_classes, "--no-labels trains without classes"),
            ("--image-channels", model.image_channels, base.model.image_channels, "--channels chooses"),
        ):
            if given != kept:
                raise ConfigError(f"{flag} comes from the data and cannot be set to {given}; {instead}.")
        if not images.labels and float(_given(argv, "--class-loss") or 0):
            raise ConfigError("--class-loss tells classes, and --no-labels leaves them out; give one of them.")
        settings = Config(model=model, data=images, augment=augment, optim=optim, train=train)
        place = out or Path("runs") / (Path(data).name.split(".")[0] or "run")
        values = {name: getattr(part, name) for name in fixed for part in _parts(settings) if hasattr(part, name)}
        limits = (max_time, hang_minutes)
        asked = settings if budget is None else (budget, values)
        _train(data, test_data, place, asked, init, device, limits, track, dry_run)

    run_command(train, argv, "biggan train")


def preset_name(argv: list[str]) -> str:
    """The value of `--preset` in `argv`, before all flags are parsed."""
    return _given(argv, "--preset") or DEFAULT_PRESET


def _given(argv: list[str], flag: str) -> str | None:
    """The value of a flag in `argv`, before all flags are parsed."""
    names = _values(argv, flag)
    if len(set(names)) > 1:
        raise ConfigError(f"{flag} is given as {' and as '.join(names)}; give one.")
    return names[0] if names else None


def _values(argv: list[str], flag: str) -> list[str]:
    """The values of a flag in `argv`, in turn."""
    pairs = itertools.pairwise([*argv, ""])
    return [word.partition("=")[2] or following for word, following in pairs if _name(word) == flag]


def _name(word: str) -> str:
    """The flag that a word is or begins with, as the help writes it."""
    return word.partition("=")[0].replace("_", "-")


def _without(argv: list[str], flag: str) -> list[str]:
    """`argv` without a flag and its value."""
    follows = [False, *(_name(word) == flag and "=" not in word for word in argv)]
    return [word for word, value in zip(argv, follows, strict=False) if _name(word) != flag and not value]


def _in_parts(train: config.Train, totals: list[str]) -> config.Train:
    """A preset's intervals, shorter where the run is: one that has to go back needs a state, and a short one sheets."""
    if not totals or not totals[-1].isdecimal():
        return train
    most = max(int(totals[-1]) // PARTS, LEAST_PART)
    return replace(train, save_images=min(train.save_images, most), sheet_images=min(train.sheet_images, most))


def _parts(settings: Config) -> list[Any]:
    return [getattr(settings, part.name) for part in dataclasses.fields(settings)]


def _fixed(argv: list[str], init: str | None) -> tuple[str, ...]:
    """Fields of the settings whose flags are in `argv`, beside a `--budget`.

    Raises:
        ConfigError: A flag is among them that says what `--budget` finds.
    """
    words = set(map(_name, argv))
    if "--preset" in words:
        raise ConfigError("--preset and --budget both choose the settings; give one of them.")
    if init is not None and init not in INITS:
        raise ConfigError("--init brings networks of its own, which --budget would choose; give one of them.")
    names = [field.name for part in _parts(Config()) for field in dataclasses.fields(part)]
    given = [name for name in names if {f"--{name.replace('_', '-')}", f"--no-{name.replace('_', '-')}"} & words]
    rules.with_fixed(Config(), {name: None for name in given if name in rules.NOT_FIXED})
    return tuple(given)


def line(moment: Progress) -> str:
    """A report as text: images, speed, time left, losses, D's outputs on real and drawn images, the last look."""
    f = moment.figures
    pace = f"{moment.images_per_second:.0f}/s, {clock(moment.seconds_left)} left"
    losses = f"loss D {f['loss_d_real'] + f['loss_d_fake']:.2f} G {f['loss_g']:+.2f}"
    outputs = f"D(real) {f['d_real']:+.2f} D(fake) {f['d_fake']:+.2f}"
    seen = f", distance {f['distance']:.2f} diversity {f['diversity']:.0%}" if "distance" in f else ""
    return f"{moment.images:>7,}/{moment.total_images:,} {pace}, {losses}, {outputs}{seen}"


def _train(
    data: str,
    test_data: str | None,
    out: Path,
    asked: Config | tuple[str, dict[str, object]],
    init: str | None,
    device: str,
    limits: tuple[float | None, float],
    track: Track,
    dry_run: bool,
) -> None:
    with Bar() as bar:

        def progress(moment: Progress) -> None:
            if bar.live:
                bar.move(line(moment), moment.images, moment.total_images)
            else:
                bar.say(line(moment))

        watch = Watch(say=bar.say, packing=bar.packing, progress=progress, measuring=bar.measuring)
        settings = asked if isinstance(asked, Config) else None
        time, fixed = (None, None) if isinstance(asked, Config) else asked
        if dry_run:
            workflow.check_limits(*limits)
            check_track(track)
            resolved, need = workflow.plan(
                data,
                settings,
                out=out,
                budget=time,
                fixed=fixed,
                test_data=test_data,
                init=init,
                device=device,
                watch=watch,
            )
            bar.say("\n".join(described(resolved, need)))
        else:
            most, hang = limits
            workflow.train(
                data,
                out,
                settings,
                budget=time,
                fixed=fixed,
                test_data=test_data,
                init=init,
                device=device,
                max_minutes=most,
                hang_minutes=hang,
                track=track,
                watch=watch,
            )
            bar.say(f"Done. Draw from it: biggan sample {out} --seeds 0-15 --out pictures")


def described(settings: Config, need: Need) -> list[str]:
    """What a dry run prints."""
    per_iteration = settings.optim.d_steps * settings.train.batch_size
    return [
        json.dumps(to_json(settings), indent=2),
        f"G has {need.g_parameters:,} parameters, D {need.d_parameters:,}.",
        f"Memory: about {need.memory / 2**20:,.0f} MiB; --microbatch lowers it.",
        f"Iterations: {-(-settings.train.total_images // per_iteration):,} of {per_iteration:,} images.",
    ]
