"""10,000 mutated checkpoints of other people's: each is refused in one sentence, or loads as what it is.

A torch zip carries a checksum for each of its entries, so no flipped bit in it goes unseen. The older stream and
safetensors carry none: a bit flipped within a number is another number, and such files are counted apart. The
mutations are in `_foreign.py`.
"""

import hashlib
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import _foreign
import _report
import torch
from _foreign import Subject
from fuzz import MOST_GROWTH, Peak
from torch import Tensor

from biggan.errors import UserError
from biggan.interop.imported import Imported

CASES = 10_000
BAD = ("CRASH", "NOT ONE SENTENCE", "NOTHING NAMED", "UNSEEN")


def seen(imported: Imported) -> tuple[Any, ...]:
    """All that an import says: first what numbers cannot change, then the numbers."""
    bundle = imported.bundle
    networks = {"G": bundle.G.state_dict(), **({"D": bundle.D.state_dict()} if bundle.D else {})}
    tensors = {"statistics": bundle.statistics.to_tensors(), **networks, **imported.trained}
    shapes = {(part, name): tuple(t.shape) for part, group in tensors.items() for name, t in group.items()}
    fixed = bundle.G.config, bundle.class_names, imported.notes, imported.config, imported.iterations, shapes
    return repr(fixed), digest(tensors)


def digest(tensors: dict[str, dict[str, Tensor]]) -> str:
    sha = hashlib.sha256()
    for group in tensors.values():
        for tensor in group.values():
            sha.update(tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()


def outcome(subject: Subject, kind: str, before: tuple[Any, ...]) -> str:
    """What came of a mutated file; one in capitals must not happen."""
    try:
        imported = subject.load(subject.folder)
    except UserError as error:
        said = str(error)
        if "\n" in said or len(said) > 1000 or said[-1:] not in (".", "?"):
            return f"NOT ONE SENTENCE {said[:200]!r}"
        names = [path.name for path in subject.folder.iterdir()]
        return "refused" if any(name in said for name in names) else f"NOTHING NAMED {said[:200]!r}"
    except Exception as error:  # what must not happen
        return f"CRASH {type(error).__name__}: {str(error)[:200]}"
    if any("passed over" in note for note in imported.notes):
        return "record said to be unreadable and passed over"
    after = seen(imported)
    if after == before:
        return "loaded the same"
    if kind != "bytes" or subject.format == "json":
        return "loaded as the valid file that it became" if kind != "tensors" else "WRONG TENSORS UNSEEN"
    if subject.format == "zip" or after[0] != before[0]:
        return "DAMAGE UNSEEN"
    return "loaded with another number (the format has no checksum)"


def fuzz(root: Path, cases: int) -> dict[str, object]:
    """Tries all mutations in turn over all subjects; figures of what came of them."""
    draw, outcomes = random.Random(0), Counter[str]()
    subjects = _foreign.subjects(root)
    originals = {subject.name: subject.file.read_bytes() for subject in subjects}
    before = {subject.name: seen(subject.load(subject.folder)) for subject in subjects}
    with Peak() as clean:
        for subject in subjects:
            subject.load(subject.folder)
    growth, slowest = 0.0, 0.0
    for case in range(cases):
        subject = subjects[case % len(subjects)]
        content, kind = _foreign.mutated(draw, subject, originals[subject.name])
        began = time.monotonic()
        with Peak() as peak:
            subject.file.write_bytes(content)
            result = outcome(subject, kind, before[subject.name])
        subject.file.write_bytes(originals[subject.name])
        growth, slowest = max(growth, peak.growth), max(slowest, time.monotonic() - began)
        outcomes[result] += 1
        outcomes[f"of {subject.name}: {result}"] += 1
    bad = {text: count for text, count in outcomes.items() if any(word in text for word in BAD)}
    return {
        "mutated files": cases,
        **{text: count for text, count in sorted(outcomes.items()) if not text.startswith("of ") and text not in bad},
        **{text: count for text, count in sorted(outcomes.items()) if text.startswith("of ") and text not in bad},
        "crashes, sentences that name nothing, or unseen damage": bad or 0,
        "size of the largest file, MiB": round(max(map(len, originals.values())) / 2**20, 2),
        "memory while loading the undamaged ones, MiB": round(clean.growth, 1),
        "memory while loading a mutated one, at most, MiB": round(growth, 1),
        "slowest case, seconds": round(slowest, 2),
        "ok": not bad and growth < clean.growth + MOST_GROWTH,
    }


def main() -> None:
    """Fuzzes, reports."""
    torch.set_num_threads(1)
    root = Path(tempfile.mkdtemp(prefix="biggan-foreign-"))
    figures = fuzz(root, int(sys.argv[1]) if len(sys.argv) > 1 else CASES)
    shutil.rmtree(root)
    ok = bool(figures.pop("ok"))
    _report.write(
        "foreign",
        "Other people's checkpoints are refused in one sentence, or loaded as what they are",
        "Tiny checkpoints in the layouts of BigGAN-PyTorch (zip, stream, safetensors; a generator alone and a whole "
        "save with D, an optimizer and `state_dict.pth`) and of pytorch-pretrained-biggan (zip, safetensors, config) "
        "were mutated and imported in one process, whose peak memory was read after each. Bytes were flipped, cut, "
        "doubled and replaced; zips were made again with a mutated pickle or storage and good checksums; headers and "
        "configs were given other values; and well-made files were given a missing, unknown, misshapen, non-finite "
        "tensor or one of another type. A sentence counts only if it names the file or one beside it that does not "
        "fit. A file that was made again with good checksums, or a config, can become another valid one, and is then "
        "loaded as that. The zip has checksums, so damage to it is always seen. The stream and safetensors have none: "
        "a flipped bit within a number that stays finite cannot be told from another number, and is counted apart; "
        "names, shapes and settings were unchanged in all of these.",
        figures,
    )
    sys.exit(not ok)


if __name__ == "__main__":
    main()
