"""`biggan imagine` on a CIFAR-10 model, judged by a network that did not guide: `python proofs/imagine.py MODEL DATA`.

MODEL is a run or model folder trained on CIFAR-10, DATA the folder with cifar10-train.npz and cifar10-test.npz
(`examples/fetch_cifar10.py`).
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _report import write
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import biggan
from biggan.cli.main import main as command
from biggan.editing.goal import Prompt, Request, make_goal
from biggan.editing.guidance import made_ready
from biggan.editing.scorers import load_scorer
from biggan.editing.search import Survey
from biggan.editing.settings import Guidance
from biggan.evaluation.features import FeatureNetwork, efficientnet_lite
from biggan.sampling import grids
from biggan.sampling.pipeline import Pipeline

ROOT = Path(__file__).parents[1]
SHEET = ROOT / "docs" / "images" / "imagine.png"
PROMPTS = {  # class of CIFAR-10 -> what is asked for
    "airplane": "a photo of an airplane",
    "automobile": "a photo of an automobile",
    "bird": "a photo of a bird",
    "cat": "a photo of a cat",
    "deer": "a photo of a deer",
    "dog": "a photo of a dog",
    "frog": "a photo of a frog",
    "horse": "a photo of a horse",
    "ship": "a photo of a ship",
    "truck": "a photo of a truck",
}
SEEDS = range(4)
JUDGE_PIXELS, PENALTY = 96, 1.0  # at which the judge looks; of its ridge regression, a share of the pictures
TRAINED_ON, TESTED_ON, DRAWN = 10_000, 2_000, 20  # real pictures behind the judge and before it; random draws a class
LEAST_SHARE = 0.40


class Judge:
    """Ridge regression from EfficientNet-Lite2's features to CIFAR-10's classes, fitted to real training pictures."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.network: FeatureNetwork = efficientnet_lite(2, JUDGE_PIXELS)
        features = self.features(x)
        self.mean, self.deviation = features.mean(0), features.std(0) + 1e-6
        inputs, wanted = self._inputs(features), F.one_hot(y, len(PROMPTS)).double()
        gram = inputs.T @ inputs + PENALTY * len(x) * torch.eye(inputs.shape[1], dtype=torch.float64)
        self.weight = torch.linalg.solve(gram, inputs.T @ wanted)

    def features(self, x: Tensor) -> Tensor:
        """Images in [-1, 1] → (N, 1280)."""
        with torch.no_grad():
            return torch.cat([self.network.features(part) for part in x.split(64)])

    def _inputs(self, features: Tensor) -> Tensor:
        return F.pad((features - self.mean) / self.deviation, (0, 1), value=1.0).double()

    def __call__(self, x: Tensor) -> Tensor:
        """The class of each image, (N,)."""
        scores: Tensor = self._inputs(self.features(x)) @ self.weight
        return scores.argmax(1)


def real(place: Path, count: int) -> tuple[Tensor, Tensor]:
    """Some pictures of a CIFAR-10 archive, always the same, in [-1, 1], and their classes."""
    with np.load(place) as arrays:
        chosen = np.sort(np.random.default_rng(0).permutation(len(arrays["x"]))[:count])
        x, y = arrays["x"][chosen], arrays["y"][chosen]
    return to_tensor(x), torch.from_numpy(y.astype(np.int64))


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 → (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def imagine(model: str, name: str, out: Path) -> tuple[list[Image.Image], dict[str, Any]]:
    """Each seed's best picture for a class's prompt, by the command and its defaults, and the figures."""
    seeds = f"{SEEDS[0]}-{SEEDS[-1]}"
    if command(["imagine", PROMPTS[name], "--model", model, "--seeds", seeds, "--out", str(out)]):
        sys.exit(1)
    images = [Image.open(out / f"seed_{seed:04}_best.png").convert("RGB") for seed in SEEDS]
    return images, json.loads((out / "result.json").read_text())


def found_nameless(pipe: Pipeline) -> int:
    """How many of the prompts' classes the search finds when the model's classes have no names."""
    scorer, names, right = load_scorer(), [f"class {label}" for label in range(len(PROMPTS))], 0
    G = made_ready(pipe.generator, pipe.bundle.statistics)
    for label, text in enumerate(PROMPTS.values()):
        goal = make_goal(scorer, Request(prompts=(Prompt(text),)))
        found = Survey(G, goal, names, Guidance().search).run(lambda done, total: None)
        right += found == label
    return right


def main(model: str, data: Path) -> None:
    pipe = biggan.load(model)
    assert pipe.class_names == [*PROMPTS], "the model has to be one of CIFAR-10"
    judge, (x, y) = Judge(*real(data / "cifar10-train.npz", TRAINED_ON)), real(data / "cifar10-test.npz", TESTED_ON)
    on_real = float((judge(x) == y).double().mean())
    drawn = judge(pipe(num_images=DRAWN, seed=1000).x) == torch.arange(10).repeat_interleave(DRAWN)
    images: list[Image.Image] = []
    rows: dict[str, object] = {}
    right = 0
    with tempfile.TemporaryDirectory() as folder:
        for label, name in enumerate(PROMPTS):
            pictures, result = imagine(model, name, Path(folder) / name)
            images += pictures
            named = judge(to_tensor(np.stack([np.asarray(picture) for picture in pictures]))) == label
            classes = result["pictures"][0]["classes"]
            rows[PROMPTS[name]] = f"{float(named.double().mean()):.2f} (class found: {max(classes, key=classes.get)})"
            right += int(named.sum())
    share = right / len(images)
    SHEET.parent.mkdir(parents=True, exist_ok=True)
    sheet = grids.sheet(images, len(SEEDS), [*PROMPTS.values()], grids.seed_labels(SEEDS, True), corner="seed")
    sheet.save(SHEET)
    figures: dict[str, object] = {
        "all prompts": f"{share:.3f}",
        **rows,
        "random classes and latents": "0.10",
        "plain draws of the right class": f"{float(drawn.double().mean()):.3f}",
        "the judge on real test pictures": f"{on_real:.3f}",
        "classes that the search finds when the model's have no names": f"{found_nameless(pipe)} of 10",
        "images shown in the model's training": f"{pipe.bundle.training.get('images', 0):,}",
        "scorer": result["scorer"],
    }
    what = (
        "Ten prompts and four seeds (0 to 3), by the command's defaults. Share of the best pictures that a ridge "
        f"regression on EfficientNet-Lite2's features, fitted to {TRAINED_ON:,} real training pictures, calls by the "
        "class that the prompt names. The search reads the names of the model's classes. Settings were chosen on other "
        "seeds. The pictures are in docs/images/imagine.png."
    )
    write("imagine", "What is imagined is of the class that the prompt names", what, figures)
    sys.exit(share < LEAST_SHARE)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
