"""Strict hooks for JSON values: each accepts some types, coerces nothing, and says what came instead."""

from collections.abc import Callable, Mapping
from typing import Final, cast

Hook = Callable[[object, object], object]
"""A structure hook of cattrs: it takes a JSON value and the wanted type, and returns the value of the field."""

_NO_LITERALS: Final[Mapping[str, bool | None]] = {}


class WrongTypeError(TypeError):
    """A value of the wrong type; `suffix` leads from the field to the item inside it."""

    suffix = ""


def wrong_type(expected: str, value: object) -> WrongTypeError:
    """Return the error for a value, with the kind of JSON value that came."""
    return WrongTypeError(f"expected {expected}, got {_KINDS.get(type(value), 'a number')}")


_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}


def expect(expected: str, *types: type, literals: Mapping[str, bool | None] = _NO_LITERALS) -> Hook:
    """Return a hook that accepts values of these types, and strings that stand for a literal."""

    def read(value: object, _: object) -> object:
        value = literals.get(value, value) if type(value) is str else value
        if type(value) in types:
            return value
        raise wrong_type(expected, value)

    return read


def strings(value: object, _: object) -> tuple[str, ...]:
    """Read a list of strings as a tuple; the error for an item names its index."""
    if type(value) is not list:
        raise wrong_type("a list of strings", value)
    items = cast("list[str]", value)
    if set(map(type, items)) - {str}:
        index, item = next((index, item) for index, item in enumerate(items) if type(item) is not str)
        error = wrong_type("a string", item)
        error.suffix = f"[{index}]"
        raise error
    return tuple(items)
