"""Presets as words of a command: what `as_flags` says, `biggan train` takes for the same settings."""

import json
from dataclasses import replace

import pytest

from biggan import presets
from biggan.cli.main import main
from biggan.config import PLAIN, Config
from biggan.config_json import from_json


def understood(flags: list[str], capsys: pytest.CaptureFixture[str]) -> Config:
    """The settings that the command line makes of flags."""
    assert main(["train", "--data", "fashion-mnist", *flags, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    return from_json(Config, json.JSONDecoder().raw_decode(printed, printed.index("{"))[0])


TINY, DEEP = presets.tiny(), presets.cpu_deep()
CONFIGS = {
    "a preset": TINY,
    "another width": replace(TINY, model=replace(TINY.model, g_widths=(), g_channels=6, hierarchical_z=False)),
    "no attention": replace(TINY, model=replace(TINY.model, g_attention=(16,), d_attention=())),
    "listed blocks": replace(DEEP, model=replace(DEEP.model, g_blocks=("64", "64up", "32up", "16up"))),
    "no microbatch": replace(presets.sagan(), train=replace(presets.sagan().train, microbatch=None)),
}


@pytest.mark.parametrize("name", ["a preset", "another width", "no attention", "listed blocks"])
def test_flags_ask_for_the_very_settings(name, capsys):
    config = CONFIGS[name]
    found = understood([*presets.as_flags(config), "--precision", "float32"], capsys)
    model = replace(config.model, num_classes=10, image_channels=1)
    train = replace(config.train, precision="float32")
    assert found == replace(config, model=model, augment=PLAIN, train=train)  # enough images to choose nothing


@pytest.mark.parametrize(
    ("flags", "saves", "sheets"),
    [
        ([], 32_000, 16_000),
        (["--total-images", "20000"], 2_500, 2_500),
        (["--total-images", "400"], 2_000, 2_000),
        (["--total-images", "400", "--total-images=160000"], 20_000, 16_000),
        (["--total-images", "20000", "--save-images", "30000"], 30_000, 2_500),
        (["--total-images", "20000000"], 32_000, 16_000),
    ],
)
def test_a_shorter_run_is_saved_and_drawn_more_often(flags, saves, sheets, capsys):
    train = understood(flags, capsys).train
    assert (train.save_images, train.sheet_images) == (saves, sheets)


def test_a_preset_whose_value_cannot_be_unsaid_is_not_chosen():
    flags = presets.as_flags(CONFIGS["no microbatch"])
    assert flags[1] != "sagan"
    assert "None" not in flags
