"""`evaluate`: a model measured against real images in one call, with everything wired.

What Python users and the command line both use. Not here: what is measured and how (`evaluation/`).
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from biggan import atomic
from biggan.config import Data
from biggan.data.overlap import check_held_out
from biggan.data.packed import Packed, default_cache, prepare
from biggan.distributed.collective import first_on_each_machine, highest, lead
from biggan.distributed.processes import meeting, rank, world_size
from biggan.errors import ConfigError, DataError, Interrupted
from biggan.evaluation.material import FLAGS, Material, Split
from biggan.evaluation.measure import measured, usual
from biggan.evaluation.names import parse_names
from biggan.interop.recognise import is_foreign
from biggan.models.bundle import MODEL, Bundle, write_card
from biggan.models.measured import append
from biggan.opening import load
from biggan.run_record import record_of_images
from biggan.sampling.pipeline import Pipeline
from biggan.training.hardware import pick_device
from biggan.training.interrupt import StopRequest


def evaluate(
    path_or_name: str | Path,
    data: str | Path | None = None,
    test_data: str | Path | None = None,
    metrics: str | None = None,
    *,
    truncation: float | None = None,
    threshold: float | None = None,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    inception: str | Path | None = None,
    cache: str | Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    found: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Measures a model against real images; see `evaluation/names.py` for what can be asked for.

    Records are added to `metrics.jsonl` and to the card in the model's folder as they are made, if the model was given
    as a folder that can be written. An interrupted call goes on from the features in the cache. Under torchrun all its
    processes call this alike and share the images.

    Args:
        path_or_name: The model, as for `load`.
        data: The images that it was trained on, as for `train`.
        test_data: Images of the same kind that it never saw.
        metrics: Names set apart by commas, such as `"kid2k_test@efficientnet_lite0"`; None for `measure.usual`.
        truncation: See `latents.draw`.
        threshold: See `latents.draw`.
        seed: Of the first drawn image; the others follow.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        batch_size: Images drawn at once.
        inception: The weights of the 2015 Inception network (`evaluation/inception.py`).
        cache: Where features are kept; None for `$XDG_CACHE_HOME/biggan`.
        progress: Takes what is being done, the images done, and all of them.
        found: Takes each record when it is made.

    Returns:
        The records.

    Raises:
        UserError: The model, the images or the names are not as they must be, or do not go together.
        Interrupted: Stopped by a signal; what was measured is written down.
        DiskFailed: A write failed.
    """
    asked = None if metrics is None else parse_names(metrics)
    records = []
    with StopRequest() as stop, meeting(pick_device(device)) as place:
        pipe = load(path_or_name).to(str(place), batch_size=batch_size)
        writable = _folder(path_or_name, pipe.bundle)

        def stop_all() -> None:
            if code := highest(stop.exit_code):
                raise Interrupted("Stopped while measuring; the same command goes on from there.", code)

        def show(what: str, done: int, total: int) -> None:
            if progress and rank() == 0:
                progress(what, done, total)
            if world_size() == 1:  # several stop together, between two parts
                stop_all()

        packs = first_on_each_machine(lambda: _packs(pipe, data, test_data, partial(show, "packing")))
        file = None if inception is None else Path(inception)
        kept = default_cache() if cache is None else Path(cache)
        material = Material(pipe, packs, seed, truncation, threshold, kept, file, show, stop_all)
        for record in measured(usual(material) if asked is None else asked, material):
            records.append(record)
            lead(partial(_written, record, writable, pipe.bundle))
            if found and rank() == 0:
                found(record)
    return records


def _written(record: dict[str, Any], folder: Path | None, bundle: Bundle) -> None:
    """Adds a record to a model's folder, if it has one that can be written, and to its card."""
    if folder is not None:
        append(folder, record)
        if atomic.sha256(folder / MODEL) == bundle.sha256:  # a run may have written another model meanwhile
            write_card(folder, bundle)


def _packs(
    pipe: Pipeline, data: str | Path | None, test_data: str | Path | None, packing: Callable[[int, int], None]
) -> dict[Split, Packed]:
    """The real images by split, at the model's size and with its channels, made into squares as its run made them.

    Raises:
        DataError: They cannot be read, or many are in both splits.
        ConfigError: The training images are not those of the model's run.
    """
    given: dict[Split, str | Path | None] = {"train": data, "test": test_data}
    settings, trained_on = record_of_images(pipe.bundle.path)
    wanted = replace(settings or Data(), channels=pipe.config.image_channels)
    own = {"train": settings if settings and trained_on else wanted, "test": wanted}  # for the run's own pack
    packs = {
        split: prepare(str(source), pipe.config.resolution, own[split], packing, flag=FLAGS[split])
        for split, source in given.items()
        if source is not None
    }
    found = {split: packed.sha256 for split, packed in packs.items()}
    if trained_on and found.get("train", trained_on) != trained_on:
        raise ConfigError(f"--data {data} is not what this model was trained on; give that, or this as --test-data.")
    if "test" in found and found["test"] in (trained_on, found.get("train")):
        raise DataError(f"--test-data {test_data} has the images that the model was trained on; give others.")
    if len(packs) == 2:
        check_held_out(packs["test"], packs["train"], str(test_data))
    return packs


def _folder(path_or_name: str | Path, bundle: Bundle) -> Path | None:
    """The folder that measurements of a model are written to: the one that was given, if it is ours to write in."""
    folder = None if is_foreign(str(path_or_name)) else bundle.path
    given = folder is not None and folder.resolve() == Path(path_or_name).resolve()
    return folder if folder and given and os.access(folder, os.W_OK) else None
