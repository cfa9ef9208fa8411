"""Cut-outs: the resizing is BigSleep's, the draws are lawful, and a cut shows what it says it shows."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from biggan.editing.cutouts import RESIZES, cut, draw_cuts, lanczos, resized

GOLDEN = Path(__file__).parents[1] / "golden" / "bigsleep"


def golden() -> dict[str, torch.Tensor]:
    with np.load(GOLDEN / "resample.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays}


def test_resizing_equals_bigsleeps() -> None:
    arrays = golden()
    x = arrays["x"]
    for found, name in (
        (lanczos(x, 24), "y24"),
        (lanczos(x, 64), "y64"),
        (lanczos(x, 24, align_corners=False), "y24_noalign"),
        (resized(x, 24, "bilinear"), "bilinear24"),
        (resized(x, 24, "nearest"), "nearest24"),
        (resized(x, 64, "lanczos"), "y64"),
    ):
        torch.testing.assert_close(found, arrays[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("center_bias", [False, True])
def test_cuts_lie_inside_and_have_bigsleeps_sizes(center_bias: bool) -> None:
    cuts = draw_cuts(7, 3, 128, 4000, center_bias)
    size, offsets = cuts[:, 0], cuts[:, 1:]
    assert int(size.min()) == 64
    assert int(size.max()) == 121
    assert bool((offsets >= 0).all())
    assert bool((offsets + size[:, None] <= 128).all())
    share = torch.distributions.Normal(0.8, 0.3).cdf(torch.tensor([0.5, 0.95]))
    torch.testing.assert_close((size == 64).double().mean(), share[0].double(), rtol=0, atol=0.03)
    torch.testing.assert_close((size == 121).double().mean(), 1 - share[1].double(), rtol=0, atol=0.03)


def test_offsets_are_uniform_or_gather_at_the_centre() -> None:
    deviations = {}
    for center_bias in (False, True):
        cuts = draw_cuts(1, 0, 512, 4000, center_bias).double()
        deviations[center_bias] = ((cuts[:, 1:] + 0.5) / (512 - cuts[:, :1] + 1)).std()
        torch.testing.assert_close(
            (cuts[:, 1:] / (512 - cuts[:, :1])).mean(), torch.tensor(0.5).double(), atol=0.02, rtol=0
        )
    torch.testing.assert_close(deviations[False], torch.tensor(1 / 12).double().sqrt(), rtol=0, atol=0.01)
    assert deviations[True] < 0.26


def test_cuts_are_a_function_of_seed_and_step_alone() -> None:
    assert torch.equal(draw_cuts(5, 2, 32, 8), draw_cuts(5, 2, 32, 8))
    assert not torch.equal(draw_cuts(5, 2, 32, 8), draw_cuts(5, 3, 32, 8))
    assert not torch.equal(draw_cuts(5, 2, 32, 8), draw_cuts(6, 2, 32, 8))
    assert torch.equal(draw_cuts(5, 2, 32, 8, False)[:, 0], draw_cuts(5, 2, 32, 8, True)[:, 0])


@pytest.mark.parametrize("resize", RESIZES)
def test_a_cut_is_the_square_that_it_names(resize: str) -> None:
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    cuts = torch.tensor([[[8, 1, 2], [16, 0, 0]], [[10, 6, 0], [12, 4, 3]]])
    pieces = cut(x, cuts, 24, resize)  # type: ignore[arg-type]
    assert pieces.shape == (4, 3, 24, 24)
    for piece, image, (size, top, left) in zip(pieces, x[[0, 0, 1, 1]], cuts.view(-1, 3).tolist(), strict=True):
        alone = resized(image[None, :, top : top + size, left : left + size], 24, resize)  # type: ignore[arg-type]
        assert torch.equal(piece, alone[0])
    [gradient] = torch.autograd.grad(pieces[2].sum(), x)
    assert not gradient[0].any()
    assert not gradient[1][:, :6].any()
    assert bool(gradient[1][:, 6:, :10].any())


def test_making_a_picture_smaller_by_lanczos_keeps_what_is_even_and_drops_what_is_too_fine() -> None:
    even, fine = torch.full((1, 1, 32, 32), 0.3), torch.tensor([0.0, 1.0]).repeat(16).expand(1, 1, 32, 32)
    torch.testing.assert_close(lanczos(even, 8), even[..., :8, :8])
    assert float((lanczos(fine, 8) - 0.5).abs().max()) < 0.05
    assert float((F.interpolate(fine, (8, 8)) - 0.5).abs().max()) == 0.5
