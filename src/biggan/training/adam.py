"""Adam, the optimizer of both networks (paper, Appendix C), by the fused kernel of torch and without `torch.optim`.

The module `torch.optim` is not used since its first optimizer imports torch's compiler, which takes as long as all of
torch else; a run that does not compile should not wait for it.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol, Self, cast

import torch
from torch import Tensor, nn

from biggan.config import Optim
from biggan.errors import ModelError
from biggan.training.state import Tensors

NAMES = ("step", "exp_avg", "exp_avg_sq")  # of a parameter's state, as `torch.optim.Adam` has them


class Optimizer(Protocol):
    """What a training step asks of an optimizer; those of `torch.optim` have it too."""

    def zero_grad(self) -> None:
        """Forgets the gradients."""

    def step(self) -> object:
        """Moves the parameters by their gradients."""


class Adam:
    """Adam without weight decay: the numbers of `torch.optim.Adam(..., fused=True)`, to the last bit.

    Every parameter has to have a gradient at each step.
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
    ) -> None:
        """Begins without moments, which come with the first step.

        Args:
            parameters: Leaves of one type on one device.
            lr: Learning rate until another is set.
            beta1: Decay of the mean of gradients.
            beta2: Decay of the mean of their squares.
            eps: Added to the root of the latter.
        """
        self.parameters = list(parameters)
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.steps: list[Tensor] = []
        self.moments: tuple[list[Tensor], list[Tensor]] = [], []

    @classmethod
    def of(cls, network: nn.Module, lr: float, optim: Optim) -> Self:
        """The optimizer of a network's parameters, with a run's settings."""
        return cls(network.parameters(), lr, optim.beta1, optim.beta2, optim.adam_eps)

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Moves the parameters by their gradients."""
        if not self.steps:
            self.steps = [torch.zeros((), dtype=torch.float32, device=p.device) for p in self.parameters]
            self.moments = (
                [torch.zeros_like(p) for p in self.parameters],
                [torch.zeros_like(p) for p in self.parameters],
            )
        torch._foreach_add_(self.steps, 1)
        torch._fused_adam_(
            self.parameters,
            cast(list[Tensor], [p.grad for p in self.parameters]),
            *self.moments,
            [],
            self.steps,
            lr=self.lr,
            beta1=self.beta1,
            beta2=self.beta2,
            weight_decay=0.0,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

    def tensors(self) -> Tensors:
        """The state as tensors named `<index of the parameter>.<step | exp_avg | exp_avg_sq>`; empty before a step."""
        states = enumerate(zip(self.steps, *self.moments, strict=True))
        return {f"{i}.{name}": tensor for i, state in states for name, tensor in zip(NAMES, state, strict=True)}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what `tensors` gave; the learning rate is not touched.

        Moments take their parameter's memory layout, as they have it from the beginning: the fused step computes other
        last digits, or worse, on a layout that differs.

        Args:
            tensors: As `tensors` gives them, on any device.

        Raises:
            ModelError: They are not of these parameters.
        """
        parameters = dict(enumerate(self.parameters)) if tensors else {}
        shapes = {
            f"{i}.{name}": torch.Size() if name == "step" else p.shape for i, p in parameters.items() for name in NAMES
        }
        if {name: tensor.shape for name, tensor in tensors.items()} != shapes:
            raise ModelError("The saved optimizer state is of other networks; give a run with the same settings.")
        self.steps = [tensors[f"{i}.step"].to(p.device, copy=True) for i, p in parameters.items()]
        first, second = (
            [torch.empty_like(p).copy_(tensors[f"{i}.{name}"]) for i, p in parameters.items()] for name in NAMES[1:]
        )
        self.moments = first, second
