"""What makes little data go far, chosen by the data; why, in one line.

With few images D learns them by heart and G gets worse after a while; augmentation and LeCam put that off. With many
they only slow a run down, so they stay off. The bound and the strength are from published runs (Zhao et al. 2020, a
tenth of CIFAR-10; Tseng et al. 2021), not measured here: `proofs/little_data.py` is to measure them. Not here: what the
choices do (`augment.py`, `regularizers.py`, `data/order.py`, `loop.py`).
"""

from dataclasses import replace

from biggan.config import Augment
from biggan.data.packed import Packed
from biggan.training.augment import Kind

FEW_IMAGES = 5_000  # below which D learns images by heart
POLICY: tuple[Kind, ...] = ("color", "translation")
LECAM = 0.3
UNEVEN = 2.0  # times as many images as the smallest class that the largest may have
WARM_UP = 10_000  # images that a D from scratch sees before a G that has learned moves


def choose(augment: Augment, loss: str, packed: Packed, d_behind: bool = False) -> tuple[Augment, str]:
    """Settings with a value in every field.

    Args:
        augment: What was asked for; a field that is None is chosen here.
        loss: The adversarial loss: LeCam is for those with a bound, not for `wasserstein`.
        packed: The data.
        d_behind: Whether D begins from scratch and G does not.

    Returns:
        The settings, and a sentence that says what was chosen and why; empty where all that is usual was left as it is.
    """
    few, counts = packed.num_images < FEW_IMAGES, [count for count in packed.class_counts if count]
    uneven = len(counts) > 1 and max(counts) > UNEVEN * min(counts)
    values: dict[str, object] = {
        "augment": POLICY if few else (),
        "lecam": LECAM if few and loss != "wasserstein" else 0.0,
        "class_sampling": "balanced" if uneven else "natural",
        "hold_g": WARM_UP if d_behind else 0,
    }
    chosen = {name: value for name, value in values.items() if getattr(augment, name) is None}
    by_heart = f"D would learn {packed.num_images:,} images by heart"
    said = {
        "augment": f"--augment {' '.join(POLICY)} ({by_heart})",
        "lecam": f"--lecam {LECAM:g} ({'likewise' if 'augment' in chosen else by_heart})",
        "class_sampling": f"--class-sampling balanced (classes have {min(counts, default=0):,} to "
        f"{max(counts, default=0):,} images)",
        "hold_g": f"--hold-g {WARM_UP} (D begins from scratch)",
    }
    parts = [text for name, text in said.items() if chosen.get(name) not in (None, (), 0, "natural")]
    sentence = f"Chosen by the data, unless you give other values: {', '.join(parts)}." if parts else ""
    return replace(augment, **chosen), sentence  # type: ignore[arg-type]
