"""The TF-Hub notebook's helpers give the notebook's numbers, on models of ours."""

import runpy
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from cases import GOLDEN
from PIL import Image
from tiny_models import MODEL, NAMES, UNCONDITIONAL, make_folder, make_pipeline

from biggan.errors import ConfigError, UserError
from biggan.interop import notebook
from biggan.interop.notebook import (
    imgrid,
    imshow,
    interpolate,
    interpolate_and_shape,
    one_hot,
    one_hot_if_needed,
    sample,
    session,
    truncated_z_sample,
)
from biggan.models.build import skeleton
from biggan.models.bundle import Bundle
from biggan.models.statistics import Statistics
from biggan.sampling.pipeline import Pipeline

EXAMPLE = Path(__file__).parents[2] / "examples" / "tfhub_notebook.py"
COLOUR = replace(MODEL, image_channels=3)


coloured = cache(lambda: make_pipeline(COLOUR))


@pytest.fixture
def sess() -> Pipeline:
    return session(coloured())


def of_size(dim_z: int) -> Pipeline:
    """A model of which only the sizes are asked."""
    G, _ = skeleton(replace(MODEL, dim_z=dim_z))
    return Pipeline(Bundle(G, None, NAMES, Statistics({})))


def test_latents_are_the_notebook_s_bit_for_bit_as_a_module_took_them() -> None:
    """In float32, against SciPy's normals truncated to [-2, 2]; elsewhere they are multiples of those."""
    with np.load(GOLDEN / "pretrained" / "truncated_noise.npz") as stored:
        for name, expected in stored.items():
            seed, truncation, count, dim_z = (part.lstrip("sedtb") for part in name.split("_"))
            session(of_size(int(dim_z)))
            z = truncated_z_sample(int(count), float(truncation), int(seed))
            assert z.dtype == np.float64
            assert np.abs(z - expected).max() < 1e-6
            whole = truncated_z_sample(int(count), seed=int(seed))
            assert np.array_equal(z, float(truncation) * whole)
            assert np.array_equal(np.float32(truncation) * whole.astype(np.float32), expected)


def test_latents_without_a_seed_go_on_with_numpy_s_own(sess: Pipeline) -> None:
    np.random.seed(5)
    first, second = truncated_z_sample(2), truncated_z_sample(2)
    assert np.array_equal(np.concatenate([first, second]), truncated_z_sample(4, seed=5))
    assert np.abs(first).max() <= 2


def test_latents_have_the_size_of_the_latest_session() -> None:
    session(of_size(12))
    assert truncated_z_sample(1).shape == (1, 12)
    assert session(coloured()) is coloured()
    assert truncated_z_sample(1).shape == (1, MODEL.dim_z)


def test_pictures_are_the_generator_s_by_the_notebook_s_byte_rule(sess: Pipeline) -> None:
    z, y = truncated_z_sample(3, 0.5, 0), np.array([[1, 0, 0], [0, 0.25, 0.75], [0, 0, 1]])
    G = sess.generator
    G.use_statistics(sess.bundle.statistics.row(truncation=0.5))
    with torch.no_grad():
        x = G(torch.from_numpy(z).float(), torch.from_numpy(y).float() @ G.shared.weight)
    expected = torch.floor(128 * (x + 1)).clamp(0, 255).permute(0, 2, 3, 1)
    drawn = sample(sess, z, y, truncation=0.5)
    assert drawn.dtype == np.uint8
    assert drawn.shape == (3, 32, 32, 3)
    off = np.abs(drawn.astype(int) - expected.numpy().astype(int))
    assert off.max() <= 1  # another batch shape may round another way
    assert off.mean() < 1e-3


def test_a_label_may_be_a_number_numbers_or_vectors(sess: Pipeline) -> None:
    z = truncated_z_sample(2, 1.0, 3)
    one = sample(sess, z, 1)
    assert np.array_equal(one, sample(sess, z, [1, 1]))
    assert np.array_equal(one, sample(sess, z, one_hot([1, 1], 3)))
    assert not np.array_equal(one, sample(sess, z, 2))


def test_statistics_are_of_the_truncation_that_is_given(sess: Pipeline) -> None:
    z = truncated_z_sample(2, 0.5, 3)
    assert not np.array_equal(sample(sess, z, 0, truncation=0.5), sample(sess, z, 0))


def test_batches_do_not_change_pictures(sess: Pipeline) -> None:
    z = truncated_z_sample(5, 1.0, 3)
    whole, parts = sample(sess, z, 0), sample(sess, z, 0, batch_size=2)
    assert np.abs(whole.astype(int) - parts.astype(int)).max() <= 1


def test_the_model_is_as_it_was_after_drawing(sess: Pipeline) -> None:
    before = {name: x.clone() for name, x in sess.generator.state_dict().items()}
    sample(sess, truncated_z_sample(1, 0.5, 0), 0, truncation=0.5)
    assert all(torch.equal(x, before[name]) for name, x in sess.generator.state_dict().items())


def test_a_model_without_classes_takes_no_label() -> None:
    sess = session(make_pipeline(UNCONDITIONAL))
    assert sample(sess, truncated_z_sample(2, 1.0, 0), None).shape == (2, 32, 32, 3)
    with pytest.raises(ConfigError, match="has no classes; give None"):
        sample(sess, truncated_z_sample(2, 1.0, 0), 0)


def test_one_hot_vectors_have_a_one_in_each_row(sess: Pipeline) -> None:
    vectors = one_hot([2, 0], 4)
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert one_hot(1).tolist() == [[0, 1, 0]]
    assert one_hot_if_needed([2, 0], 4).tolist() == vectors.tolist()
    assert one_hot_if_needed(vectors, 4) is vectors


def test_ways_are_straight_with_both_ends() -> None:
    A, B = np.array([[0.0, 4.0], [1.0, 1.0]]), np.array([[2.0, 0.0], [1.0, 5.0]])
    way = interpolate(A, B, 3)
    assert way.tolist() == [A.tolist(), [[1, 2], [1, 3]], B.tolist()]
    rows = interpolate_and_shape(A, B, 3)
    assert rows.tolist() == [[0, 4], [1, 2], [2, 0], [1, 1], [1, 3], [1, 5]]  # a row's whole way, then the next's


def test_a_sheet_has_white_between_and_after() -> None:
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    sheet = imgrid(images, cols=2, pad=1)[..., 0].tolist()
    w = 255
    assert sheet == [[0, 0, w, 1, 1], [0, 0, w, 1, 1], [w, w, w, w, w], [2, 2, w, w, w], [2, 2, w, w, w]]
    assert imgrid(images, cols=3, pad=0)[..., 0].tolist() == [[0, 0, 1, 1, 2, 2]] * 2
    assert imgrid(images).shape == (2, 14, 1)  # five columns, as the notebook has them


def test_without_ipython_the_picture_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    for shape, size in (((4, 6, 3), (6, 4)), ((4, 6, 1), (6, 4)), ((4, 6), (6, 4))):
        picture = imshow(np.zeros(shape))
        assert picture is not None
        assert picture.size == size


@pytest.mark.parametrize("takes", [b"\x89PNG", b"\xff\xd8"], ids=["png", "jpeg alone"])
def test_ipython_shows_the_picture_as_jpeg_if_not_as_png(takes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bytes] = []

    def display(content: bytes) -> None:
        if not content.startswith(takes):
            raise OSError("too large")
        shown.append(content)

    module = SimpleNamespace(display=display, Image=lambda content: content)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)  # type: ignore[arg-type]
    assert imshow(np.zeros((2, 2, 3))) is None
    assert len(shown) == 1
    if takes != b"\x89PNG":
        with pytest.raises(OSError, match="too large"):
            imshow(np.zeros((2, 2, 3)), jpeg_fallback=False)


Z, GREY = np.zeros((2, MODEL.dim_z)), np.zeros((1, 2, 2, 1), np.uint8)
MISTAKES = {
    "a seed below 0": (lambda s: truncated_z_sample(1, seed=-1), "seed is -1; allowed is 0 to"),
    "noise of another size": (lambda s: sample(s, Z[:, :-1], 0), r"noise has shape \[2, 7\]"),
    "one noise vector alone": (lambda s: sample(s, Z[0], 0), r"noise has shape \[8\]"),
    "NaN": (lambda s: sample(s, Z * np.nan, 0), "finite"),
    "labels of another count": (lambda s: sample(s, Z, [0, 1, 2]), "2 noise vectors and 3 labels"),
    "a class that is not there": (lambda s: sample(s, Z, 3), "Class 3 is not allowed; give numbers from 0 to 2"),
    "a negative class": (lambda s: one_hot(-1, 3), "Class -1 is not allowed"),
    "a class name": (lambda s: one_hot("Bag", 3), "must be a whole number"),
    "vectors of another size": (lambda s: sample(s, Z, np.ones((2, 4))), "have 4 numbers, and this model has 3"),
    "labels in a cube": (lambda s: sample(s, Z, np.ones((2, 3, 1))), r"Labels have shape \[2, 3, 1\]"),
    "no truncation": (lambda s: sample(s, Z, 0, truncation=0), "--truncation is 0"),
    "ends of two sizes": (lambda s: interpolate(Z, Z[:1], 3), r"A has shape \[2, 8\] and B \[1, 8\]"),
    "images of floats": (lambda s: imgrid(GREY.astype(float)), "give uint8"),
    "no column": (lambda s: imgrid(GREY, cols=0), "cols is 0"),
    "a picture in a cube": (lambda s: imshow(np.zeros((2, 2, 3, 3))), "cannot be sent as 'png'"),
    "another format": (lambda s: imshow(np.zeros((2, 2)), format="jpg2"), "cannot be sent as 'jpg2'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_sentence(name: str, sess: Pipeline) -> None:
    act, message = MISTAKES[name]
    with pytest.raises(UserError, match=message):
        act(sess)


def test_helpers_without_a_session_say_what_to_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "_sessions", [])
    with pytest.raises(ConfigError, match=r"call session\(biggan.load\(MODEL\)\) first"):
        truncated_z_sample(1)


@pytest.mark.parametrize("source", ["ours", "Hugging Face"])
def test_the_notebook_s_flow_runs(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_folder(tmp_path / "model") if source == "ours" else GOLDEN / "pretrained" / "tiny"
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(model), str(tmp_path / "out")])
    left = runpy.run_path(str(EXAMPLE))
    pixels = 32 if source == "ours" else 16
    with (
        Image.open(tmp_path / "out" / "samples.png") as sheet,
        Image.open(tmp_path / "out" / "interpolation.png") as way,
    ):
        assert sheet.size == way.size == (5 * pixels + 4, 2 * pixels + 1)
    assert left["ims"].shape[0] == 10
    assert len(EXAMPLE.read_text().splitlines()) <= 40
