"""Files of groups, read strictly: every problem at once, each with its place. Nothing is sent from here.

A file is `groups:` and a list of entries with `name` and, each optional, `icon`, `description` and `members`.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self, cast

from attrs import define, field, frozen

from secoda_async.errors import DesiredStateError
from secoda_async.models import UNSET, Unset
from secoda_async.reconcile import yaml_nodes
from secoda_async.reconcile.yaml_nodes import Located

__all__ = ["DesiredGroup", "DesiredState"]

_KEYS: Final = ("name", "icon", "description", "members")


@frozen(kw_only=True)
class DesiredGroup:
    """A group as it should be. What is `UNSET` is not managed, None clears."""

    name: str
    """Its name, trimmed, in Unicode's form NFC."""
    icon: str | Unset | None = UNSET
    description: str | Unset | None = UNSET
    members: tuple[str, ...] | Unset = UNSET
    """Its members, by e-mail address or id."""
    place: str = field(default="", eq=False)
    """Where it stands, for messages."""


@frozen
class DesiredState:
    """Every group of a file."""

    groups: tuple[DesiredGroup, ...]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a YAML or (by its ending) JSON file; `-` is YAML from standard input.

        Raises:
            DesiredStateError: With every problem of the file, a missing file included.
        """
        name = os.fspath(path)
        reader = _Reader(name)
        text = reader.text()
        if text is not None:
            reader.document(_parse_json(text, reader) if name.endswith(".json") else _parse_yaml(text, reader))
        reader.raise_problems()
        return cls(tuple(reader.groups))


@define
class _Reader:
    """Goes through a parsed file and notes what is wrong."""

    name: str
    groups: list[DesiredGroup] = field(factory=list[DesiredGroup])
    _problems: list[str] = field(factory=list[str])
    _places: dict[str, str] = field(factory=dict[str, str])

    def problem(self, place: str, what: str) -> None:
        """Note a problem: where, and what to do about it."""
        shown = "standard input" if self.name == "-" else self.name
        self._problems.append(f"{shown}{place}: {what}")

    def raise_problems(self) -> None:
        """Raise what was noted, if anything was."""
        if self._problems:
            error = DesiredStateError("\n".join(self._problems))
            error.problems = tuple(self._problems)
            raise error

    def text(self) -> str | None:
        """The file's text, or None when it can't be read."""
        try:
            return sys.stdin.read() if self.name == "-" else Path(self.name).read_text("utf-8-sig")
        except OSError as error:
            self.problem("", f"can't be read: {error.strerror or type(error).__name__}")
        except UnicodeDecodeError as error:
            self.problem("", f"is not UTF-8 text (byte {error.start}): save it as UTF-8")
        return None

    def document(self, document: Located | None) -> None:
        """Take in the whole file."""
        if document is None:
            return
        top = self._mapping(document, ("groups",), "the file")
        if top is None:
            return
        entries = top.get("groups")
        if entries is None:
            self.problem(document.place, "has no 'groups:' list: write `groups:` and the groups below it")
        elif entries.kind != "a list":
            self.problem(entries.place, f"'groups' must be a list, not {entries.kind}: start each entry with a dash")
        else:
            for entry in entries.items:
                self._entry(entry)

    def _entry(self, entry: Located) -> None:
        fields = self._mapping(entry, _KEYS, "a group")
        if fields is None:
            return
        before = len(self._problems)
        name = self._name(entry, fields.get("name"))
        values: dict[str, Any] = {key: self._text_or_null(fields[key], key) for key in _KEYS[1:3] if key in fields}
        if "members" in fields:
            values["members"] = self._members(fields["members"])
        if len(self._problems) == before:
            self.groups.append(DesiredGroup(name=name, place=f"{self.name}{entry.place}", **values))

    def _mapping(self, node: Located, keys: Iterable[str], what: str) -> Mapping[str, Located] | None:
        """The entries of a mapping, each key allowed and there once."""
        if node.kind != "a mapping":
            self.problem(node.place, f"{what} must be a mapping (key: value), not {node.kind}")
            return None
        entries: dict[str, Located] = {}
        for key, value in node.pairs:
            if key.text is None or key.text not in keys:
                known = ", ".join(repr(name) for name in keys)
                self.problem(key.place, f"{what} has no key {key.text or key.kind!r}: use {known}")
            elif key.text in entries:
                self.problem(key.place, f"the key {key.text!r} stands twice: keep one")
            else:
                entries[key.text] = value
        return entries

    def _name(self, entry: Located, node: Located | None) -> str:
        if node is None:
            self.problem(entry.place, "a group has no name: add `name: ...`")
            return ""
        if node.text is None:
            self.problem(node.place, f"the name must be text, not {node.kind}: put it in quotes")
            return ""
        name = unicodedata.normalize("NFC", node.text.strip())
        if not name:
            self.problem(node.place, "the name is empty")
        elif name in self._places:
            self.problem(node.place, f"the name {name!r} stands twice, first at {self._places[name]}")
        self._places.setdefault(name, f"{self.name}{node.place}")
        return name

    def _text_or_null(self, node: Located, key: str) -> str | None:
        if node.kind in ("text", "null"):
            return node.text
        self.problem(node.place, f"{key} must be text or null, not {node.kind}: put it in quotes")
        return None

    def _members(self, node: Located) -> tuple[str, ...]:
        if node.kind != "a list":
            self.problem(node.place, f"members must be a list of e-mail addresses or ids, not {node.kind}; [] is none")
            return ()
        members: dict[str, None] = {}
        for member in node.items:
            if member.text is not None and member.text.strip():
                members[member.text.strip()] = None
            else:
                kind = member.kind if member.text is None else "empty text"
                self.problem(member.place, f"a member must be an e-mail address or id, not {kind}")
        return tuple(members)


def _parse_yaml(text: str, reader: _Reader) -> Located | None:
    try:
        return yaml_nodes.compose(text)
    except ModuleNotFoundError:
        reader.problem("", "reading YAML needs PyYAML: pip install 'secoda-async[cli]' (or use a .json file)")
    except yaml_nodes.YamlError as error:
        reader.problem(f":{error.line}", f"is not YAML: {error.reason}")
    return None


def _parse_json(text: str, reader: _Reader) -> Located | None:
    try:
        return _located(json.loads(text, object_pairs_hook=_Pairs), "")
    except json.JSONDecodeError as error:
        reader.problem(f":{error.lineno}", f"is not JSON: {error.msg}")
    except RecursionError:
        reader.problem("", "is nested too deeply to be a file of groups")
    return None


class _Pairs(list[tuple[str, Any]]):
    """A JSON object, its keys in order and possibly twice."""


def _located(value: object, place: str) -> Located:
    """Give parsed JSON the places that JSON does not keep: paths such as `: groups[3].name`."""
    at = place or ": "
    if isinstance(value, _Pairs):
        dot = "." if place else ""
        pairs = [(Located(kind="text", place=at, text=key), _located(item, f"{at}{dot}{key}")) for key, item in value]
        return Located(kind="a mapping", place=place, pairs=pairs)
    if isinstance(value, list):
        entries = cast("list[object]", value)
        items = [_located(item, f"{at}[{index}]") for index, item in enumerate(entries)]
        return Located(kind="a list", place=place, items=items)
    if isinstance(value, str):
        return Located(kind="text", place=place, text=value)
    kind = "null" if value is None else "a boolean" if isinstance(value, bool) else "a number"
    return Located(kind=kind, place=place)
