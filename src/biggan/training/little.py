"""What makes little data go far, chosen by the data; why, in one line.

With few images D learns them by heart and G gets worse after a while; augmentation puts that off, but slows a small D
down long before. So the share of images that it applies to begins at 0 and rises as D tells real ones too surely
(ADA), and so does a gentle LeCam, which goes on rising where all are augmented. On 500 images of Fashion-MNIST the full
share from the start, and the paper's LeCam, made a run of `cpu-small` worse than none; on all of CIFAR-10 D told them
by 0.29 at the most, on 500 of it from 46,000 images shown on by more (docs/lab-notes.md). The bound on the number of
images is from published runs (Zhao et al. 2020; Karras et al. 2020), not measured here.
A G that has learned is held at first, as the D beside it does not know the new images yet and would lead it astray: on
50 images a class that was at the first distance measured the difference between 3.2 and 1.4 (docs/lab-notes.md).
Not here: what the choices do (`augment.py`, `adaptive.py`, `data/order.py`, `loop.py`).
"""

from dataclasses import replace
from typing import Literal

from biggan.config import PLAIN, Augment
from biggan.data.packed import Packed
from biggan.errors import ConfigError
from biggan.training.augment import Kind
from biggan.training.losses import Loss

FEW_IMAGES = 5_000  # below which D learns images by heart
POLICY: tuple[Kind, ...] = ("color", "translation")
ADA_TARGET, ADA_IMAGES = 0.3, 20_000
GENTLE_LECAM = 0.01  # its paper's is 0.3
UNEVEN = 2.0  # times as many images as the smallest class that the largest may have
Inherited = Literal["nothing", "G", "both"]  # the networks that begin as another model has them
HOLD: dict[Inherited, int] = {"nothing": 0, "G": 10_000, "both": 2_000}  # images that D sees before G moves
SHORTEST = 10  # runs of fewer times as many images hold G for this part of them


def choose(
    augment: Augment,
    packed: Packed,
    total_images: int,
    inherited: Inherited = "nothing",
    loss: Loss = "hinge",
) -> tuple[Augment, str]:
    """Settings with a value in every field.

    Args:
        augment: What was asked for; a field that is None is chosen here.
        packed: The data.
        total_images: Length of the run.
        inherited: The networks that begin as another model has them.
        loss: The adversarial loss. How sure D is of real images is told by the sign of its outputs, which says nothing
            with `wasserstein`: all images are augmented then.

    Returns:
        The settings, and a sentence that says what was chosen and why; empty where all that is usual was left as it is.
    """
    few, counts = packed.num_images < FEW_IMAGES, [count for count in packed.class_counts if count]
    uneven = len(counts) > 1 and max(counts) > UNEVEN * min(counts)
    left = augment.augment != () and augment.augment_share == 1 and augment.ada_target != 0
    follows = few and left and loss != "wasserstein"
    hold = min(HOLD[inherited], total_images // SHORTEST)
    values: dict[str, object] = {
        "augment": POLICY if few else PLAIN.augment,
        "ada_target": ADA_TARGET if follows else PLAIN.ada_target,
        "ada_images": ADA_IMAGES if follows else PLAIN.ada_images,
        "class_sampling": "balanced" if uneven else PLAIN.class_sampling,
        "hold_g": hold,
    }
    chosen = {name: value for name, value in values.items() if getattr(augment, name) is None}
    if augment.lecam is None:
        adapts = replace(augment, **chosen).adapts  # type: ignore[arg-type]
        chosen["lecam"] = GENTLE_LECAM if adapts else PLAIN.lecam
    why_held = "begins from scratch" if inherited == "G" else "gets to know the images first"
    said = {
        "augment": f"--augment {' '.join(POLICY)} (D may learn {packed.num_images:,} images by heart)",
        "ada_target": f"--ada-target {ADA_TARGET:g} (only as far as D learns by heart)",
        "ada_images": f"--ada-images {ADA_IMAGES}",
        "lecam": f"--lecam {GENTLE_LECAM:g} (times the share augmented, and growing beyond)",
        "class_sampling": f"--class-sampling balanced (classes have {min(counts, default=0):,} to "
        f"{max(counts, default=0):,} images)",
        "hold_g": f"--hold-g {hold} (D {why_held})",
    }
    parts = [text for name, text in said.items() if name in chosen and chosen[name] != getattr(PLAIN, name)]
    sentence = f"Chosen by the data, unless you give other values: {', '.join(parts)}." if parts else ""
    return replace(augment, **chosen), sentence  # type: ignore[arg-type]


def check_together(augment: Augment, loss: Loss, labels: bool, num_classes: int | None = None) -> None:
    """Checks that settings go together, and with the data where these are known; those without a value go with all.

    Args:
        augment: What was asked for, or chosen.
        loss: The adversarial loss.
        labels: Whether labels are used (`Data.labels`).
        num_classes: Of the data, None where that is not known yet.

    Raises:
        ConfigError: They do not; the message names the flag.
    """
    target = augment.ada_target or 0.0
    for flag, value in (("--ada-target", target), ("--lecam", augment.lecam)):
        if loss == "wasserstein" and value:
            raise ConfigError(
                f"{flag} is {value:g}; allowed is 0 with --loss wasserstein, where D's outputs have no scale."
            )
    if target and augment.augment == ():
        raise ConfigError(
            f"--ada-target is {target:g}, and nothing is augmented; give kinds with --augment, or leave it out."
        )
    if target and augment.augment_share != 1:
        raise ConfigError(
            f"--augment-share is {augment.augment_share:g}, and --ada-target moves the share; leave one of them out."
        )
    if augment.class_sampling == "balanced" and not labels:
        raise ConfigError("--class-sampling balanced needs classes, which --no-labels leaves out; give one of them.")
    if augment.class_sampling == "balanced" and num_classes == 0:
        raise ConfigError("--class-sampling is balanced, and the images have no classes; leave it out.")
