"""Files of groups, read strictly: every problem at once, each with its place.

A file is `groups:` and a list of entries with `name` and, each optional, `icon`, `description`, `members`, `id` and
`previously`; or a table with a row for each membership.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from attrs import define, field

from secoda_async._engine.wire.protocol import validate_id
from secoda_async.errors import InvalidArgumentError
from secoda_async.reconcile.desired_group import DesiredGroup, has_unsendable_characters, normalize
from secoda_async.reconcile.files import yaml_nodes
from secoda_async.reconcile.files.input_file import FileTooLargeError, read_bytes
from secoda_async.reconcile.files.tables import unquoted
from secoda_async.reconcile.files.yaml_nodes import Located

SCHEMA: Final = Path(__file__).with_name("groups.schema.json")
"""The same as a JSON Schema, for editors."""

_KEYS: Final = ("name", "icon", "description", "members", "id", "previously")


def load_groups(name: str) -> tuple[list[DesiredGroup], list[str]]:
    """The groups of a file, and what is wrong with it."""
    reader = _Reader(name)
    text = reader.text()
    if text is not None:
        parse = {"json": _parse_json, "csv": _parse_csv}.get(name.rpartition(".")[2].lower(), _parse_yaml)
        reader.document(parse(text, reader))
    return reader.groups, reader.problems


@define
class _Reader:
    """Goes through a parsed file and notes what is wrong."""

    name: str
    groups: list[DesiredGroup] = field(factory=list[DesiredGroup])
    problems: list[str] = field(factory=list[str])

    def problem(self, place: str, what: str) -> None:
        """Note a problem: where, and what to do about it."""
        self.problems.append(f"{self.shown}{place}: {what}")

    @property
    def shown(self) -> str:
        """The file's name for a person."""
        return "standard input" if self.name == "-" else self.name

    def text(self) -> str | None:
        """The file's text, or None when it can't be read."""
        try:
            return read_bytes(self.name).decode("utf-8-sig")
        except OSError as error:
            self.problem("", f"can't be read: {error.strerror or type(error).__name__}")
        except UnicodeDecodeError as error:
            self.problem("", f"is not UTF-8 text (byte {error.start}): save it as UTF-8")
        except FileTooLargeError as error:
            self.problem("", str(error))
        except ValueError:  # a NUL in its name
            self.problem("", "is no name of a file")
        return None

    def document(self, document: Located | None) -> None:
        """Take in the whole file."""
        if document is None:
            return
        top = self._mapping(document, ("groups", "$schema"), "the file")
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
        name = self._name(entry, fields.get("name"), needed="id" not in fields)
        values: dict[str, Any] = {key: self._text_or_null(fields[key], key) for key in _KEYS[1:3] if key in fields}
        if "members" in fields:
            values["members"] = self._texts(fields["members"], "members", "a member", "an e-mail address or id")
        if "previously" in fields:
            values["previously"] = self._texts(fields["previously"], "previously", "a former name", "a name")
        if "id" in fields:
            values["id"] = self._id(fields["id"])
        if name or values.get("id"):  # with other problems too: whether it stands twice is looked at in the end
            self.groups.append(DesiredGroup(name=name, place=f"{self.shown}{entry.place}", **values))

    def _mapping(self, node: Located, keys: Iterable[str], what: str) -> Mapping[str, Located] | None:
        """The entries of a mapping, each key allowed and there once."""
        if node.kind != "a mapping":
            self.problem(node.place, f"{what} must be a mapping (key: value), not {node.kind}")
            return None
        entries: dict[str, Located] = {}
        for key, value in node.pairs:
            if key.text is None or key.text not in keys:
                known = ", ".join(repr(name) for name in keys)
                self.problem(key.place, f"{what} has an unknown key {key.text or key.kind!r}: use {known}")
            elif key.text in entries:
                self.problem(key.place, f"the key {key.text!r} stands twice: keep one")
            else:
                entries[key.text] = value
        return entries

    def _name(self, entry: Located, node: Located | None, *, needed: bool) -> str:
        if node is None:
            self.problem(entry.place, "a group has no name: add `name: ...`")
            return ""
        if node.text is None:
            self.problem(node.place, f"the name must be text, not {node.kind}: put it in quotes")
            return ""
        name = normalize(self._sendable(node, node.text))
        if not name and needed:
            self.problem(node.place, "the name is empty")
        return name

    def _sendable(self, node: Located, text: str) -> str:
        """The text, or none of it when it can't be sent."""
        if not has_unsendable_characters(text):
            return text
        self.problem(node.place, f"{text!r} holds a character that can't be sent")
        return "?"

    def _id(self, node: Located) -> str | None:
        try:
            return validate_id(node.text)
        except InvalidArgumentError as error:
            self.problem(node.place, f"{error}" if node.text is not None else f"an id must be text, not {node.kind}")
            return None

    def _text_or_null(self, node: Located, key: str) -> str | None:
        if node.kind in ("text", "null"):
            return None if node.text is None else self._sendable(node, node.text)
        self.problem(node.place, f"{key} must be text or null, not {node.kind}: put it in quotes")
        return None

    def _texts(self, node: Located, key: str, what: str, kind: str) -> tuple[str, ...]:
        if node.kind != "a list":
            self.problem(node.place, f"{key} must be a list, not {node.kind}: each is {kind}; [] is none")
            return ()
        texts: dict[str, None] = {}
        for item in node.items:
            if item.text is not None and item.text.strip():
                texts[self._sendable(item, item.text.strip())] = None
            else:
                found = item.kind if item.text is None else "empty text"
                self.problem(item.place, f"{what} must be {kind}, not {found}")
        return tuple(texts)


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
    except (RecursionError, ValueError):
        reader.problem("", "is nested too deeply, or holds a number too long, to be a file of groups")
    return None


_COLUMNS: Final = ("group", "icon", "description", "member", "id")


def _parse_csv(text: str, reader: _Reader) -> Located | None:
    """Turn a table, a row for each membership, into the document that it stands for."""
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    nothing: list[str] = []
    try:
        header = [column.strip().lower() for column in next(table, nothing)]  # an export may say Group
        rows = [(table.line_num, [unquoted(cell.strip()) for cell in row]) for row in table if row]
    except csv.Error as error:
        reader.problem(f":{table.line_num}", f"is not CSV: {error}")
        return None
    for column in header:
        if column not in _COLUMNS or header.count(column) > 1:
            what = "there is no column" if column not in _COLUMNS else "there are two columns"
            reader.problem(":1", f"{what} {column!r}: use {', '.join(map(repr, _COLUMNS))}")
    if "group" not in header:
        reader.problem(":1", "has no column 'group': the first line names the columns")
    if reader.problems:
        return None
    groups: dict[tuple[str, str], list[tuple[str, dict[str, str]]]] = {}
    for line, row in rows:
        if len(row) != len(header):
            reader.problem(f":{line}", f"has {len(row)} cells, not {len(header)}: write every cell, empty ones too")
            continue
        cells = dict(zip(header, row, strict=True))
        key = (normalize(cells["group"]), cells.get("id", ""))
        groups.setdefault(key, []).append((f":{line}", cells))
    entries = [_group_of(rows_of_one, reader) for rows_of_one in groups.values()]
    top = (Located(kind="text", place=":1", text="groups"), Located(kind="a list", place=":1", items=entries))
    return Located(kind="a mapping", place=":1", pairs=[top])


def _group_of(rows: list[tuple[str, dict[str, str]]], reader: _Reader) -> Located:
    """One group of a table."""
    place, first = rows[0]
    values = {"name": first["group"]} | {key: first[key] for key in ("icon", "description") if key in first}
    if first.get("id"):
        values["id"] = first["id"]
    for other_place, other in rows[1:]:
        for key in ("icon", "description"):
            if other.get(key) != first.get(key):
                reader.problem(other_place, f"{key} is {other[key]!r}, but {first[key]!r} at line {place[1:]}")
    pairs = [_pair(place, key, Located(kind="text", place=place, text=value)) for key, value in values.items()]
    if "member" in first:
        members = [Located(kind="text", place=at, text=cells["member"]) for at, cells in rows]
        is_empty = len(rows) == 1 and not first["member"]
        pairs.append(_pair(place, "members", Located(kind="a list", place=place, items=[] if is_empty else members)))
    return Located(kind="a mapping", place=place, pairs=pairs)


def _pair(place: str, key: str, value: Located) -> tuple[Located, Located]:
    return Located(kind="text", place=place, text=key), value


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
