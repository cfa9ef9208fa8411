"""Ten seeds of the learning test (`tests/test_learning.py`): what each reaches, and the bound that all must pass."""

import resource
import sys
import tempfile
from pathlib import Path

from _report import write

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from judge import bundled_images, fashion_judge, recognised
from test_learning import LEAST_SHARE, MOST_DISTANCE, judged, short_run

from biggan import workflow


def cpu_seconds() -> float:
    """Processor seconds that this process has used."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def main() -> None:
    figures: dict[str, object] = {}
    passed = 0
    for seed in range(10):
        with tempfile.TemporaryDirectory() as folder:
            before = cpu_seconds()
            run = workflow.train("fashion-mnist", Path(folder) / "run", short_run(seed))
            seconds = cpu_seconds() - before
            share, distance, noise = judged(run)
        passed += share >= LEAST_SHARE and distance <= MOST_DISTANCE
        figures[f"seed {seed}"] = f"recognised {share:.3f}, distance {distance:.2f}, {seconds:.0f} CPU seconds"
        print(seed, figures[f"seed {seed}"], flush=True)
    figures |= {"noise": f"distance {noise:.1f}", "seeds within the bound": f"{passed} of 10"}
    shares = recognised(fashion_judge(), *bundled_images("fashion-mnist-test"))
    figures["the judge on held-out real images"] = f"{sum(shares) / 10:.3f}"
    what = (
        "Ten runs of 16,000 images differ in their seed alone. A classifier trained on the real training images names "
        f"what they draw; the bound is a share of {LEAST_SHARE} and a kernel distance of {MOST_DISTANCE}."
    )
    write("learning", "A minute of training draws what is asked", what, figures)
    sys.exit(passed != 10)


if __name__ == "__main__":
    main()
