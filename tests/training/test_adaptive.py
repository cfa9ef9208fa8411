"""What is remembered: averages of D's outputs and the share of augmented images, moved by whole steps."""

from dataclasses import replace

import pytest
import torch

from biggan.config import PLAIN
from biggan.training.adaptive import SIGN_IMAGES, STRONGEST, Adaptive
from biggan.training.course import LECAM, Course

CPU = torch.device("cpu")


def step(real: float, fake: float, sign: float = 0.0) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(float(value)) for name, value in (("d_real", real), ("d_fake", fake), ("d_sign", sign))}


def test_anchors_are_moving_averages_from_zero():
    adaptive = Adaptive(replace(PLAIN, lecam=0.1, lecam_decay=0.75), CPU)
    adaptive.move(step(1.0, -2.0), 8)
    assert adaptive.anchors.tolist() == [0.25, -0.5]
    adaptive.move(step(1.0, -2.0), 8)
    assert adaptive.anchors.tolist() == [0.4375, -0.875]


def test_the_share_is_fixed_without_a_target_and_adapts_with_one():
    fixed = Adaptive(replace(PLAIN, augment_share=0.7), CPU)
    adaptive = Adaptive(replace(PLAIN, ada_target=0.6, ada_images=100_000), CPU)
    assert float(adaptive.level) == 0
    for _ in range(3):
        fixed.move(step(0, 0, 1.0), SIGN_IMAGES)
        adaptive.move(step(0, 0, 1.0), SIGN_IMAGES)
    assert float(fixed.level) == pytest.approx(0.7)
    assert float(adaptive.level) == pytest.approx(0.12)


@pytest.mark.parametrize(("mean", "end"), [(0.0, 0.0), (0.5, 1.0)], ids=["in doubt", "sure"])
def test_outputs_that_swing_begin_nothing_but_a_d_that_is_sure_does(mean, end):
    adaptive = Adaptive(replace(PLAIN, ada_target=0.2, ada_images=20_000), CPU)
    shares = []
    for i in range(2_000):  # of 32 images; a swing of half a thousand images around the mean
        adaptive.move(step(0, 0, mean + (0.5 if i // 8 % 2 else -0.5)), 32)
        shares.append(float(adaptive.level))
    assert (max(shares), shares[-1]) == (end, end)


@pytest.mark.parametrize("strength", [0.0, 0.1, LECAM, 0.5])
def test_lecam_that_was_asked_for_follows_a_share_that_adapts_and_what_the_guard_adds_does_not(strength):
    given = replace(PLAIN, augment=("color",), ada_target=0.2, lecam=strength)
    asked, guarded = Adaptive(given, CPU), Adaptive(given, CPU)
    guarded.heed(Course().after(1, "D"), "hinge")
    for share in (0.0, 0.3, 1.0):
        asked.level = guarded.level = torch.tensor(share)
        assert float(asked.lecam_in_force) == pytest.approx(strength * share)
        assert float(guarded.lecam_in_force) == pytest.approx(max(strength * share, LECAM))
        assert float(guarded.share_in_force) == pytest.approx(share)


@pytest.mark.parametrize("strength", [0.0, 0.01, 0.3, STRONGEST, 3.0])
def test_lecam_grows_tenfold_where_all_images_are_augmented_and_d_is_still_too_sure(strength):
    adaptive = Adaptive(replace(PLAIN, augment=("color",), ada_target=0.2, ada_images=40_000, lecam=strength), CPU)
    found = []
    for _ in range(400):  # of a tenth of the images in which the level rises by 1
        adaptive.move(step(0, 0, 1.0), SIGN_IMAGES)
        found.append((float(adaptive.share_in_force), float(adaptive.lecam_in_force)))
    assert found[9] == pytest.approx((1, strength))
    assert found[14] == pytest.approx((1, min(strength * 10**0.5, max(strength, STRONGEST))))
    assert found[-1] == pytest.approx((1, max(strength, STRONGEST) if strength else 0))
    for _ in range(60):
        adaptive.move(step(0, 0, 0.0), SIGN_IMAGES)
    assert float(adaptive.share_in_force) == 0


@pytest.mark.parametrize("changes", [{"augment": ()}, {"augment_share": 0.0}], ids=str)
def test_lecam_beside_a_fixed_share_has_all_of_its_strength(changes):
    adaptive = Adaptive(replace(PLAIN, **{"augment": ("color",), "lecam": 0.1, **changes}), CPU)
    assert float(adaptive.lecam_in_force) == pytest.approx(0.1)


@pytest.mark.parametrize("changes", [{}, {"ada_target": 0.2}, {"augment": ()}, {"augment_share": 0.5}], ids=str)
def test_the_augmentation_that_the_guard_adds_is_of_all_images(changes):
    adaptive = Adaptive(replace(PLAIN, **{"augment": ("color",), **changes}), CPU)
    adaptive.heed(Course().after(1, "D").after(2, "D"), "hinge")
    assert adaptive.settings.augment
    assert float(adaptive.share_in_force) == 1
    assert not adaptive.augments_none


def test_it_is_put_back_bit_for_bit():
    settings = replace(PLAIN, ada_target=0.6)
    adaptive, other = Adaptive(settings, CPU), Adaptive(settings, CPU)
    for i in range(5):
        adaptive.move(step(0.3 * i, -0.1, 0.9), 8)
    other.load({name: tensor.clone() for name, tensor in adaptive.tensors().items()})
    for each in (adaptive, other):
        each.move(step(0.1, 0.2, -0.4), 8)
    assert all(torch.equal(tensor, other.tensors()[name]) for name, tensor in adaptive.tensors().items())


def test_a_state_from_before_signs_were_averaged_and_lecam_grew_is_taken():
    adaptive = Adaptive(replace(PLAIN, ada_target=0.2), CPU)
    adaptive.load({"anchors": torch.zeros(2), "share": torch.tensor(0.4)})
    assert (float(adaptive.level), float(adaptive.sign)) == (pytest.approx(0.4), 0)


def test_a_state_of_something_else_is_refused():
    with pytest.raises(KeyError):
        Adaptive(PLAIN, CPU).load({"anchors": torch.zeros(2)})
