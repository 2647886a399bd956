"""One group of a desired state."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, Self, cast

from attrs import define, field, frozen

from secoda_async._engine.wire.ids import validate_id
from secoda_async.errors import InvalidArgumentError
from secoda_async.models import UNSET, Unset, normalize

__all__ = ["MEMBERSHIPS", "DesiredGroup", "MemberPlaces", "Membership", "has_unsendable_characters", "place_of"]

Membership = Literal["exact", "additive"]
MEMBERSHIPS: Final[tuple[Membership, ...]] = ("exact", "additive")

_UNSENDABLE: Final = re.compile("[\0\ud800-\udfff]")


def has_unsendable_characters(text: str) -> bool:
    """Return whether a string contains a NUL, which databases reject, or half a surrogate pair."""
    return "\0" in text if text.isascii() else _UNSENDABLE.search(text) is not None


def _name(value: object) -> str:
    return normalize(_string("name", value))


def _strings(field_name: str, values: Iterable[object]) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = ": put it in a list" if type(values) is str else ""
        raise InvalidArgumentError(f"{field_name} must be a list of strings, not {type(values).__name__}{hint}")
    strings = cast("tuple[str, ...]", tuple(values))
    try:  # one check of all, which most lists pass; otherwise, the error names the value
        is_sendable = not has_unsendable_characters("".join(strings))
    except TypeError:
        is_sendable = False
    return strings if is_sendable else tuple(_string(field_name, value) for value in strings)


def _string(field_name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{field_name} must be a string, not {type(value).__name__}")
    if has_unsendable_characters(value):
        raise InvalidArgumentError(f"{field_name} contains a character that can't be sent: {value!r}")
    return value


def _previously(values: Iterable[object]) -> tuple[str, ...]:
    return _strings("previously", values)


def _members(values: Iterable[object] | Unset) -> tuple[str, ...] | Unset:
    """Return the members trimmed, each once."""
    if isinstance(values, Unset):
        return values
    members = tuple(dict.fromkeys(map(str.strip, _strings("members", values))))
    if "" in members:
        raise InvalidArgumentError("members contains an empty string: use an e-mail address or id")
    return members


@define(eq=False)
class MemberPlaces(Mapping[str, str]):
    """The source location of each member, in little memory: a file may have millions of members."""

    _file: str
    _members: tuple[str, ...]
    _joined: str
    _locations: Mapping[str, str] | None = field(default=None, init=False)

    @classmethod
    def of(cls, file: str, locations: Mapping[str, str]) -> Self:
        """Return the places of members, from their locations in a file, such as `:3:7`."""
        return cls(file, tuple(locations), " ".join(locations.values()))

    def __getitem__(self, member: str) -> str:
        if self._locations is None:  # most groups need no place
            self._locations = dict(zip(self._members, self._joined.split(" "), strict=False))
        return f"{self._file}{self._locations[member]}"

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


@frozen(kw_only=True)
class DesiredGroup:
    """A desired group. A field that is `UNSET` is not managed; None clears it.

    Raises:
        InvalidArgumentError: When a field can't be sent, or both name and id are missing.
    """

    name: str = field(default="", converter=_name)
    """The name: trimmed, in Unicode form NFC. Empty only for a group that has no name; its id is given instead."""
    id: str | None = None
    """The group's id, needed when the name is empty or ambiguous."""
    previously: tuple[str, ...] = field(default=(), converter=_previously)
    """Former names: an existing group with one of them is renamed."""
    icon: str | Unset | None = UNSET
    """Usually an emoji."""
    description: str | Unset | None = UNSET
    """The group's purpose."""
    members: tuple[str, ...] | Unset = field(default=UNSET, converter=_members)
    """The members, by e-mail address or id: trimmed, each once."""
    membership: Membership = "exact"
    """`exact`: the members are these and no others; `additive`: these are added, and nobody is removed."""
    place: str = field(default="", eq=False)
    """The source location that messages show, a file and a line."""
    member_places: Mapping[str, str] = field(factory=dict[str, str], eq=False, repr=False)
    """The source location of each member; the group's location stands for a member that has none."""

    def __attrs_post_init__(self) -> None:
        if self.id is not None:
            validate_id(self.id)
        elif not self.name:
            raise InvalidArgumentError("a group must have a name that is not empty, or an id")
        if self.membership not in MEMBERSHIPS:
            raise InvalidArgumentError(f"membership must be 'exact' or 'additive', not {self.membership!r}")
        for field_name, value in (("icon", self.icon), ("description", self.description)):
            if not isinstance(value, Unset | None):
                _string(field_name, value)


def place_of(member: str, group: DesiredGroup) -> str:
    """Return the source location of a member of a group."""
    return group.member_places.get(member, group.place)
