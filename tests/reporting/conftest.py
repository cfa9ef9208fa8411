"""Tiny real runs that reports are written of."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cheap import cheap_models
from reports import NAMES

from biggan import overseer, presets, workflow
from biggan.errors import Interrupted
from biggan.sitting import Watch
from biggan.training.loop import Batches, Hook, Training, fit


@contextmanager
def cheap() -> Iterator[None]:
    """A look every four iterations of the tiny preset, and models with cheap tables."""
    with cheap_models((0.2, 0.6, 1.0)) as patch:
        patch.setattr(overseer, "LOOK_IMAGES", 64)
        patch.setattr(overseer, "LOOK_ITERATIONS", 4)
        patch.setattr(overseer, "AVERAGE_LOOKS", 2)
        patch.setattr(overseer, "SELDOM_LOOKS", 2)
        yield


@pytest.fixture(autouse=True)
def _cheap() -> Iterator[None]:
    with cheap():
        yield


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty grey images of three classes with names that are not to be trusted."""
    place, random = tmp_path_factory.mktemp("data") / "images.npz", np.random.default_rng(0)
    y = np.arange(60) % 3
    x = random.integers(0, 90, (60, 32, 32), dtype=np.uint8) + (60 * y[:, None, None]).astype(np.uint8)
    np.savez(place, x=x, y=y, class_names=np.array(NAMES))
    return place


@pytest.fixture(scope="session")
def train() -> Callable[..., Path]:
    """Trains the tiny preset for twenty iterations; `labels=False` without classes; `watch` as in `workflow.train`."""

    def train(source: Path, out: Path, *, labels: bool = True, watch: Watch | None = None) -> Path:
        base = presets.preset("tiny")
        length = replace(base.train, total_images=320, save_images=96, sheet_images=64, report_images=64)
        config = replace(base, train=length, data=replace(base.data, labels=labels))
        with cheap():  # runs are made once for all tests, before any test's own fixtures
            return workflow.train(source, out, config, watch=watch)

    return train


@pytest.fixture(scope="session")
def run(images: Path, train: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which a weight became NaN after 224 images, and that went back and on."""
    struck: list[int] = []

    def poison(run: Training, figures: object) -> None:
        if run.images == 224 and not struck:
            struck.append(224)
            with torch.no_grad():
                next(run.G.parameters()).view(-1)[0] = torch.nan

    def begin(run: Training, data: Batches, hooks: Iterable[Hook]) -> None:
        fit(run, data, [poison, *hooks])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workflow, "fit", begin)
        return train(images, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="session")
def interrupted(images: Path, train: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped at its second report."""
    out = tmp_path_factory.mktemp("runs") / "interrupted"
    watch = Watch(progress=lambda at: os.kill(os.getpid(), signal.SIGTERM) if at.images == 128 else None)
    with pytest.raises(Interrupted):
        train(images, out, watch=watch)
    return out
