"""The messages in the body of an error response, in the forms of Django REST framework and of FastAPI."""

from collections.abc import Mapping
from typing import cast

from secoda_async._engine.wire import codec
from secoda_async.errors import InvalidArgumentError


def messages_by_field(payload: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Return the messages by field.

    The forms are DRF's `{"name": [...]}` and FastAPI's `{"detail": [{"loc": [...], "msg": ...}]}`.
    """
    fields: dict[str, tuple[str, ...]] = {}
    for name, value in payload.items():
        for item in cast("list[object]", value) if type(value) is list else [value]:
            field, message = _split_location(item) or (name, _message(item))
            fields[field] = (*fields.get(field, ()), message)
    return fields


def _split_location(item: object) -> tuple[str, str] | None:
    """Return the field (`loc`) and the message (`msg`) of an item that has both."""
    if type(item) is not dict:
        return None
    parts = cast("dict[str, object]", item)
    location, message = parts.get("loc"), parts.get("msg")
    if not isinstance(location, list) or not location or not isinstance(message, str):
        return None
    names = [_message(name) for name in cast("list[object]", location)]
    return ".".join(names[1:] if names[0] in ("body", "query", "path") else names) or names[0], message


def _message(value: object) -> str:
    """Return a string unchanged, and anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return codec.dump(value).decode()
    except InvalidArgumentError:  # JSON may be nested deeper than it can be written
        return "..."
