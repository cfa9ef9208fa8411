"""When a run is looked at, and that what is seen depends on the networks alone; what is remembered of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from biggan import presets
from biggan.data.packed import Packed, prepare
from biggan.evaluation.distances import kernel_distance
from biggan.evaluation.eyes import trained_eyes
from biggan.models.bundle import Bundle, load_bundle, save_bundle
from biggan.models.statistics import Statistics, Table, standing_row
from biggan.overseer import TRAINED_PIXELS, Overseer
from biggan.training.loop import Training
from biggan.training.probe import chosen_images, real_images


@pytest.fixture(scope="module")
def packed() -> Packed:
    return prepare("fashion-mnist-test", 32, presets.tiny().data)


def overseer(packed: Packed, d_steps: int = 2, hold_g: int | None = None, **train: object) -> Overseer:
    """Of the tiny networks, untrained."""
    base = presets.tiny()
    settings = replace(base.train, **train)  # type: ignore[arg-type]
    model, optim = replace(base.model, image_channels=1), replace(base.optim, d_steps=d_steps)
    augment = replace(base.augment, hold_g=hold_g)
    config = replace(base, model=model, optim=optim, augment=augment, train=settings)
    return Overseer(Training(config, torch.device("cpu")), Path("nowhere"), packed)


def looks(watching: Overseer, iterations: int) -> list[int]:
    """Images of the looks in the first iterations."""
    run, found = watching.run, []
    for _ in range(iterations):
        run.images += run.images_per_iteration
        found += [run.images] * watching.is_due
    return found


def test_small_iterations_are_looked_at_each_time_1250_images_are_passed(packed: Packed) -> None:
    assert looks(overseer(packed, batch_size=16), 200) == [1280, 2528, 3776, 5024, 6272]


@pytest.mark.parametrize(("batch_size", "d_steps"), [(64, 2), (50, 4), (2048, 2)])
def test_large_iterations_are_looked_at_every_fifteenth(packed: Packed, batch_size: int, d_steps: int) -> None:
    each = batch_size * d_steps
    assert looks(overseer(packed, batch_size=batch_size, d_steps=d_steps), 50) == [15 * each, 30 * each, 45 * each]


def test_a_look_does_not_depend_on_how_batches_are_made_up(packed: Packed) -> None:
    kinds = {"batch_size": 8}, {"batch_size": 64}, {"batch_size": 64, "microbatch": 4}
    first, *others = (overseer(packed, **kind).look() for kind in kinds)
    assert first == others[0] == others[1]


def test_the_guard_knows_how_long_g_is_held_after_a_state_was_put_back_too(packed: Packed) -> None:
    watching = overseer(packed, hold_g=4_000)
    assert watching.guard.hold == 4_000
    watching.recall({})
    assert watching.guard.hold == 4_000


def test_models_are_chosen_by_the_kernel_distance_of_plain_features(packed: Packed) -> None:
    """On grey clothes many of the trained network's features are 0; standardised they would outweigh all others."""
    watching, x = overseer(packed), torch.rand(64, 1, 32, 32) * 2 - 1
    see = trained_eyes(1, TRAINED_PIXELS, torch.device("cpu")).see
    real = real_images(packed, np.concatenate(chosen_images(packed)[1]))
    expected = kernel_distance(see(real), see(x)).value
    assert watching.chooser[1].distance(x) == pytest.approx(expected, rel=1e-4)


def test_the_best_model_is_the_nearest_by_the_network_that_looks_now(packed: Packed, tmp_path: Path) -> None:
    """A distance by another network is none to compare with: the model in `best/` is then drawn and measured anew."""
    watching = overseer(packed)
    watching.out, watching.run.images = tmp_path, 64
    G = watching.run.G_ema.eval()
    G.use_statistics(standing_row(G))
    tables = Statistics({"none": Table(torch.zeros(1), {name: row[None] for name, row in standing_row(G).items()})})
    first = Bundle(G, watching.run.D, packed.class_names, tables, {"images": 64})
    noise, real = torch.rand(64, 1, 32, 32), real_images(packed, np.arange(64))

    def best(images: int, good: tuple[int, ...] = ()) -> dict[str, Any]:
        """After a save at `images`; models of as many images as in `good` draw well."""
        draw = {True: real, False: noise}
        page = Image.new("L", (32, 32))
        bundle = replace(first, training={"images": images})
        watching.keep_best(bundle, lambda: page, lambda of: draw[of.training["images"] in good])
        return load_bundle(tmp_path / "best").training

    assert best(64) == {"images": 64}
    measured = best(96, good=(64,))
    assert (measured["images"], measured["distance_by"]) == (64, "EfficientNet-Lite0 at 96 px")
    (tmp_path / "best" / "model.safetensors").write_bytes(b"half")
    assert best(96) == {"images": 96}  # a damaged one is none
    nearer = best(128, good=(128,))
    assert (nearer["images"], nearer["distance"]) == (128, measured["distance"])
    assert best(160) == nearer
    other = replace(first, training=nearer | {"distance": -9.0, "distance_by": "another network"})
    save_bundle(tmp_path / "best", other, None)
    assert best(192, good=(192,))["images"] == 192


def test_without_guard_incidents_are_remembered_and_looks_are_not(packed: Packed) -> None:
    judging, idle = overseer(packed), overseer(packed, guard=False)
    for images in (1_000, 2_000):
        assert judging.guard.judge(images, {"distance": 0.3}) is None
    judging.guard.incidents = 2
    judging.run.images = idle.run.images = 3_000
    assert judging.healthy == 2_000
    idle.recall(judging.record())
    assert idle.record()["guard"]["incidents"] == 2
    judging.recall(idle.record())
    assert judging.healthy == 3_000
