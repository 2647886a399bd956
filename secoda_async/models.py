"""The models: groups, users, list pages, and the fields of a group that a write sends.

Frozen classes that tests can build by hand. `to_dict` returns plain JSON types; `_engine/wire/codec.py` reads JSON.
"""

import enum
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar, cast

from attrs import AttrsInstance, field, fields_dict, frozen

from secoda_async.errors import ResponseError

__all__ = ["UNSET", "Group", "GroupFields", "Page", "Unset", "User"]

T = TypeVar("T")


class Unset(enum.Enum):
    """The type of `UNSET`."""

    UNSET = "UNSET"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""The value of an argument that was not given: the field is not sent and keeps its value. None is sent as null."""


def without_unset(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - values of any fields
    """Return the fields that were given."""
    return {name: value for name, value in fields.items() if value is not UNSET}


def normalize(text: str) -> str:
    """Return a text in the form in which texts are compared: trimmed, and in Unicode's form NFC."""
    return unicodedata.normalize("NFC", text.strip())


def collapse_spaces(text: str | Unset | None) -> str:
    """Return a text in Unicode's form NFC, with each run of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text or "").split())


_new_extra: Final = cast("Callable[[], dict[str, Any]]", dict)
"""`dict`, with the type of a function that returns an empty `extra`."""


@frozen(weakref_slot=False)
class Group:
    """A user group of the workspace, as the server last showed it."""

    id: str
    """The group's id."""
    name: str
    """The group's name; the server does not keep names unique."""
    icon: str | None = None
    """Usually an emoji."""
    description: str | None = None
    """The purpose of the group."""
    users: tuple[str, ...] = ()
    """Ids of the members. Their order has no meaning."""
    created_at: datetime | None = None
    """Time of creation, UTC."""
    updated_at: datetime | None = None
    """Time of the last change, UTC."""
    workspace_id: str | None = None
    """Id of the group's workspace."""
    snowflake_role: str | None = None
    """The Snowflake role that is linked to the group."""
    extra: Mapping[str, Any] = field(factory=_new_extra, eq=False, repr=False, kw_only=True)
    """Fields that this version does not know, as plain JSON."""

    def to_dict(self) -> dict[str, Any]:
        """Return the group as plain JSON types: the API's field names (`extra` included), and ISO 8601 times in UTC."""
        return _to_json(self, leave_out=("extra",)) | dict(self.extra)


@frozen(weakref_slot=False)
class User:
    """A user of the workspace. Users are read only: the SDK needs them to resolve e-mail addresses to ids."""

    id: str
    """The user's id."""
    email: str | None = None
    """The e-mail address that the user signs in with."""
    first_name: str | None = None
    """First name."""
    last_name: str | None = None
    """Last name."""
    role: str | None = None
    """`admin`, `editor`, `viewer`, `guest`, or a custom role of the workspace."""
    workspace_id: str | None = None
    """Id of the user's workspace."""
    profile_picture: str | None = None
    """URL of the user's picture."""
    user_groups: tuple[str, ...] = ()
    """Ids of the user's groups."""
    pending: bool | None = None
    """Whether the user has not accepted the invitation yet."""
    is_service_account: bool | None = None
    """Whether the user is a program rather than a person."""
    last_login: datetime | None = None
    """Time of the last sign-in, UTC."""
    disabled: bool | None = None
    """Whether the account is disabled."""
    extra: Mapping[str, Any] = field(factory=_new_extra, eq=False, repr=False, kw_only=True)
    """Fields that this version does not know, as plain JSON."""

    def to_dict(self) -> dict[str, Any]:
        """Return the user as plain JSON types: the API's field names (`extra` included), and ISO 8601 times in UTC."""
        return _to_json(self, leave_out=("extra",)) | dict(self.extra)


@frozen
class Page(Generic[T]):
    """One page of a list."""

    number: int
    """Number of the page, from 1; cursor lists are numbered too."""
    items: tuple[T, ...]
    """The items, without those that an earlier page of the same read had."""
    count: int | None = None
    """Number of items in the whole list, as the server counts."""
    total_pages: int | None = None
    """Number of pages in the whole list."""
    invalid: tuple[ResponseError, ...] = ()
    """With `on_invalid="skip"`: one error for each item that could not be read, with the item's index and id."""

    def to_dict(self) -> dict[str, Any]:
        """Return the page as plain JSON types; each error of `invalid` becomes its message."""
        return _to_json(self)


@frozen(kw_only=True)
class GroupFields:
    """The fields of a group that a write sends. `UNSET` leaves a field alone, None sends null."""

    name: str | Unset = UNSET
    icon: str | Unset | None = UNSET
    description: str | Unset | None = UNSET
    users: tuple[str, ...] | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set, as plain JSON types: the body of a write."""
        users = UNSET if self.users is UNSET else list(self.users)
        fields = (("name", self.name), ("icon", self.icon), ("description", self.description), ("users", users))
        return {name: value for name, value in fields if value is not UNSET}

    def matches(self, group: Group) -> bool:
        """Return whether a group has every field that is set here, so that nothing has to be written.

        Texts are normalized, because the server may do the same; null equals an empty text. Members have no order, and
        the letter case of their ids has no meaning.
        """
        for _, shown, sent in self._different_texts(group):
            if normalize(shown or "") != normalize(sent or ""):
                return False
        if self.users is UNSET or self.users == group.users:
            return True
        return not (ids_missing_in(group.users, self.users) or ids_missing_in(self.users, group.users))

    def contradicted_by(self, group: Group) -> list[str]:
        """Return the names of the fields that a response shows with another value than was sent.

        The server may collapse white space. Members that the response lacks do not count as a contradiction: invited
        users who never signed in may be hidden (documented for SCIM).
        """
        others = self._different_texts(group)
        names = [name for name, shown, sent in others if collapse_spaces(shown) != collapse_spaces(sent)]
        if self.users is not UNSET and ids_missing_in(self.users, group.users):
            names.append("users")
        return names

    def missing_users(self, group: Group) -> list[str]:
        """Return the ids that were sent as members and that a response lacks."""
        return [] if self.users is UNSET else ids_missing_in(group.users, self.users)

    def is_confirmed_by(self, group: Group) -> bool:
        """Return whether a response shows every field that was sent."""
        return not self.contradicted_by(group) and not self.missing_users(group)

    def _different_texts(self, group: Group) -> Iterator[tuple[str, str | None, str | None]]:
        """Yield the name, the shown value and the sent value of each text field that is not shown as it was sent."""
        if self.name is not UNSET and self.name != group.name:
            yield "name", group.name, self.name
        if self.icon is not UNSET and self.icon != group.icon:
            yield "icon", group.icon, self.icon
        if self.description is not UNSET and self.description != group.description:
            yield "description", group.description, self.description


def ids_missing_in(ids: tuple[str, ...], wanted: tuple[str, ...]) -> list[str]:
    """Return the wanted ids that are missing, without regard to letter case."""
    if ids == wanted or set(ids).issuperset(wanted):  # fast path: the usual cases
        return []
    casefolded = set(map(str.casefold, ids))
    return [each for each in wanted if each.casefold() not in casefolded]


def _to_json(model: AttrsInstance, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Return the fields of a model as plain JSON types."""
    return {name: _json_value(getattr(model, name)) for name in fields_dict(type(model)) if name not in leave_out}


def _json_value(value: object) -> object:
    if isinstance(value, tuple):
        return list(map(_json_value, cast("tuple[object, ...]", value)))
    if isinstance(value, (Group, User)):
        return value.to_dict()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, ResponseError) else value
