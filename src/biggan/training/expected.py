"""What pictures of a run under way should look like, by the images shown: a distance, and plain words.

From runs that were measured and looked at (docs/lab-notes.md): Fashion-MNIST with the networks of `cpu-small`, CIFAR-10
with those of `cpu-small` and `cpu-medium`. Other pictures are guessed by colour alone: as Fashion-MNIST if they are
grey, as CIFAR-10 if not. More classes than these sets' ten need more images, in proportion.
"""

import numpy as np

USUAL_CLASSES = 10
LATE = {"grey": 3.0, "colour": 6.0}  # times the expected distance: healthy runs jump by 2.5 between looks; a guess
EARLY = 2_000  # images before which distances say little: a border that is not black yet makes them thousands

DISTANCES = {
    "grey": ((1_000, 3.2), (2_000, 1.6), (4_000, 1.3), (8_000, 0.8), (12_000, 0.45), (16_000, 0.3), (24_000, 0.2)),
    "colour": ((1_000, 0.8), (4_000, 0.65), (16_000, 0.4), (64_000, 0.2), (256_000, 0.1)),
}
"""Images shown -> distance of the raw G's pictures in a random network's features (`probe.py`), smoothed by eye. Grey:
four runs. Coloured: one run of CIFAR-10 up to 4,000 images, and a guess beyond. By the looks of then: today's are 5 to
20 % nearer, as spreads of features have another bound (docs/lab-notes.md, 27 November)."""

WORDS = {
    "grey": (
        (0, "patches"),
        (2_000, "outlines"),
        (8_000, "classes can be told"),
        (16_000, "most pictures can be named"),
        (60_000, "nearly all can be named; details come"),
    ),
    "colour": (
        (0, "patches of colour"),
        (8_000, "the right colours in the right places"),
        (60_000, "skies, seas and roads; first outlines of things"),
        (110_000, "plain things can be made out"),
        (250_000, "many things can be named; animals seldom"),
    ),
}
"""Images from which on -> what one sees."""


def _kind(channels: int) -> str:
    return "grey" if channels == 1 else "colour"


def _as_usual(images: float, num_classes: int) -> float:
    """Images of a set of ten classes that bring one as far."""
    return images * min(USUAL_CLASSES / max(num_classes, 1), 1.0)


def distance(images: int, channels: int, num_classes: int) -> float:
    """Distance that a look should find after `images`: a line in logarithms through those measured, flat beyond."""
    x, y = np.log(np.array(DISTANCES[_kind(channels)])).T
    return float(np.exp(np.interp(np.log(max(_as_usual(images, num_classes), 1.0)), x, y)))


def words(images: int, channels: int, num_classes: int) -> str:
    """What one should see after `images`."""
    seen = _as_usual(images, num_classes)
    return [text for least, text in WORDS[_kind(channels)] if seen >= least][-1]


def lags(found: float, images: int, channels: int, num_classes: int) -> bool:
    """Whether a look's distance is worse than that of a healthy run can be."""
    if _as_usual(images, num_classes) < EARLY:
        return False
    return not found <= LATE[_kind(channels)] * distance(images, channels, num_classes)
