"""What `state_dict.pth` says of networks and training."""

from dataclasses import replace

import pytest
import torch
from checkpoints import CONFIG, TINY, load, networks, put, refusal
from crafted import endless, framed, text
from torch import nn

from biggan.interop.brock.record import written


def test_settings_that_no_shape_shows_come_from_the_record(tmp_path):
    config = {**CONFIG, "norm_style": "in", "num_G_SV_itrs": 2, "G_init": "N02"}
    imported = load(put(tmp_path, {"G_ema": networks()["G"], "state_dict": {"itr": 9, "config": config}}))
    model = imported.bundle.G.config
    seen = model.norm_eps, model.output_norm_eps, model.sn_eps, model.norm, model.num_power_iterations, model.init
    assert seen == (1e-3, 1e-5, 1e-8, "instance", 2, "N02")
    assert imported.iterations == 9
    assert not [note for note in imported.notes if "epsilon" in note or "taken" in note]


@pytest.mark.parametrize(
    ("name", "activation"),
    [("G_nl", "leaky"), ("D_nl", "ir"), ("G_activation", nn.SELU()), ("D_activation", nn.ReLU6())],
)
def test_another_activation_is_refused(tmp_path, name, activation):
    said = refusal(
        put(tmp_path, {"G": networks()["G"], "state_dict": {"itr": 1, "config": {**CONFIG, name: activation}}})
    )
    assert f"state_dict.pth says that {name} is" in said
    assert said.endswith("only networks with ReLU can be read.")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"itr": 1}, "records no config"),
        ([1], "records no config"),
        ({"config": torch.Size([1])}, "state_dict.pth asks to run 'torch.Size', which is never done"),
    ],
)
def test_a_record_that_says_nothing_is_said_and_passed_over(tmp_path, value, words):
    imported = load(put(tmp_path, {**networks(), "state_dict": value}))
    (note,) = [note for note in imported.notes if "passed over" in note]
    assert words in note
    assert imported.config == {}


def test_settings_of_training_come_by_our_names(tmp_path):
    config = {**CONFIG, "G_lr": 1e-4, "D_lr": 4e-4, "G_B1": 0.0, "D_B1": 0.0, "G_B2": 0.999, "D_B2": 0.9}
    config |= {"adam_eps": 1e-6, "batch_size": 256, "num_D_accumulations": 8, "num_D_steps": 1, "ema_start": 20000}
    config |= {"ema_decay": 0.9999, "G_ortho": 1e-4, "D_ortho": 0.0, "seed": 3}
    imported = load(put(tmp_path, {**networks(), "state_dict": {"itr": 4, "config": config}}))
    assert imported.config == {
        "lr_g": 1e-4,
        "lr_d": 4e-4,
        "adam_eps": 1e-6,
        "d_steps": 1,
        "ema_decay": 0.9999,
        "ema_start": 20000,
        "ortho_g": 1e-4,
        "ortho_d": 0.0,
        "ortho_kind": "reference",
        "seed": 3,
        "beta1": 0.0,
        "batch_size": 2048,
        "microbatch": 256,
    }


def test_settings_that_are_no_numbers_are_passed_over(tmp_path):
    config = {**CONFIG, "BN_eps": "1e-4", "G_lr": "x", "D_lr": float("nan"), "seed": True, "num_D_steps": 2.0}
    imported = load(put(tmp_path, {**networks(), "state_dict": {"itr": -1, "config": config}}))
    assert imported.config == {"d_steps": 2}
    assert isinstance(imported.config["d_steps"], int)
    assert imported.iterations == 0
    assert "The epsilon of batch norm is taken to be 1e-05." in imported.notes


@pytest.mark.parametrize("value", [endless(), b"]" * 100_000 + b"a" * 99_999], ids=["endless", "deep"])
def test_what_is_no_text_is_never_shown(tmp_path, value):
    """A few hundred bytes could fill the memory."""
    for name in ("G_nl", "G_init", "BN_eps", "norm_style", "z_var"):
        place = put(tmp_path, networks())
        opcodes = b"\x80\x02}" + text("config") + b"}" + text(name) + value + b"ss."
        (place / "state_dict.pth").write_bytes(framed(opcodes))
        if name == "G_nl":
            assert "state_dict.pth says that G_nl is a list; only networks with ReLU" in refusal(place)
        else:
            assert load(place).config == {}


@pytest.mark.parametrize("name", ["BN_eps", "resolution", "seed", "batch_size"])
def test_a_number_that_no_float_holds_is_said_and_passed_over(tmp_path, name):
    place = put(tmp_path, {**networks(), "state_dict": {"itr": 1, "config": {name: 10**400}}})
    (note,) = [note for note in load(place).notes if "passed over" in note]
    assert "a whole number has more than 80 bits" in note
    place = put(tmp_path, {"state_dict": {"itr": 1, "config": {"D_lr": 2**79, "G_lr": float("-inf")}}})
    assert load(place).config == {}


def test_another_variance_of_z_is_said(tmp_path):
    for variance, notes in (
        (0.25, ["state_dict.pth says that z_var is 0.25; here pictures are drawn from N(0, 1)."]),
        (1.0, []),
    ):
        place = put(tmp_path, {**networks(), "state_dict": {"itr": 1, "config": {**CONFIG, "z_var": variance}}})
        assert [note for note in load(place).notes if "z_var" in note] == notes


@pytest.mark.parametrize(
    ("normed", "says"), [("both", "SN"), ("generator", "SN"), ("discriminator", "none"), ("none", "none")]
)
def test_the_record_says_whether_G_has_spectral_norm(normed, says):
    config = written(replace(TINY, spectral_norm=normed), 5, 0)["config"]
    assert isinstance(config, dict)
    assert config["G_param"] == says
