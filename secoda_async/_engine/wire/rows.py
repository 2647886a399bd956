"""Read a body into models in one pass, with msgspec. No other module imports msgspec.

Theory of operation
-------------------
msgspec decodes JSON into a generated struct, a *row*, which has the fields of a model and refuses all others. The
values of a row then fill the model.

- A field that the model lacks is learned: from then on rows have it too. Its value goes to the model's `extra`, as
  orjson reads it: msgspec could read values so deep that they overflow the stack of a thread. Unknown fields around the
  items are learned too, because msgspec would skip them without a check.
- A large page is split into its rows first. msgspec blocks all threads while it decodes, so each row is decoded alone.
- A body that is refused for any other reason is left to `structuring`, which accepts the documented oddities and names
  each error. Both read every body in the same way, or only `structuring` reads it. One exception: if a learned field
  comes twice in one object, msgspec skips the first value, even if orjson refuses it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import product, starmap
from operator import attrgetter, itemgetter
from types import GenericAlias, ModuleType
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, cast

import orjson
from attrs import NOTHING, Attribute, field, fields, make_class

from secoda_async._engine.wire.decoding import LARGE
from secoda_async._engine.wire.envelope import Envelope, Links, Meta
from secoda_async.models import Group, GroupFields, User

T = TypeVar("T", Group, User)

_MAX_LEARNED: Final = 16
"""Maximum fields of a model that are learned: an endless supply of new names must not fill the memory."""

_UNKNOWN_FIELD: Final = r"""Object contains unknown field `([^\x00-\x1f"\\]{1,100}?)`(?: - at `[^`]*`)?"""
"""The message of msgspec about a field that can be learned. Longer names would fill the memory as well."""

_ALWAYS_SHOWN: Final = frozenset({"users"})
"""Fields that a row needs although the model has a default: a membership that is not shown is not an empty one. All
fields that a caller of `responses` may need are here, because only `structuring` checks those."""

_EMPTY_PAGE: Final = Envelope([])

_LARGEST: Final = 2**63 - 1
"""Maximum of a count. `structuring` refuses a number of more than 64 bits, because orjson reads it as a float."""

_ABSENT: Final = object()
"""Value of a learned field that an object lacks."""


@cache
def _msgspec() -> ModuleType:
    """Import msgspec with the first response."""
    import msgspec  # noqa: PLC0415 - a program that makes no call does not need it

    return msgspec


def parse_time(text: str) -> datetime:
    """Parse an ISO 8601 time.

    Raises:
        ValueError: When the text is not a time.
    """
    try:
        return cast("datetime", _msgspec().convert(text, datetime))
    except _msgspec().ValidationError:  # msgspec reads RFC 3339, which lacks some forms of ISO 8601
        return datetime.fromisoformat(text)


def to_utc(time: datetime) -> datetime:
    """Return an aware time in UTC. A time without a zone is UTC, as the server's times are.

    Raises:
        OverflowError: For the first and last hours of the calendar, in another zone.
    """
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


class RowReader(Generic[T]):
    """Reads one model, and pages of it."""

    def __init__(self, model: type[T]) -> None:
        self._model: Any = model
        self._draft = _draft_of(model)
        self._rows = _Rows(model)

    def read(self, body: bytes, sent: GroupFields | None = None) -> T | None:
        """Return the model in a body; None if the body is unusual. A group shares equal values that were sent."""
        rows, row = self._decode(body, "row")
        if row is None:
            return None
        if sent is not None:
            _share_values(row, sent)
        items = self._to_models(rows, [row])
        return None if items is None else items[0]

    def read_page(self, body: bytes, strings: dict[str, str] | None) -> tuple[Envelope, list[T]] | None:
        """Return a page without its results, and its items; None if the body is unusual.

        Args:
            body: The body.
            strings: Strings that came before. Equal strings are one object in all pages that are read with it.
        """
        rows, page = self._decode(body, "page")
        if page is None:
            return None
        if strings is not None:
            rows.share_strings(page.results, strings)
        items = self._to_models(rows, page.results)
        if items is None:
            return None
        links, meta = Links(page.links.next), Meta(page.meta.page, page.meta.next_page)
        return Envelope([], links, meta, page.count, page.total_pages, page.next), items

    def _decode(self, body: bytes, kind: Literal["row", "page"]) -> tuple["_Rows", Any]:
        """Return the row or page, None if it is unusual, and the kind of its rows. Fields that are new are learned."""
        rows: _Rows = self._rows  # another thread may learn a field meanwhile
        while True:
            try:
                return rows, rows.decode_page(body) if kind == "page" else rows.decode(body)
            except _msgspec().ValidationError as error:
                unknown = re.fullmatch(_UNKNOWN_FIELD, str(error))
                if unknown is None or unknown[1] in rows.learned.values() or len(rows.learned) == _MAX_LEARNED:
                    return rows, None
                self._rows = rows = _Rows(self._model, sorted([*rows.learned.values(), unknown[1]]))
            except (_msgspec().DecodeError, ValueError, RecursionError):  # DecodeError was no ValueError once
                return rows, None

    def _to_models(self, rows: "_Rows", items: Sequence[Any]) -> list[T] | None:
        """Return the models; None if a value is unusual."""
        try:
            models: list[Any] = list(starmap(self._draft, rows.values_of(items)))
            if rows.extra:
                rows.fill_extra(models, items)
        except (OverflowError, ValueError):  # a time beyond the calendar; a value that orjson refuses
            return None
        for model in models:
            model.__class__ = self._model
        return models


def _share_values(row: Any, sent: GroupFields) -> None:
    """Replace the values of a row by equal ones that were sent, so that they are not kept twice."""
    if row.users == sent.users:
        row.users = sent.users
    if type(sent.name) is str and row.name == sent.name:  # not if it is a member of an enum
        row.name = sent.name
    if type(sent.icon) is str and row.icon == sent.icon:
        row.icon = sent.icon
    if type(sent.description) is str and row.description == sent.description:
        row.description = sent.description


_READERS: Final[dict[type, RowReader[Any]]] = {}


def reader_of(model: type[T]) -> RowReader[T]:
    """Return the reader of a model: one for all clients of a process, so that a field is learned once."""
    reader = _READERS.get(model)
    if reader is None:
        reader = _READERS[model] = RowReader(model)
    return reader


class _Rows:
    """The rows of a model, and their decoders. `learned` are fields to read besides the model's."""

    def __init__(self, model: type, learned: Sequence[str] = ()) -> None:
        attributes = [attribute for attribute in fields(model) if attribute.name != "extra"]
        row = _struct(model.__name__, list(map(_field_of_row, attributes)), learned)
        decoder = _msgspec().json.Decoder
        self.decode: Callable[[bytes], Any] = decoder(row).decode
        """Decodes a row."""
        self.decode_whole_page: Callable[[bytes], Any] = decoder(_page_of(row, learned)).decode
        """Decodes a page of rows."""
        self.split_page: Callable[[bytes], Any] = decoder(_page_of(_msgspec().Raw, learned)).decode
        """Decodes a page without its rows: these stay JSON."""
        self.size = len(attributes)
        """Number of fields that the model has."""
        self.times = [index for index, attribute in enumerate(attributes) if attribute.type == datetime | None]
        """Indexes of the fields with a time."""
        self.ids = _names_of_type(attributes, tuple[str, ...])
        """Names of the fields with a list of ids."""
        self.texts = _names_of_type(attributes, str, str | None)
        """Names of the fields with a text."""
        self.learned = _learned_fields(learned)
        """Names in JSON of the learned fields, by their names in structs. Sorted, so that `extra` has one order."""
        self.extra = _learned_fields(learned, {attribute.name for attribute in attributes})
        """The learned fields of a row: those that are not fields of the model."""

    def decode_page(self, body: bytes) -> Any:
        """Decode a page of rows; a large one row by row.

        Raises:
            ValueError: When the page is unusual.
        """
        if len(body) <= LARGE:
            page = self.decode_whole_page(body)
        else:
            page = self.split_page(body)
            page.results = [self.decode(row) for row in page.results]
        for name, part in product(self.learned, (page, page.links, page.meta)):
            value: Any = getattr(part, name, _ABSENT)
            if value is not _ABSENT:
                orjson.loads(memoryview(value))  # a check
        return page

    def share_strings(self, rows: Iterable[Any], strings: dict[str, str]) -> None:
        """Replace equal strings by one object."""
        for row in rows:
            for name in self.texts:
                if value := getattr(row, name):
                    setattr(row, name, strings.setdefault(value, value))
            for name in self.ids:
                values = getattr(row, name)
                setattr(row, name, tuple(map(strings.setdefault, values, values)))

    def values_of(self, rows: Iterable[Any]) -> list[tuple[Any, ...]]:
        """Return the values of each model, in the order of its fields, with times in UTC."""
        values: list[tuple[Any, ...]] = list(map(_msgspec().structs.astuple, rows))
        if self.extra:
            values = list(map(itemgetter(slice(self.size)), values))
        for index in self.times:
            for row in values:
                time = row[index]
                if time is not None and time.tzinfo is not UTC:
                    return list(map(_with_utc, values))
        return values

    def fill_extra(self, models: Iterable[Any], rows: Iterable[Any]) -> None:
        """Set the learned fields of each model."""
        for field_name, name in self.extra.items():
            raw_values = list(map(attrgetter(field_name), rows))
            values = iter(_parse_all([value for value in raw_values if value is not _ABSENT]))
            for model, value in zip(models, raw_values, strict=True):
                if value is not _ABSENT:
                    model.extra[name] = next(values)


def _names_of_type(attributes: Iterable["Attribute[Any]"], *types: object) -> Sequence[str]:
    return [attribute.name for attribute in attributes if attribute.type in types]


def _parse_all(raw_values: Sequence[Any]) -> Sequence[Any]:
    """Parse the values of a learned field together; large ones apart, because orjson blocks all threads, too."""
    joined = b",".join(raw_values)
    if len(joined) <= LARGE:
        return cast("list[Any]", orjson.loads(b"[%b]" % joined))
    return [orjson.loads(memoryview(value)) for value in raw_values]


def _with_utc(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(to_utc(value) if type(value) is datetime else value for value in values)


def _learned_fields(learned: Sequence[str], own: Collection[str] = ()) -> dict[str, str]:
    """Return the names in JSON of the learned fields, without a struct's own, by their names in the struct."""
    return {f"learned_{index}": name for index, name in enumerate(learned) if name not in own}


def _struct(name: str, own: Sequence[tuple[Any, ...]], learned: Sequence[str]) -> Any:
    """Generate a struct that has fields of its own and the learned ones, and refuses all others."""
    names = _learned_fields(learned, {field_name for field_name, *_ in own})
    raw = [(field_name, _msgspec().Raw, _ABSENT) for field_name in names]
    return _msgspec().defstruct(name, [*own, *raw], rename=names, forbid_unknown_fields=True, kw_only=True, gc=False)


def _page_of(item: Any, learned: Sequence[str]) -> Any:
    """Generate a page with items of a type, and the documented fields around them."""
    integer: Any = Annotated[int, _msgspec().Meta(ge=-_LARGEST, le=_LARGEST)]
    text, number = str | None, integer | None
    links = _struct("Links", [("next", text, _EMPTY_PAGE.links.next), ("previous", text, None)], learned)
    meta = _struct("Meta", [(name, number, None) for name in ("page", "previous_page", "next_page")], learned)
    around: Sequence[tuple[Any, ...]] = [
        ("links", links, _EMPTY_PAGE.links),
        ("meta", meta, _EMPTY_PAGE.meta),
        ("count", number, None),
        ("total_pages", number, None),
        ("next", text, _EMPTY_PAGE.next),
        ("previous", text, None),
    ]
    return _struct("Page", [("results", GenericAlias(list, item)), *around], learned)


def _field_of_row(attribute: "Attribute[Any]") -> tuple[Any, ...]:
    is_required = attribute.default is NOTHING or attribute.name in _ALWAYS_SHOWN
    return (attribute.name, attribute.type, *(() if is_required else (attribute.default,)))


def _draft_of(model: type) -> Callable[..., Any]:
    """Return a mutable class with the layout of a frozen model.

    A draft is filled three times as fast as the model, and becomes one by its class.
    """
    layout = {attribute.name: field(default=attribute.default) for attribute in fields(model)}
    return make_class(model.__name__, layout, slots=True, weakref_slot=False, eq=False, repr=False)
