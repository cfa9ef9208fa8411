"""What the demo's model draws, named by a classifier of real pictures: `make demo` first, or this trains it."""

import json
import sys
from pathlib import Path

import torch
from _report import write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from judge import bundled_images, fashion_judge, kernel_distance, recognised

import biggan

ROOT = Path(__file__).parents[1]
EACH = 100  # pictures of each class that are judged
LEAST_SHARE, LEAST_OF_A_CLASS = 0.75, 0.4


def main() -> None:
    run = ROOT / "demo" / "run"
    biggan.train("fashion-mnist", run, biggan.preset("cpu-small"))
    pipe = biggan.load(run)
    judge, (real, labels) = fashion_judge(), bundled_images("fashion-mnist-test")
    x, y = pipe(num_images=EACH, seed=1000).x, torch.arange(10).repeat_interleave(EACH)
    shares, on_real = recognised(judge, x, y), recognised(judge, real, labels)
    training = json.loads((run / "config.json").read_text())["training"]
    figures: dict[str, object] = {
        "all classes": f"{sum(shares) / 10:.3f} (real held-out images: {sum(on_real) / 10:.3f})",
        **{
            name: f"{share:.2f} (real: {other:.2f})"
            for name, share, other in zip(pipe.class_names, shares, on_real, strict=True)
        },
        "kernel distance to real test images": f"{kernel_distance(judge, x, real):.3f}",
        "training": f"{training['images']:,} images in {training['seconds']:.0f} s, {training['precision']}",
    }
    what = (
        f"The preset `cpu-small`, trained as `make demo` does; {EACH} pictures of each class, untruncated. Share of "
        "them that a classifier trained on the bundled training images calls by the class that was asked for."
    )
    write("demo", "The demo's pictures are of the class that was asked for", what, figures)
    sys.exit(sum(shares) / 10 < LEAST_SHARE or min(shares) < LEAST_OF_A_CLASS)


if __name__ == "__main__":
    main()
