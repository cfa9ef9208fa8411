"""Makes the names of the 1000 ImageNet classes that ship in the package, from WordNet 3.0.

    python tools/imagenet_names.py DICT WNIDS src/biggan/sampling/wordnet

DICT is WordNet's own folder of `data.noun`, `index.noun` and `noun.exc` (Debian: package `wordnet-base`, folder
`/usr/share/wordnet`). WNIDS is any text with the 1000 WordNet ids in the order of their class numbers
(`tests/golden/imagenet/imagenet_wnids.json`). The same files always give the same bytes:

- `nouns.tsv`: a row for each synset that is a class, or lies above or below one: its id, its class number or `-`, the
  ids of its hypernyms that have rows (classes of and instances of alike), and its lemmas as WordNet spells them. Among
  the senses of a lemma, `~3` says that this one is WordNet's third; the first goes without.
- `plurals.tsv`: irregular plurals of those lemmas, each with its singulars.
- `LICENSE-wordnet`: WordNet's licence, which must go with them.
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

UP, DOWN = ("@", "@i"), ("~", "~i")  # WordNet's signs for hypernyms and hyponyms, of kinds and of instances


@dataclass
class Synset:
    """What a line of `data.noun` says, by the offsets that WordNet uses for ids."""

    lemmas: list[str]
    above: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)


def read_synsets(path: Path) -> dict[str, Synset]:
    return dict(parse_synset(line) for line in path.read_text("latin-1").splitlines() if not line.startswith("  "))


def parse_synset(line: str) -> tuple[str, Synset]:
    """The layout is that of the manual page wndb(5)."""
    words = line.split(" | ")[0].split()
    pointers = 4 + 2 * int(words[3], 16)
    synset = Synset(words[4:pointers:2])
    for i in range(pointers + 1, pointers + 1 + 4 * int(words[pointers]), 4):
        sign, offset = words[i], words[i + 1]
        if sign in UP:
            synset.above.append(offset)
        elif sign in DOWN:
            synset.below.append(offset)
    return words[0], synset


def read_senses(path: Path) -> dict[str, list[str]]:
    """The synsets of each lemma in lower case, most usual first."""
    lines = [line.split() for line in path.read_text("latin-1").splitlines() if not line.startswith("  ")]
    return {words[0]: words[-int(words[2]) :] for words in lines}


def reach(starts: list[str], synsets: dict[str, Synset], way: str) -> set[str]:
    """All that lies above or below the starts, which are not in it."""
    reached: set[str] = set()
    waiting = list(starts)
    while waiting:
        for offset in getattr(synsets[waiting.pop()], way):
            if offset not in reached:
                reached.add(offset)
                waiting.append(offset)
    return reached


def row(offset: str, number: str, synset: Synset, kept: set[str], senses: dict[str, list[str]]) -> str:
    above = " ".join(f"n{other}" for other in synset.above if other in kept)
    ranks = [senses[lemma.lower()].index(offset) + 1 for lemma in synset.lemmas]
    lemmas = [lemma if rank == 1 else f"{lemma}~{rank}" for lemma, rank in zip(synset.lemmas, ranks, strict=True)]
    return "\t".join([f"n{offset}", number, above, " ".join(lemmas)])


def plurals(path: Path, known: set[str]) -> list[str]:
    """Lines of `noun.exc` whose singulars are known, without those that are not."""
    rows = []
    for line in path.read_text("latin-1").splitlines():
        plural, *singulars = line.split()
        singulars = [word for word in singulars if word in known and word != plural]
        if singulars:
            rows.append(f"{plural}\t{' '.join(singulars)}")
    return rows


def licence(path: Path) -> str:
    """The licence that heads every file of WordNet, without its line numbers."""
    head = [line for line in path.read_text("latin-1").splitlines() if line.startswith("  ")]
    return "".join(f"{line.lstrip().partition(' ')[2].rstrip()}\n" for line in head)


def write(path: Path, rows: list[str]) -> None:
    path.write_text("".join(f"{row}\n" for row in rows))


def main(source: Path, wnids: Path, out: Path) -> None:
    synsets, senses = read_synsets(source / "data.noun"), read_senses(source / "index.noun")
    classes = re.findall(r"\bn([0-9]{8})\b", wnids.read_text())
    numbers = {offset: str(number) for number, offset in enumerate(classes)}
    kept = {*classes} | reach(classes, synsets, "above") | reach(classes, synsets, "below")
    rows = [row(offset, numbers.get(offset, "-"), synsets[offset], kept, senses) for offset in sorted(kept)]
    known = {lemma.lower() for offset in kept for lemma in synsets[offset].lemmas}
    out.mkdir(parents=True, exist_ok=True)
    write(out / "nouns.tsv", rows)
    write(out / "plurals.tsv", plurals(source / "noun.exc", known))
    (out / "LICENSE-wordnet").write_text(licence(source / "data.noun"))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
