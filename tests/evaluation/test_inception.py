"""The Inception network is torch-fidelity's, tensor for tensor on random weights; and only its file is taken for it."""

import io
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from biggan.atomic import sha256
from biggan.errors import ModelError
from biggan.evaluation import inception
from biggan.evaluation.inception import Inception, InceptionV3, from_content, resize_as_tensorflow


@cache
def weights() -> dict[str, Tensor]:
    """Random weights under which every layer's output keeps its size."""
    torch.manual_seed(0)
    state = InceptionV3().state_dict()
    for name, tensor in state.items():
        if name.endswith("conv.weight"):
            torch.nn.init.kaiming_normal_(tensor)
        elif name.endswith(("bn.weight", "running_var")):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("bn.bias", "running_mean")):
            tensor.normal_(0, 0.1)
    return state


@pytest.fixture(scope="module")
def network() -> Inception:
    file = io.BytesIO()
    torch.save(weights(), file)
    return from_content(file.getvalue())


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> FeatureExtractorInceptionV3:
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(weights(), path)
    return FeatureExtractorInceptionV3("random", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path))


def pixels(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


@pytest.mark.parametrize("size", [32, 301])
def test_features_and_unbiased_scores_are_torch_fidelity_s(
    network: Inception, reference: FeatureExtractorInceptionV3, size: int
) -> None:
    seen = pixels(1, 3, size, size)
    expected, unbiased = reference(seen)
    x = seen.float() / 127.5 - 1
    features = network.features(x)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    torch.testing.assert_close(network.logits(x), unbiased, rtol=1e-4, atol=1e-4 * float(unbiased.abs().max()))


def test_the_same_input_gives_the_same_bits(network: Inception, reference: FeatureExtractorInceptionV3) -> None:
    plain = InceptionV3().eval()
    plain.load_state_dict(weights())
    seen = pixels(1, 3, 299, 299)
    assert torch.equal(plain((seen.float() - 128) / 128), reference(seen)[0])


def test_every_tensor_of_the_reference_has_its_place(reference: FeatureExtractorInceptionV3) -> None:
    shapes = {name: tensor.shape for name, tensor in reference.state_dict().items()}
    assert {name: tensor.shape for name, tensor in InceptionV3().state_dict().items()} == shapes


@pytest.mark.parametrize("shape", [(32, 32), (28, 40), (299, 299), (512, 300)])
def test_the_resize_is_tensorflow_s(shape: tuple[int, int]) -> None:
    x = pixels(1, 3, *shape).float()
    expected = interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    assert torch.equal(resize_as_tensorflow(x, 299), expected)


def test_a_network_says_what_it_is(network: Inception) -> None:
    assert (network.name, network.size, network.resize) == (
        "inception-2015-12-05",
        299,
        "bilinear as in TensorFlow 1",
    )
    assert inception.SHA256.startswith("6726825d")
    assert len(inception.SHA256) == 64


def test_another_file_is_refused_whatever_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    torch.save(weights(), path)
    with pytest.raises(ModelError, match=r"another file \(its SHA-256 differs\)"):
        inception.inception(path)
    monkeypatch.setattr(inception, "BYTES", path.stat().st_size)
    with pytest.raises(ModelError, match=r"another file \(its SHA-256 differs\)"):
        inception.inception(path)
    with pytest.raises(ModelError, match=r"cannot be read .*; give pt_inception-2015"):
        inception.inception(tmp_path / "none.pth")


def test_the_file_with_the_right_sum_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.pth"
    torch.save(weights(), path)
    monkeypatch.setattr(inception, "BYTES", path.stat().st_size)
    monkeypatch.setattr(inception, "SHA256", sha256(path))
    assert inception.inception(path).sha256 == sha256(path)
