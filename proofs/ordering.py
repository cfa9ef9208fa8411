"""What each metric sees, and from how many images, on CIFAR-10: `python proofs/ordering.py DATA CACHE`.

DATA is the folder with cifar10-train.npz (`examples/fetch_cifar10.py`), CACHE keeps features, which
take most of the time.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _report import write
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur  # type: ignore[import-untyped]

from biggan.evaluation.distances import fit_gaussian, frechet_distance, kernel_distance
from biggan.evaluation.features import FeatureNetwork, efficientnet_lite
from biggan.evaluation.manifolds import manifolds
from biggan.evaluation.probe import fit_probe, shares_right
from biggan.evaluation.scores import inception_score
from biggan.sampling.sampler import to_bytes

PIXELS, CHUNK = 96, 100  # at which the network looks; images at a time
POOL, REFERENCE = (
    10_000,
    5_000,
)  # training images; the first of them are what is compared with, the others are real images
CHANGED = 800  # images that each change of pixels is made on
COUNTS = (50, 100, 200, 400)
MOST_REPEATS, SHOWN, SURE = 3, 200, 3.0  # disjoint sets of a count; the count in the table; deviations
KERNEL, TAUGHT = 500, 500  # reference images of the kernel distance; that a probe trained on a set is asked about
ONE, MISSING = 7, 3  # horses alone; cats missing or halved

Change = Callable[[Tensor, int], Tensor]


def noise(strength: float) -> Change:
    """Adds Gaussian noise with a standard deviation in bytes."""

    def add(x: Tensor, start: int) -> Tensor:
        generator = torch.Generator().manual_seed(start)
        return x + strength / 127.5 * torch.randn(x.shape, generator=generator)

    return add


def blur(kernel: int, sigma: float) -> Change:
    """A Gaussian blur of so many pixels."""
    return lambda x, start: gaussian_blur(x, [kernel, kernel], [sigma, sigma])


CHANGES: dict[str, Change] = {
    "blur a little": blur(3, 0.5),
    "blur a lot": blur(7, 1.5),
    "noise a little": noise(8),
    "noise a lot": noise(30),
}


def features(network: FeatureNetwork, pixels: np.ndarray, change: Change | None, cache: Path, name: str) -> Tensor:
    """Features of images (N, 32, 32, 3), changed, a hundred at a time, kept in the cache."""
    parts = []
    for start in range(0, len(pixels), CHUNK):
        file = cache / f"{name}.{start:04}.npy"
        if not file.exists():
            x = torch.from_numpy(pixels[start : start + CHUNK]).permute(0, 3, 1, 2).float() / 127.5 - 1
            seen = x if change is None else to_bytes(change(x, start)) / 127.5 - 1
            with torch.inference_mode():
                np.save(file, network.features(seen).numpy())
        parts.append(torch.from_numpy(np.load(file)))
    return torch.cat(parts)


def sets(network: FeatureNetwork, data: Path, cache: Path) -> tuple[Tensor, Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """Features and labels of the reference, and of each set by name."""
    with np.load(data / "cifar10-train.npz") as arrays:
        chosen = np.random.default_rng(0).permutation(len(arrays["x"]))[POOL : 2 * POOL]
        x, y = arrays["x"][chosen], torch.from_numpy(arrays["y"][chosen].astype(np.int64))
    pool = features(network, x, None, cache, "pool")
    real, labels = pool[REFERENCE:], y[REFERENCE:]
    halved = (labels != MISSING) | (torch.arange(len(labels)) % 2 == 0)
    kept = {"one class only": labels == ONE, "nine of ten classes": labels != MISSING, "a class at half": halved}
    found = {"real": (real, labels)}
    for name, change in CHANGES.items():
        those = x[REFERENCE : REFERENCE + CHANGED]
        found[name] = (features(network, those, change, cache, name), labels[:CHANGED])
    return pool[:REFERENCE], y[:REFERENCE], found | {name: (real[of], labels[of]) for name, of in kept.items()}


class Meter:
    """All metrics of a set against the reference."""

    def __init__(self, network: FeatureNetwork, reference: Tensor, labels: Tensor) -> None:
        self.network, self.reference, self.labels = network, reference, labels
        self.gaussian, self.probe = fit_gaussian(reference), fit_probe(reference, labels, 10)

    def __call__(self, x: Tensor, y: Tensor) -> dict[str, float]:
        """Name → value, of features (N, D) and labels (N,)."""
        values = {
            "fd": frechet_distance(self.gaussian, x),
            "kid": kernel_distance(self.reference[:KERNEL], x).value,
            **manifolds(self.reference[: len(x)], x)._asdict(),
            "score": inception_score(self.network.scores(x).softmax(1), 1).mean,
            "acc": shares_right(self.probe, x, y, 10)[0],
        }
        if len(y.unique()) > 1:
            taught = fit_probe(x, y, 10)
            values["cas"] = shares_right(taught, self.reference[:TAUGHT], self.labels[:TAUGHT], 10)[0]
        return values


Table = dict[str, dict[int, dict[str, Tensor]]]
"""Set → count → metric → values of the repeats, (repeats,)."""


def measure(meter: Meter, found: dict[str, tuple[Tensor, Tensor]]) -> Table:
    """Every metric of every set at every count of which there are two disjoint parts."""
    table: Table = {}
    for name, (x, y) in found.items():
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
        for count in COUNTS:
            parts = order.split(count)[: min(len(x) // count, MOST_REPEATS)]
            if len(parts) < 2:
                break
            values = [meter(x[part], y[part]) for part in parts]
            table.setdefault(name, {})[count] = {
                metric: torch.tensor([each[metric] for each in values], dtype=torch.float64) for metric in values[0]
            }
            print(name, count, flush=True)
    return table


def seen_from(table: Table, name: str, metric: str) -> str:
    """The count from which on a single measurement of a set stands apart from one of real images."""
    seen: int | None = None
    for count, values in table[name].items():
        if metric not in values or metric not in table["real"][count]:
            return "cannot be measured"
        one, other = values[metric], table["real"][count][metric]
        apart = (one.mean() - other.mean()).abs() > SURE * (one.var() + other.var()).sqrt()
        seen = (seen or count) if apart else None
    return f"seen from {seen:,}" if seen else f"not seen by {max(table[name]):,}"


def main(data: Path, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    network = efficientnet_lite(0, PIXELS)
    reference, labels, found = sets(network, data, cache)
    with torch.inference_mode():
        table = measure(Meter(network, reference, labels), found)
    metrics = list(table["real"][SHOWN])
    figures: dict[str, object] = {}
    for metric in metrics:
        for name in table:
            values = table[name][SHOWN].get(metric)
            told = "-" if values is None else f"{values.mean():.4g} ± {values.std():.2g}"
            figures[f"{metric}, {name}"] = told + ("" if name == "real" else f"; {seen_from(table, name, metric)}")
    rises = {metric: _rises(table, metric) for metric in ("kid", "fd")}
    for metric, count in rises.items():
        figures[f"{metric}: more of a defect is farther from real images (blur, noise)"] = f"{count} of 2"
    what = (
        f"Each set of CIFAR-10's images against {REFERENCE:,} others (kernel distance: {KERNEL:,}; precision to "
        f"coverage: as many as in the set), features of EfficientNet-Lite0 at {PIXELS} px. Values at {SHOWN} images, "
        f"with the standard deviation of one measurement, over up to {MOST_REPEATS} disjoint sets. Seen: one "
        f"measurement differs from one of real images by more than {SURE:g} deviations, at that count and all larger "
        f"ones that were tried ({COUNTS[0]} to {COUNTS[-1]:,}; changes of pixels to {CHANGED // 2}, one class to 200). "
        "Missing or halved: cats; alone: horses."
    )
    write("ordering", "What each metric sees, and from how many images", what, figures)
    sys.exit(rises["kid"] < 2)  # the bias of so few images hides a slight blur from a Fréchet distance


def _rises(table: Table, metric: str) -> int:
    """In how many of blur and noise real images, a little and a lot of it are in this order."""
    ways = [
        [table[name][SHOWN][metric].mean().item() for name in ("real", f"{way} a little", f"{way} a lot")]
        for way in ("blur", "noise")
    ]
    return sum(values == sorted(values) for values in ways)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
