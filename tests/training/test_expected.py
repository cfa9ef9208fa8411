"""What is expected of pictures: better with images, later with more classes, and lagging only beyond what is usual."""

import itertools
import math

import pytest

from biggan.training import expected

IMAGES = [10**k * m for k in range(3, 6) for m in (1, 2, 5)]


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_get_better_with_images_and_later_with_more_classes(channels: int) -> None:
    distances = [expected.distance(images, channels, 10) for images in IMAGES]
    assert all(b <= a for a, b in itertools.pairwise(distances))
    assert distances[0] > 2 * distances[-1]
    assert expected.distance(16_000, channels, 100) == expected.distance(1_600, channels, 10)
    assert expected.words(10**6, channels, 10) != expected.words(10**6, channels, 10_000)


def test_few_classes_ask_no_more_than_ten() -> None:
    assert expected.distance(4_000, 1, 0) == expected.distance(4_000, 1, 2) == expected.distance(4_000, 1, 10)


def test_only_what_is_far_beyond_the_usual_lags() -> None:
    usual = expected.distance(8_000, 1, 10)
    assert not expected.lags(2.5 * usual, 8_000, 1, 10)
    assert expected.lags(3.5 * usual, 8_000, 1, 10)
    assert expected.lags(math.nan, 8_000, 1, 10)
    assert not expected.lags(1e5, 1_000, 1, 10)
