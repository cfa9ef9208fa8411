"""Prompts are read as they are written, and become what a scorer sees."""

from pathlib import Path

import pytest
import torch
from perceptors import ColourScorer
from PIL import Image

from biggan.editing.goal import Prompt, Request, make_goal, parse_prompts, to_rgb
from biggan.errors import ConfigError

READ = {
    "a red car": [("a red car", 1)],
    "a red car:2": [("a red car", 2)],
    "a red car:2 | at night": [("a red car", 2), ("at night", 1)],
    "dinner: fish|0.5 litres:.5": [("dinner: fish", 1), ("0.5 litres", 0.5)],
    "a clock at 3:30:1": [("a clock at 3:30", 1)],
    "a clock at 3:30": [("a clock at 3", 30)],
    "a : b : 1e-1": [("a : b", 0.1)],
}


@pytest.mark.parametrize("text", READ)
def test_prompts_are_read(text: str) -> None:
    prompts = parse_prompts(text)
    assert prompts == [Prompt(words, weight) for words, weight in READ[text]]
    assert parse_prompts(" | ".join(map(str, prompts))) == prompts


MISTAKES = {
    "": "A text in --penalise is empty",
    "red|": "A text in --penalise is empty",
    ":2": "A text in --penalise is empty",
    "red:0": "weight of 'red' in --penalise is 0",
    "red:-1": "weight of 'red' in --penalise is -1",
    "red:inf": "weight of 'red' in --penalise is inf",
    "red:nan": "weight of 'red' in --penalise is nan",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_what_is_no_prompt_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=MISTAKES[text]):
        parse_prompts(text, "--penalise")


def test_a_request_has_something_to_come_near_to() -> None:
    with pytest.raises(ConfigError, match="nothing to imagine"):
        Request(penalised=(Prompt("red"),))
    with pytest.raises(ConfigError, match="--image-weight is 0"):
        Request(prompts=(Prompt("red"),), image_weight=0)


def test_a_goal_has_the_scorers_vectors_and_signed_weights(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (255, 0, 128)).save(tmp_path / "pink.png")
    request = Request(
        prompts=(Prompt("red", 2), Prompt("blue")),
        penalised=(Prompt("green", 3),),
        image=tmp_path / "pink.png",
        image_weight=0.5,
    )
    goal = make_goal(ColourScorer(), request)
    assert goal.weights.tolist() == [2, 1, -3, 0.5]
    torch.testing.assert_close(goal.vectors[:3], ColourScorer().encode_text(["red", "blue", "green"]))
    torch.testing.assert_close(goal.vectors[3], torch.tensor([1.0, -1.0, 2 * 128 / 255 - 1]))


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_an_image_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ConfigError, match=r"--image .*x.png .*; give a picture\.$"):
        make_goal(ColourScorer(), Request(image=tmp_path / "x.png"))


def test_images_of_any_channels_become_rgb() -> None:
    grey = torch.full((1, 1, 2, 2), 0.2)
    assert torch.equal(to_rgb(grey), torch.full((1, 3, 2, 2), 0.6))
    colour = torch.rand(1, 3, 2, 2) * 2 - 1
    assert torch.equal(to_rgb(colour), (colour + 1) / 2)
    clear, solid = -torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    for image in (grey, colour):
        torch.testing.assert_close(to_rgb(torch.cat([image, clear], 1)), torch.ones(1, 3, 2, 2))
        torch.testing.assert_close(to_rgb(torch.cat([image, solid], 1)), to_rgb(image))


def test_whole_pictures_are_scored_by_their_weighted_cosines() -> None:
    goal = make_goal(ColourScorer(), Request(prompts=(Prompt("red", 2),), penalised=(Prompt("blue"),)))
    x = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[:, :, None, None].expand(2, 3, 32, 32)
    torch.testing.assert_close(goal.scores(goal.encode_whole(x)), torch.tensor([2 + 1 / 3, -2 / 3 - 1]))
    cuts = torch.tensor([[[16, 0, 0], [20, 3, 4]]]).expand(2, -1, -1)
    torch.testing.assert_close(goal.similarities(x, cuts, "nearest")[:, 0], torch.tensor([1, -1 / 3]))
