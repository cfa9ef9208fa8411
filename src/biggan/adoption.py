"""A run made of a foreign checkpoint with both networks and their optimizers, so that its training goes on here."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

from biggan import atomic
from biggan.beginning import check_apart, resolve
from biggan.config import PLAIN, Config, Optim, Train
from biggan.config_json import from_json
from biggan.data.packed import Packed, prepare
from biggan.errors import ConfigError, DiskFailed
from biggan.interop.imported import Imported
from biggan.models.bundle import save_bundle
from biggan.run_record import begin
from biggan.sitting import Watch
from biggan.training.hardware import pick_device, pick_precision
from biggan.training.state import save_state

Part = TypeVar("Part", Optim, Train)


def adopt(found: Imported, source: str | Path, out: str | Path, watch: Watch | None = None) -> Config:
    """Makes a run of a foreign checkpoint, which `train` goes on with if it is given the settings returned.

    Args:
        found: A checkpoint with both networks and their optimizers.
        source: Where the images are, as for `train`.
        out: The run folder, new or empty.
        watch: Who follows.

    Raises:
        ConfigError: The checkpoint lacks what training needs, the data are of other classes, or the folder is in use.
        DataError: The data cannot be read.
        DiskFailed: A write failed.
    """
    place, model = Path(out), found.bundle.G.config
    if not found.trained:
        raise ConfigError("This checkpoint has no D and optimizers to go on training with; leave out --data.")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ConfigError(f"--out {place} is there already; give a new folder for the run.")
    check_apart(place, source)
    optim, train = _recorded(Optim, found.config), _recorded(Train, found.config)
    images = found.iterations * optim.d_steps * train.batch_size
    train = replace(train, total_images=2 * images or train.total_images)
    config = Config(model=model, augment=PLAIN, optim=optim, train=train)
    packed = prepare(str(source), model.resolution, config.data, (watch or Watch()).packing)
    _check_classes(found, packed, source)
    config = resolve(config, packed, pick_precision(train.precision, pick_device("auto")))
    found.bundle.class_names = packed.class_names
    try:
        save_state(place, images, found.trained, {"seconds": 0.0})
        begin(place, config, str(source), packed)
        save_bundle(place, found.bundle, None)
    except DiskFailed:
        atomic.remove(place)  # nothing was there before
        raise
    return config


def _check_classes(found: Imported, packed: Packed, source: str | Path) -> None:
    """Checks that the data have the checkpoint's classes and colours, in an order that can be told.

    BigGAN-PyTorch numbers class folders in the order of their names as texts, we count numbers within them.
    """
    model = found.bundle.G.config
    if (packed.num_classes, packed.channels) != (model.num_classes, model.image_channels):
        has = f"{packed.num_classes} classes and {packed.channels} channels"
        wants = f"{model.num_classes} and {model.image_channels}"
        raise ConfigError(f"--data {source} has {has}, this checkpoint {wants}; give the data that it was trained on.")
    texts = sorted(packed.class_names)
    if texts != packed.class_names:
        one = next(i for i, pair in enumerate(zip(texts, packed.class_names, strict=True)) if len(set(pair)) > 1)
        differ = f"class {one} is {packed.class_names[one]!r} here and {texts[one]!r} in the order of texts"
        raise ConfigError(
            f"--data {source} may number its classes otherwise than the checkpoint: {differ}; rename them."
        )


def _recorded(kind: type[Part], values: Mapping[str, object]) -> Part:
    """The settings of one kind among those that a checkpoint records."""
    names = {field.name for field in fields(kind)}
    return from_json(kind, {name: value for name, value in values.items() if name in names}, "the checkpoint")
