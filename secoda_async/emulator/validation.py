"""What the API says to a body it cannot take. Never raises anything but `ValidationError`."""

import json
from collections.abc import Container
from typing import Any, NoReturn, cast

import attrs

TEXT_FIELDS = ("name", "icon", "description")
NULL = "This field may not be null."


@attrs.define
class ValidationError(Exception):
    """A body that is answered with 400."""

    payload: dict[str, Any]
    """The body of the answer."""


def parse_body(body: bytes) -> object:
    """Return the JSON value of a body; an empty body counts as an empty object, as in the framework."""
    if not body:
        return {}
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValidationError({"detail": f"JSON parse error - {_proper(str(error))}"}) from None


def clean_group(payload: object, users: Container[str], *, collapse: bool = False) -> dict[str, Any]:
    """Return the fields of a group that a client may write, trimmed and sorted as they are stored.

    Args:
        payload: The parsed body.
        users: The ids that can be members.
        collapse: Write one space for each run of white space inside the name.

    Raises:
        ValidationError: Every field that is wrong, with its messages.
    """
    if payload is None:
        raise ValidationError({"non_field_errors": ["No data provided"]})
    if not isinstance(payload, dict):
        kind = type(payload).__name__
        message = f"Invalid data. Expected a dictionary, but got {kind}."
        raise ValidationError({"non_field_errors": [message]})
    given = cast("dict[str, object]", payload)
    cleaned: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for name in (*TEXT_FIELDS, "users"):
        if name not in given:
            continue
        value = given[name]
        problems = _list_problems(value, users) if name == "users" else _text_problems(name, value)
        if problems:
            errors[name] = problems
        elif name == "users":
            cleaned[name] = sorted(set(cast("list[str]", value)))
        else:
            cleaned[name] = value.strip() if isinstance(value, str) else None
    if errors:
        raise ValidationError(errors)
    if collapse and "name" in cleaned:
        cleaned["name"] = " ".join(cleaned["name"].split())
    return cleaned


def _text_problems(name: str, value: object) -> list[str]:
    """Return what is wrong with a name, an icon or a description."""
    if value is None:
        return [NULL] if name == "name" else []
    if not isinstance(value, str):
        return ["Not a valid string."]
    problems = ["Null characters are not allowed."] if "\0" in value else []
    surrogate = next((char for char in value if "\ud800" <= char <= "\udfff"), None)
    if surrogate is not None:
        problems.append(f"Surrogate characters are not allowed: U+{ord(surrogate):X}.")
    return problems


def _list_problems(value: object, users: Container[str]) -> list[str]:
    """Return what is wrong with a list of members; like the framework's, it ends at the first bad id."""
    if value is None:
        return [NULL]
    if not isinstance(value, list):
        return [f'Expected a list of items but got type "{type(value).__name__}".']
    for item in cast("list[object]", value):
        if not isinstance(item, str):
            return [f"Incorrect type. Expected pk value, received {type(item).__name__}."]
        if item not in users:
            return [f'Invalid pk "{_proper(item)}" - object does not exist.']
    return []


def _proper(text: str) -> str:
    """Return the text without surrogates, which could not be sent."""
    return text.encode("utf-8", "replace").decode()


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python's parser would take."""
    raise ValueError(f"Out of range float values are not JSON compliant: {name}")
