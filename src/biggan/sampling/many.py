"""A set of shards in a folder: drawn by one process or several, in as many sittings as it takes.

```
00000.tar …      the shards (`shards.py`), each renamed to its name when it is whole
classes.txt      the names of the classes that were asked for, by number
manifest.json    what is drawn, and every finished shard with its images, size and SHA-256
```

The processes go in turns, a shard each, and after each turn the first writes the manifest. A shard that the manifest
does not tell of, or that is not as it tells, is drawn again; its bytes are the same. When one process meets an error
or a signal, the others finish their shard, and all end.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from biggan import atomic
from biggan.distributed.collective import Elsewhere, lead, of_all
from biggan.distributed.processes import rank, world_size
from biggan.errors import BigGANError, ConfigError, Interrupted
from biggan.sampling.pipeline import Pipeline
from biggan.sampling.shards import Draw, Order, Shard, drawing, make_shard, name_of
from biggan.training.interrupt import StopRequest
from biggan.training.runlock import RunLock

FORMAT = 1
CLASSES = "classes.txt"
ORDER = "image i shows class i mod K of the K classes, with seed number i div K of the seeds"
OURS = {atomic.MANIFEST, CLASSES, "lock"}

Progress = Callable[[int, int], None]
"""Called with the number of images drawn and the number of all."""


@dataclass(slots=True)
class _Set:
    """A set of shards in the making, as every process knows it."""

    out: Path
    order: Order
    told: dict[str, Any]
    """What decides the shards' bytes."""
    there: dict[int, Shard]
    """The finished shards by their number."""

    @property
    def num_images(self) -> int:
        """Images in finished shards."""
        return sum(len(self.order.shards[k]) for k in self.there)

    def write(self) -> None:
        """Writes the manifest."""
        shards = [asdict(self.there[k]) for k in sorted(self.there)]
        facts = {"format": FORMAT, "recipe": self.told, "num_images": self.order.num_images, "order": ORDER}
        complete = len(shards) == len(self.order.shards)
        atomic.write_json(self.out / atomic.MANIFEST, {**facts, "complete": complete, "shards": shards})


def draw_many(
    pipe: Pipeline,
    order: Order,
    out: Path,
    truncation: float | None,
    threshold: float | None,
    stop: StopRequest,
    progress: Progress,
) -> int:
    """Draws all shards that are not in a folder yet; every process calls this alike.

    Args:
        pipe: The model, on this process's device.
        order: What to draw.
        out: The folder.
        truncation: See `latents.draw`.
        threshold: See `latents.draw`.
        stop: Signals.
        progress: Who follows; it is called in every process.

    Returns:
        The number of images that were there already.

    Raises:
        ConfigError: The folder holds other files, or shards of other images; or the model has no statistics for this.
        RunInUse: Another process draws into the folder.
        DiskFailed: A write failed; finished shards are as they were.
        Interrupted: A signal came; finished shards are kept.
        Elsewhere: Another process met one of these.
    """
    with ExitStack() as stack:
        draw = stack.enter_context(drawing(pipe, order, truncation, threshold))
        making = _Set(out, order, _told(pipe, order, truncation, threshold), {})
        making.there = lead(lambda: _begin(stack, making))
        before = making.num_images
        waiting = [k for k in range(len(order.shards)) if k not in making.there]
        for start in range(0, len(waiting), world_size()):
            _take_turn(making, waiting[start : start + world_size()], draw, stop, progress)
    return before


def _told(pipe: Pipeline, order: Order, truncation: float | None, threshold: float | None) -> dict[str, Any]:
    """What decides the shards' bytes, as the manifest tells it."""
    recipe = asdict(pipe.recipe(truncation, threshold))
    del recipe["seed"], recipe["mix"]
    seeds = ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else f"{part[0]}" for part in order.seeds)
    return {**recipe, "classes": order.class_names, "seeds": seeds, "shard_images": order.each}


def _begin(stack: ExitStack, making: _Set) -> dict[int, Shard]:
    """Takes hold of the folder, and gives the shards in it that are whole."""
    out, names = making.out, making.order.class_names
    _check_place(out)
    stack.enter_context(RunLock(out))
    making.there = _whole(making) if (out / atomic.MANIFEST).exists() else {}
    atomic.recover(out)
    if names:
        atomic.write_bytes(out / CLASSES, "".join(f"{name}\n" for name in names).encode())
    making.write()
    return making.there


def _check_place(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a folder for the shards.")
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    others = [name for name in names if name not in OURS and not atomic.LEFTOVER.fullmatch(name)]
    if others and atomic.MANIFEST not in names:
        raise ConfigError(f"--out {out} holds other files ({others[0]}); give a new folder for the shards.")


def _whole(making: _Set) -> dict[int, Shard]:
    """The shards that a folder's manifest tells of and that are as it tells.

    Raises:
        ConfigError: It is the manifest of something else.
        ModelError: It cannot be read.
    """
    out, values = making.out, atomic.read_json(making.out / atomic.MANIFEST)
    before, listed = (values.get(name) if isinstance(values, dict) else None for name in ("recipe", "shards"))
    if not isinstance(before, dict) or not isinstance(listed, list):
        raise ConfigError(f"--out {out} holds something else than shards of images; give a new folder for them.")
    for name, asked in making.told.items():
        if before.get(name) != asked:
            was = f"{name} {str(before.get(name))[:60]}, not {str(asked)[:60]}"
            raise ConfigError(f"--out {out} holds shards with {was}; ask for that, or give another --out.")
    numbers = {name_of(k): k for k in range(len(making.order.shards))}
    entries = {numbers[entry["name"]]: Shard(**entry) for entry in listed if _is_known(entry, numbers)}
    return {k: shard for k, shard in entries.items() if atomic.is_intact(out, shard.name, shard.sha256)}


def _is_known(entry: Any, numbers: dict[str, int]) -> bool:
    """Whether a manifest's entry is of one of the shards."""
    return isinstance(entry, dict) and entry.keys() == Shard.__annotations__.keys() and str(entry["name"]) in numbers


def _take_turn(making: _Set, turn: list[int], draw: Draw, stop: StopRequest, progress: Progress) -> None:
    """Draws a shard in each process, or in as many as there are shards for."""
    finished, total = making.num_images, making.order.num_images

    def done(images: int) -> None:
        if stop:
            told = f"Stopped with {finished:,} of {total:,} images drawn; the same command goes on."
            raise Interrupted(told, stop.exit_code)
        progress(min(finished + images * len(turn), total), total)  # the others are about as fast

    made, error = None, None
    try:
        if rank() < len(turn):
            made = make_shard(making.order, turn[rank()], draw, making.out, done)
    except BigGANError as raised:
        error = raised
    answers = of_all((made, 0 if error is None else error.exit_code))
    for k, (shard, _) in zip(turn, answers, strict=False):
        if shard is not None:
            making.there[k] = shard
    lead(making.write)
    _end_together(error, [code for _, code in answers])


def _end_together(error: BigGANError | None, codes: list[int]) -> None:
    """Ends all processes if any met an error, which the first of those tells."""
    failed = next((number for number, code in enumerate(codes) if code), None)
    if failed is None:
        return
    if error is not None and failed == rank():
        raise error
    raise Elsewhere(codes[failed])
