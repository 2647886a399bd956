"""What the API speaks of: groups, users, pages of either, and the operations of a bulk.

Plain frozen classes that can be built by hand. They know nothing of JSON; `_engine/wire/codec.py` does.
"""

import enum
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar

from attrs import field, frozen

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
"""Left out: not sent, and so left as it is. Not the same as None, which is sent as null."""


def normal(text: str) -> str:
    """A text as texts are compared: trimmed, in Unicode's form NFC."""
    return unicodedata.normalize("NFC", text.strip())


def loosely(text: str | Unset | None) -> str:
    """Return a name in a form that names which look alike share.

    Compatibility characters are replaced, invisible ones removed, blanks collapsed, and letter case is ignored: so much
    may a server normalize, and a person overlook.
    """
    visible = unicodedata.normalize("NFKC", text or "")
    if not visible.isprintable():
        visible = "".join(character for character in visible if unicodedata.category(character) != "Cf")
    return " ".join(visible.split()).casefold()


def collapsed(text: str | Unset | None) -> str:
    """Return a text in Unicode's form NFC, with each run of blanks as one space."""
    return " ".join(unicodedata.normalize("NFC", text or "").split())


def _no_extra() -> Mapping[str, Any]:
    return {}


@frozen
class Group:
    """A user group of the workspace, as the server last showed it."""

    id: str
    """The group's id, as on the wire."""
    name: str
    """The group's name; the server does not keep names unique."""
    icon: str | None = None
    """An emoji, as a rule."""
    description: str | None = None
    """What the group is for."""
    users: tuple[str, ...] = ()
    """Ids of the members, in the server's order, which means nothing."""
    created_at: datetime | None = None
    """When it was made, UTC."""
    updated_at: datetime | None = None
    """When it last changed, UTC."""
    workspace_id: str | None = None
    """The workspace it belongs to."""
    snowflake_role: str | None = None
    """The Snowflake role that is tied to it."""
    extra: Mapping[str, Any] = field(factory=_no_extra, eq=False, repr=False, kw_only=True)
    """Fields that this version does not know, as plain JSON."""


@frozen
class User:
    """A user of the workspace (read only in this SDK: needed to turn e-mail addresses into ids)."""

    id: str
    """The user's id, as on the wire."""
    email: str | None = None
    """The address they sign in with."""
    first_name: str | None = None
    """Their first name."""
    last_name: str | None = None
    """Their last name."""
    role: str | None = None
    """`admin`, `editor`, `viewer`, `guest`, or a role of the workspace's own."""
    workspace_id: str | None = None
    """The workspace they belong to."""
    profile_picture: str | None = None
    """Where their picture is."""
    user_groups: tuple[str, ...] = ()
    """Ids of the groups they are in."""
    pending: bool | None = None
    """Whether they were invited and have not come yet."""
    is_service_account: bool | None = None
    """Whether this is a program rather than a person."""
    last_login: datetime | None = None
    """When they last signed in, UTC."""
    disabled: bool | None = None
    """Whether they are locked out."""
    extra: Mapping[str, Any] = field(factory=_no_extra, eq=False, repr=False, kw_only=True)
    """Fields that this version does not know, as plain JSON."""


@frozen
class Page(Generic[T]):
    """One page of a list."""

    number: int
    """Which page, from 1; on cursor lists too."""
    items: tuple[T, ...]
    """What it holds, without what an earlier page of the same read held already."""
    count: int | None = None
    """How many items the whole list has, as the server counts."""
    total_pages: int | None = None
    """How many pages the whole list has."""
    invalid: tuple[ResponseError, ...] = ()
    """With `on_invalid="skip"`: the items that could not be read, each with its index and id."""


@frozen(kw_only=True)
class GroupFields:
    """The fields of a group that can be written. `UNSET` leaves a field alone, None sends null."""

    name: str | Unset = UNSET
    icon: str | Unset | None = UNSET
    description: str | Unset | None = UNSET
    users: tuple[str, ...] | Unset = UNSET

    def fit(self, group: Group) -> bool:
        """Whether a group has every field that is set here.

        The server trims strings, may compose letters otherwise, and keeps no order of members (FACTS: assumed);
        empty text and null say the same.
        """
        texts = ((group.name, self.name), (group.icon, self.icon), (group.description, self.description))
        if any(wanted is not UNSET and normal(present or "") != normal(wanted or "") for present, wanted in texts):
            return False
        return self.users is UNSET or set(group.users) == set(self.users)

    def contradictions(self, group: Group) -> list[str]:
        """Return the fields that an answer shows otherwise than they were sent, members aside that it does not show.

        Blanks may be collapsed. Members who were invited and never signed in may be hidden (documented for SCIM).
        """
        texts = (
            ("name", group.name, self.name),
            ("icon", group.icon, self.icon),
            ("description", group.description, self.description),
        )
        wrong = [field for field, shown, sent in texts if sent is not UNSET and collapsed(shown) != collapsed(sent)]
        if self.users is not UNSET and not _casefolded(group.users) <= _casefolded(self.users):
            wrong.append("users")
        return wrong

    def hidden_users(self, group: Group) -> list[str]:
        """Return the ids that were sent as members and that an answer does not show."""
        shown = _casefolded(group.users)
        return [user for user in self.users or () if user.casefold() not in shown]

    def shown_by(self, group: Group) -> bool:
        """Return whether a group shows every field that is set here, blanks collapsed."""
        return not self.contradictions(group) and not self.hidden_users(group)


def _casefolded(ids: Iterable[str]) -> frozenset[str]:
    return frozenset(map(str.casefold, ids))
