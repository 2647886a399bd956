"""Validate a parsed file, and collect its groups and problems."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import define, field

from secoda_async._engine.wire.ids import validate_id
from secoda_async.errors import InvalidArgumentError
from secoda_async.models import normalize
from secoda_async.reconcile.desired_group import (
    MEMBERSHIPS,
    DesiredGroup,
    MemberPlaces,
    Membership,
    has_unsendable_characters,
)
from secoda_async.reconcile.files.foreign import describe_foreign
from secoda_async.reconcile.files.members import MemberError, parse_member
from secoda_async.reconcile.files.nodes import Node

__all__ = ["Validator", "has_variable"]

_TOP_KEYS: Final = ("groups", "defaults", "ignore", "$schema")
_DEFAULT_KEYS: Final = ("icon", "description", "membership")
_KEYS: Final = ("name", "icon", "description", "members", "membership", "previously", "id")

_TEMPLATE: Final = re.compile(r"\$\{[^}]*\}|\{\{|\{%")
"""The variables of templates; `groups.schema.json` has the same expression."""

_MAX_MEMBERSHIPS: Final = 5_000_000
"""Memberships of a file. Shared lists could multiply a small file to more than the memory holds."""


def has_variable(name: str) -> bool:
    """Return whether a name contains a variable of a template that was not filled in, such as `${TEAM}`."""
    return _TEMPLATE.search(name) is not None


@define
class Validator:
    """Validates the document of one file."""

    display_name: str
    """The file's name for messages."""
    groups: list[DesiredGroup] = field(factory=list[DesiredGroup])
    ignore: tuple[str, ...] = ()
    _problems: dict[str, None] = field(factory=dict[str, None])
    """Each problem once: a part that several groups share is read several times."""
    _memberships: int = 0

    @property
    def problems(self) -> Sequence[str]:
        """The problems of the file, each with its location."""
        return tuple(self._problems)

    def report(self, location: str, problem: str) -> None:
        """Add a problem."""
        self._problems[f"{self.display_name}{location}: {problem}"] = None

    def validate(self, document: Node) -> None:
        """Validate the whole file."""
        if foreign := describe_foreign(document):
            self.report(document.location, foreign)
            return
        top = self._mapping(document, _TOP_KEYS, "the file")
        if top is None:
            return
        defaults = self._defaults(top.get("defaults"))
        if "ignore" in top:
            self.ignore = tuple(self._texts(top["ignore"], "ignore", "a pattern"))
        entries = top.get("groups")
        if entries is None:
            self.report(document.location, "has no 'groups:' list: write `groups:` and the groups below it")
        elif entries.kind != "a list":
            self.report(entries.location, f"'groups' must be a list, not {entries.kind}: start each entry with a dash")
        else:
            for entry in entries.items:
                self._entry(entry, defaults)

    def _defaults(self, node: Node | None) -> Mapping[str, Any]:
        fields = None if node is None else self._mapping(node, _DEFAULT_KEYS, "defaults")
        return self._values(fields or {})

    def _entry(self, entry: Node, defaults: Mapping[str, Any]) -> None:
        fields = self._mapping(entry, _KEYS, "a group")
        if fields is None:
            return
        name = self._name(entry, fields.get("name"), is_required="id" not in fields)
        place = f"{self.display_name}{entry.location}"
        values = {**defaults, **self._values(fields)}
        if "members" in fields:
            members = self._members(fields["members"])
            values |= {"members": tuple(members), "member_places": MemberPlaces.of(self.display_name, members)}
        if "previously" in fields:
            values["previously"] = tuple(self._texts(fields["previously"], "previously", "a former name"))
        if "id" in fields:
            values["id"] = self._id(fields["id"])
        if name or values.get("id"):  # despite other problems: duplicates are checked later
            self.groups.append(DesiredGroup(name=name, place=place, **values))

    def _values(self, fields: Mapping[str, Node]) -> dict[str, Any]:
        """Return the values that `defaults` may set too."""
        values: dict[str, Any] = {
            key: self._text_or_null(fields[key], key) for key in ("icon", "description") if key in fields
        }
        if "membership" in fields:
            values["membership"] = self._membership(fields["membership"])
        return values

    def _mapping(self, node: Node, keys: Iterable[str], subject: str) -> Mapping[str, Node] | None:
        """Return the values of a mapping by key; report keys that are unknown or duplicate.

        In the whole file, `x-` starts the name of a key that is ignored, such as a home for anchors.
        """
        if node.kind != "a mapping":
            self.report(node.location, f"{subject} must be a mapping (key: value), not {node.kind}")
            return None
        entries: dict[str, Node] = {}
        for key, value in node.pairs:
            if keys is _TOP_KEYS and (key.text or "").startswith("x-"):
                continue
            if key.text is None or key.text not in keys:
                known = ", ".join(repr(name) for name in keys)
                self.report(key.location, f"{subject} has an unknown key {key.text or key.kind!r}: use {known}")
            elif key.text in entries:
                self.report(key.location, f"duplicate key {key.text!r}: keep one")
            else:
                entries[key.text] = value
        return entries

    def _name(self, entry: Node, node: Node | None, *, is_required: bool) -> str:
        if node is None:
            self.report(entry.location, "a group has no name: add `name: ...`")
            return ""
        if node.text is None:
            self.report(node.location, f"the name must be text, not {node.kind}: {_as_text(node)}")
            return ""
        name = normalize(self._sendable(node, node.text))
        if not name and is_required:
            self.report(node.location, "the name is empty: write one")
        if is_required and has_variable(name):
            advice = "fill it in, or add the group's id if this is its name"
            self.report(node.location, f"the name {name!r} contains a variable of a template: {advice}")
        return name

    def _sendable(self, node: Node, text: str) -> str:
        """Return the text, or a placeholder if it can't be sent."""
        if not has_unsendable_characters(text):
            return text
        self.report(node.location, f"{text!r} contains a character that can't be sent")
        return "?"

    def _id(self, node: Node) -> str | None:
        try:
            return validate_id(node.text)
        except InvalidArgumentError as error:
            self.report(node.location, f"{error}" if node.text is not None else f"an id must be text, not {node.kind}")
            return None

    def _text_or_null(self, node: Node, key: str) -> str | None:
        if node.kind in ("text", "null"):
            return None if node.text is None else self._sendable(node, node.text)
        self.report(node.location, f"{key} must be text or null, not {node.kind}: {_as_text(node)}")
        return None

    def _membership(self, node: Node) -> Membership:
        for membership in MEMBERSHIPS:
            if node.text == membership:
                return membership
        found = node.kind if node.text is None else repr(node.text)
        self.report(node.location, f"membership must be 'exact' or 'additive', not {found}")
        return "exact"

    def _members(self, node: Node) -> Mapping[str, str]:
        """Return the members, each with its location."""
        if self._memberships > _MAX_MEMBERSHIPS:
            return {}  # already reported
        members: dict[str, str] = {}
        for item in self._items(node, "members", "a member", "an e-mail address or id"):
            try:
                for member in parse_member(item.text or ""):
                    members.setdefault(member, item.location)
            except MemberError as error:
                self.report(item.location, f"{error}")
        self._memberships += len(members)
        if self._memberships > _MAX_MEMBERSHIPS:
            self.report("", f"has more than {_MAX_MEMBERSHIPS:,} memberships, perhaps of shared lists")
            return {}
        return members

    def _texts(self, node: Node, key: str, item_name: str) -> Mapping[str, str]:
        kind = "a text" if key == "ignore" else "a name"
        return {(item.text or "").strip(): item.location for item in self._items(node, key, item_name, kind)}

    def _items(self, node: Node, key: str, item_name: str, item_kind: str) -> Iterator[Node]:
        """Yield the texts of a list, and of the lists in it."""
        if node.kind != "a list":
            self.report(
                node.location, f"{key} must be a list, not {node.kind}: each item is {item_kind}; [] means none"
            )
            return
        for item in _flat(node, set()):
            if item.text is None or not item.text.strip():
                found = item.kind if item.text is None else "empty text"
                self.report(item.location, f"{item_name} must be {item_kind}, not {found}")
            elif has_unsendable_characters(item.text):
                self._sendable(item, item.text)
            else:
                yield item


def _as_text(node: Node) -> str:
    """Return what to do about a value that must be text."""
    return "write one text" if node.literal is None else "put it in quotes"


def _flat(node: Node, seen: set[int]) -> Iterator[Node]:
    """Yield the items of a list and of the lists in it; a list with several aliases is read once."""
    for item in node.items:
        if item.kind != "a list":
            yield item
        elif id(item) not in seen:
            seen.add(id(item))
            yield from _flat(item, seen)
