"""What is chosen by the data: little of it, uneven classes, a D that is behind; and never what was given."""

from dataclasses import fields, replace

import numpy as np
import pytest

from biggan.config import PLAIN, Augment
from biggan.data.packed import Packed
from biggan.errors import ConfigError
from biggan.training.little import (
    ADA_IMAGES,
    ADA_TARGET,
    FEW_IMAGES,
    GENTLE_LECAM,
    HOLD,
    POLICY,
    check_together,
    choose,
)

LONG = 1_000_000  # images of a run
ADAPTS = {"ada_target": ADA_TARGET, "ada_images": ADA_IMAGES, "lecam": GENTLE_LECAM}


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


def test_few_images_are_augmented_as_far_as_d_needs_it_and_the_sentence_says_why():
    augment, sentence = choose(Augment(), pack(250, 250), LONG)
    assert augment == replace(PLAIN, augment=POLICY, **ADAPTS)
    assert "--augment color translation (D may learn 500 images by heart)" in sentence
    share, lecam = (
        "--ada-target 0.3 (only as far as D learns by heart), --ada-images 20000",
        "--lecam 0.01 (times the share augmented, and growing beyond).",
    )
    assert sentence.endswith(f"{share}, {lecam}")


def test_kinds_that_were_given_adapt_too():
    augment, sentence = choose(Augment(augment=("scale",)), pack(250, 250), LONG)
    assert augment == replace(PLAIN, augment=("scale",), **ADAPTS)
    assert "--augment" not in sentence


def test_wherever_the_share_adapts_a_gentle_lecam_follows_it():
    given = Augment(augment=("color",), ada_target=0.6)
    assert choose(given, pack(FEW_IMAGES, FEW_IMAGES), LONG)[0].lecam == GENTLE_LECAM
    assert choose(replace(given, augment=()), pack(250, 250), LONG)[0].lecam == 0


ADA = {"augment": POLICY, "ada_target": 0.6}
CLASHES = {
    "no kinds": ({"ada_target": 0.6}, "--ada-target is 0.6, and nothing is augmented"),
    "two shares": ({**ADA, "augment_share": 0.5}, "--augment-share is 0.5, and --ada-target moves the share"),
    "lecam": ({"lecam": 0.1}, "--lecam is 0.1; allowed is 0 with --loss wasserstein"),
    "signs": (ADA, "--ada-target is 0.6; allowed is 0 with --loss wasserstein"),
    "no labels": ({"class_sampling": "balanced"}, "which --no-labels leaves out"),
    "no classes": ({"class_sampling": "balanced"}, "the images have no classes"),
}


@pytest.mark.parametrize("clash", CLASHES)
def test_what_does_not_go_together_is_refused(clash):
    loss = "wasserstein" if clash in ("lecam", "signs") else "hinge"
    labels, num_classes = clash != "no labels", 0 if clash == "no classes" else 10
    changes, message = CLASHES[clash]
    check_together(PLAIN, loss, labels, num_classes)
    check_together(Augment(), loss, labels)
    with pytest.raises(ConfigError, match=message):
        check_together(replace(PLAIN, **changes), loss, labels, num_classes)


@pytest.mark.parametrize("given", [{"augment": ()}, {"augment_share": 0.5}, {"ada_target": 0.0}], ids=str)
def test_a_share_that_was_given_or_no_augmentation_is_not_adapted(given):
    augment, _ = choose(Augment(**given), pack(250, 250), LONG)
    assert (augment.ada_target, augment.ada_images, augment.lecam) == (0, PLAIN.ada_images, 0)


def test_where_d_s_sign_says_nothing_all_images_are_augmented():
    augment, _ = choose(Augment(), pack(250, 250), LONG, loss="wasserstein")
    assert augment == replace(PLAIN, augment=POLICY)


def test_large_even_data_are_trained_on_as_published():
    assert choose(Augment(), pack(FEW_IMAGES, FEW_IMAGES), LONG) == (PLAIN, "")


def test_uneven_classes_are_shown_equally_often():
    augment, sentence = choose(Augment(), pack(FEW_IMAGES, FEW_IMAGES // 3, 0), LONG)
    assert augment == replace(PLAIN, class_sampling="balanced")
    assert f"{FEW_IMAGES // 3:,} to {FEW_IMAGES:,} images" in sentence
    assert choose(Augment(), pack(FEW_IMAGES, FEW_IMAGES // 3, labelled=False), LONG) == (PLAIN, "")


@pytest.mark.parametrize("inherited", ["G", "both"])
def test_a_g_that_has_learned_is_held_until_d_knows_the_images(inherited):
    augment, sentence = choose(Augment(), pack(FEW_IMAGES), LONG, inherited)
    assert augment == replace(PLAIN, hold_g=HOLD[inherited])
    assert f"--hold-g {HOLD[inherited]}" in sentence
    assert choose(Augment(), pack(FEW_IMAGES), 3_000, inherited)[0].hold_g == 300


GIVEN = [
    {"augment": (), "ada_target": 0.0, "ada_images": 500_000, "lecam": 0.0},
    {"augment": ("cutout",), "ada_target": 0.3, "ada_images": 7},
    {"ada_target": 0.0, "ada_images": 500_000, "lecam": 0.0},
    {"ada_target": 0.3},
    {"class_sampling": "natural"},
    {"hold_g": 3},
    {"lecam": 1.0, "hold_g": 0},
]


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_what_is_given_stays_and_only_the_rest_is_chosen_and_said(given):
    asked = Augment(**given)
    augment, sentence = choose(asked, pack(90, 9), LONG, inherited="G")
    free, _ = choose(Augment(), pack(90, 9), LONG, inherited="G")
    assert augment == replace(free, **given)
    assert all(f"--{name.replace('_', '-')} " not in sentence for name in given)
    assert all(getattr(augment, field.name) is not None for field in fields(Augment))
    assert choose(augment, pack(90, 9), LONG, inherited="G") == (augment, "")
