"""The 1000 ImageNet classes by every name that WordNet 3.0 has for them, and the words above and below them.

Case, hyphens, underscores, apostrophes and spacing of a word do not matter, and a plural means its singular. The data
(`wordnet/`, made by `tools/imagenet_names.py`) is read when it is first asked for. Not here: text that asks for several
classes, and the choice among several (`classes.py`).
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from biggan.errors import nearest

FOLDER = Path(__file__).parent / "wordnet"
"""The data and WordNet's licence."""
NUM_CLASSES = 1000
ENDINGS = [("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z")]
ENDINGS += [("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")]
"""Plural endings with those of the singular: WordNet's rules for nouns (manual page morphy(7))."""
_SAME = str.maketrans("_-", "  ", "'\N{RIGHT SINGLE QUOTATION MARK}")  # what does not matter in a word


def class_names() -> list[str]:
    """A name for each class by number, no two alike: WordNet's first, `"tench"`.

    Where two classes share it the word above tells them apart, `"crane (lifting device)"` and `"crane (wading bird)"`.
    """
    return list(_wordnet().labels)


def full_names() -> list[str]:
    """All names of each class in one text, as they are often published: `"tench, Tinca tinca"`. Two are `"crane"`."""
    return [", ".join(names) for names in _wordnet().names]


def is_imagenet(names: Sequence[str]) -> bool:
    """Whether a model's class names are the 1000 in their order, each a name or the WordNet id of its class."""
    return len(names) == NUM_CLASSES and _are_classes(tuple(names))


def find(word: str) -> list[int]:
    """Numbers of the classes that bear a name, WordNet id, or text of `class_names` or `full_names`.

    Several for an ambiguous name, in the order of WordNet's senses: the first is the one that the function
    `one_hot_from_names` of pytorch-pretrained-biggan takes. Empty if no class is called so.
    """
    known = _wordnet()
    for form in _forms(word):
        found = [known.numbers[synset] for synset in known.senses.get(form, []) if synset in known.numbers]
        if found:
            return found
    return []


def related(word: str) -> list[int]:
    """Numbers of the classes below a word (`"dog"`), and then of those above it (`"Etna"`).

    The word's senses in WordNet's order, and in each sense the nearest classes first. A word's own classes, which
    `find` gives, are not counted. Empty if WordNet knows no such classes.
    """
    known = _wordnet()
    senses = [synset for form in _forms(word) for synset in known.senses.get(form, []) if synset not in known.numbers]
    below = [number for synset in senses for number in _reached(synset, known.below)]
    above = [number for synset in senses for number in _reached(synset, known.above)]
    return list(dict.fromkeys(below + above))


def near(word: str) -> str:
    """The names that hold a word, else those spelt like it, as `"; did you mean 'Labrador retriever'?"`, or nothing."""
    words = set(_key(word).split())
    names = sorted((len(name), name, number) for number, names in enumerate(_wordnet().names) for name in names)
    holding: dict[int, str] = {}
    for _, name, number in names:
        if words and words <= set(_key(name).split()):
            holding.setdefault(number, name)
    if holding:
        return f"; did you mean {' or '.join(repr(name) for name in list(holding.values())[:3])}?"
    return nearest(word, [name for _, name, _ in names])


@dataclass(frozen=True, slots=True)
class _WordNet:
    """The part of WordNet that the classes reach; synsets by their ids, words by `_key`."""

    names: list[list[str]]  # of each class
    labels: list[str]  # of each class
    numbers: dict[str, int]  # synset -> class
    senses: dict[str, list[str]]  # word -> synsets, most usual first
    above: dict[str, list[str]]  # synset -> hypernyms
    below: dict[str, list[str]]  # synset -> hyponyms
    plurals: dict[str, list[str]]  # irregular plural -> singulars


@cache
def _wordnet() -> _WordNet:
    rows = [line.split("\t") for line in (FOLDER / "nouns.tsv").read_text("utf-8").splitlines()]
    above = {synset: parents.split() for synset, _, parents, _ in rows}
    below = defaultdict(list)
    for synset, parents in above.items():
        for parent in parents:
            below[parent].append(synset)
    spelt = {synset: [_spelling(lemma) for lemma in lemmas.split()] for synset, _, _, lemmas in rows}
    numbers = {synset: int(number) for synset, number, _, _ in rows if number != "-"}
    classes = sorted(numbers, key=numbers.__getitem__)
    names = [spelt[synset] for synset in classes]
    labels = _labels(names, [spelt[above[synset][0]][0] for synset in classes])
    senses = _senses(rows)
    for synset, label, all_names in zip(classes, labels, names, strict=True):
        senses.setdefault(_key(label), [synset])
        senses.setdefault(_key(", ".join(all_names)), [synset])
    pairs = [line.split("\t") for line in (FOLDER / "plurals.tsv").read_text("utf-8").splitlines()]
    plurals = {_key(plural): [_key(word) for word in singulars.split()] for plural, singulars in pairs}
    return _WordNet(names, labels, numbers, senses, above, dict(below), plurals)


def _senses(rows: list[list[str]]) -> dict[str, list[str]]:
    """The synsets of each word and of each WordNet id; `crane~5` in a row says that it is the fifth sense."""
    ranked: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for synset, _, _, lemmas in rows:
        ranked[synset].append((1, synset))
        for lemma in lemmas.split():
            ranked[_key(_spelling(lemma))].append((int(lemma.partition("~")[2] or 1), synset))
    return {word: list(dict.fromkeys(synset for _, synset in sorted(senses))) for word, senses in ranked.items()}


def _labels(names: list[list[str]], above: list[str]) -> list[str]:
    counts = Counter(_key(first) for first, *_ in names)
    return [
        first if counts[_key(first)] == 1 else f"{first} ({parent})"
        for (first, *_), parent in zip(names, above, strict=True)
    ]


@lru_cache(maxsize=8)
def _are_classes(names: tuple[str, ...]) -> bool:
    return all(number in find(name) for number, name in enumerate(names))


def _reached(synset: str, links: dict[str, list[str]]) -> list[int]:
    """Classes that links lead to from a synset, nearest first, without repeats."""
    numbers, found, level = _wordnet().numbers, [], [synset]
    while level:
        level = sorted({other for each in level for other in links.get(each, [])})
        found += [numbers[each] for each in level if each in numbers]
    return list(dict.fromkeys(found))


def _forms(word: str) -> list[str]:
    """A word as it is looked up: itself, then what it may be the plural of."""
    key = _key(word)
    regular = [key.removesuffix(plural) + singular for plural, singular in ENDINGS if key.endswith(plural)]
    return [key, *_wordnet().plurals.get(key, regular)]


def _spelling(lemma: str) -> str:
    return lemma.partition("~")[0].replace("_", " ")


def _key(word: str) -> str:
    plain = unicodedata.normalize("NFC", word).casefold().translate(_SAME)
    return " ".join(plain.split())
