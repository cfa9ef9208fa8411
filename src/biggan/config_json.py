"""Settings to JSON and back, strictly: an unknown field or a wrong type is an error that names it."""

import dataclasses
import math
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from biggan.errors import ConfigError, nearest

Config_ = TypeVar("Config_")


def to_json(value: Any) -> Any:
    """A config dataclass (or any part of it) as plain JSON values; tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return [to_json(item) for item in value] if isinstance(value, tuple | list) else value


def from_json(kind: type[Config_], values: object, where: str = "config") -> Config_:
    """Makes a config dataclass from JSON values, strictly.

    Args:
        kind: The dataclass to make.
        values: What `json.loads` gave.
        where: Name of the file or field, for messages.

    Raises:
        ConfigError: Not an object, an unknown field (the nearest is offered), a missing one, a wrong type, or a bad
            value.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be a JSON object, and is {type(values).__name__}.")
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise ConfigError(f"{where} has an unknown field {str(name)[:80]!r}{nearest(str(name)[:80], list(hints))}.")
    for each in dataclasses.fields(kind):  # type: ignore[arg-type]
        if each.default is each.default_factory is dataclasses.MISSING and each.name not in values:
            raise ConfigError(f"{where} lacks the field {each.name!r}.")
    return kind(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def _convert(hint: Any, value: object, where: str) -> Any:
    """One JSON value as the type that a field declares."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, value, where)
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _convert(next(arg for arg in args if arg is not type(None)), value, where)
    if origin is Literal:
        if isinstance(value, str) and value in args:
            return value
        raise ConfigError(f"{where} is {str(value)[:80]!r}; allowed is {', '.join(args)}.")
    if origin is tuple and isinstance(value, list) and len(value) <= 128:
        return tuple(_convert(args[0], item, where) for item in value)
    if hint is float and type(value) in (int, float):
        return _finite(value, where)
    if type(value) is hint and not (isinstance(value, int) and abs(value) >= 2**63):
        return value
    raise ConfigError(f"{where} must be of type {getattr(hint, '__name__', hint)}, and is {str(value)[:80]!r}.")


def _finite(value: Any, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(f"{where} must be a finite number, and is {str(value)[:80]}.")
    return number
