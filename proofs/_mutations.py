"""Mutated models and settings for `fuzz.py`: from single bits to well-formed files that say something else."""

import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

NUMBERS = (0, -1, 1, 2, 3, 33, 64, 512, 4096, 65536, 10**7, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**30, 10**400)
FLOATS = (0.5, -0.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf"))
TEXTS = ("", "x", "x" * 5000, "../../etc/passwd", "\x00", "\x1b[2J", "\udc80", "__class__", "F64", "F16", "I64", "BF16")
ODD: tuple[object, ...] = (None, True, False, [], {}, [[]], [0] * 65, {"a": 1}, [["x"] * 3] * 3)

Mutated = tuple[str, bytes, str]
"""Name of the file, its content, and the kind of mutation."""


def anything(draw: random.Random) -> Any:
    """Some JSON value, likely a troublesome one."""
    return draw.choice(draw.choice((NUMBERS, FLOATS, TEXTS, ODD)))


def bytes_mutated(draw: random.Random, content: bytes, within: int) -> bytes:
    """A few bits, bytes or stretches of the first `within` bytes changed, removed, doubled, added or cut off."""
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        place = draw.randrange(min(within, len(content)) or 1)
        length = draw.choice((1, 1, 2, 8, 100))
        stretch = content[place : place + length]
        middle = draw.choice(
            (
                bytes(byte ^ 1 << draw.randrange(8) for byte in stretch[:1]) + stretch[1:],
                draw.randbytes(len(stretch)),
                b"",
                stretch * 2,
                draw.choice((b"\x00", b"\xff" * 8, b"[" * 5000, b"9" * 400, b'"', b"}", b",", b"1e999")) + stretch,
                stretch,
            )
        )
        content = content[:place] + middle + (content[place + length :] if draw.random() < 0.95 else b"")
    return content


def places(value: Any) -> list[tuple[Any, Any]]:
    """All (container, key) in a JSON value."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [place for key in keys for place in ((value, key), *places(value[key]))]


def values_mutated(draw: random.Random, value: Any) -> Any:
    """One or two values replaced, removed, moved or added."""
    for _ in range(draw.choice((1, 1, 2))):
        container, key = draw.choice(places(value))
        match draw.randrange(5):
            case 0 if isinstance(container, dict):
                container[draw.choice(TEXTS)] = anything(draw)
            case 1:
                del container[key]
            case 2:
                other, other_key = draw.choice(places(value))
                container[key], other[other_key] = json.loads(json.dumps([other[other_key], container[key]]))
            case _:
                container[key] = anything(draw)
    return value


def header_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header and data."""
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), content[start:]


def sealed(header: dict[str, Any], data: bytes) -> bytes:
    """A file of any header and data with the right checksum, as an attacker would make it."""
    if isinstance(header.get("__metadata__"), dict):
        header["__metadata__"]["sha256"] = "0" * 64
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    content = len(text).to_bytes(8, "little") + text + data
    return content.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode(), 1)


def resealed(draw: random.Random, content: bytes) -> bytes:
    """Values of the header, or the data, mutated and sealed again."""
    header, data = header_of(content)
    if draw.random() < 0.7:
        return sealed(values_mutated(draw, header), data)
    return sealed(header, bytes_mutated(draw, data, len(data)))


def mutated(draw: random.Random, case: int, originals: dict[str, bytes], settings: bytes) -> Mutated:
    """The case-th mutation: config text, config values, tensor bytes, sealed tensors or a run's settings in turn."""
    tensors = draw.choice(("model.safetensors", "discriminator.safetensors"))
    config, content = originals["config.json"], originals[tensors]
    header = 8 + int.from_bytes(content[:8], "little")
    kinds: tuple[Callable[[], Mutated], ...] = (
        lambda: ("config.json", bytes_mutated(draw, config, len(config)), "config text"),
        lambda: ("config.json", dumped(values_mutated(draw, json.loads(config))), "config values"),
        lambda: (tensors, bytes_mutated(draw, content, draw.choice((9, header, len(content)))), "raw tensors"),
        lambda: (tensors, resealed(draw, content), "sealed tensors"),
        lambda: ("run.json", bytes_mutated(draw, settings, len(settings)), "settings text"),
        lambda: ("run.json", dumped(values_mutated(draw, json.loads(settings))), "settings values"),
    )
    return kinds[case % len(kinds)]()


def dumped(value: Any) -> bytes:
    """JSON, with the NaN and Infinity that Python's reader admits."""
    return json.dumps(value).encode()
