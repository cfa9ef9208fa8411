"""`biggan train`: the flags are the fields of the settings, with the preset's values as defaults."""

import json
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from biggan import config, presets
from biggan.cli.parse import run_command
from biggan.cli.progress import View
from biggan.config import Config, to_json

DEFAULT_PRESET = "cpu-small"


def run(argv: list[str]) -> None:
    """Runs the command with the defaults of the preset that `argv` names."""
    base = presets.preset(_preset_name(argv))

    def train(
        data: str,
        out: Path | None = None,
        preset: str = DEFAULT_PRESET,
        model: OmitArgPrefixes[config.Model] = base.model,
        images: OmitArgPrefixes[config.Data] = base.data,
        optim: OmitArgPrefixes[config.Optim] = base.optim,
        train: OmitArgPrefixes[config.Train] = base.train,
        device: str = "auto",
        max_time: float | None = None,
        dry_run: bool = False,
    ) -> None:
        """Trains a generator on your images; the same command again resumes.

        Args:
            data: A folder of class folders, a flat folder, a zip, an archive, or fashion-mnist.
            out: The run folder; runs/ and the data's name if not given.
            preset: Settings to start from; every flag below changes one of them.
            device: auto, cpu, cuda, cuda:1 or mps.
            max_time: Minutes after which this sitting stops with everything saved.
            dry_run: Print the settings, sizes and memory, and do nothing.
        """
        settings = Config(model=model, data=images, optim=optim, train=train)
        place = out or Path("runs") / (Path(data).name.split(".")[0] or "run")
        _train(data, place, settings, device, max_time, dry_run)

    run_command(train, argv, "biggan train")


def _preset_name(argv: list[str]) -> str:
    """The value of `--preset` in `argv`, before all flags are parsed."""
    for i, word in enumerate(argv):
        if word.startswith("--preset="):
            return word.partition("=")[2]
        if word == "--preset" and i + 1 < len(argv):
            return argv[i + 1]
    return DEFAULT_PRESET


def _train(data: str, out: Path, settings: Config, device: str, max_time: float | None, dry_run: bool) -> None:
    from biggan import workflow

    with View() as view:
        if not dry_run:
            workflow.train(data, out, settings, device=device, max_minutes=max_time, watch=view.watch)
            view.say(f"Done. Draw from it: biggan sample {out} --seeds 0-15 --out pictures")
            return
        settings, need = workflow.plan(data, settings, device=device, watch=view.watch)
        view.say(json.dumps(to_json(settings), indent=2))
        view.say(f"G has {need.g_parameters:,} parameters, D {need.d_parameters:,}.")
        view.say(f"Memory: about {need.memory / 2**20:,.0f} MiB (microbatch {settings.train.microbatch or 'whole'}).")
        per_iteration = settings.optim.d_steps * settings.train.batch_size
        view.say(f"Iterations: {-(-settings.train.total_images // per_iteration):,} of {per_iteration:,} images.")
