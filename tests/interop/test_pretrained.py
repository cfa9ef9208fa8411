"""The functions of pytorch-pretrained-biggan under their names: its numbers, bit for bit where it draws no pictures."""

import copy
import json
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import GOLDEN
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_models import MODEL, make_folder
from torch import Tensor

from biggan.errors import ConfigError, ModelError
from biggan.interop.pretrained import (
    BigGAN,
    BigGANConfig,
    convert_to_images,
    one_hot_from_int,
    one_hot_from_names,
    save_as_images,
    truncated_noise_sample,
)
from biggan.models.bundle import load_bundle

PRETRAINED = GOLDEN / "pretrained"
TINY, LAYOUT128 = PRETRAINED / "tiny", PRETRAINED / "layout128_ch4"
EXAMPLE = Path(__file__).parents[2] / "examples" / "pretrained_biggan.py"
ASKED = json.loads((GOLDEN / "imagenet" / "one_hot_from_names.json").read_text())["single"]


def stored(path: Path) -> dict[str, Tensor]:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


CASE = stored(TINY / "io.npz")


@pytest.mark.parametrize("truncation", [0.2, 0.43, 0.3, 1.0])
def test_a_model_draws_what_the_package_draws(truncation):
    for rule, name in (("reversed", "out"), ("linear", "natural")):
        model = BigGAN.from_pretrained(TINY, interpolation=rule)
        assert not model.training
        with torch.no_grad():
            x = model(CASE["z"] * truncation, CASE["y"], truncation=truncation)
        torch.testing.assert_close(x, CASE[f"{name}_t{truncation}"], atol=1e-4, rtol=0)


def test_every_kind_of_number_is_a_truncation_and_each_call_takes_its_own():
    model = BigGAN.from_pretrained(str(TINY))
    with torch.no_grad():
        first, other, again = (model(CASE["z"], CASE["y"], t) for t in (0.2, torch.tensor(1.0), np.float64(0.2)))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_training_mode_changes_nothing_unless_drift_is_asked_for():
    model = BigGAN.from_pretrained(TINY)
    before = copy.deepcopy(model.state_dict())
    x = model(CASE["z"], CASE["y"], 0.4)
    assert torch.equal(model.train()(CASE["z"], CASE["y"], 0.4), x)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items() if "stored" not in name)


def test_drift_is_the_package_s_training_mode(tmp_path):
    pairs = load_file(TINY / "unconverged_uv.safetensors")
    save_file({**load_file(TINY / "model.safetensors"), **pairs}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((TINY / "config.json").read_text())
    model = BigGAN.from_pretrained(tmp_path, drift=True)
    assert model.training
    with torch.no_grad():
        drawn = {"uv_eval": model.eval()(CASE["z"] * 0.2, CASE["y"], 0.2)}
        model.train()
        drawn |= {f"uv_train_call{n}": model(CASE["z"] * 0.2, CASE["y"], 0.2) for n in (1, 2)}
        drawn["uv_eval_after"] = model.eval()(CASE["z"] * 0.2, CASE["y"], 0.2)
    for name, x in drawn.items():
        torch.testing.assert_close(x, CASE[name], atol=1e-4, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_code_that_goes_round_the_forward_finds_its_parts():
    model = BigGAN.from_pretrained(TINY)
    assert (model.config.z_dim, model.config.num_classes) == (16, 10)
    with torch.no_grad():
        cond_vector = torch.cat((CASE["z"], model.embeddings(CASE["y"])), dim=1)
        assert torch.equal(model.generator(cond_vector, 0.2), model(CASE["z"], CASE["y"], 0.2))


def test_gradients_reach_noise_and_classes():
    model = BigGAN.from_pretrained(TINY)
    z, y = CASE["z"].clone().requires_grad_(), CASE["y"].clone().requires_grad_()
    model(z, y, 0.5).square().mean().backward()
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in (z, y))


def test_a_config_alone_makes_a_network_with_fresh_weights():
    config = BigGANConfig.from_json_file(TINY / "config.json")
    with torch.no_grad():
        x = BigGAN(config)(CASE["z"], CASE["y"], 0.5)
    assert x.shape == (3, 3, 16, 16)
    assert x.isfinite().all()
    with pytest.raises(ConfigError, match="eps is 2; allowed is"):
        BigGAN(replace(config, eps=2))


def test_a_model_of_ours_is_called_the_same_way(tmp_path):
    folder = make_folder(tmp_path, replace(MODEL, image_channels=3))
    model, bundle = BigGAN.from_pretrained(folder), load_bundle(folder)
    z, y = torch.randn(2, MODEL.dim_z), torch.tensor([2, 0])
    bundle.G.use_statistics(bundle.statistics.row(truncation=0.5))
    with torch.no_grad():
        assert torch.equal(model(z, torch.eye(3)[y], 0.5), bundle.G(z, bundle.G.embed(y)))


MISTAKES = {
    "no truncation": ({"truncation": 0}, "truncation is 0; allowed is above 0 and up to 1"),
    "too high a truncation": ({"truncation": 1.1}, "truncation is 1.1; allowed"),
    "a truncation that is none": ({"truncation": float("nan")}, "truncation is nan"),
    "a word": ({"truncation": "low"}, "truncation is 'low'; give a number"),
    "labels": ({"class_label": torch.tensor([1, 2, 3])}, "The class vector holds int64; give floats, as one_hot"),
    "an array": ({"z": CASE["z"].numpy()}, "The noise vector is a ndarray; give a tensor, as torch.from_numpy"),
    "other dimensions": ({"z": torch.zeros(3, 128)}, r"The noise vector has the shape \[3, 128\]; .* \[N, 16\]"),
    "other classes": ({"class_label": torch.zeros(3, 1000)}, r"shape \[3, 1000\]; this model needs \[N, 10\]"),
    "other counts": ({"z": torch.zeros(2, 16)}, "2 noise vectors and 3 class vectors; give equal counts"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_a_model_cannot_draw_is_said_in_one_sentence(name):
    changes, message = MISTAKES[name]
    model = BigGAN.from_pretrained(TINY)
    with pytest.raises(ConfigError, match=message):
        model(**({"z": CASE["z"], "class_label": CASE["y"], "truncation": 0.5} | changes))


def test_a_folder_that_is_none_and_a_rule_that_is_none_are_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no generator of pytorch-pretrained-biggan"):
        BigGAN.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"no folder 'biggan-deep-64'; .* biggan-deep-128, biggan-deep-256"):
        BigGAN.from_pretrained("biggan-deep-64")
    with pytest.raises(ConfigError, match="interpolation is 'cubic'; allowed is linear or reversed"):
        BigGAN.from_pretrained(TINY, interpolation="cubic")


@pytest.mark.parametrize("name", stored(PRETRAINED / "truncated_noise.npz"))
def test_noise_is_the_package_s_bit_for_bit(name):
    expected = stored(PRETRAINED / "truncated_noise.npz")[name].numpy()
    seed, truncation, batch_size, dim_z = re.fullmatch(r"seed(\d+)_t([\d.]+)_b(\d+)_d(\d+)", name).groups()
    z = truncated_noise_sample(int(batch_size), int(dim_z), float(truncation), int(seed))
    assert z.dtype == np.float32
    assert np.array_equal(z, expected)


def test_noise_without_a_seed_goes_on_with_numpy_s_random_state():
    np.random.seed(7)
    first, second = truncated_noise_sample(2, 8), truncated_noise_sample(2, 8)
    assert np.array_equal(np.concatenate([first, second]), truncated_noise_sample(4, 8, seed=7))
    with pytest.raises(ConfigError, match="seed is -1; allowed is 0 to"):
        truncated_noise_sample(seed=-1)


def test_pictures_have_the_package_s_bytes():
    case = stored(PRETRAINED / "image_bytes.npz")
    for name in ("edge", "rand"):
        images = np.stack([np.asarray(image) for image in convert_to_images(case[f"{name}_in"])])
        assert np.array_equal(images, case[f"{name}_bytes"].numpy().reshape(images.shape))
        assert np.array_equal(images, np.stack(convert_to_images(case[f"{name}_in"].numpy())))


def test_grey_images_and_those_with_gradients_become_pictures():
    (image,) = convert_to_images(torch.zeros(1, 1, 4, 4, requires_grad=True))
    assert (image.mode, image.getpixel((0, 0))) == ("L", 128)
    assert convert_to_images(torch.zeros(1, 4, 4, 4, dtype=torch.bfloat16))[0].mode == "RGBA"


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(3, 4, 4), r"float32 of shape \[3, 4, 4\]"),
        (torch.zeros(1, 5, 4, 4), "1 to 4 channels"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "must be floats.* are uint8"),
        (torch.full((1, 3, 4, 4), float("nan")), "NaN"),
    ],
)
def test_what_is_no_images_is_refused(x, message):
    with pytest.raises(ConfigError, match=message):
        convert_to_images(x)


def test_saved_pictures_are_numbered(tmp_path):
    save_as_images(torch.tensor([-1.0, 0.0]).view(2, 1, 1, 1).expand(2, 3, 2, 2), str(tmp_path / "drawn"))
    pixels = []
    for number in range(2):
        with Image.open(tmp_path / f"drawn_{number}.png") as image:
            pixels.append(image.getpixel((0, 0)))
    assert pixels == [(0, 0, 0), (128, 128, 128)]


def test_numbers_become_class_vectors():
    assert np.array_equal(one_hot_from_int(3, 2), np.eye(1000, dtype=np.float32)[[3, 3]])
    assert np.array_equal(one_hot_from_int([0, np.int64(999)], 2), np.eye(1000, dtype=np.float32)[[0, 999]])


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([1, 2], "2 classes were given for batch_size 3; give one, or 3"),
        (-1, "Class -1 is not allowed; give numbers from 0 to 999"),
        (1000, "Class 1000"),
        (True, "Class True"),
        (["cat"], "Class 'cat'"),
    ],
)
def test_numbers_of_no_class_are_refused(numbers, message):
    with pytest.raises(ConfigError, match=message):
        one_hot_from_int(numbers, 3)


def test_names_of_classes_mean_what_they_mean_in_the_package_and_others_are_refused():
    for name, row in ASKED.items():
        if row["how"] == "direct":
            assert one_hot_from_names(name).argmax() == row["id"], name
    for name in ("soap bubble", "coffee", "turtle", "person", "qwertyuiop"):
        assert ASKED[name]["how"] != "direct"
        with pytest.raises(ConfigError, match=r"[Cc]lass"):
            one_hot_from_names(name)


def test_names_are_repeated_or_each_give_a_vector():
    assert one_hot_from_names("daisy", batch_size=2).argmax(1).tolist() == [985, 985]
    assert one_hot_from_names(["tench", "daisy"]).argmax(1).tolist() == [0, 985]
    assert one_hot_from_names("n01440764").argmax() == 0
    with pytest.raises(ConfigError, match="'dog' may be 'dalmatian'"):
        one_hot_from_names(["tench", "dog"])
    with pytest.raises(ConfigError, match="2 classes were given for batch_size 4"):
        one_hot_from_names(["tench", "daisy"], batch_size=4)


def test_the_quick_start_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(LAYOUT128)])
    np.random.seed(3)
    runpy.run_path(str(EXAMPLE))
    np.random.seed(3)
    z = torch.from_numpy(truncated_noise_sample(3, truncation=0.4))
    with torch.no_grad():
        x = BigGAN.from_pretrained(LAYOUT128)(z, torch.from_numpy(one_hot_from_int([971, 967, 947], 3)), 0.4)
    for number, expected in enumerate(convert_to_images(x)):
        with Image.open(tmp_path / f"output_{number}.png") as image:
            assert image.size == (128, 128)
            assert np.array_equal(np.asarray(image), np.asarray(expected))
    assert np.asarray(expected).std() > 10
