"""Where text guidance begins: the class whose pictures agree best with the prompts, and of each seed the best latents.

Guidance by gradients alone starts between all classes and in a model of few seldom finds the one that the prompt means;
a scorer's mean over many pictures of a class is far surer than its word on one. So classes are tried first, by
sequential halving (Karnin, Koren and Somekh 2013): pictures of each are judged, the better half stays, and is drawn
again with more. A class's name has a say too, where the scorer can read it: a model that calls a class "ship" helps to
find ships. Where there are many classes for the pictures, those named most like the prompts are tried.
Nothing here depends on which seeds are asked for together: the survey is the model's and the prompts', the rest a
seed's own.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from biggan import latents
from biggan.editing.goal import AT_ONCE, Goal, to_rgb
from biggan.editing.settings import Guidance
from biggan.editing.soft_latents import SPREAD, START
from biggan.errors import ConfigError
from biggan.latents import Stream
from biggan.models.network import Generator
from biggan.sampling.sampler import usual_batch_size

SURVEY_SEED = 0
EACH = 8  # pictures there have to be for each class that is tried
CANDIDATES = 16  # latents of a seed from which the best is taken
SURE = 0.95  # share of the found class at the start

Step = Callable[[int, int], None]
"""Takes pictures scored so far, and all of them."""


def begin(
    G: Generator, goal: Goal, seeds: Sequence[int], settings: Guidance, class_names: Sequence[str], step: Step
) -> tuple[Tensor, Tensor]:
    """Where optimisation starts: z (N, R, dim_z) and class logits (N, R, K), R by the settings.

    With a search, the class that the survey finds, and of each seed the best of its candidates, the same for all
    layers; without, BigSleep's start.

    Args:
        G: The generator, ready to draw (`guidance.made_ready`).
        goal: What the pictures should be.
        seeds: Each picture's seed.
        settings: How.
        class_names: A name for each class.
        step: Takes pictures searched so far, and all of them.
    """
    together = G.config.architecture == "biggan" if settings.layers_together is None else settings.layers_together
    rows = 1 if together else G.num_layers
    if settings.search == 0:
        starts = [unsure_start(seed, rows, G.dim_z, G.num_classes) for seed in seeds]
        return torch.stack([z for z, _ in starts]), torch.stack([logits for _, logits in starts])
    label = Survey(G, goal, class_names, settings.search).run(step) if G.num_classes > 1 else 0
    z = torch.stack([best_latents(G, goal, seed, label) for seed in seeds])
    logits = sure_logits(G.num_classes, label, settings.max_classes, settings.class_temperature)
    return z[:, None].repeat(1, rows, 1), logits.repeat(len(seeds), rows, 1)


class Survey:
    """What a generator's classes are to a scorer, found picture by picture.

    A class is judged by the mean cosine of its pictures with the goal, after taking away what the pictures of all
    classes have in common, plus the cosine of its name.

    Args:
        G: The generator, ready to draw.
        goal: What pictures are judged by.
        class_names: A name for each class.
        pictures: How many may be drawn, at least 1.
    """

    def __init__(self, G: Generator, goal: Goal, class_names: Sequence[str], pictures: int) -> None:
        self.G, self.goal, self.pictures = G, goal, pictures
        named = name_scores(goal, class_names)
        self.classes = likeliest(named, pictures // EACH)
        self.named = named[self.classes]
        self.found = [goal.vectors[:0] for _ in self.classes]  # vectors (n, D) of the pictures of each

    def run(self, step: Step) -> int:
        """The best class, after drawing about as many pictures as were allowed."""
        left, done = torch.arange(len(self.classes)), 0
        rounds = max(1, math.ceil(math.log2(len(left))))
        for _ in range(rounds):
            each = max(1, self.pictures // (rounds * len(left)))
            self._draw(left, each)
            done += each * len(left)
            step(done, max(done, self.pictures))
            best_first = self.scores()[left].argsort(descending=True, stable=True)
            left = left[best_first[: -(-len(left) // 2)]]
        return int(self.classes[left[0]])

    def scores(self) -> Tensor:
        """How near each class that was tried is to the goal, on the CPU."""
        common = torch.stack([vectors.mean(0) for vectors in self.found]).mean(0)
        means = [self.goal.scores(vectors - common).mean() for vectors in self.found]
        return self.named + torch.stack(means).cpu()

    def _draw(self, places: Tensor, each: int) -> None:
        """Draws pictures of some of the classes, with the latents that come next for them."""
        start = len(self.found[int(places[0])])  # those that are left were drawn equally often
        z = latents.normal(SURVEY_SEED, Stream.SEARCH, start, each, self.G.dim_z).repeat(len(places), 1)
        vectors = encode_pictures(self.G, self.goal, z, self.classes[places].repeat_interleave(each))
        for place, more in zip(places.tolist(), vectors.split(each), strict=True):
            self.found[place] = torch.cat([self.found[place], more])


def name_scores(goal: Goal, class_names: Sequence[str]) -> Tensor:
    """How near each class's name is to the goal, (K,) on the CPU; zeros if the scorer cannot read one of them."""
    names = [name.strip() for name in class_names]
    parts = (names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE))
    try:
        return torch.cat([goal.scores(goal.scorer.encode_text(part)).cpu() for part in parts])
    except ConfigError:  # a name is blank or too long, which is no fault of the prompt's
        return torch.zeros(len(class_names))


def likeliest(named: Tensor, most: int) -> Tensor:
    """Numbers of the classes to try, by their names' scores (K,): all, or the best `most`, at least 1."""
    if len(named) <= max(1, most):
        return torch.arange(len(named))
    return named.argsort(descending=True, stable=True)[: max(1, most)]


@torch.no_grad()
def encode_pictures(G: Generator, goal: Goal, z: Tensor, y: Tensor) -> Tensor:
    """Vectors (N, D) of G's pictures of latents z (N, dim_z) and labels y (N,)."""
    weight = G.linear.weight
    size = usual_batch_size(G.config.resolution, weight.device)
    parts = zip(z.to(weight).split(size), y.to(weight.device).split(size), strict=True)
    return torch.cat([goal.encode_whole(to_rgb(G(z, G.embed(y)))) for z, y in parts])


def best_latents(G: Generator, goal: Goal, seed: int, label: int) -> Tensor:
    """Of a seed's candidates the latents (dim_z,) whose picture of a class meets the goal best."""
    z = latents.normal(seed, Stream.SEARCH, 0, CANDIDATES, G.dim_z)
    found = encode_pictures(G, goal, z, torch.full((CANDIDATES,), label))
    return z[goal.scores(found).argmax().cpu()]


def sure_logits(num_classes: int, label: int, max_classes: int | None, temperature: float) -> Tensor:
    """Logits (K,) whose soft classes give 0.95 to one class and share the rest among the others."""
    others = max(1, num_classes - 1)
    odds = math.log(SURE / (1 - SURE))
    low = math.log((1 - SURE) / others)
    logits = torch.full((num_classes,), low)
    logits[label : label + 1] = odds if max_classes is None else low + temperature * (odds + math.log(others))
    return logits


def unsure_start(seed: int, rows: int, dim_z: int, num_classes: int) -> tuple[Tensor, Tensor]:
    """BigSleep's start: z (rows, dim_z) ~ N(0, 1) for each row, logits (rows, K) ~ N(-3.9, 0.3)."""
    drawn = latents.normal(seed, Stream.SEARCH, 0, rows, dim_z + num_classes)
    return drawn[:, :dim_z], START + SPREAD * drawn[:, dim_z:]
