"""A process's own moments come out of batch norm with their gradients."""

import torch
import torch.nn.functional as F

from biggan.models.own_moments import normalised


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = 3 + 2 * torch.randn(5, 4, 6, 7, generator=generator, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def test_they_are_batch_norm_and_the_moments_of_the_batch():
    x = images()
    y, mean, var = normalised(x, 1e-5)
    torch.testing.assert_close(y, F.batch_norm(x, None, None, training=True, eps=1e-5), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close((var, mean), torch.var_mean(x, (0, 2, 3), correction=0), rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_the_definition():
    assert torch.autograd.gradcheck(lambda x: normalised(x, 1e-5), images())
