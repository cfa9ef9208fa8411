"""Classes as people name them → mixes of class numbers → embedded classes c.

One grammar for the command line, Python and the recipe in a picture. Which names there are is the model's affair
(`models/bundle.py`), further names of the ImageNet classes are in `imagenet.py`, and what G does with c is
`models/network.py`'s.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral

import torch
from torch import Tensor

from biggan.errors import ConfigError, nearest
from biggan.models.network import Generator
from biggan.sampling import imagenet

MOST_CHOICES, FEW_CHOICES = 15, 12  # of the classes that a word may mean: all up to the first number, else the second


@dataclass(frozen=True, slots=True)
class ClassMix:
    """One class, or several in given shares; what a picture is asked to show."""

    label: str | None
    """Text that `parse_classes` reads back as this very mix; None in a model without classes."""
    shares: tuple[tuple[int, float], ...]
    """Pairs (class number, share), shares summing to 1; empty in a model without classes."""

    @property
    def numbers(self) -> str:
        """The same mix by class numbers alone, `"7"` or `"7:0.7,8:0.3"`."""
        if len(self.shares) == 1:
            return str(self.shares[0][0])
        return ",".join(f"{number}:{share:.3g}" for number, share in self.shares)


ClassLike = str | int | Mapping[str, float] | Mapping[int, float] | ClassMix
"""A name, a number, text with several (see `parse_classes`), a mix as names to weights, or one read before."""


def parse_classes(classes: ClassLike | Iterable[ClassLike] | None, class_names: Sequence[str]) -> list[ClassMix]:
    """Reads what a user asks for.

    Text is a list `"Ankle boot,Sneaker"` of names or numbers, case-blind, or `"all"`. With weights the list is one
    mix, `"Sneaker:0.7,Bag:0.3"`; mixes are set apart by semicolons, `"Sneaker:2,Bag:1;Coat"`. Weights may have any
    positive sum, by which they are divided; one below zero leads away from its class. A word that is a class's whole
    name means that class first, so names may hold commas, colons and digits; `#3` is class 3 whatever the names. In a
    model of the 1000 ImageNet classes all their names in WordNet will do, and their WordNet ids (`imagenet.find`); a
    name of two classes, such as crane, is the class of WordNet's more usual sense.

    Args:
        classes: None or `"all"` for every class in order; text, a number, `{"Sneaker": 0.7, "Bag": 0.3}`, or a list.
        class_names: The model's names by class number; empty for a model without classes.

    Returns:
        At least one mix; for a model without classes the one nameless mix.

    Raises:
        ConfigError: An unknown class (the nearest names are offered), a word for several, or that lies above or below
            ImageNet classes in WordNet (the choices are listed), or weights without a positive sum.
    """
    asked = "all" if classes is None else classes
    if not class_names and asked == "all":
        return [ClassMix(None, ())]
    items = list(asked) if isinstance(asked, Iterable) and not isinstance(asked, str | Mapping) else [asked]
    mixes = [mix for item in items for mix in _parse_item(item, class_names)]
    if not mixes:
        raise ConfigError("No class was asked for; give at least one, or all (--classes).")
    return mixes


def same(names: Sequence[str], class_names: Sequence[str]) -> list[int | None]:
    """Which class of a model each of other images' classes is, by name; None for one that the model has not.

    The very name goes before one that differs in case or spacing. ImageNet classes may have any of their names.
    """
    return [next(iter(_named(name, class_names)), None) for name in names]


@torch.no_grad()
def embed(G: Generator, mixes: Sequence[ClassMix]) -> Tensor:
    """Condition vectors c (len(mixes), D): each the sum of its classes' embeddings times their shares."""
    return torch.cat([_embed_one(G, mix) for mix in mixes])


def _embed_one(G: Generator, mix: ClassMix) -> Tensor:
    device = next(G.parameters()).device
    if not mix.shares:
        return G.embed(torch.zeros(1, dtype=torch.int64, device=device))
    numbers, shares = zip(*mix.shares, strict=True)
    embedded = G.embed(torch.tensor(numbers, device=device))
    return (embedded * torch.tensor(shares, device=device, dtype=embedded.dtype)[:, None]).sum(0, keepdim=True)


def _parse_item(item: ClassLike, names: Sequence[str]) -> list[ClassMix]:
    if isinstance(item, ClassMix):
        return [item]
    if isinstance(item, str):
        if item.strip().lower() == "all" and not _matches(item, names):
            return [_mix([(number, None)], names) for number in range(len(names))]
        return [mix for group in _groups(item, names) for mix in _mixes(group, names)]
    if isinstance(item, Mapping):
        terms = [(_number(word, names), _weight(word, weight)) for word, weight in item.items()]
        return [_mix(terms, names)]
    return [_mix([(_number(item, names), None)], names)]


_Term = tuple[int, float | None]  # class number, weight if one was written


def _groups(text: str, names: Sequence[str]) -> list[list[_Term]]:
    """The terms of a text, in groups that semicolons set apart."""
    parts = re.split("([,;])", text)  # word, separator, word, ...
    groups: list[list[_Term]] = [[]]
    start = 0
    while start < len(parts):
        term, used = _longest_term(parts[start:], names)
        groups[-1].append(term)
        start += used + 1
        if start <= len(parts) and parts[start - 1] == ";":
            groups.append([])
    return groups


def _longest_term(parts: Sequence[str], names: Sequence[str]) -> tuple[_Term, int]:
    """The term that takes most of the parts, since a name may hold separators; and how many parts it takes."""
    for used in range(min(_most_parts(tuple(names)), len(parts)), 0, -2):
        term = _term("".join(parts[:used]).strip(), names)
        if term is not None:
            return term, used
    return (_number(parts[0], names), None), 1


@lru_cache(maxsize=8)
def _most_parts(names: tuple[str, ...]) -> int:
    """How many words, and separators between them, a name may hold."""
    known = [*names, *imagenet.full_names()] if imagenet.is_imagenet(names) else names
    return 1 + 2 * max((len(re.findall("[,;]", name)) for name in known), default=0)


def _term(text: str, names: Sequence[str]) -> _Term | None:
    number = _find(text, names)
    if number is not None:
        return number, None
    word, colon, weight = text.rpartition(":")
    number = _find(word, names) if colon and not re.search("[,;]", weight) else None
    if number is None:
        return None
    return number, _weight(word, weight)


def _weight(word: str | int, weight: str | float) -> float:
    try:
        return float(weight)
    except (TypeError, ValueError):
        raise ConfigError(f"The weight of class {word!r} is {weight!r}; give a number.") from None


def _mixes(group: Sequence[_Term], names: Sequence[str]) -> list[ClassMix]:
    """A group of terms is one mix if it has weights, and else a mix for each term."""
    if all(weight is None for _, weight in group):
        return [_mix([term], names) for term in group]
    return [_mix(group, names)]


def _mix(terms: Sequence[_Term], names: Sequence[str]) -> ClassMix:
    if len(terms) == 1 and terms[0][1] is None:
        return ClassMix(_name(terms[0][0], names), ((terms[0][0], 1.0),))
    for number, weight in terms:
        if weight is None:
            name = names[number]
            raise ConfigError(f"Class {name!r} in a mix has no weight; write {name}:0.5, for example.")
    weights = [(number, weight) for number, weight in terms if weight is not None]
    total = sum(weight for _, weight in weights)
    if not 0 < total < math.inf or not all(math.isfinite(weight / total) for _, weight in weights):
        raise ConfigError(f"The weights of a mix sum to {total:g}; give finite weights with a sum above 0.")
    if len(weights) == 1:
        return _mix([(weights[0][0], None)], names)
    label = ",".join(f"{_name(number, names)}:{repr(weight).removesuffix('.0')}" for number, weight in weights)
    return ClassMix(label, tuple((number, weight / total) for number, weight in weights))


def _name(number: int, names: Sequence[str]) -> str:
    """The class's name where it means that class alone, and else its number as `#3`."""
    return names[number] if _matches(names[number].strip(), names) == [number] else f"#{number}"


def _number(word: str | int, names: Sequence[str]) -> int:
    if not names:
        raise ConfigError("This model has no classes to choose from; leave out the class.")
    numbers = f"a number from 0 to {len(names) - 1}"
    if not isinstance(word, str):  # an int of Python is never a name
        if isinstance(word, Integral) and 0 <= word < len(names):
            return int(word)
        raise ConfigError(f"Class {word!r} is not allowed; give a name or {numbers} (--classes).")
    number = _find(word, names)
    if number is None:
        raise ConfigError(_miss(re.sub(r":[-+.\s\d]*$", "", word).strip()[:80], names, numbers))
    return number


def _miss(given: str, names: Sequence[str], numbers: str) -> str:
    """What to say of a word that names no class."""
    if imagenet.is_imagenet(names):
        related, offer, names = imagenet.related(given), imagenet.near(given), imagenet.class_names()
        if related:
            return _several(given, related, names)
    else:
        offer = nearest(given, list(names))
    return f"There is no class {given!r}{offer or f'; give one of {_few(names)}, or {numbers} (--classes).'}"


def _find(word: str, names: Sequence[str]) -> int | None:
    """The number of the class that a word names, if any."""
    found = _named(word, names)
    if len(found) > 1:
        raise ConfigError(_several(word, found, names))
    if found:
        return found[0]
    digits = re.fullmatch("#?([0-9]{1,9})", word.strip())
    return int(digits[1]) if digits and int(digits[1]) < len(names) else None


def _named(word: str, names: Sequence[str]) -> list[int]:
    """Numbers of the classes of a name; of ImageNet's, of any of their names."""
    found = _matches(word, names)
    if not found and imagenet.is_imagenet(names):
        found = _matches(word, imagenet.class_names()) or imagenet.find(word)[:1]  # of two, WordNet's usual sense
    return found


def _several(word: str, numbers: Sequence[int], names: Sequence[str]) -> str:
    """What to say of a word that may mean several classes, or others than it names."""
    labels = [repr(name) for name in imagenet.class_names()] if imagenet.is_imagenet(names) else None
    shown = numbers if len(numbers) <= MOST_CHOICES else numbers[:FEW_CHOICES]
    *first, last = [labels[number] if labels else f"#{number}" for number in shown]
    if len(shown) < len(numbers):
        first, last = [*first, last], f"one of {len(numbers) - len(shown)} more"
    said = f"{', '.join(first)} or {last}" if first else last
    return f"Class {word.strip()!r} may be {said}; write the one that is meant."


def _matches(word: str, names: Sequence[str]) -> list[int]:
    """Numbers of the classes of that very name, or of that name but for case and spacing."""
    alike = _by_key(tuple(names)).get(_key(word), [])
    return [number for number in alike if names[number] == word] or alike


@lru_cache(maxsize=8)
def _by_key(names: tuple[str, ...]) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        numbers.setdefault(_key(name), []).append(number)
    return numbers


def _key(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
