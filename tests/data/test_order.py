"""Orders of images: every image as often as it should be, the same however they are asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan import latents
from biggan.data.order import Balanced, Natural

LABELS = np.array([2, 0, 2, 2, 0, 4, 2, 2, 2, 2])  # classes of 2, 7 and 1 images, mixed; 1 and 3 are empty
ORDERS = {"natural": lambda seed: Natural(seed, len(LABELS)), "balanced": lambda seed: Balanced(seed, LABELS)}


@pytest.mark.parametrize("kind", ORDERS)
@settings(deadline=None, max_examples=40)
@given(start=st.integers(0, 10**9), parts=st.lists(st.integers(0, 40), min_size=1, max_size=4))
def test_any_part_is_the_same_however_it_is_asked_for(kind: str, start: int, parts: list[int]) -> None:
    whole = ORDERS[kind](3)(start, sum(parts))
    fresh = ORDERS[kind](3)
    places = start + np.cumsum([0, *parts[:-1]])
    pieces = [fresh(int(place), count) for place, count in zip(places, parts, strict=True)]
    assert np.array_equal(whole, np.concatenate(pieces))
    assert whole.dtype == np.int64


def test_every_round_of_balanced_sampling_has_every_class_once_in_changing_orders() -> None:
    rounds = LABELS[Balanced(0, LABELS)(0, 300)].reshape(100, 3)
    assert np.array_equal(np.sort(rounds, 1), np.broadcast_to([0, 2, 4], (100, 3)))
    assert len({tuple(one) for one in rounds}) == 6


def test_within_a_class_every_image_comes_once_an_epoch_in_changing_orders() -> None:
    shown = Balanced(0, LABELS)(0, 3 * 70)
    epochs = shown[LABELS[shown] == 2].reshape(10, 7)
    assert np.array_equal(np.sort(epochs, 1), np.broadcast_to(np.flatnonzero(LABELS == 2), (10, 7)))
    assert len({tuple(one) for one in epochs}) > 5


def test_the_images_of_many_classes_are_shuffled_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    shuffled = latents.shuffled
    monkeypatch.setattr(latents, "shuffled", lambda *asked: calls.append(asked) or shuffled(*asked))
    Balanced(0, np.repeat(np.arange(400), 4))(0, 4 * 400)
    assert len(calls) == 400 + 4  # and the classes once a round


def test_another_seed_gives_another_order_of_the_same_classes() -> None:
    one, other = Balanced(0, LABELS)(0, 60), Balanced(1, LABELS)(0, 60)
    assert not np.array_equal(one, other)
    assert np.array_equal(np.bincount(LABELS[one]), np.bincount(LABELS[other]))


def test_a_class_in_a_thousand_images_is_shown_as_often_as_the_rest() -> None:
    labels = np.array([0] * 1000 + [1])
    assert np.bincount(labels[Balanced(0, labels)(0, 64)]).tolist() == [32, 32]
