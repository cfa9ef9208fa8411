"""The losses of text guidance: each picture has its own, and each is least where it should be."""

import pytest
import torch

from biggan.editing.objective import class_loss, latent_loss, similarities, similarity_loss


def test_similarity_is_the_mean_cosine_and_the_loss_its_weighted_sum() -> None:
    vectors = torch.tensor([[[2.0, 0.0], [0.0, 3.0]], [[1.0, 1.0], [5.0, 5.0]]])
    found = similarities(vectors, torch.tensor([[4.0, 0.0], [0.0, -1.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.5, -0.5], [0.5**0.5, -(0.5**0.5)]]))
    torch.testing.assert_close(
        similarity_loss(found, torch.tensor([2.0, -1.0])), -100 * (2 * found[:, 0] - found[:, 1])
    )


def test_a_loss_of_a_picture_does_not_depend_on_the_others() -> None:
    z, classes = torch.randn(3, 4, 16), torch.rand(3, 4, 10)
    for loss, x in ((latent_loss, z), (class_loss, classes)):
        together = loss(x)
        assert together.shape == (3,)
        torch.testing.assert_close(together, torch.cat([loss(row[None]) for row in x]))


def test_latents_of_a_normal_distribution_cost_least() -> None:
    normal = torch.special.ndtri((torch.arange(4096) + 0.5) / 4096)[None, None]
    assert float(latent_loss(normal)) < 4.05
    for other in (normal * 1.5, normal * 0.5, normal + 0.7, normal.abs(), normal.sign()):
        assert float(latent_loss(other)) > float(latent_loss(normal)) + 0.3


@pytest.mark.parametrize("dim", [1, 2])
def test_few_latent_dimensions_give_finite_losses_and_gradients(dim: int) -> None:
    z = torch.randn(2, 3, dim, requires_grad=True)
    loss = latent_loss(z)
    loss.sum().backward()
    assert bool(loss.isfinite().all())
    assert z.grad is not None
    assert bool(z.grad.isfinite().all())


def test_one_class_costs_nothing_and_others_beside_it_do() -> None:
    one = torch.tensor([[[1.0, 0.0, 0.0]]])
    torch.testing.assert_close(class_loss(one), torch.zeros(1))
    torch.testing.assert_close(class_loss(torch.tensor([[[1.0, 0.1, 0.0]]])), torch.tensor([25.0 / 2]))
    for classes in (0, 1):
        assert torch.equal(class_loss(torch.rand(2, 3, classes)), torch.zeros(2))
