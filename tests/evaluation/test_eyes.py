"""Quick looks: by the trained network where its package is there and whole, by the random one elsewhere."""

import pytest
import torch

from biggan.errors import ConfigError, ModelError
from biggan.evaluation import eyes
from biggan.evaluation.features import efficientnet_lite
from biggan.training.random_features import RandomFeatures

CPU = torch.device("cpu")


@pytest.mark.parametrize("channels", [1, 3])
def test_trained_eyes_see_what_the_network_does(channels: int) -> None:
    x = torch.rand(3, channels, 32, 32) * 2 - 1
    found = eyes.trained_eyes(channels, 64, CPU)
    assert (found.name, found.standardise) == ("EfficientNet-Lite0 at 64 px", False)
    assert torch.equal(found.see(x), efficientnet_lite(0, 64).features(x))


def test_they_see_transparent_images_on_white() -> None:
    x = torch.rand(3, 4, 32, 32) * 2 - 1
    x[:, 3] = -1
    seen = eyes.trained_eyes(4, 64, CPU).see(x)
    assert torch.equal(seen, eyes.trained_eyes(3, 64, CPU).see(torch.ones(3, 3, 32, 32)))


@pytest.mark.parametrize("error", [ConfigError("not installed"), ModelError("damaged")])
def test_without_the_network_they_are_random_ones(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def missing(variant: int, size: int | None) -> None:
        raise error

    monkeypatch.setattr(eyes, "efficientnet_lite", missing)
    x = torch.rand(3, 2, 32, 32) * 2 - 1
    found = eyes.trained_eyes(2, 64, CPU)
    assert (found.name, found.standardise) == (eyes.RANDOM, True)
    assert torch.equal(found.see(x), RandomFeatures(2)(x))
