"""ImageNet classes answer to all their names in WordNet; the golden look-ups are those of pytorch-pretrained-biggan."""

import json
from pathlib import Path
from typing import Any

import pytest

from biggan.errors import ConfigError
from biggan.sampling import imagenet
from biggan.sampling.classes import parse_classes
from biggan.sampling.imagenet import class_names, find, full_names, is_imagenet, near, related

GOLDEN = Path(__file__).parents[1] / "golden" / "imagenet"
WNIDS: list[str] = json.loads((GOLDEN / "imagenet_wnids.json").read_text())["wnids"]
ASKED: dict[str, dict[str, Any]] = json.loads((GOLDEN / "one_hot_from_names.json").read_text())["single"]
DIRECT = {word: row for word, row in ASKED.items() if row["how"] == "direct"}
NEIGHBOURS = {word: row["id"] for word, row in ASKED.items() if row["how"] == "hyper/hyponym"}
UNKNOWN = [word for word, row in ASKED.items() if row["id"] is None and word not in WNIDS]


def test_the_golden_list_is_read_whole() -> None:
    assert (len(DIRECT), len(NEIGHBOURS), len(UNKNOWN)) == (123, 45, 21)


@pytest.mark.parametrize("word", DIRECT)
def test_a_name_finds_its_class_with_the_sense_that_the_package_takes_first(word: str) -> None:
    number = DIRECT[word]["id"]
    assert find(word)[0] == number
    assert find(DIRECT[word]["wnid"]) == [number]
    assert full_names()[number] == DIRECT[word]["label"]


@pytest.mark.parametrize("word", DIRECT)
def test_a_user_who_writes_a_name_gets_its_class(word: str) -> None:
    [mix] = parse_classes(word, class_names())
    assert mix.shares == ((DIRECT[word]["id"], 1.0),)


@pytest.mark.parametrize("word", NEIGHBOURS)
def test_a_word_above_or_below_classes_lists_them_the_package_s_own_choice_among_them(word: str) -> None:
    assert find(word) == []
    assert NEIGHBOURS[word] in related(word)
    with pytest.raises(ConfigError, match="may be") as refused:
        parse_classes(word, class_names())
    assert repr(class_names()[NEIGHBOURS[word]]) in str(refused.value)


@pytest.mark.parametrize("word", UNKNOWN)
def test_a_word_without_a_class_is_refused(word: str) -> None:
    assert find(word) == []
    with pytest.raises(ConfigError):
        parse_classes(word, class_names())


def test_every_wordnet_id_is_its_class_in_the_order_of_the_numbers() -> None:
    assert [find(wnid) for wnid in WNIDS] == [[number] for number in range(1000)]


def test_every_class_has_a_label_of_its_own_which_means_it() -> None:
    labels = class_names()
    assert len({label.casefold() for label in labels}) == 1000
    assert not any(set(label) & set(",;:#") for label in labels)
    assert [mix.shares[0][0] for label in labels for mix in parse_classes(label, labels)] == list(range(1000))
    assert (labels[134], labels[517]) == ("crane (wading bird)", "crane (lifting device)")


def test_every_synonym_finds_its_class() -> None:
    names = [(name, number) for number, text in enumerate(full_names()) for name in text.split(", ")]
    assert len(names) == 1860
    assert all(number in find(name) and number in find(name.upper().replace(" ", "_")) for name, number in names)
    assert len({name.lower() for name, _ in names if len(find(name)) > 1}) == 19


@pytest.mark.parametrize(
    ("word", "label"),
    [
        ("  GOLDEN   retrievers ", "golden retriever"),
        ("shih tzu", "Shih-Tzu"),
        ("jack o lantern", "jack-o'-lantern"),
        ("carpenter\N{RIGHT SINGLE QUOTATION MARK}s plane", "plane"),
        ("strawberries", "strawberry"),
        ("geese", "goose"),
        ("mice", "mouse"),
        ("wine_bottles", "wine bottle"),
        ("sunglasses", "sunglasses"),
        ("sunglass", "sunglass"),
    ],
)
def test_case_spacing_hyphens_apostrophes_and_plurals_do_not_matter(word: str, label: str) -> None:
    assert [class_names()[number] for number in find(word)] == [label]


def test_related_classes_are_all_that_wordnet_has_below_a_word_or_else_above_it() -> None:
    assert sorted(related("dog")) == list(range(151, 269)) == sorted(related("n02084071"))
    assert sorted(related("birds")) == [*range(7, 25), *range(80, 101), *range(127, 147)]
    assert sorted(related("entity")) == list(range(1000))
    assert related("Etna") == find("volcano")
    assert related("cat")[:5] == [281, 282, 283, 284, 285]  # tabby to Egyptian cat go before the big cats
    assert related("turtle")[-1] == find("jersey")[0]  # a turtle is a turtleneck too; what is below goes first
    assert related("tabby") == related("kitten") == related("") == []


def test_a_miss_offers_names_that_hold_the_word_and_else_names_spelt_like_it() -> None:
    assert near("shepherd") == "; did you mean 'German shepherd'?"
    assert near("goldn retriver").startswith("; did you mean 'golden retriever' or ")
    assert near("qwertyuiop") == near("") == ""


def test_a_model_is_of_imagenet_if_its_names_are_the_classes_in_their_order() -> None:
    assert all(is_imagenet(names) for names in (class_names(), full_names(), WNIDS))
    swapped = [class_names()[1], class_names()[0], *class_names()[2:]]
    others = [f"class {number}" for number in range(1000)]
    assert not any(is_imagenet(names) for names in ([], class_names()[:999], swapped, others))


def test_a_model_of_other_classes_reads_no_imagenet_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(imagenet, "FOLDER", tmp_path / "nowhere")
    imagenet._wordnet.cache_clear()
    assert parse_classes("Bag", ["Coat", "Bag"])[0].shares == ((1, 1.0),)
    with pytest.raises(FileNotFoundError):
        class_names()


def test_the_licence_of_wordnet_goes_with_the_data() -> None:
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in (imagenet.FOLDER / "LICENSE-wordnet").read_text()
