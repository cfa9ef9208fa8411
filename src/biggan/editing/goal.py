"""What a picture should be, as a scorer sees it: prompts as people write them, and how well pictures meet them.

Not here: the losses (`objective.py`), and what is optimised (`guidance.py`).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from biggan.config import Data
from biggan.data.decode import Unreadable, decode, square
from biggan.editing.cutouts import Resize, cut, resized
from biggan.editing.objective import similarities
from biggan.editing.scorers import Scorer
from biggan.errors import ConfigError

AT_ONCE = 64  # views that a scorer is given at once, to bound memory


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text and how much it counts."""

    text: str
    weight: float = 1.0

    def __str__(self) -> str:
        """The prompt as `parse_prompts` reads it."""
        return f"{self.text}:{self.weight!r}"


def parse_prompts(text: str, flag: str = "the prompt") -> list[Prompt]:
    """Reads prompts: texts set apart by `|`, each with a weight after its last colon if a number follows there.

    `"a red car:2 | at night"` is "a red car" with weight 2 and "at night" with 1. A text that ends in a colon and a
    number itself is written with its weight: `"a clock at 3:30:1"`.

    Args:
        text: What was written.
        flag: Where it was written, for messages.

    Raises:
        ConfigError: A text is empty, or a weight is not above zero and finite.
    """
    return [_prompt(part, flag) for part in text.split("|")]


def _prompt(part: str, flag: str) -> Prompt:
    words, colon, number = part.rpartition(":")
    try:
        prompt = Prompt(words.strip(), float(number)) if colon else Prompt(part.strip())
    except ValueError:  # the colon is part of the text
        prompt = Prompt(part.strip())
    if not prompt.text:
        raise ConfigError(f"A text in {flag} is empty; write texts set apart by |, as 'a red car:2 | at night'.")
    if not 0 < prompt.weight < math.inf:
        rule = "weights are above 0, and --penalise keeps away from a text"
        raise ConfigError(f"The weight of {prompt.text[:80]!r} in {flag} is {prompt.weight:g}; {rule}.")
    return prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What pictures should be, as people say it."""

    prompts: tuple[Prompt, ...] = ()
    """Texts to come near to."""
    penalised: tuple[Prompt, ...] = ()
    """Texts to keep away from; their weights are above zero too."""
    image: Path | None = None
    """A picture to come near to, cut to its central square."""
    image_weight: float = 1.0
    """How much the picture counts."""

    def __post_init__(self) -> None:
        if not self.prompts and self.image is None:
            raise ConfigError('There is nothing to imagine; give a prompt, as "an upside-down tree", or --image.')
        if not 0 < self.image_weight < math.inf:
            raise ConfigError(f"--image-weight is {self.image_weight:g}; allowed is above 0.")

    def values(self) -> dict[str, object]:
        """The texts as `parse_prompts` reads them, and the picture's weight: JSON values."""
        texts = (" | ".join(map(str, prompts)) for prompts in (self.prompts, self.penalised))
        return dict(zip(("prompts", "penalise"), texts, strict=True)) | {"image_weight": self.image_weight}


@dataclass(frozen=True, slots=True)
class Goal:
    """A scorer and the vectors that pictures should be near to, or far from."""

    scorer: Scorer
    vectors: Tensor
    """(P, D)."""
    weights: Tensor
    """(P,): above zero to be near, below to be far."""

    def similarities(self, x: Tensor, cuts: Tensor, resize: Resize) -> Tensor:
        """Mean cosine of each picture's cut-outs with each vector: (N, P), differentiable.

        Args:
            x: Pictures (N, 3, W, W) in [0, 1].
            cuts: (N, n, 3), see `cutouts.draw_cuts`.
            resize: How cuts are brought to the scorer's size.
        """
        views = cut(x, cuts, self.scorer.image_size, resize)
        return similarities(self.scorer.encode_image(views).unflatten(0, cuts.shape[:2]), self.vectors)

    @torch.no_grad()
    def encode_whole(self, x: Tensor) -> Tensor:
        """Vectors (N, D) of whole pictures (N, 3, W, W) in [0, 1]."""
        views = [resized(part, self.scorer.image_size, "lanczos").clamp(0, 1) for part in x.split(AT_ONCE)]
        return torch.cat([self.scorer.encode_image(part) for part in views])

    def scores(self, vectors: Tensor) -> Tensor:
        """The weighted sum of the cosines of vectors (N, D) with the goal's: (N,), higher is better."""
        return similarities(vectors[:, None], self.vectors) @ self.weights


def make_goal(scorer: Scorer, request: Request, device: torch.device | str = "cpu") -> Goal:
    """A request as a scorer sees it.

    Args:
        scorer: The text-image model.
        request: What is asked.
        device: Where the scorer computes.

    Raises:
        ConfigError: The picture cannot be read, or the scorer does not take a text.
    """
    prompts, penalised = request.prompts, request.penalised
    texts = [prompt.text for prompt in (*prompts, *penalised)]
    vectors = [scorer.encode_text(texts)] if texts else []
    weights = [prompt.weight for prompt in prompts] + [-prompt.weight for prompt in penalised]
    if request.image is not None:
        with torch.no_grad():
            seen = scorer.encode_image(read_image(request.image, scorer.image_size)[None].to(device))
        vectors, weights = [*vectors, seen], [*weights, request.image_weight]
    found = torch.cat(vectors).detach()
    return Goal(scorer, found, torch.tensor(weights).to(found))


def read_image(path: Path, size: int) -> Tensor:
    """The central square of a picture file, (3, size, size) in [0, 1]; transparent parts are white.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        pixels = decode(path.open("rb"), square(size, Data())).pixels
    except OSError as error:
        raise ConfigError(f"--image {path} cannot be opened ({error.strerror}); give a picture.") from error
    except Unreadable as error:
        raise ConfigError(f"--image {path} {error}; give a picture.") from error
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def to_rgb(x: Tensor) -> Tensor:
    """Images of G, (N, 1 to 4, W, W) in [-1, 1], as a scorer wants them: (N, 3, W, W) in [0, 1].

    Grey is repeated; where there is alpha (2 or 4 channels), the picture lies over white.
    """
    x = (x + 1) / 2
    colour, alpha = (x[:, :-1], x[:, -1:]) if x.shape[1] in (2, 4) else (x, None)
    if alpha is not None:
        colour = colour * alpha + (1 - alpha)
    return colour.expand(-1, 3, -1, -1)
