"""The search for augmentation in drawn images finds what is there and nothing else."""

import pytest
import torch
from judge import bundled_images

from biggan import latents
from biggan.errors import DataError
from biggan.evaluation.leaks import leaks
from biggan.latents import Stream
from biggan.training.augment import KINDS, NUMBERS, augmented

EVERY = tuple(KINDS)


@pytest.fixture(scope="module")
def real():
    x = bundled_images("fashion-mnist-test")[0]
    return x[:1000], x[1000:]


def treated(x, policy, share):
    u = latents.uniform(9, Stream.AUGMENT_FAKE, 0, len(x), NUMBERS)
    return augmented(x, u, policy, share).clamp(-1, 1)


@pytest.mark.parametrize("kind", EVERY)
def test_a_leak_is_about_the_share_of_drawn_images_that_are_augmented(real, kind):
    one, other = real
    for share in (0.0, 0.3, 1.0):
        assert leaks(one, treated(other, (kind,), share), (kind,))[kind] == pytest.approx(share, abs=0.1)


def test_kinds_that_are_not_there_are_not_found(real):
    one, other = real
    found = leaks(one, treated(other, ("color",), 1.0), EVERY)
    assert found["color"] > 0.9
    assert max(found["translation"], found["scale"], found["cutout"]) < 0.2


def test_colour_images_of_any_channels_are_looked_at():
    x = (torch.rand(400, 3, 1, 1) * 1.6 - 0.8).expand(-1, -1, 16, 16) + 0.1 * torch.randn(400, 3, 16, 16)
    assert leaks(x[:200], x[200:], ("translation",))["translation"] < 0.1
    with pytest.raises(DataError, match="100 or more of each"):
        leaks(x[:99], x, EVERY)
    with pytest.raises(DataError, match="of one shape"):
        leaks(x, x[:, :1], EVERY)
