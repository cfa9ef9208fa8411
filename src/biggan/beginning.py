"""What a run begins with: all that is checked, packed and settled before its first iteration."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from biggan.config import Augment, Config
from biggan.data.overlap import check_held_out
from biggan.data.packed import Packed, prepare
from biggan.data.packing import Progress
from biggan.distributed.collective import first_on_each_machine, lead, same_everywhere
from biggan.distributed.launch import processes
from biggan.errors import ConfigError, DataError
from biggan.evaluation.material import aligned
from biggan.models.bundle import Bundle
from biggan.opening import open_model
from biggan.run_record import as_begun, check_place
from biggan.training import transfer
from biggan.training.compiling import check_compiler
from biggan.training.hardware import Precision, pick_precision
from biggan.training.little import Inherited, check_together, choose


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a run begins with."""

    config: Config
    """The settings in full, before a batch is split to fit into memory."""
    packed: Packed
    """What is trained on."""
    held_out: Packed | None
    """What is not, if any."""
    origin: transfer.Origin | None
    """The model to start from, if there is one."""
    why: str
    """What was chosen by the data, and why; empty where all is as usual."""

    @property
    def notes(self) -> list[str]:
        """What there is to say of it, a sentence or more each."""
        return [*self.packed.notes, *([self.why] if self.why else [])]


def begin_with(
    source: str,
    config: Config,
    out: Path | None,
    place: torch.device,
    packing: Progress,
    *,
    test_data: str | Path | None = None,
    init: str | Path | None = None,
) -> Beginning:
    """Settles what a run begins with; all its processes call this alike.

    Args:
        source: Where the images are: a path, or the name of a bundled set.
        config: The settings that are asked for.
        out: The run folder, if it is known; what it has begun with stays.
        place: Where the run will be.
        packing: Takes images packed so far, and all of them.
        test_data: Images that are not trained on.
        init: A model to start from.

    Raises:
        UserError: Settings, data, folder or model are not as they must be.
    """
    if out is not None:
        lead(lambda: check_out(out, source))
        config = lead(partial(as_begun, out, config, init is not None))
    lead(lambda: check_early(config, init is not None))
    start = None if init is None else open_model(init)
    packed = _packed(source, config, packing)
    return Beginning(
        held_out=None if test_data is None else _held_out(str(test_data), packed, config, packing),
        config=lead(lambda: resolve(config, packed, pick_precision(config.train.precision, place), start)),
        packed=packed,
        origin=transfer.Origin(str(init), start) if start else None,
        why=_choose(config, packed, start)[1],
    )


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


def _choose(config: Config, packed: Packed, start: Bundle | None) -> tuple[Augment, str]:
    inherited: Inherited = "nothing" if start is None else "G" if start.D is None else "both"
    return choose(config.augment, packed, config.train.total_images, inherited, config.optim.loss)


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


def check_apart(out: Path, source: str | Path) -> None:
    """Checks that a run's folder is not within the images.

    Raises:
        ConfigError: It is.
    """
    if out.resolve().is_relative_to(Path(source).resolve()):
        raise ConfigError(f"--out {out} lies in --data {source}, whose pictures it would join; give another --out.")


def _packed(source: str, config: Config, packing: Progress) -> Packed:
    """The data, packed by one process of each machine.

    Raises:
        DataError: They cannot be read, or differ between machines.
    """
    packed = first_on_each_machine(lambda: prepare(source, config.model.resolution, config.data, packing))
    if not same_everywhere(packed.sha256):
        raise DataError(f"--data {source} is not the same on all machines; copy it from one to the others.")
    return packed


def _held_out(source: str, packed: Packed, config: Config, packing: Progress) -> Packed:
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
