"""What a user writes means the classes that bear those names, and a label means the mix that it came from."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import MODEL, UNCONDITIONAL

from biggan.errors import ConfigError
from biggan.models.build import build
from biggan.sampling import imagenet
from biggan.sampling.classes import ClassLike, embed, parse_classes

IMAGENET = {
    "ours": imagenet.class_names(),
    "published": imagenet.full_names(),
    "ids": json.loads((Path(__file__).parents[1] / "golden" / "imagenet" / "imagenet_wnids.json").read_text())["wnids"],
}
NAMES = ["T-shirt/top", "Ankle boot", "Sneaker", "Bag", "7", "tench, Tinca tinca", "A: one", "a;b", "Bag:0.5x"]


def shares(classes: ClassLike | Sequence[ClassLike] | None, names: Sequence[str] = NAMES) -> list[dict[int, float]]:
    return [dict(mix.shares) for mix in parse_classes(classes, names)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Ankle boot,Sneaker", [1, 2]),
        ("  ankle   BOOT , sneaker ", [1, 2]),
        ("3", [3]),
        ("7", [4]),  # a class of that name goes before a class of that number
        ("#7", [7]),
        ("8,0", [8, 0]),
        ("tench, Tinca tinca", [5]),
        ("Bag,tench, tinca tinca,Bag", [3, 5, 3]),
        ("A: one;a;b;Sneaker", [6, 7, 2]),
        ("Bag:1;2", [3, 2]),
        ("bag:0.5X", [8]),
    ],
)
def test_a_list_of_names_and_numbers_is_one_mix_each(text: str, numbers: list[int]) -> None:
    assert shares(text) == [{number: 1.0} for number in numbers]


def test_all_and_none_are_every_class_in_order_unless_a_class_is_called_all() -> None:
    every = [{number: 1.0} for number in range(len(NAMES))]
    assert shares("All") == shares(None) == every
    assert shares("all", ["none", "All"]) == [{1: 1.0}]


def test_weights_make_a_mix_and_semicolons_part_mixes() -> None:
    assert shares("Sneaker:3,bag:1") == [{2: 0.75, 3: 0.25}]
    assert shares("Sneaker:0.7,Bag:0.3;7,Bag;tench, Tinca tinca:1,A: one:1") == [
        {2: 0.7, 3: 0.3},
        {4: 1.0},
        {3: 1.0},
        {5: 0.5, 6: 0.5},
    ]
    assert shares("Sneaker:5") == [{2: 1.0}]


def test_python_takes_texts_numbers_mixes_and_lists_of_them() -> None:
    assert shares(2) == shares("Sneaker") == shares({"sneaker": 2.0}) == shares({2: 1}) == [{2: 1.0}]
    assert shares([7, "Bag", {"Bag": 1.5, 2: 0.5}]) == [{7: 1.0}, {3: 1.0}, {3: 0.75, 2: 0.25}]
    assert shares(parse_classes("Bag;Sneaker:1,7:2", NAMES)) == shares("Bag;Sneaker:1,7:2")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("Sneker", "did you mean 'Sneaker'"),
        ("ankleboot,Bag", "did you mean 'Ankle boot'"),
        ("xyz", "give one of T-shirt/top"),
        ("99", "a number from 0 to 8"),
        ("", "There is no class ''"),
        ("Bag,", "There is no class ''"),
        ("Sneker:0.5,Bag:0.5", "There is no class 'Sneker'; did you mean 'Sneaker'"),
        (9, "a number from 0 to 8"),
        (-1, "a number from 0 to 8"),
        (1.5, "a number from 0 to 8"),
        ([], "No class was asked for"),
        ("Bag:x,Sneaker:1", "give a number"),
        ("Bag:1,Sneaker", "has no weight"),
        ("Bag:1,Sneaker:-1", "sum above 0"),
        ("Bag:0", "sum above 0"),
        ("Bag:nan,Sneaker:1", "sum above 0"),
        ("Bag:inf,Sneaker:1", "sum above 0"),
        ("Bag:1e308,Sneaker:1e308", "sum above 0"),
        ({"Bag": None}, "give a number"),
        ({}, "sum above 0"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(asked: ClassLike, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_classes(asked, NAMES)


def test_names_that_differ_in_case_alone_are_told_apart_or_asked_about() -> None:
    assert shares("cat,Cat", ["cat", "Cat"]) == [{0: 1.0}, {1: 1.0}]
    with pytest.raises(ConfigError, match="#0 or #1"):
        parse_classes("CAT", ["cat", "Cat"])
    same = parse_classes("all", ["cat", "cat"])
    assert [mix.label for mix in same] == ["#0", "#1"]
    assert shares("#1,1", ["cat", "cat"]) == [{1: 1.0}, {1: 1.0}]


def test_a_model_without_classes_has_one_nameless_mix() -> None:
    assert parse_classes(None, []) == parse_classes("all", [])
    assert parse_classes(None, [])[0].label is None
    with pytest.raises(ConfigError, match="no classes"):
        parse_classes("Bag", [])


words = st.text(st.sampled_from("aB1,;: .é"), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None)
@given(st.lists(words, min_size=1, max_size=5))
def test_the_label_of_a_class_is_read_back_whatever_its_name(names: list[str]) -> None:
    for number, mix in enumerate(parse_classes(None, names)):
        assert mix.shares == ((number, 1.0),)
        assert parse_classes(mix.label, names) == [mix]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=4))
def test_the_label_of_a_mix_is_read_back_to_the_last_bit(weights: list[float]) -> None:
    names = ["Bag", "Ankle boot", "tench, Tinca tinca", "A: one"]
    [mix] = parse_classes(dict(enumerate(weights)), names)
    assert parse_classes(mix.label, names) == [mix]


@pytest.mark.parametrize("names", IMAGENET.values(), ids=IMAGENET)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tabby", [{281: 1.0}]),
        ("Golden Retriever,n01440764", [{207: 1.0}, {0: 1.0}]),
        ("tabby:0.75,lion:0.25", [{281: 0.75, 291: 0.25}]),
        (
            "tench, Tinca tinca:1,tiger cats:1;great white shark, white shark,7",
            [{0: 0.5, 282: 0.5}, {2: 1}, {2: 1}, {7: 1}],
        ),
        ("great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias", [{2: 1.0}]),
        ("projectile, missile", [{744: 1.0}]),
        ("missile,harp,polecat,kite", [{657: 1.0}, {594: 1.0}, {358: 1.0}, {21: 1.0}]),
        ("panda,lesser panda", [{388: 1.0}, {387: 1.0}]),
        ("Crane (wading bird):3,crane (lifting device):1", [{134: 0.75, 517: 0.25}]),
        ("t-shirt,T shirt,tee_shirt,N03595614,610,#610", [{610: 1.0}] * 6),
    ],
)
def test_imagenet_classes_go_by_every_name_id_and_number(
    text: str, expected: list[dict[int, float]], names: list[str]
) -> None:
    assert shares(text, names) == expected


@pytest.mark.parametrize("names", IMAGENET.values(), ids=IMAGENET)
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("tabby:1,Coffee:2", "Class 'Coffee' may be 'espresso'; write the one that is meant."),
        ("coffees", "Class 'coffees' may be 'espresso'; write the one that is meant."),
        ("soap bubble", "Class 'soap bubble' may be 'bubble'; write the one that is meant."),
        ("Great White", "There is no class 'Great White'; did you mean 'great white heron' or 'great white shark'?"),
        ("labrador", "There is no class 'labrador'; did you mean 'Labrador retriever'?"),
        ("tabbby", "There is no class 'tabbby'; did you mean 'tabby' or 'tabby cat' or 'tray'?"),
        (
            "turtle",
            "Class 'turtle' may be 'mud turtle', 'terrapin', 'box turtle', 'loggerhead', 'leatherback turtle' or "
            "'jersey'; write the one that is meant.",
        ),
        (
            "tabby,DOG",
            "Class 'DOG' may be 'dalmatian', 'basenji', 'pug', 'Leonberg', 'Newfoundland', 'Great Pyrenees', "
            "'Mexican hairless', 'Chihuahua', 'Japanese spaniel', 'Maltese dog', 'Pekinese', 'Shih-Tzu' or one of "
            "106 more; write the one that is meant.",
        ),
        (
            "1000",
            "There is no class '1000'; give one of tench, goldfish, great white shark, tiger shark, hammerhead, "
            "electric ray, stingray, cock, hen, ostrich, brambling, goldfinch, …, or a number from 0 to 999 "
            "(--classes).",
        ),
    ],
)
def test_what_may_be_several_imagenet_classes_or_none_is_refused_with_the_choices(
    asked: str, message: str, names: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_classes(asked, names)
    assert str(refused.value) == message


@pytest.mark.parametrize("asked", ["n01440764", "tabby", "dog"])
def test_only_a_model_of_all_thousand_classes_knows_their_other_names(asked: str) -> None:
    with pytest.raises(ConfigError, match="There is no class"):
        parse_classes(asked, IMAGENET["ours"][:10])


@pytest.mark.parametrize("names", IMAGENET.values(), ids=IMAGENET)
def test_the_labels_of_imagenet_classes_and_mixes_are_read_back(names: list[str]) -> None:
    every = parse_classes("all", names)
    assert [mix.shares for mix in every] == [((number, 1.0),) for number in range(1000)]
    assert [parse_classes(mix.label, names) for mix in every] == [[mix] for mix in every]
    for number in range(1000):
        [mix] = parse_classes({number: 0.3, (number + 1) % 1000: 0.7}, names)
        assert parse_classes(mix.label, names) == [mix]


def test_the_embedding_of_a_mix_is_the_weighted_sum_of_its_classes() -> None:
    G = build(MODEL)[0]
    a, b = G.embed(torch.tensor([0, 2]))
    mixes = parse_classes(["0:1,2:3", 0, {2: 1.0}], ["x", "y", "z"])
    torch.testing.assert_close(embed(G, mixes), torch.stack([0.25 * a + 0.75 * b, a, b]))
    torch.testing.assert_close(embed(G, mixes)[1], a, rtol=0, atol=0)


def test_without_classes_the_embedding_is_empty() -> None:
    assert embed(build(UNCONDITIONAL)[0], parse_classes(None, [])).shape == (1, 0)
