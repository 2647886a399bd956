"""The API's checks of a request body. Every refusal is a `ValidationError`, in the framework's words."""

from collections.abc import Container
from typing import Any, cast

from secoda_async.emulator.exceptions import ValidationError
from secoda_async.emulator.responses import replace_surrogates

GROUP_FIELDS = ("name", "icon", "description", "users")
NULL = "This field may not be null."


def clean_group(payload: object, users: Container[str], *, collapse: bool = False) -> dict[str, Any]:
    """Return the fields of a group that a client may write, trimmed and sorted as they are stored.

    Args:
        payload: The parsed body.
        users: The ids that can be members.
        collapse: Replace each run of white space inside the name by one space.

    Raises:
        ValidationError: Every field that is wrong, with its messages.
    """
    given = _require_object(payload)
    fields = {name: given[name] for name in GROUP_FIELDS if name in given}
    errors = {name: _field_errors(name, value, users) for name, value in fields.items()}
    if any(errors.values()):
        raise ValidationError({name: messages for name, messages in errors.items() if messages})
    cleaned: dict[str, Any] = {name: _normalize(value) for name, value in fields.items()}
    if collapse and "name" in cleaned:
        cleaned["name"] = " ".join(cleaned["name"].split())
    return cleaned


def _require_object(payload: object) -> dict[str, object]:
    if payload is None:
        raise ValidationError({"non_field_errors": ["No data provided"]})
    if not isinstance(payload, dict):
        message = f"Invalid data. Expected a dictionary, but got {type(payload).__name__}."
        raise ValidationError({"non_field_errors": [message]})
    return cast("dict[str, object]", payload)


def _field_errors(name: str, value: object, users: Container[str]) -> list[str]:
    if name == "users":
        return _member_errors(value, users)
    if value is None:
        return [NULL] if name == "name" else []
    return _text_errors(value)


def _text_errors(value: object) -> list[str]:
    """Return the messages about a name, an icon or a description."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return []  # the framework stores numbers as text
    if not isinstance(value, str):
        return ["Not a valid string."]
    errors = ["Null characters are not allowed."] if "\0" in value else []
    surrogate = next((char for char in value if "\ud800" <= char <= "\udfff"), None)
    if surrogate is not None:
        errors.append(f"Surrogate characters are not allowed: U+{ord(surrogate):X}.")
    return errors


def _member_errors(value: object, users: Container[str]) -> list[str]:
    """Return the messages about a list of members; like the framework's, only the first bad id."""
    if value is None:
        return [NULL]
    if not isinstance(value, list):
        return [f'Expected a list of items but got type "{type(value).__name__}".']
    for item in cast("list[object]", value):
        if not isinstance(item, str):
            return [f"Incorrect type. Expected pk value, received {type(item).__name__}."]
        if item not in users:
            return [f'Invalid pk "{replace_surrogates(item)}" - object does not exist.']
    return []


def _normalize(value: object) -> object:
    """Trim text, numbers too; sort member ids and remove duplicates."""
    if isinstance(value, list):
        return sorted(set(cast("list[str]", value)))
    return None if value is None else str(value).strip()
