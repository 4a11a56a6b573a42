"""Converts parsed JSON to a dataclass; values that do not have a field's type are refused.

Whether the values make sense is checked by the dataclass itself, in `__post_init__`.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class MismatchError(ValueError):
    """A value does not have the type of its field."""


def read_as(kind: type[T], content: Any, place: str) -> T:
    """`content` as an instance of the dataclass `kind`.

    Fields may be strings, booleans, whole and finite numbers, literals, tuples, mappings from
    strings, unions with None, `Any`, and dataclasses of such.

    Args:
        kind: a dataclass.
        content: what `json.loads` returned.
        place: what `content` is, for messages, such as "contract".

    Raises:
        MismatchError: a field is missing, unknown, or of another type.
    """
    if not isinstance(content, Mapping):
        raise MismatchError(f"{place} is {_shown(content)}, not an object")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(map(str, set(content) - set(fields)))
    if unknown:
        raise MismatchError(f"{place} has an unknown field, '{unknown[0][:80]}'")
    missing = [name for name, field in fields.items() if name not in content and _needed(field)]
    if missing:
        raise MismatchError(f"{place} has no field '{missing[0]}'")
    types = get_type_hints(kind)
    return kind(
        **{name: _read(types[name], value, f"{place}.{name}") for name, value in content.items()}
    )


def _needed(field: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _read(kind: Any, value: Any, place: str) -> Any:
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return read_as(kind, value, place)  # type: ignore[arg-type]
    read = _READERS.get(get_origin(kind) or kind)
    if read is None:
        raise TypeError(f"{place} is declared as {kind}, which no JSON is read as")
    return read(kind, value, place)


def _text(kind: Any, value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise MismatchError(f"{place} is {_shown(value)}, not a string")
    return value


def _truth(kind: Any, value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise MismatchError(f"{place} is {_shown(value)}, not true or false")
    return value


def _whole(kind: Any, value: Any, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise MismatchError(f"{place} is {_shown(value)}, not a whole number")
    if abs(value) >= 2**63:
        raise MismatchError(f"{place} is a number of more than 64 bits")
    return value


def _number(kind: Any, value: Any, place: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise MismatchError(f"{place} is {_shown(value)}, not a number")
    if isinstance(value, int):
        value = _whole(int, value, place)
    if not math.isfinite(value):
        raise MismatchError(f"{place} is {value}, not a finite number")
    return float(value)


def _literal(kind: Any, value: Any, place: str) -> Any:
    choices = get_args(kind)
    if not isinstance(value, str) or value not in choices:
        raise MismatchError(
            f"{place} is {_shown(value)}, not one of {', '.join(map(repr, choices))}"
        )
    return value


def _tuple(kind: Any, value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise MismatchError(f"{place} is {_shown(value)}, not a list")
    types = get_args(kind)
    if types[-1] is Ellipsis:
        types = types[:1] * len(value)
    if len(types) != len(value):
        raise MismatchError(f"{place} has {len(value)} values, not {len(types)}")
    pairs = zip(types, value, strict=True)
    return tuple(_read(part, item, f"{place}[{i}]") for i, (part, item) in enumerate(pairs))


def _mapping(kind: Any, value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise MismatchError(f"{place} is {_shown(value)}, not an object")
    part = get_args(kind)[1]
    return {name: _read(part, item, f"{place}[{name[:80]!r}]") for name, item in value.items()}


def _optional(kind: Any, value: Any, place: str) -> Any:
    (part,) = (part for part in get_args(kind) if part is not NoneType)
    return None if value is None else _read(part, value, place)


_READERS: Mapping[Any, Callable[[Any, Any, str], Any]] = MappingProxyType(
    {
        str: _text,
        bool: _truth,
        int: _whole,
        float: _number,
        Literal: _literal,
        tuple: _tuple,
        Mapping: _mapping,
        UnionType: _optional,
        Union: _optional,
    }
)


def _shown(value: Any) -> str:
    """A value, short enough for a message."""
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, Mapping):
        return "an object"
    text = repr(value) if not isinstance(value, int) or abs(value) < 2**63 else "a huge number"
    return text if len(text) <= 80 else f"{text[:77]}..."
