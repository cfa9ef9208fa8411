"""Soft classes and the debiased average equal BigSleep's numbers, and mean what they say for every generator."""

from pathlib import Path

import numpy as np
import pytest
import torch
from perceptors import MODELS
from tiny_models import MODEL

from biggan.config import Model
from biggan.editing.soft_latents import Average, class_table, conditions, soft_classes, soft_top
from biggan.models.build import build

GOLDEN = Path(__file__).parents[1] / "golden" / "bigsleep"


def golden(name: str) -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / name) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays}


@pytest.mark.parametrize(("k", "temperature"), [(1, 1.0), (3, 2.0), (5, 0.5)])
def test_the_soft_top_equals_bigsleeps(k: int, temperature: float) -> None:
    arrays = golden("latents.npz")
    torch.testing.assert_close(soft_top(arrays["dtopk_in"], k, temperature), arrays[f"dtopk_k{k}_t{temperature}"])


def test_soft_classes_equal_bigsleeps() -> None:
    arrays = golden("latents.npz")
    logits = arrays["cls_n15"]
    torch.testing.assert_close(soft_classes(logits), arrays["classes_sigmoid_n15"])
    torch.testing.assert_close(soft_top(logits, 15, 2.0), arrays["classes_topk15_temp2_n15"])


def test_at_most_so_many_classes_keep_their_shares() -> None:
    logits = torch.randn(2, 3, 7, requires_grad=True)
    shares = (logits / 0.5).softmax(-1)
    for most in (1, 3, 7, 9):
        classes = soft_classes(logits, most, 0.5)
        kept = classes > 0
        assert bool((kept.sum(-1) == min(most, 7)).all())
        assert torch.equal(classes[kept], shares[kept])
        assert float(classes.detach().sum(-1).max()) <= 1 + 1e-6
    [gradient] = torch.autograd.grad(classes[..., 0].sum(), logits)
    assert bool((gradient[..., 0] > 0).all())


def test_the_soft_top_of_a_batch_is_that_of_each_row_and_passes_gradients_to_the_winners() -> None:
    x = torch.randn(2, 3, 5, requires_grad=True)
    top = soft_top(x, 2)
    for row, alone in zip(top.flatten(0, 1), x.flatten(0, 1), strict=True):
        assert torch.equal(row, soft_top(alone, 2))
        assert int((row > 0).sum()) == 2
    [gradient] = torch.autograd.grad(top.max(-1).values.sum(), x)
    assert bool((gradient.gather(-1, top.argmax(-1, keepdim=True)) > 0).all())


def test_the_average_equals_bigsleeps() -> None:
    arrays = golden("ema.npz")
    average = Average([arrays["w0"]], 0.9)
    torch.testing.assert_close(average.remaining, arrays["accum0"])
    torch.testing.assert_close(average.value(), [arrays["avg0"]])
    for step in range(1, 5):
        average.update([arrays[f"w{step}"]])
        torch.testing.assert_close(average.remaining, arrays[f"accum{step}"])
        torch.testing.assert_close(average.biased, [arrays[f"biased{step}"]])
        torch.testing.assert_close(average.value(), [arrays[f"avg{step}"]])


def test_an_average_without_decay_is_the_latest_value() -> None:
    average = Average([torch.ones(2)], 0.0)
    average.update([torch.full((2,), 5.0)])
    assert torch.equal(average.value()[0], torch.full((2,), 5.0))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_one_hot_soft_classes_give_the_class_itself(model: Model) -> None:
    """With one row for all layers, and with the same row for each."""
    G = build(model)[0].eval()
    z, y = torch.randn(3, G.dim_z), torch.tensor([0, 2, 1]) % max(G.num_classes, 1)
    one_hot = torch.nn.functional.one_hot(y, max(G.num_classes, 1))[:, : G.num_classes].float()
    expected = G(z, G.embed(y))
    for rows in (1, G.num_layers):
        latents, classes = (part[:, None].expand(-1, rows, -1) for part in (z, one_hot))
        x = G.synthesise(conditions(G, latents, classes, class_table(G)))
        torch.testing.assert_close(x, expected, rtol=0, atol=1e-5)


def test_a_mixed_class_is_the_mixture_of_embeddings() -> None:
    G = build(MODEL)[0]
    table = class_table(G)
    [_, condition, *_] = conditions(G, torch.zeros(1, 1, G.dim_z), torch.tensor([[[0.25, 0.0, 0.5]]]), table)
    torch.testing.assert_close(condition[0, : MODEL.shared_dim], 0.25 * table[0] + 0.5 * table[2])
