"""Each incident lowers the rates, draws anew, and in the end holds D back; none changes nothing."""

from dataclasses import replace

import pytest
import torch

from biggan import beginning, presets
from biggan.config import PLAIN, Augment
from biggan.data.loader import Loader
from biggan.data.packed import prepare
from biggan.training.course import LECAM, SHIFT, Course
from biggan.training.little import POLICY
from biggan.training.loop import Training, iterate

OWN = Augment(augment=("color",), lecam=0.5, class_sampling="natural", hold_g=0)


def test_no_incident_changes_nothing() -> None:
    assert Course() == Course(1.0, 1.0, 0)
    assert Course().settings(PLAIN) is PLAIN


def test_each_rung_lowers_both_rates_and_draws_anew() -> None:
    course, rates = Course(), [(1.0, 0)]
    for number in (1, 2, 3, 4):
        course = course.after(number, None)
        assert course.lr_g == course.lr_d
        rates.append((course.lr_g, course.shift))
    assert [rate for rate, _ in rates] == pytest.approx([1, 0.5, 0.125, 0.03, 0.03])
    assert [shift for _, shift in rates] == [number * SHIFT for number in range(5)]


def test_the_network_that_ran_ahead_is_slowed_more() -> None:
    assert (Course().after(1, "D").lr_g, Course().after(1, "D").lr_d) == (0.5, 0.25)
    assert (Course().after(1, "G").lr_g, Course().after(1, "G").lr_d) == (0.25, 0.5)
    assert "x 0.25 for G and x 0.5 for D" in Course().after(1, "G").words(PLAIN, "hinge")


def test_a_d_that_ran_ahead_gets_lecam_and_then_augmentation() -> None:
    once = Course().after(1, "D")
    assert (once.least_lecam("hinge"), once.least_share, once.settings(PLAIN)) == (LECAM, 0, PLAIN)
    twice = once.after(2, "D")
    for course in (twice, twice.after(3, None)):
        assert (course.least_lecam("hinge"), course.least_share) == (LECAM, 1)
        assert course.settings(PLAIN) == replace(PLAIN, augment=POLICY)
    assert "LeCam of 0.3 and augmentation of all images (color translation)" in twice.words(PLAIN, "hinge")


def test_another_collapse_gets_lecam_when_it_comes_again() -> None:
    once = Course().after(1, None)
    assert (once.least_lecam("hinge"), once.settings(PLAIN)) == (0, PLAIN)
    assert once.words(PLAIN, "hinge").endswith("and other latents and another order of images")
    assert once.after(2, "G").least_lecam("hinge") == LECAM


@pytest.mark.parametrize(
    ("given", "lecam", "augmentation"),
    [
        (OWN, False, False),
        (replace(OWN, lecam=0.01), True, False),
        (replace(OWN, augment_share=0.5), False, True),
        (replace(OWN, ada_target=0.3), True, True),  # both follow a share that may be 0
        (PLAIN, True, True),
    ],
    ids=["as much", "gentler", "of some images", "that follows", "nothing"],
)
def test_the_settings_are_raised_where_they_may_be_less(given: Augment, lecam: bool, augmentation: bool) -> None:
    course = Course().after(1, "D").after(2, "D")
    assert course.settings(given) == (given if given.augment else replace(given, augment=POLICY))
    words = course.words(given, "hinge")
    assert ("LeCam" in words, "augmentation" in words) == (lecam, augmentation)


def test_a_loss_without_a_bound_gets_no_lecam() -> None:
    assert Course().after(1, "D").least_lecam("wasserstein") == 0


def test_a_remedy_is_the_setting_bit_for_bit() -> None:
    packed = prepare("fashion-mnist-test", 32, presets.preset("tiny").data)
    plain = replace(presets.preset("tiny"), augment=PLAIN)
    weights = []
    for augment, course in (
        (PLAIN, Course(lecam=True, augment=True)),
        (replace(PLAIN, lecam=LECAM, augment=POLICY), Course()),
        (PLAIN, Course()),
    ):
        config = beginning.resolve(replace(plain, augment=augment), packed, "float32")
        run = Training(config, torch.device("cpu"))
        run.course = course
        for _ in range(2):
            iterate(run, Loader(packed, 0))
        weights.append(torch.cat([p.detach().flatten() for p in (*run.D.parameters(), *run.G.parameters())]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
