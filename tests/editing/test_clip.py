"""CLIP through open_clip: the same vectors as open_clip's own way, and none of its silent mistakes."""

import json
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from cases import GOLDEN
from PIL import Image
from safetensors.torch import save_file

from biggan.editing.clip import Clip
from biggan.editing.scorers import load_scorer
from biggan.errors import ConfigError, ModelError

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
SEEN = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}
WEIGHTS = "open_clip_model.safetensors"


def write_model(folder: Path, model: dict[str, Any] = TINY) -> Path:
    """A random CLIP model in open_clip's layout."""
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": SEEN}))
    save_file(open_clip.CLIP(**model).state_dict(), folder / WEIGHTS)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny")


def test_a_picture_has_the_vector_that_open_clip_gives_it(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    theirs, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    expected = theirs.eval().encode_image(preprocess(Image.fromarray(pixels))[None])
    scorer = load_scorer(f"clip:{folder}")
    assert scorer.image_size == 32
    found = scorer.encode_image(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_text_has_the_vector_of_the_reference_s_tokens(folder: Path) -> None:
    stored = json.loads((GOLDEN / "bigsleep/tokens.json").read_text("utf-8"))
    tokens = {text: ids for text, ids in stored.items() if isinstance(ids, list) and text}
    del tokens["<|startoftext|> x"]  # open_clip reads the mark as letters
    theirs = open_clip.create_model(f"local-dir:{folder}").eval()
    padded = torch.tensor([ids + [0] * (77 - len(ids)) for ids in tokens.values()])
    found = Clip.load(str(folder)).encode_text([*tokens])
    torch.testing.assert_close(found, theirs.encode_text(padded).detach(), atol=1e-5, rtol=1e-5)
    assert len(found.round(decimals=3).unique(dim=0)) == len(tokens)


def test_gradients_reach_the_picture_and_no_weight(folder: Path) -> None:
    scorer = Clip.load(str(folder))
    x = torch.rand(2, 3, 32, 32, requires_grad=True)
    vectors = scorer.encode_image(x)
    vectors.square().sum().backward()
    assert (vectors.shape, vectors.dtype) == ((2, 16), torch.float32)
    assert x.grad is not None
    assert bool((x.grad.flatten(1).norm(dim=1) > 0).all())
    assert not scorer.encode_text(["a frog"]).requires_grad


def test_a_text_of_as_many_tokens_as_the_model_reads_is_read_and_one_more_is_refused(folder: Path) -> None:
    scorer = Clip.load(str(folder))
    assert scorer.encode_text(["word " * 75]).shape == (1, 16)
    with pytest.raises(ConfigError, match="over 75 tokens; shorten it"):
        scorer.encode_text(["a frog", "word " * 76])
    with pytest.raises(ConfigError, match="says nothing"):
        scorer.encode_text([" "])


def test_the_name_is_that_of_the_weights(folder: Path, tmp_path: Path) -> None:
    name = Clip.load(str(folder)).name
    assert name.startswith(f"clip ({folder}; ")
    assert Clip.load(str(folder)).name == name
    other = Clip.load(str(write_model(tmp_path / "other"))).name
    assert other.rpartition("; ")[2] != name.rpartition("; ")[2]


def test_a_folder_without_config_or_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no open_clip_config\.json"):
        Clip.load(str(tmp_path))
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelError, match="cannot be opened as a CLIP model"):
        Clip.load(str(folder))


def test_a_folder_that_does_not_say_how_pictures_are_shown_is_refused(folder: Path) -> None:
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}))
    with pytest.raises(ConfigError, match="has no preprocess_cfg with mean and std"):
        Clip.load(str(folder))


def test_weights_of_another_model_or_damaged_ones_are_refused(folder: Path, tmp_path: Path) -> None:
    wider = write_model(tmp_path / "wider", {**TINY, "embed_dim": 24})
    (wider / WEIGHTS).replace(folder / WEIGHTS)
    with pytest.raises(ModelError, match="size mismatch"):
        Clip.load(str(folder))
    (folder / WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="cannot be opened as a CLIP model"):
        Clip.load(str(folder))


class Hostile:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.place,))


def test_a_pickle_s_code_is_not_run(folder: Path, tmp_path: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps(Hostile(tmp_path / "ran")))
    with pytest.raises(ModelError, match="cannot be opened as a CLIP model"):
        Clip.load(str(folder))
    assert not (tmp_path / "ran").exists()


def test_pictures_that_are_not_square_are_refused(tmp_path: Path) -> None:
    wide = {**TINY, "vision_cfg": {**TINY["vision_cfg"], "image_size": [32, 48]}}
    with pytest.raises(ConfigError, match="48 x 32"):
        Clip.load(str(write_model(tmp_path / "wide", wide)))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no-such-folder", "neither a folder nor a model of open_clip; give a folder"),
        ("ViT-B-23,openai", "did you mean 'ViT-B-32'"),
        ("ViT-B-32", "give ViT-B-32, and a file or one of: openai, laion400m_e31"),
        ("ViT-B-32,none.pt", "has no weights 'none.pt'"),
        ("ViT-B-32,openai", "write ViT-B-32-quickgelu,openai"),
        ("ViT-L-14,__file__", r"does not say how ViT-L-14 is to see pictures; give a folder"),
    ],
)
def test_what_cannot_be_loaded_is_refused_before_a_model_is_built(what: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Clip.load(what.replace("__file__", __file__))


def test_a_torchscript_file_is_refused_unopened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ViT-B-32.pt", "w") as archive:
        archive.writestr("ViT-B-32/constants.pkl", b"")
    with pytest.raises(ConfigError, match="TorchScript, which holds code"):
        Clip.load(f"ViT-B-32-quickgelu,{tmp_path / 'ViT-B-32.pt'}")


def test_without_a_network_the_download_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="could not be downloaded; give a folder"):
        load_scorer("clip")
    assert capfd.readouterr() == ("", "")


def test_without_open_clip_the_extra_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ConfigError, match=r'pip install "torch-biggan\[clip\]"'):
        load_scorer("clip")
