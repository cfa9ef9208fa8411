"""What text guidance optimises: latents and soft classes of a generator, and their debiased average.

The mathematics is BigSleep 0.9.1's (lucidrains, 2022; after Murdock's "The Big Sleep", 2021), for any generator of
this package and several pictures at once: z (N, R, dim_z) and class logits (N, R, K), where R is one row for each
layer (`G.num_layers`) or one for all. An unconditional generator has K = 0.
Not here: where latents begin (`search.py`), and what they are moved by (`objective.py`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from biggan.models.network import Generator

START, SPREAD = -3.9, 0.3  # mean and deviation of logits that name no class yet: each class at about 0.02


def soft_classes(logits: Tensor, max_classes: int | None = None, temperature: float = 2.0) -> Tensor:
    """Class logits (…, K) as soft class vectors (…, K) in [0, 1].

    Args:
        logits: Any real numbers.
        max_classes: None for the sigmoid of each, as in BigSleep; else at most so many classes at once, with their
            shares of softmax(logits / temperature), the others zero.
        temperature: Of the softmax.
    """
    if max_classes is None or logits.shape[-1] == 0:
        return logits.sigmoid()
    shares = (logits / temperature).softmax(-1)
    top = shares.topk(min(max_classes, logits.shape[-1]))
    return torch.zeros_like(shares).scatter(-1, top.indices, top.values)


def soft_top(x: Tensor, k: int, temperature: float = 1.0) -> Tensor:
    """The k largest of x (…, K) as shares, differentiable, the others zero; BigSleep's `differentiable_topk`.

    Each winner's share is its softmax(x / temperature) among those that have not won before it. That suits a thousand
    classes; of few, the last winners get large shares whatever their x, which `soft_classes` avoids.
    """
    total = torch.zeros_like(x)
    for _ in range(k):
        share, winner = (x / temperature).softmax(-1).max(-1, keepdim=True)
        total = total + torch.zeros_like(x).scatter(-1, winner, share)
        x = x.scatter(-1, winner, float("-inf"))
    return total


def class_table(G: Generator) -> Tensor:
    """The embedding of each class, (K, condition); (0, 0) when unconditional."""
    return G.embed(torch.arange(G.num_classes, device=G.linear.weight.device))


def conditions(G: Generator, z: Tensor, classes: Tensor, table: Tensor) -> list[Tensor]:
    """What each layer of G is given for latents z (N, R, dim_z) and soft classes (N, R, K), R = 1 or `G.num_layers`.

    Args:
        G: The generator.
        z: Latents.
        classes: Weights of the classes, of any sum.
        table: `class_table(G)`.
    """
    c = classes @ table
    return G.conditions(*(part[:, 0] if part.shape[1] == 1 else part for part in (z, c)))


class Average:
    """Exponential moving average of tensors, free of the bias to its start: the mean that weights step t by decay^-t.

    One update happens at once, so the average of a single value is that value. Source: BigSleep's `EMA` (Crowson).

    Args:
        values: What is averaged, as it is at the start.
        decay: In [0, 1); 0 is the latest value.

    Attributes:
        remaining: Weight that no value has taken yet, decay to the power of the updates, a float32 scalar.
        biased: The weighted sums.
    """

    def __init__(self, values: Sequence[Tensor], decay: float) -> None:
        self.decay = decay
        self.remaining = torch.tensor(1.0)
        self.biased = [torch.zeros_like(value, requires_grad=False) for value in values]
        self.update(values)

    @torch.no_grad()
    def update(self, values: Sequence[Tensor]) -> None:
        """Takes in the next values, of the same shapes."""
        self.remaining *= self.decay
        for total, value in zip(self.biased, values, strict=True):
            total.mul_(self.decay).add_((1 - self.decay) * value)

    def value(self) -> list[Tensor]:
        """The averages now."""
        return [total / (1 - self.remaining).to(total.device) for total in self.biased]
