"""Names of measurements, which say what is done, and the one grammar by which they are read.

```
fid50k_train                        Fréchet distance of 50,000 drawn images to the training images, Inception of 2015
kid2k_test@efficientnet_lite0       kernel distance of 2,000 to the held-out images, EfficientNet-Lite0 at 224 px
pr2k_train@efficientnet_lite0_96px  precision and recall, the network seeing images at 96 px
```

A metric, the number of drawn images (`2k` is 2,000), the real images, the network. Without a network it is the 2015
Inception network, as in everyone's names; only with it are there `fid`, `ifid` and `is`. Not here: what is done
(`metrics.py`), and the rest of what was done, which is in the record (`measure.py`).
"""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from biggan.errors import ConfigError, nearest

INCEPTION = "inception"
NETWORKS = {"efficientnet_lite0": 0, "efficientnet_lite2": 2}
"""Networks besides the Inception network, and their variants."""
PATTERN = re.compile(
    r"(?P<metric>[a-z]+)(?P<count>[1-9]\d{0,6}k?)(_(?P<split>[a-z]+))?"
    r"(@(?P<network>[a-z]+(_[a-z]+\d)?)(_(?P<size>[1-9]\d{1,3})px)?)?"
)
WRITTEN = "as kid2k_train@efficientnet_lite0: a metric, a number of drawn images, train or test, a network"
FEWEST = 20  # drawn images, so that there are halves and splits


class Kind(NamedTuple):
    """What a metric of a name is."""

    title: str
    compares: bool
    """Whether with real images, so that the name has a split."""
    sees: bool
    """Whether through a feature network."""
    only_inception: bool
    """Whether this is what it is called with the Inception network alone."""
    better: Literal["lower", "higher", "neither"]
    other: str = ""
    """What it is called with other networks, or with the Inception network."""


KINDS = {
    "fid": Kind("FID", True, True, True, "lower", "fd"),
    "fd": Kind("Fréchet distance", True, True, False, "lower", "fid"),
    "kid": Kind("kernel distance", True, True, False, "lower"),
    "is": Kind("Inception score", False, True, True, "higher", "score"),
    "score": Kind("score of its ImageNet classes", False, True, False, "higher", "is"),
    "pr": Kind("precision and recall", True, True, False, "higher"),
    "dc": Kind("density and coverage", True, True, False, "higher"),
    "ifid": Kind("FID of each class, mean", True, True, True, "lower", "ifd"),
    "ifd": Kind("Fréchet distance of each class, mean", True, True, False, "lower", "ifid"),
    "acc": Kind("drawn images named rightly by a probe trained on real ones", True, True, False, "higher"),
    "cas": Kind("real images named rightly by a probe trained on drawn ones", True, True, False, "higher"),
    "copies": Kind("drawn images that are copies of real ones", True, True, False, "lower"),
    "trunc": Kind("truncation: is the model amenable to it", True, True, False, "neither"),
    "d": Kind("what D makes of training, held-out and drawn images", False, False, False, "neither"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A name, read."""

    metric: str
    count: int
    """Of drawn images."""
    split: Literal["train", "test"] | None
    network: str
    """`inception`, a key of `NETWORKS`, or empty."""
    size: int | None
    """Pixels at which the network sees images, None for its own."""

    @property
    def kind(self) -> Kind:
        """What its metric is."""
        return KINDS[self.metric]

    def __str__(self) -> str:
        """The name, in the one way of writing it."""
        thousands = self.count % 1000 == 0
        name = self.metric + (f"{self.count // 1000}k" if thousands else str(self.count))
        name += f"_{self.split}" if self.split else ""
        if self.network in ("", INCEPTION):
            return name
        return f"{name}@{self.network}" + (f"_{self.size}px" if self.size else "")


def parse_name(name: str) -> Measurement:
    """Reads a name.

    Raises:
        ConfigError: Not of the grammar, or parts that do not go together.
    """
    found = PATTERN.fullmatch(name.strip())
    if found is None:
        raise ConfigError(f"--metrics {name[:80]!r} is not a measurement; write it {WRITTEN}.")
    metric, number, network = found["metric"], found["count"], found["network"]
    if metric not in KINDS:
        offer = nearest(metric, [*KINDS]) or f"; allowed is {', '.join(KINDS)}."
        raise ConfigError(f"--metrics {name}: there is no metric {metric!r}{offer}")
    kind, count = KINDS[metric], int(number.rstrip("k")) * (1000 if number.endswith("k") else 1)
    if count < FEWEST:
        raise ConfigError(f"--metrics {name}: {count} drawn images are too few; ask for at least {FEWEST}.")
    split = _split(name, kind, found["split"])
    _check_network(name, metric, kind, network)
    size = int(found["size"]) if found["size"] else None
    if size is not None and network not in NETWORKS:
        raise ConfigError(f"--metrics {name}: the 2015 Inception network sees images at 299 px; leave out _{size}px.")
    chosen = (network or INCEPTION) if kind.sees else ""
    return Measurement(metric=metric, count=count, split=split, network=chosen, size=size)


def parse_names(text: str) -> list[Measurement]:
    """Names set apart by commas, in that order, each once; raises as `parse_name`."""
    return list({str(each): each for each in map(parse_name, text.split(","))}.values())


def _split(name: str, kind: Kind, split: str | None) -> Literal["train", "test"] | None:
    if not kind.compares:
        if split:
            raise ConfigError(f"--metrics {name}: this metric compares with no one split; leave out _{split}.")
        return None
    if split == "train":
        return "train"
    if split == "test":
        return "test"
    given = f"_{split} is neither" if split else "it does not say with which real images"
    raise ConfigError(f"--metrics {name}: {given}; write _train (--data) or _test (--test-data) after the number.")


def _check_network(name: str, metric: str, kind: Kind, network: str | None) -> None:
    if network is not None and not kind.sees:
        raise ConfigError(f"--metrics {name}: this metric needs no network; leave out @{network}.")
    if network is not None and network not in (INCEPTION, *NETWORKS):
        offer = nearest(network, [INCEPTION, *NETWORKS]) or f"; allowed is {', '.join([INCEPTION, *NETWORKS])}."
        raise ConfigError(f"--metrics {name}: there is no network {network!r}{offer}")
    others = network in NETWORKS
    if kind.only_inception and others:
        raise ConfigError(
            f"--metrics {name}: only the 2015 Inception network's numbers are called {metric}; write {kind.other} for "
            f"another network's."
        )
    if kind.other and not kind.only_inception and not others:
        raise ConfigError(
            f"--metrics {name}: with the 2015 Inception network this is called {kind.other}; write that, or another "
            f"network as @efficientnet_lite0."
        )
