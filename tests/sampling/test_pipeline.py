"""What users call draws what they asked for, and says how to draw it again."""

import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_models import MODEL, NAMES, UNCONDITIONAL, make_folder, make_pipeline

from biggan import __version__, latents
from biggan.errors import ConfigError, ModelError
from biggan.opening import load
from biggan.sampling.pipeline import Pipeline
from biggan.sampling.recipe import read_recipe
from biggan.sampling.sampler import to_bytes


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return make_pipeline()


def test_a_call_draws_images_of_each_class_with_rising_seeds(pipe: Pipeline) -> None:
    drawn = pipe(["Ankle boot", "bag"], num_images=3, truncation=0.5, seed=7)
    assert drawn.labels == ["Ankle boot"] * 3 + ["Bag"] * 3
    assert drawn.seeds == [7, 8, 9] * 2
    assert [image.size for image in drawn.images] == [(32, 32)] * 6
    assert [image.tobytes() for image in drawn.images] == [to_bytes(x).numpy().tobytes() for x in drawn.x]
    for label, seed, x in zip(drawn.labels, drawn.seeds, drawn.x, strict=True):
        torch.testing.assert_close(pipe(label, truncation=0.5, seed=seed).x[0], x, rtol=0, atol=0)


def test_without_classes_it_draws_one_of_each_and_truncation_none() -> None:
    pipe = make_pipeline()
    drawn = pipe()
    assert drawn.labels == NAMES
    assert drawn.seeds == [0, 0, 0]
    with torch.no_grad():
        expected = pipe.generator(latents.draw([0] * 3, 8), pipe.generator.embed(torch.arange(3)))
    torch.testing.assert_close(drawn.x, expected, rtol=1e-4, atol=1e-5)


def test_a_model_without_classes_draws_nameless_images() -> None:
    pipe = make_pipeline(UNCONDITIONAL)
    drawn = pipe(num_images=2)
    assert drawn.labels == ["", ""]
    assert drawn.names == ["image_0000.png", "image_0001.png"]
    assert drawn.images[0].mode == "RGB"
    assert not torch.equal(drawn.x[0], drawn.x[1])


def test_a_pipeline_says_what_it_is_and_holds_its_parts(pipe: Pipeline, tmp_path: Path) -> None:
    assert "32 px L, 3 classes" in repr(pipe)
    assert "no classes" in repr(make_pipeline(UNCONDITIONAL))
    assert str(tmp_path / "m") in repr(load(make_folder(tmp_path / "m")))
    assert pipe.class_names == NAMES
    assert pipe.config == MODEL
    assert pipe.discriminator is not None
    assert pipe.discriminator(pipe().x, torch.arange(3)).shape == (3, 1)
    assert "2 images" in repr(pipe("Bag", num_images=2))


def test_a_notebook_shows_a_result_as_its_sheet(pipe: Pipeline) -> None:
    drawn = pipe(num_images=2)
    with Image.open(io.BytesIO(drawn._repr_png_())) as shown:
        assert shown.tobytes() == drawn.sheet().tobytes()


def test_every_picture_carries_its_recipe(pipe: Pipeline, tmp_path: Path) -> None:
    drawn = pipe("Bag;Bag:0.7,Ankle boot:0.3", threshold=1.5, seed=11)
    paths = drawn.save(tmp_path)
    assert [path.name for path in paths] == ["Bag_0011.png", "Bag-0.7-Ankle-boot-0.3_0011.png"]
    for path, image, recipe in zip(paths, drawn.images, drawn.recipes, strict=True):
        assert read_recipe(path) == recipe
        assert json.loads(image.info["biggan"])["class"] == recipe.mix
        assert (recipe.seed, recipe.truncation, recipe.threshold) == (11, None, 1.5)
        assert (recipe.biggan, recipe.torch, recipe.precision) == (__version__, torch.__version__, "float32")


def test_a_picture_is_drawn_again_byte_for_byte_in_another_session(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    asked = {"classes": "Bag:0.7,Ankle boot:0.3;2;T-shirt/top", "truncation": 0.3, "num_images": 3}
    paths = load(folder)(**asked, seed=4).save(tmp_path / "a")  # type: ignore[arg-type]
    slow = load(folder).to(precision="bfloat16", batch_size=3)
    paths += slow(**asked).save(tmp_path / "b")  # type: ignore[arg-type]
    again = load(folder)
    for path in paths:
        [copy] = again.like(path).save(tmp_path / "again")
        assert copy.read_bytes() == path.read_bytes()
    assert again.sampler.precision == "float32"
    assert again.sampler.batch_size == 16


def test_a_picture_of_another_model_is_refused(tmp_path: Path) -> None:
    [path] = load(make_folder(tmp_path / "m", seed=0))("Bag").save(tmp_path)
    with pytest.raises(ModelError, match="drawn by another model"):
        load(make_folder(tmp_path / "n", seed=1)).like(path)


def test_the_ends_of_an_interpolation_are_the_pictures_themselves(pipe: Pipeline) -> None:
    way = pipe.interpolate(["Bag", "Ankle boot"], [3, 8], steps=5, truncation=0.5)
    ends = [pipe("Bag", seed=3, truncation=0.5), pipe("Ankle boot", seed=8, truncation=0.5)]
    assert way.x.shape == (5, 1, 32, 32)
    assert [way.images[0].tobytes(), way.images[-1].tobytes()] == [end.images[0].tobytes() for end in ends]
    back = pipe.interpolate(["Ankle boot", "Bag"], [8, 3], steps=5, truncation=0.5)
    torch.testing.assert_close(back.x.flip(0), way.x, rtol=1e-3, atol=1e-4)


def test_an_interpolation_is_spherical_in_z_and_linear_in_the_class(pipe: Pipeline) -> None:
    way = pipe.interpolate(["Bag", "Ankle boot"], [3, 8], steps=3)
    a, b = latents.draw([3, 8], 8)
    c = pipe.generator.embed(torch.tensor([1, 2])).mean(0)
    middle = pipe.sampler.render(latents.slerp(a, b, 0.5)[None], c[None])
    torch.testing.assert_close(way.x[1:2], middle, rtol=1e-4, atol=1e-5)


def test_keypoints_make_rows_and_a_loop_returns(pipe: Pipeline) -> None:
    way = pipe.interpolate("all", [0], steps=4, loop=True)
    assert len(way.images) == 3 * 4
    assert way.columns == 4
    for row in range(3):
        torch.testing.assert_close(way.x[4 * row + 3], way.x[4 * (row + 1) % 12], rtol=0, atol=0)
    assert len(way.frames()) == 3 * 3
    assert len(pipe.interpolate("all", [0], steps=4).frames()) == 2 * 3 + 1
    assert len(make_pipeline(UNCONDITIONAL).interpolate(seeds=[1, 2, 3], steps=2).images) == 4


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.GIF"])
def test_an_interpolation_is_saved_by_its_ending(pipe: Pipeline, tmp_path: Path, name: str) -> None:
    way = pipe.interpolate("Bag", [1, 2], steps=3)
    way.save(tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.format == name[2:].upper()
        assert getattr(image, "n_frames", 1) == (1 if name == "a.png" else 3)
    with pytest.raises(ConfigError, match="rename it"):
        way.save(tmp_path / "a.mp4")


def test_a_truncation_curve_has_a_row_for_each_value_with_the_same_seeds(pipe: Pipeline) -> None:
    curve = pipe.truncation_curve([0.1, 1.0], "Bag", [5, 6])
    assert curve.row_labels == ["truncation 0.1", "truncation 1"]
    for row, value in enumerate([0.1, 1.0]):
        expected = pipe("Bag", num_images=2, truncation=value, seed=5).x
        torch.testing.assert_close(curve.x[2 * row : 2 * row + 2], expected, rtol=0, atol=0)
    by_threshold = pipe.truncation_curve([0.5], "Bag;Ankle boot", [5], by="threshold")
    torch.testing.assert_close(by_threshold.x[1], pipe("Ankle boot", threshold=0.5, seed=5).x[0], rtol=0, atol=0)
    assert by_threshold.row_labels == ["Bag, threshold 0.5", "Ankle boot, threshold 0.5"]


def test_classes_the_font_cannot_write_are_shown_by_number() -> None:
    pipe = make_pipeline(names=["日本", "Ж", "ok"])
    assert pipe().row_labels == ["class 0", "class 1", "ok"]
    assert pipe().labels == ["日本", "Ж", "ok"]


def test_asking_for_nothing_or_for_too_little_is_refused(pipe: Pipeline) -> None:
    with pytest.raises(ConfigError, match="num_images is 0"):
        pipe(num_images=0)
    with pytest.raises(ConfigError, match="two ends"):
        pipe.interpolate("Bag", [1])
    with pytest.raises(ConfigError, match="do not pair up"):
        pipe.interpolate("Bag;Ankle boot", [1, 2, 3])
    with pytest.raises(ConfigError, match="--steps is 1"):
        pipe.interpolate("Bag", [1, 2], steps=1)
    with pytest.raises(ConfigError, match="nothing to draw"):
        pipe.truncation_curve([], "Bag")
