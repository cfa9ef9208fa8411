"""`biggan imagine`: pictures from prompts, by moving a generator's latents until a scorer sees what they say."""

import time
from pathlib import Path
from typing import Annotated

import tyro

from biggan.cli.drawing import parse_seeds
from biggan.cli.parse import run_command
from biggan.cli.progress import PLAIN_SECONDS, Bar, clock
from biggan.editing.goal import Request, parse_prompts
from biggan.editing.imagine import Progress, Watch, imagine
from biggan.editing.imagined import Imagined
from biggan.editing.scorers import load_scorer
from biggan.editing.settings import Guidance
from biggan.errors import ConfigError
from biggan.opening import load
from biggan.sampling.drawn import file_stem

PromptText = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="PROMPT")]


def run(argv: list[str]) -> None:
    """Runs the command on its arguments."""
    run_command(command, argv, "biggan imagine")


def command(
    prompt: PromptText = None,
    *,
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None,
    penalise: str | None = None,
    image: Path | None = None,
    image_weight: float = 1.0,
    seeds: str = "0-3",
    out: Path | None = None,
    scorer: str = "words",
    steps: int = 60,
    save_every: int = 20,
    device: str = "auto",
    guidance: tyro.conf.OmitArgPrefixes[Guidance] = Guidance(),
) -> None:
    """Makes pictures of what a prompt says; the same command again goes on where it stopped.

    The scorer looks at cut-outs of the pictures, and the generator's latents and classes are moved to please it.

    Args:
        prompt: "an upside-down tree"; several are set apart by |, each with a weight after a last colon if it is not
            1, as "a red car:2 | at night".
        model: A run folder, a model folder, a published checkpoint, or fashion-mnist, which ships with the package.
        penalise: Texts to keep away from, written like the prompt.
        image: A picture to come near to, beside the prompt or instead of it.
        image_weight: How much that picture counts.
        seeds: Seeds "0,3,7-9"; a picture for each.
        out: Folder for all that is written; none: imagined/<the prompt>.
        scorer: words (no download; it knows things by ImageNet's names), clip, or clip:FOLDER or clip:MODEL,WEIGHTS.
        steps: Steps of optimisation.
        save_every: Steps between previews and saved states.
        device: auto (the first GPU, or else the CPU), cpu, cuda, cuda:1 or mps.
    """
    if model is None:
        raise ConfigError("--model is missing; give a run folder, a model folder, or fashion-mnist.")
    request = Request(
        prompts=tuple(parse_prompts(prompt, "the prompt")) if prompt is not None else (),
        penalised=tuple(parse_prompts(penalise, "--penalise")) if penalise is not None else (),
        image=image,
        image_weight=image_weight,
    )
    chosen, place = parse_seeds(seeds), out or Path("imagined") / _folder_name(prompt, image)
    pipe = load(model).to(device)
    judge = load_scorer(scorer, pipe.generator.linear.weight.device)
    with Bar() as bar:
        watch = _watch(bar)
        done = imagine(
            pipe,
            request,
            place,
            judge,
            seeds=chosen,
            steps=steps,
            save_every=save_every,
            settings=guidance,
            watch=watch,
        )
    _say(done)


def _folder_name(prompt: str | None, image: Path | None) -> str:
    return file_stem(prompt or (image.stem if image else ""), [], "imagined")


def _watch(bar: Bar) -> Watch:
    """Follows on a terminal by a moving line, elsewhere by a line every few seconds."""
    printed = time.monotonic()

    def show(text: str, done: int, total: int) -> None:
        nonlocal printed
        if bar.live:
            bar.move(text, done, total)
        elif done == total or time.monotonic() - printed > PLAIN_SECONDS:
            printed = time.monotonic()
            bar.say(text)

    def search(done: int, total: int) -> None:
        show(f"looking for the class: {done:,} of {total:,} pictures", done, total)

    def progress(now: Progress) -> None:
        losses = ", ".join(f"{name} {loss:+.2f}" for name, loss in now.losses.items())
        best = f"best {max(now.best):.3f}"
        text = f"step {now.step:,}/{now.steps:,}, {clock(now.seconds_left)} left, loss {losses}, {best}"
        show(text, now.step, now.steps)

    return Watch(say=bar.say, search=search, progress=progress)


def _say(done: Imagined) -> None:
    count = len(done.seeds)
    scores = ", ".join(f"{score:.3f}" for score in done.scores[:8]) + (", …" if count > 8 else "")
    what = f"{count} picture{'s' * (count > 1)} (best and last, latents, strip.png, result.json)"
    print(f"Wrote {what} to {done.folder}; best scores {scores}")
