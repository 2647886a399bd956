"""JSON to models and back, with cattrs. No other module imports cattrs, and this one is imported when first needed.

Nothing is coerced: a null name, a number as an id or a string as a list is a `ResponseError` that names its location.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache, partial
from operator import eq, methodcaller
from types import NoneType
from typing import Any, Final, TypeVar, cast

from attrs import evolve, fields_dict
from cattrs import AttributeValidationNote, BaseValidationError, Converter, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override
from cattrs.preconf.orjson import make_converter

from secoda_async._engine.wire.envelope import Envelope, Links, Meta
from secoda_async._engine.wire.rows import parse_time, to_utc
from secoda_async._engine.wire.strict_values import Hook, WrongTypeError, expect, strings, wrong_type
from secoda_async.errors import ResponseError
from secoda_async.models import Group, GroupFields, Page, Unset, User

__all__ = ["structure", "unstructure"]

T = TypeVar("T", Group, User)

_LITERALS: Final = {"True": True, "False": False, "None": None}
"""Strings that stand for JSON literals in the API's own example of a user (docs/api-facts.md)."""


def _time_or_null(value: object, _: object) -> datetime | None:
    """Read an ISO 8601 time as aware UTC. A time without a zone is UTC, as the server's times are."""
    if value is None:
        return None
    if type(value) is not str:
        raise wrong_type("a time or null", value)
    try:
        return to_utc(parse_time(value))
    except (ValueError, OverflowError):
        raise WrongTypeError(f"expected an ISO 8601 time, got {value[:40]!r}") from None


def _login_or_null(value: object, _: object) -> datetime | None:
    return _time_or_null(None if value == "None" else value, _)


@cache
def _converter() -> Converter:
    """Return the cattrs converter, built on first use."""
    converter = make_converter()
    string = expect("a string", str)
    string_or_null = expect("a string or null", str, NoneType)
    strict: list[tuple[object, Hook]] = [
        (str | None, string_or_null),
        (tuple[str, ...], strings),
        (str | Unset, string),
        (str | Unset | None, string_or_null),
        (tuple[str, ...] | Unset, strings),
        (list[Any], expect("a list", list)),
        (int | None, expect("a whole number or null", int, NoneType, literals={"None": None})),
        (bool | None, expect("a boolean or null", bool, NoneType, literals=_LITERALS)),
        (datetime | None, _time_or_null),
    ]
    converter.register_structure_hook(str, string)  # for the class itself, or the preset's own hook would win
    for wanted, hook in strict:
        converter.register_structure_hook_func(partial(eq, wanted), hook)
    for model in (Group, GroupFields, Page, User):
        converter.register_unstructure_hook(model, methodcaller("to_dict"))
    converter.register_unstructure_hook(ResponseError, str)
    _register_model(converter, Group)
    _register_model(converter, User, last_login=override(struct_hook=_login_or_null))
    for envelope in (Links, Meta, Envelope):
        converter.register_structure_hook(envelope, _object_only(make_dict_structure_fn(envelope, converter)))
    return converter


def _register_model(converter: Converter, model: type[T], last_login: Any = None) -> None:
    """Register a model of the API; `extra` keeps the fields that the model does not have."""
    read = make_dict_structure_fn(model, converter, extra=override(omit=True), last_login=last_login or override())

    def read_with_extra(payload: Mapping[str, Any], kind: Any) -> T:
        return _with_extra(read(payload, kind), payload)

    converter.register_structure_hook(model, _object_only(read_with_extra))


def _object_only(read: Callable[[Mapping[str, Any], Any], Any]) -> Callable[[object, Any], Any]:
    def structure(value: object, kind: Any) -> Any:
        if type(value) is not dict:
            raise wrong_type("an object", value)
        return read(cast("dict[str, Any]", value), kind)

    return structure


def _with_extra(item: T, payload: Mapping[str, Any]) -> T:
    names = fields_dict(type(item))
    extra = {name: payload[name] for name in sorted(payload) if name not in names or name == "extra"}
    return evolve(item, extra=extra) if extra else item


def structure(payload: object, model: type[Any]) -> Any:
    """Turn parsed JSON into `model`.

    Raises:
        ResponseError: When the payload is not what the API promises; `.location` is the path to the error.
    """
    cause: Exception
    try:
        return _converter().structure(payload, model)
    except (BaseValidationError, WrongTypeError) as error:
        cause = error
    raise _to_response_error(cause, payload)


def unstructure(model: object) -> Any:
    """Turn an attrs object into plain JSON types."""
    return _converter().unstructure(model)


def _to_response_error(cause: Exception, payload: object) -> ResponseError:
    """Translate an error of cattrs."""
    location, reason = _first_error(cause) if isinstance(cause, BaseValidationError) else ("", str(cause))
    error = ResponseError(reason)
    error.location = location
    error.message = f"{location}: {reason}" if location else reason
    if type(payload) is dict:
        item_id = cast("dict[str, Any]", payload).get("id")
        error.item_id = item_id if type(item_id) is str else None
    return error


def _first_error(group: BaseValidationError) -> tuple[str, str]:
    """Return the location of the first error in the group, as a path, and its reason."""
    first = group.exceptions[0]
    steps = [_step(note) for note in getattr(first, "__notes__", []) if type(note) is not str]
    step = steps[0] if steps else ""
    if isinstance(first, BaseValidationError):
        inner, reason = _first_error(first)
        return f"{step}{inner}" if inner.startswith("[") else f"{step}.{inner}", reason
    if isinstance(first, KeyError):
        return step, "missing"
    return step + getattr(first, "suffix", ""), str(first)


def _step(note: AttributeValidationNote | IterableValidationNote) -> str:
    return note.name if isinstance(note, AttributeValidationNote) else f"[{note.index}]"
