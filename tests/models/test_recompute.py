"""Activations computed again: the same step to the bit, with less kept."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from biggan.config import Config, Model, Train
from biggan.errors import ConfigError
from biggan.latents import Stream, labels, normal
from biggan.training.loop import Training, iterate

SHALLOW = Model(resolution=32, num_classes=4, g_channels=4, d_channels=4, g_attention=(16,), d_attention=(8,), dim_z=8)
DEEP = replace(SHALLOW, architecture="biggan-deep", g_channels=16, d_channels=16)


class Noise:
    def batch(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        x = normal(0, Stream.PICTURES, start, count, 3 * 32 * 32).tanh().view(count, 3, 32, 32)
        return x, labels(0, Stream.FLIPS, start, count, 4)


def run(model: Model, recompute: bool) -> Training:
    train = Train(batch_size=4, microbatch=2, recompute=recompute)
    return Training(Config(model=model, train=train), torch.device("cpu"))


@pytest.mark.parametrize("model", [SHALLOW, DEEP], ids=["biggan", "biggan-deep"])
def test_iterations_leave_the_same_bytes(model):
    kept, again = run(model, False), run(model, True)
    for training in (kept, again):
        iterate(training, Noise()), iterate(training, Noise())
    for name in ("G", "D", "G_ema"):
        expected = getattr(kept, name).state_dict()
        assert all(torch.equal(t, expected[key]) for key, t in getattr(again, name).state_dict().items())


def kept_bytes(training: Training) -> int:
    """What the graph of one picture holds."""
    held: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        z = torch.randn(8, 8)
        x = training.G(z, training.G.embed(torch.zeros(8, dtype=torch.long)))
    assert x.requires_grad
    return sum(held.values())


def test_less_is_kept():
    assert kept_bytes(run(DEEP, True)) < 0.5 * kept_bytes(run(DEEP, False))


def test_a_second_forward_that_would_move_vectors_is_refused():
    with pytest.raises(ConfigError, match="--power-iteration is per_forward; with --recompute allowed is per_step"):
        run(replace(SHALLOW, power_iteration="per_forward"), True)
