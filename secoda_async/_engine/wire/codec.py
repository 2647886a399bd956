"""Bytes to JSON to models and back. No other module imports cattrs, msgspec or orjson.

Nothing is coerced: a null name, a number as an id or a string as a list is a `ResponseError` that names its location.
Two decoders agree on every payload:

1. msgspec decodes payloads that match the models exactly, ten times as fast as cattrs.
2. cattrs, with the strict hooks below, decodes all others. It accepts the documented oddities and names every error.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from math import isfinite
from operator import attrgetter, eq, methodcaller
from types import GenericAlias, ModuleType, NoneType
from typing import Any, Final, TypeVar, cast

import orjson
from attrs import evolve, fields, frozen
from cattrs import AttributeValidationNote, BaseValidationError, Converter, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from secoda_async._engine.wire.envelope import Envelope, Links, Meta
from secoda_async._engine.wire.strict_values import Hook, WrongTypeError, expect, strings, wrong_type
from secoda_async.errors import InvalidArgumentError, ResponseError
from secoda_async.models import Group, GroupFields, Page, Unset, User

T = TypeVar("T", Group, User)

_LITERALS: Final = {"True": True, "False": False, "None": None}
"""Strings that stand for JSON literals in the API's own example of a user (docs/api-facts.md)."""


@cache
def _msgspec() -> ModuleType:
    """Import msgspec with the first response: the import takes a third as long as that of this package."""
    import msgspec  # noqa: PLC0415

    return msgspec


def _time_or_null(value: object, _: object) -> datetime | None:
    """Read an ISO 8601 time as aware UTC. A time without a zone is UTC, as the server's times are."""
    if value is None:
        return None
    if type(value) is not str:
        raise wrong_type("a time or null", value)
    try:
        time = _parse_time(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: the first and last hours of the calendar, in another zone
        raise WrongTypeError(f"expected an ISO 8601 time, got {value[:40]!r}") from None


def _parse_time(text: str) -> datetime:
    try:
        return cast("datetime", _msgspec().convert(text, datetime))
    except _msgspec().ValidationError:  # msgspec reads RFC 3339, which lacks some forms of ISO 8601
        return datetime.fromisoformat(text)


def _login_or_null(value: object, _: object) -> datetime | None:
    return _time_or_null(None if value == "None" else value, _)


@cache
def _converter() -> Converter:
    """Return the cattrs converter. It is built on first use, to keep the import of the package fast."""
    from cattrs.preconf.orjson import make_converter  # noqa: PLC0415

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


@frozen(eq=False, repr=False)
class _Schema:
    """Facts about a model that msgspec does not check."""

    list_type: Any
    """The type of a list of the model."""
    names: frozenset[str]
    """The names of the model's fields."""
    keeps_unknown: bool
    """Whether the model has an `extra` for unknown fields."""
    times: Sequence[Callable[[Any], datetime | None]]
    """Getters of the time fields."""


def _schema(model: type, *times: str) -> _Schema:
    names = frozenset(attribute.name for attribute in fields(model))
    return _Schema(GenericAlias(list, model), names - {"extra"}, "extra" in names, [attrgetter(name) for name in times])


_UTC_ALONE: Final = frozenset({UTC})

_SCHEMAS: Final[Mapping[type, _Schema]] = {
    Envelope: _schema(Envelope),
    Group: _schema(Group, "created_at", "updated_at"),
    User: _schema(User, "last_login"),
}


def _with_extra(item: T, payload: Mapping[str, Any]) -> T:
    names = _SCHEMAS[type(item)].names
    extra = {name: value for name, value in payload.items() if name not in names}  # a set would change the order
    return evolve(item, extra=extra) if extra else item


def _fast_path(payload: object, model: type[Any], schema: _Schema) -> Any:
    """Return the model as msgspec reads it; None if cattrs has to read the payload."""
    try:
        item = _msgspec().convert(payload, model)
    except _msgspec().ValidationError:
        return None
    for time_of in schema.times:
        if (time := time_of(item)) is not None and time.tzinfo is not UTC:
            return None
    mapping = cast("Mapping[str, Any]", payload)  # msgspec accepted the payload, so it is a mapping
    return _with_extra(item, mapping) if schema.keeps_unknown and not schema.names.issuperset(mapping) else item


def _fast_path_all(payloads: Sequence[object], model: type[T]) -> list[T] | None:
    """Return the models as msgspec reads them; None if cattrs has to read the payloads one by one."""
    schema = _SCHEMAS[model]
    try:
        items: list[T] = _msgspec().convert(payloads, schema.list_type)
    except _msgspec().ValidationError:
        return None
    zones = {time.tzinfo for time_of in schema.times for time in map(time_of, items) if time is not None}
    if not zones <= _UTC_ALONE:
        return None
    mappings = cast("Sequence[Mapping[str, Any]]", payloads)
    return items if schema.names.issuperset(set[str]().union(*mappings)) else list(map(_with_extra, items, mappings))


def parse(body: bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: When the body is not JSON; bad UTF-8, NaN and absurd depth are not.
    """
    return orjson.loads(body)


def dump(value: object) -> bytes:
    """Write JSON.

    Raises:
        InvalidArgumentError: When the value has a type or a number that JSON does not have.
    """
    try:
        body = orjson.dumps(value)
    except TypeError as error:
        raise InvalidArgumentError(f"this can't be sent as JSON: {error}") from None
    if b"null" in body and _has_nan(value):
        raise InvalidArgumentError("this can't be sent as JSON: it contains a nan or an infinity (None is null)")
    return body


def _has_nan(value: object) -> bool:
    """Return whether orjson would write a number as null: pandas marks an empty cell with nan."""
    if type(value) is float:
        return not isfinite(value)
    if type(value) is dict:
        return any(map(_has_nan, cast("dict[str, object]", value).values()))
    return type(value) in (list, tuple) and any(map(_has_nan, cast("Sequence[object]", value)))


def structure(payload: object, model: type[Any]) -> Any:
    """Turn parsed JSON into `model`.

    Raises:
        ResponseError: When the payload is not what the API promises; `.location` is the path to the error.
    """
    if (schema := _SCHEMAS.get(model)) is not None and (item := _fast_path(payload, model, schema)) is not None:
        return item
    cause: Exception
    try:
        return _converter().structure(payload, model)
    except (BaseValidationError, WrongTypeError) as error:
        cause = error
    raise _to_response_error(cause, payload)


def structure_all(
    payloads: Sequence[object], model: type[T], *, skip_invalid: bool
) -> tuple[list[T], list[ResponseError]]:
    """Turn the items of a page into models.

    Returns:
        The models, and with `skip_invalid` an error for each item that could not be read.

    Raises:
        ResponseError: For the first item that is not what the API promises, unless `skip_invalid`.
    """
    if (decoded := _fast_path_all(payloads, model)) is not None:
        return decoded, []
    items: list[T] = []
    errors: list[ResponseError] = []
    for index, payload in enumerate(payloads):
        try:
            items.append(structure(payload, model))
        except ResponseError as error:
            error.location = f"results[{index}]" + (f".{error.location}" if error.location else "")
            error.message = f"{error.location}: {error.args[0]}"
            if not skip_invalid:
                raise
            errors.append(error)
    return items, errors


def require_keys(payloads: Sequence[object], names: Sequence[str]) -> None:
    """Check that each item has these fields, although the model has a default for them.

    Raises:
        ResponseError: For the first item that lacks a field.
    """
    for index, payload in enumerate(payloads) if names else ():
        for name in names:
            if isinstance(payload, Mapping) and name not in payload:
                error = ResponseError(f"results[{index}].{name}: missing")
                error.location = f"results[{index}].{name}"
                raise error


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


def to_dict(model: object) -> dict[str, Any]:
    """Turn an attrs object into plain JSON types; `Group`, `User` and `Page` have a `to_dict` method of their own.

    Times are ISO 8601 in UTC with a `Z`. Fields that are `UNSET` are left out.
    """
    return cast("dict[str, Any]", _converter().unstructure(model))
