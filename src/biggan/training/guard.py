"""The guard: what a run's figures say of its health.

Looks go in, verdicts come out; the guard knows no tensors, files or networks, and what it remembers is a few numbers,
which a saved state of the run keeps. Losses are no part of it: in published runs that collapsed they moved by 0 to
5 %. A complaint counts once it has held for some looks in a row; what noise does in one look is no reason to go back.
Thresholds were set on a few short runs of the CPU presets (docs/lab-notes.md); `proofs/collapse.py` is their trial.
Not here: what is looked at (`probe.py`, `figures.py`), what is changed (`course.py`), and how a run goes back.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

HISTORY = 6  # looks that what is usual is taken from
WARM_UP = 5  # looks from when G begins to learn, in which only NaN and Inf count: all else is in motion

JUMP = 2.5  # times the usual distance
GRAVE = 10.0  # the same, from which a jump is no swing
RISE = 2.0  # times the lowest distance that lasted
NEAR = 0.4  # a distance up to which pictures are good
BEARABLE = 0.8  # one up to which jumps are let pass: healthy runs come that far for a look or two, and back
SWING = 5.0  # a distance beyond which swings are not got used to, however far a single look was
FADE = 0.8  # share that is left, a look later, of the distance that a run is known to come back from
POOR = 0.4  # share of the real images' diversity
BLENDED = 0.4  # of the usual share of pictures that are nearest to their own class, above chance
TOLD = 0.25  # of that share above chance, from which classes can be told at all
FLAT = 0.9  # share of hinge terms without gradient, on real and on drawn images
LEAD, WIDE = 3.0, 0.5  # D's outputs on real less those on drawn images, by the hinge: times the usual, and at least
UNREAL = 1.6  # spreads of D's outputs on drawn images, by which those of a class lie below those of all classes
BURST = 8.0  # times the usual size of D's outputs
MUTE = 0.1  # of the usual spread of D's outputs
BEATEN = 0.2  # of the spread of D's outputs, by which those on drawn images lie above those on real ones

APART = "apart "  # before a class's label: how far its pictures are from its real images
FAKE = "fake "  # before a class's label: D's mean output on its pictures

PATIENCE = {
    "finite": 1,
    "burst": 2,
    "jump": 2,
    "poor": 2,
    "beaten": 2,
    "blended": 2,
    "ahead": 2,
    "mute": 3,
    "unreal": 3,
    "rise": 4,
}
"""Looks in a row for which each complaint must hold."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a run that has to go back."""

    reason: str
    """In plain words."""
    rule: str
    """The name of the complaint, of those in `PATIENCE`."""
    good: int
    """Images up to which nothing was wrong: what was saved later is not to be trusted."""


@dataclass(slots=True)
class Past:
    """What a guard remembers, all of it JSON values."""

    history: list[dict[str, float]] = field(default_factory=list)
    """The last looks at which nothing was wrong."""
    counts: dict[str, int] = field(default_factory=dict)
    """Complaint -> looks in a row for which it has held."""
    good: dict[str, int] = field(default_factory=dict)
    """Complaint -> images at the last look at which it did not hold."""
    looks: int = 0
    """Since G began to learn."""
    lowest: float | None = None
    """The lowest usual distance so far."""
    lowest_images: int = 0
    away: float = 0.0
    """The largest distance in the looks since it jumped, 0 where it has not."""
    swing: float = 0.0
    """The largest distance that the run lately came back from by itself."""


class Guard:
    """Judges looks.

    While G is held only NaN and Inf count, and nothing is taken for usual: its pictures stay as they are, and D has
    just begun. `ahead` is judged with the hinge loss alone, which is content once real images lie above 1 and drawn
    ones below -1. With others D learns from every image, and how far it tells them apart has no such measure: it is
    what `wasserstein` maximises, and with `nonsaturating` the log-odds of a D that gets better.

    Args:
        loss: The adversarial loss.
        hold: Images in which G stays as it is while D learns (`Augment.hold_g`).

    Attributes:
        incidents: Times that the run went back so far.
        past: What is remembered of looks.
    """

    def __init__(self, loss: str = "hinge", hold: int = 0) -> None:
        self.loss, self.hold = loss, hold
        self.incidents, self.past = 0, Past()

    def judge(self, images: int, figures: Mapping[str, float]) -> Verdict | None:
        """The verdict on a look, None where the run may go on.

        Args:
            images: Images shown to D so far.
            figures: `distance`, `diversity`, `recognised` and `apart <label>` of the raw G's pictures, and means of
                a step's figures since the last look (`d_real`, `d_fake`, `d_real_std`, `d_fake_std`, `flat_real`,
                `flat_fake`, `fake <label>`). Any others must be finite, and are otherwise passed over.
        """
        past, held = self.past, images <= self.hold
        found = self._complaints(figures, held)
        far = self._is_far(figures.get("distance", math.nan))  # not to be gone back to, though it may be let pass
        self._swing(figures.get("distance", math.nan), "jump" in found)
        for rule in PATIENCE:
            past.counts[rule] = past.counts.get(rule, 0) + 1 if rule in found else 0
            if rule not in found and not (rule == "jump" and far):
                past.good[rule] = images
        past.looks += not held
        for rule, words in found.items():
            more = self._grace(figures["distance"]) if rule == "jump" else 0
            if past.counts[rule] >= PATIENCE[rule] + more:
                return self.incident(images, rule, words)
        if not found and not held and not far:
            self._remember(images, figures)
        return None

    def incident(self, images: int, rule: str, words: str) -> Verdict:
        """The verdict on what is wrong after some images, by a rule of `PATIENCE`.

        Before the first look that was judged all that was saved is good, as only finite numbers are saved.
        """
        return Verdict(words, rule, self.past.lowest_images if rule == "rise" else self.past.good.get(rule, images))

    def healthy(self, images: int) -> int:
        """Images, of those shown so far, of the state that the run would go back to at the least."""
        past = self.past
        return min([images, *past.good.values(), *([] if past.lowest is None else [past.lowest_images])])

    def _is_far(self, distance: float, least: float = NEAR) -> bool:
        """Whether pictures are much farther from the real images than usual, and than `least`.

        Not of a distance that is not known.
        """
        return distance > max(JUMP * self._usual("distance"), least)

    def _grace(self, distance: float) -> int:
        """Looks more that a jump has: one if it never reached `GRAVE`, as some healthy runs swing as far for two looks;
        one on the way back, below the geometric mean of the usual distance and the farthest of the jump."""
        usual, farthest = self._usual("distance"), self.past.away
        return (farthest < GRAVE * usual) + (distance**2 < usual * farthest)

    def _swing(self, distance: float, jumped: bool) -> None:
        """Follows a distance that jumps, and what it came back from: G at high rates swings, and no collapse does."""
        past = self.past
        past.swing *= FADE
        if jumped:
            past.away = max(past.away, distance)
        elif math.isfinite(distance):
            past.away, past.swing = 0.0, max(past.swing, min(past.away, SWING))

    def _remember(self, images: int, figures: Mapping[str, float]) -> None:
        past = self.past
        past.history = [*past.history, dict(figures)][-HISTORY:]
        usual = self._usual("distance")
        if len(past.history) == HISTORY and (past.lowest is None or usual < past.lowest):
            past.lowest, past.lowest_images = usual, images

    def _usual(self, name: str) -> float:
        """The median of a figure over the last good looks, NaN before there are any."""
        values = [look[name] for look in self.past.history if name in look]
        return median(values) if values else math.nan

    def _complaints(self, figures: Mapping[str, float], held: bool) -> dict[str, str]:
        """Rule -> what is wrong, in plain words; the gravest first."""
        broken = [name for name, value in figures.items() if not math.isfinite(value)]
        if broken:
            return {"finite": f"{broken[0]} is NaN or Inf"}
        if held or self.past.looks < WARM_UP:
            return {}
        return {rule: words for rule, words in (*self._of_pictures(figures), *self._of_d(figures)) if words}

    def _of_pictures(self, figures: Mapping[str, float]) -> list[tuple[str, str]]:
        """Complaints about what G draws; NaN, for what is not known yet, compares as no complaint."""
        distance, usual = figures.get("distance", math.nan), self._usual("distance")
        lowest = math.nan if self.past.lowest is None else self.past.lowest
        diversity = figures.get("diversity", math.nan)
        far = f"drawn images are {distance:.2g} from the real ones"
        few = f"drawn images of a class differ by {diversity:.0%} of what real ones do"
        return [
            ("jump", f"{far}, usual was {usual:.2g}" if self._is_far(distance, max(BEARABLE, self.past.swing)) else ""),
            ("poor", few if diversity < POOR else ""),
            ("blended", self._blended(figures)),
            ("rise", f"{far}, and had been {lowest:.2g}" if distance > max(RISE * lowest, NEAR) else ""),
        ]

    def _blended(self, figures: Mapping[str, float]) -> str:
        """A complaint about pictures that are no longer of their classes."""
        chance = 1 / max(sum(name.startswith(APART) for name in figures), 1)
        now, usual = figures.get("recognised", math.nan) - chance, self._usual("recognised") - chance
        if not (usual > TOLD and now < BLENDED * usual):
            return ""
        return f"{now + chance:.0%} of drawn images are nearest to their own class, usual was {usual + chance:.0%}"

    def _of_d(self, figures: Mapping[str, float]) -> list[tuple[str, str]]:
        """Complaints about what D says of real and of drawn images."""
        f = {**dict.fromkeys(("d_real", "d_fake"), math.nan), **figures}
        past = self.past.history or [{}]
        size, usual_size = _size(f), median(map(_size, past))
        spread, usual_spread = _spread(f), median(map(_spread, past))
        told = f"D finds drawn images more real than real ones, by {-_gap(f):.2g}; its outputs' spread is {spread:.2g}"
        burst = f"D's outputs are {size:.2g} wide, usual was {usual_size:.2g}" if size > BURST * usual_size else ""
        return [
            ("burst", burst),
            ("unreal", self._unreal(figures)),
            ("mute", "D says the same of all images" if spread < MUTE * usual_spread else ""),
            ("beaten", told if -_gap(f) > BEATEN * spread else ""),
            ("ahead", self._ahead(figures) if self.loss == "hinge" else ""),
        ]

    def _ahead(self, figures: Mapping[str, float]) -> str:
        """A complaint about a D that has outrun G, by the measure of the hinge."""
        flat = min(figures.get("flat_real", math.nan), figures.get("flat_fake", math.nan))
        gap, usual_gap = _gap(figures), median(map(_gap, self.past.history or [{}]))
        if gap > max(LEAD * usual_gap, WIDE):
            return f"D tells real from drawn images by {gap:.2g}, usual was {usual_gap:.2g}"
        return f"D is sure of {flat:.0%} of all images, which teaches G nothing" if flat > FLAT else ""

    def _unreal(self, figures: Mapping[str, float]) -> str:
        """A complaint about the class whose pictures D finds less real than those of all classes.

        At first D learns classes one after the other, so there has to be a full history.
        """
        outputs = {name: value for name, value in figures.items() if name.startswith(FAKE)}
        if len(outputs) < 2 or len(self.past.history) < HISTORY:
            return ""
        worst = min(outputs, key=lambda name: outputs[name])
        spread = max(figures.get("d_fake_std", math.nan), self._usual("d_fake_std"), 1e-12)
        below = (sum(outputs.values()) / len(outputs) - outputs[worst]) / spread
        label = worst.removeprefix(FAKE)
        return f"D finds pictures of class {label} {below:.1f} spreads less real than others" if below > UNREAL else ""

    def to_json(self) -> dict[str, Any]:
        """All that the guard remembers, as JSON values."""
        return {"incidents": self.incidents, "past": asdict(self.past)}

    def from_json(self, values: Mapping[str, Any]) -> None:
        """Puts back what `to_json` gave."""
        self.incidents, self.past = int(values["incidents"]), Past(**values["past"])


def _spread(figures: Mapping[str, float]) -> float:
    """How much D's outputs differ from image to image."""
    return figures.get("d_real_std", math.nan) + figures.get("d_fake_std", math.nan)


def _gap(figures: Mapping[str, float]) -> float:
    """How far D's outputs on real images lie above those on drawn ones."""
    return figures.get("d_real", math.nan) - figures.get("d_fake", math.nan)


def _size(figures: Mapping[str, float]) -> float:
    """How far from 0 D's outputs lie, in all."""
    names = ("d_real", "d_fake", "d_real_std", "d_fake_std")
    return sum(abs(figures.get(name, math.nan)) for name in names)
