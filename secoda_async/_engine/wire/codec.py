"""Bytes to JSON to models and back: the only module that knows cattrs, msgspec and orjson.

Nothing is coerced: a null name, a number for an id or a string for a list is an error that names its place.
What is as the API promises is turned into models by msgspec, at a tenth of what cattrs takes for a page. What msgspec
does not know goes through cattrs, whose hooks below are the rule: it takes what is unusual and allowed all the same,
and says of the rest where it is wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from math import isfinite
from operator import attrgetter, eq
from types import GenericAlias, ModuleType
from typing import Any, Final, TypeGuard, TypeVar, cast

import orjson
from attrs import evolve, field, fields, frozen
from cattrs import AttributeValidationNote, BaseValidationError, Converter, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from secoda_async.errors import InvalidArgumentError, ResponseError
from secoda_async.models import Group, GroupFields, Page, Unset, User

T = TypeVar("T", Group, User)

_LITERALS: Final = {"True": True, "False": False, "None": None}
"""What the docs' own example of a user shows where a JSON literal is meant (FACTS: documented)."""

_NO_MORE: Final = (None, "", "None")
"""All of these in a next link mean the last page (FACTS: the docs' example has the string)."""

_NOT_SENT: Final = "<not sent>"
"""Stands for a next link that the answer does not have; compared by identity, so that no answer can contain it."""


class _WrongTypeError(TypeError):
    """A value of the wrong type; `suffix` leads from the field to the item inside it."""

    suffix = ""


@frozen(eq=False, repr=False)
class _Links:
    next: str | None = _NOT_SENT


@frozen(eq=False, repr=False)
class _Meta:
    page: int | None = None
    next_page: int | None = None


@frozen(eq=False, repr=False)
class Envelope:
    """A page of a list, its items not yet structured."""

    results: list[Any]
    links: _Links = field(factory=_Links)
    meta: _Meta = field(factory=_Meta)
    count: int | None = None
    total_pages: int | None = None
    next: str | None = _NOT_SENT
    """Some endpoints have the next link here (FACTS: learned since)."""

    @property
    def next_links(self) -> list[str | None]:
        """Return the next links that were sent, None for one that means the last page."""
        sent = [link for link in (self.links.next, self.next) if link is not _NOT_SENT]
        return [None if link in _NO_MORE else link for link in sent]


@cache
def _msgspec() -> ModuleType:
    """Imported with the first answer: it takes as long as a third of this package, and many programs make no call."""
    import msgspec  # noqa: PLC0415

    return msgspec


def _wrong(expected: str, value: object) -> _WrongTypeError:
    return _WrongTypeError(f"expected {expected}, got {_KINDS.get(type(value), 'a number')}")


_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return type(value) is list


def _string(value: object, _: object) -> str:
    if type(value) is str:
        return value
    raise _wrong("a string", value)


def _string_or_null(value: object, _: object) -> str | None:
    if value is None or type(value) is str:
        return value
    raise _wrong("a string or null", value)


def _strings(value: object, _: object) -> tuple[str, ...]:
    if _is_list(value):
        if not value or set(map(type, value)) == {str}:
            return tuple(value)
        index = next(index for index, item in enumerate(value) if type(item) is not str)
        error = _wrong("a string", value[index])
        error.suffix = f"[{index}]"
        raise error
    raise _wrong("a list of strings", value)


def _objects(value: object, _: object) -> list[Any]:
    if _is_list(value):
        return value
    raise _wrong("a list", value)


def _integer_or_null(value: object, _: object) -> int | None:
    if type(value) is int or value is None:
        return value
    if value == "None":
        return None
    raise _wrong("a whole number or null", value)


def _boolean_or_null(value: object, _: object) -> bool | None:
    value = _LITERALS.get(value, value) if type(value) is str else value
    if value is None or type(value) is bool:
        return value
    raise _wrong("a boolean or null", value)


def _time_or_null(value: object, _: object) -> datetime | None:
    """Read an ISO 8601 time as aware UTC; one without a zone is taken to be UTC, as the server's are."""
    if value is None:
        return None
    if type(value) is not str:
        raise _wrong("a time or null", value)
    try:
        time = _time(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter: the first and last hours of the calendar, in another zone
        raise _WrongTypeError(f"expected an ISO 8601 time, got {value[:40]!r}") from None


def _time(text: str) -> datetime:
    try:
        return cast("datetime", _msgspec().convert(text, datetime))
    except _msgspec().ValidationError:  # it knows RFC 3339; ISO 8601 has more
        return datetime.fromisoformat(text)


def _login_or_null(value: object, _: object) -> datetime | None:
    return _time_or_null(None if value == "None" else value, _)


@cache
def _converter() -> Converter:
    """The rule; made when it is first needed, so that importing is cheap."""
    from cattrs.preconf.orjson import make_converter  # noqa: PLC0415

    converter = make_converter()
    converter.register_structure_hook(str, _string)  # by name, or the preset's own hook would win
    strict: list[tuple[object, Callable[[object, object], object]]] = [
        (str | None, _string_or_null),
        (tuple[str, ...], _strings),
        (str | Unset, _string),
        (str | Unset | None, _string_or_null),
        (tuple[str, ...] | Unset, _strings),
        (list[Any], _objects),
        (int | None, _integer_or_null),
        (bool | None, _boolean_or_null),
        (datetime | None, _time_or_null),
    ]
    for wanted, hook in strict:
        converter.register_structure_hook_func(partial(eq, wanted), hook)
    for model in (Group, GroupFields, Page, User):
        converter.register_unstructure_hook(model, model.to_dict)
    converter.register_unstructure_hook(ResponseError, str)
    _register_model(converter, Group)
    _register_model(converter, User, last_login=override(struct_hook=_login_or_null))
    for envelope in (_Links, _Meta, Envelope):
        converter.register_structure_hook(envelope, _object_only(make_dict_structure_fn(envelope, converter)))
    return converter


def _register_model(converter: Converter, model: type[T], last_login: Any = None) -> None:
    """Teach the converter one of the API's models, the fields it does not know kept in `extra`."""
    read = make_dict_structure_fn(model, converter, extra=override(omit=True), last_login=last_login or override())

    def structure(value: object, kind: Any) -> T:
        if type(value) is not dict:
            raise _wrong("an object", value)
        payload = cast("dict[str, Any]", value)
        return _with_extra(read(payload, kind), payload)

    converter.register_structure_hook(model, structure)


def _object_only(read: Callable[[Mapping[str, Any], Any], Any]) -> Callable[[object, Any], Any]:
    def structure(value: object, kind: Any) -> Any:
        if type(value) is not dict:
            raise _wrong("an object", value)
        return read(cast("dict[str, Any]", value), kind)

    return structure


@frozen(eq=False, repr=False)
class _Shape:
    """What is to be looked at besides the types."""

    items: Any
    """The type of a list of them."""
    known: frozenset[str]
    """Its fields."""
    keeps_unknown: bool
    """Whether it has an `extra` for others."""
    times: Sequence[Callable[[Any], datetime | None]]


def _shape(model: type, *times: str) -> _Shape:
    names = frozenset(attribute.name for attribute in fields(model))
    return _Shape(GenericAlias(list, model), names - {"extra"}, "extra" in names, [attrgetter(name) for name in times])


_UTC_ALONE: Final = frozenset({UTC})

_SHAPES: Final[Mapping[type, _Shape]] = {
    Envelope: _shape(Envelope),
    Group: _shape(Group, "created_at", "updated_at"),
    User: _shape(User, "last_login"),
}


def _with_extra(item: T, payload: Mapping[str, Any]) -> T:
    unknown = payload.keys() - _SHAPES[type(item)].known
    return evolve(item, extra={name: payload[name] for name in unknown}) if unknown else item


def _usual(payload: object, model: type[Any], shape: _Shape) -> Any:
    """The model, when the payload is as usual; None when it is not."""
    try:
        item = _msgspec().convert(payload, model)
    except _msgspec().ValidationError:
        return None
    for time_of in shape.times:
        if (time := time_of(item)) is not None and time.tzinfo is not UTC:
            return None
    fields_of = cast("Mapping[str, Any]", payload)  # it is one: it could be converted
    return _with_extra(item, fields_of) if shape.keeps_unknown and not shape.known.issuperset(fields_of) else item


def _all_usual(payloads: Sequence[object], model: type[T]) -> list[T] | None:
    """The models, when all payloads are as usual; None when they have to be looked at one by one."""
    shape = _SHAPES[model]
    try:
        items: list[T] = _msgspec().convert(payloads, shape.items)
    except _msgspec().ValidationError:
        return None
    zones = {time.tzinfo for time_of in shape.times for time in map(time_of, items) if time is not None}
    if not zones <= _UTC_ALONE:
        return None
    fields_of = cast("Sequence[Mapping[str, Any]]", payloads)
    return items if shape.known.issuperset(set[str]().union(*fields_of)) else list(map(_with_extra, items, fields_of))


def parse(body: bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: When it is not JSON: bad UTF-8, NaN and absurd depth included.
    """
    return orjson.loads(body)


def dump(value: object) -> bytes:
    """Write JSON.

    Raises:
        InvalidArgumentError: When the value is not made of JSON's types, or holds a number that JSON has not.
    """
    try:
        body = orjson.dumps(value)
    except TypeError as error:
        raise InvalidArgumentError(f"this can't be sent as JSON: {error}") from None
    if b"null" in body and _has_nan(value):
        raise InvalidArgumentError("this can't be sent as JSON: it holds a nan or an infinity (None is null)")
    return body


def _has_nan(value: object) -> bool:
    """Whether a number in here would become null: pandas, for one, marks an empty cell with nan."""
    if type(value) is float:
        return not isfinite(value)
    if type(value) is dict:
        return any(map(_has_nan, cast("dict[str, object]", value).values()))
    return type(value) in (list, tuple) and any(map(_has_nan, cast("Sequence[object]", value)))


def structure(payload: object, model: type[Any]) -> Any:
    """Turn parsed JSON into `model`.

    Raises:
        ResponseError: When it is not what the API promises; `.location` says where.
    """
    if (shape := _SHAPES.get(model)) is not None and (item := _usual(payload, model, shape)) is not None:
        return item
    fault: Exception
    try:
        return _converter().structure(payload, model)
    except (BaseValidationError, _WrongTypeError) as error:
        fault = error
    raise _explained(fault, payload)


def structure_all(
    payloads: Sequence[object], model: type[T], *, skip_invalid: bool
) -> tuple[list[T], list[ResponseError]]:
    """Turn the items of a page into models, and say which could not be: none, unless `skip_invalid`.

    Raises:
        ResponseError: For the first item that is not what the API promises, unless `skip_invalid`.
    """
    if (usual := _all_usual(payloads, model)) is not None:
        return usual, []
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


def check_shown(payloads: Sequence[object], names: Sequence[str]) -> None:
    """Check that each item has these fields, though it could be read without.

    Raises:
        ResponseError: For the first that lacks one.
    """
    for index, payload in enumerate(payloads) if names else ():
        for name in names:
            if isinstance(payload, Mapping) and name not in payload:
                error = ResponseError(f"results[{index}].{name}: missing")
                error.location = f"results[{index}].{name}"
                raise error


def _explained(fault: Exception, payload: object) -> ResponseError:
    """What cattrs found, as an error of ours."""
    location, reason = _first_fault(fault) if isinstance(fault, BaseValidationError) else ("", str(fault))
    explained = ResponseError(reason)
    explained.location = location
    explained.message = f"{location}: {reason}" if location else reason
    if type(payload) is dict:
        item_id = cast("dict[str, Any]", payload).get("id")
        explained.item_id = item_id if type(item_id) is str else None
    return explained


def _first_fault(error: BaseValidationError) -> tuple[str, str]:
    """Where the first fault is, as a path, and what it is."""
    fault = error.exceptions[0]
    steps = [_step(note) for note in getattr(fault, "__notes__", []) if type(note) is not str]
    step = steps[0] if steps else ""
    if isinstance(fault, BaseValidationError):
        inner, reason = _first_fault(fault)
        return f"{step}{inner}" if inner.startswith("[") else f"{step}.{inner}", reason
    if isinstance(fault, KeyError):
        return step, "missing"
    return step + getattr(fault, "suffix", ""), str(fault)


def _step(note: AttributeValidationNote | IterableValidationNote) -> str:
    return note.name if isinstance(note, AttributeValidationNote) else f"[{note.index}]"


def to_dict(model: object) -> dict[str, Any]:
    """Turn an attrs object into plain JSON types: a model as the API writes it, unknown fields included.

    Times are ISO 8601 in UTC with a `Z`. What is `UNSET` is left out.
    """
    return cast("dict[str, Any]", _converter().unstructure(model))
