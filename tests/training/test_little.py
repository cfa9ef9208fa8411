"""What is chosen by the data: little of it, uneven classes, a D that is behind; and never what was given."""

from dataclasses import fields, replace

import numpy as np
import pytest

from biggan.config import PLAIN, Augment
from biggan.data.packed import Packed
from biggan.training.little import FEW_IMAGES, LECAM, POLICY, WARM_UP, choose


def pack(*counts: int, labelled: bool = True) -> Packed:
    labels = np.repeat(np.arange(len(counts)), counts)
    names = [f"class {k}" for k in range(len(counts))]
    return Packed(
        images=np.zeros((len(labels), 1, 1, 1), np.uint8),
        labels=labels if labelled else None,
        class_names=names if labelled else [],
        sha256="",
        cropped=0,
        skipped=[],
        notes=[],
        place=None,
    )


def test_few_images_are_augmented_with_lecam_and_the_sentence_says_why():
    augment, sentence = choose(Augment(), "hinge", pack(250, 250))
    assert (augment.augment, augment.lecam) == (POLICY, LECAM)
    assert (augment.class_sampling, augment.hold_g) == ("natural", 0)
    assert "--augment color translation" in sentence
    assert "500 images" in sentence


def test_large_even_data_are_trained_on_as_published():
    assert choose(Augment(), "hinge", pack(FEW_IMAGES, FEW_IMAGES)) == (PLAIN, "")


def test_uneven_classes_are_shown_equally_often():
    augment, sentence = choose(Augment(), "hinge", pack(FEW_IMAGES, FEW_IMAGES // 3, 0))
    assert augment == replace(PLAIN, class_sampling="balanced")
    assert f"{FEW_IMAGES // 3:,} to {FEW_IMAGES:,} images" in sentence
    assert choose(Augment(), "hinge", pack(FEW_IMAGES, FEW_IMAGES // 3, labelled=False)) == (PLAIN, "")


def test_g_is_held_for_a_d_from_scratch():
    augment, sentence = choose(Augment(), "hinge", pack(FEW_IMAGES), d_behind=True)
    assert augment == replace(PLAIN, hold_g=WARM_UP)
    assert f"--hold-g {WARM_UP}" in sentence


def test_lecam_is_not_for_a_loss_without_bounds():
    assert choose(Augment(), "wasserstein", pack(9, 9))[0].lecam == 0


GIVEN = [
    {"augment": ()},
    {"augment": ("cutout",)},
    {"lecam": 0.0},
    {"class_sampling": "natural"},
    {"hold_g": 3},
    {"lecam": 1.0, "augment": ()},
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_what_is_given_stays_and_only_the_rest_is_chosen_and_said(given):
    asked = Augment(**given)
    augment, sentence = choose(asked, "hinge", pack(90, 9), d_behind=True)
    free, _ = choose(Augment(), "hinge", pack(90, 9), d_behind=True)
    assert augment == replace(free, **given)
    assert all(f"--{name.replace('_', '-')} " not in sentence for name in given)
    assert all(getattr(augment, field.name) is not None for field in fields(Augment))
    assert choose(augment, "hinge", pack(90, 9), d_behind=True) == (augment, "")
