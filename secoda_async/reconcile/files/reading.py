"""Load files of groups strictly: all problems are reported together, each with its location.

A file is `groups:` and a list of entries with `name` and, each optional, `icon`, `description`, `members`, `id` and
`previously`; or a table with a row for each membership.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, Final, Literal, cast

from attrs import define, field

from secoda_async._engine.wire.protocol import validate_id
from secoda_async.errors import InvalidArgumentError
from secoda_async.reconcile.desired_group import DesiredGroup, has_unsendable_characters, normalize
from secoda_async.reconcile.files import yaml_nodes
from secoda_async.reconcile.files.columns import Columns
from secoda_async.reconcile.files.decoding import TextError, decode_text
from secoda_async.reconcile.files.input_file import FileTooLargeError, read_bytes
from secoda_async.reconcile.files.tables import looks_like_table, parse_table
from secoda_async.reconcile.files.yaml_nodes import Node, Report

SCHEMA: Final = Path(__file__).with_name("groups.schema.json")
"""The format as a JSON Schema, for editors."""

_KEYS: Final = ("name", "icon", "description", "members", "id", "previously")


FileFormat = Literal["csv", "yaml", "json"]
"""The format of a file of groups."""

_SUFFIXES: Final[Mapping[str, FileFormat]] = {".csv": "csv", ".json": "json", ".yaml": "yaml", ".yml": "yaml"}


def load_groups(
    name: str, *, columns: Columns | None = None, file_format: FileFormat | None = None
) -> tuple[list[DesiredGroup], list[str]]:
    """Return the groups of a file, and its problems. The content decides the format if the suffix does not."""
    validator = _Validator(name)
    text = validator.read_text()
    if text is not None:
        document = _parse(text, file_format or _format_of(name, text), columns, validator.report)
        if document is not None:
            validator.validate(document)
    return validator.groups, validator.problems


def _format_of(name: str, text: str) -> FileFormat:
    suffix = PurePath(name).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    return "csv" if looks_like_table(text, suffix) else "yaml"


def _parse(text: str, file_format: FileFormat, columns: Columns | None, report: Report) -> Node | None:
    if file_format == "csv":
        return parse_table(text, report, columns)
    return _parse_json(text, report) if file_format == "json" else _parse_yaml(text, report)


@define
class _Validator:
    """Validates a parsed file, and collects its groups and problems."""

    name: str
    groups: list[DesiredGroup] = field(factory=list[DesiredGroup])
    problems: list[str] = field(factory=list[str])

    def report(self, location: str, problem: str) -> None:
        """Add a problem."""
        self.problems.append(f"{self.display_name}{location}: {problem}")

    @property
    def display_name(self) -> str:
        """The file's name for messages."""
        return "standard input" if self.name == "-" else self.name

    def read_text(self) -> str | None:
        """Return the content; None if the file can't be read."""
        try:
            return decode_text(read_bytes(self.name))
        except OSError as error:
            self.report("", f"can't be read: {error.strerror or type(error).__name__}")
        except TextError as error:
            self.report(error.location, error.problem)
        except FileTooLargeError as error:
            self.report("", str(error))
        except ValueError:  # a NUL in the name
            self.report("", "is not a valid file name")
        return None

    def validate(self, document: Node) -> None:
        """Validate the whole file."""
        top = self._mapping(document, ("groups", "$schema"), "the file")
        if top is None:
            return
        entries = top.get("groups")
        if entries is None:
            self.report(document.location, "has no 'groups:' list: write `groups:` and the groups below it")
        elif entries.kind != "a list":
            self.report(entries.location, f"'groups' must be a list, not {entries.kind}: start each entry with a dash")
        else:
            for entry in entries.items:
                self._entry(entry)

    def _entry(self, entry: Node) -> None:
        fields = self._mapping(entry, _KEYS, "a group")
        if fields is None:
            return
        name = self._name(entry, fields.get("name"), is_required="id" not in fields)
        values: dict[str, Any] = {key: self._text_or_null(fields[key], key) for key in _KEYS[1:3] if key in fields}
        if "members" in fields:
            values["members"] = self._strings(fields["members"], "members", "a member", "an e-mail address or id")
        if "previously" in fields:
            values["previously"] = self._strings(fields["previously"], "previously", "a former name", "a name")
        if "id" in fields:
            values["id"] = self._id(fields["id"])
        if name or values.get("id"):  # despite other problems: duplicates are checked later
            self.groups.append(DesiredGroup(name=name, place=f"{self.display_name}{entry.location}", **values))

    def _mapping(self, node: Node, keys: Iterable[str], subject: str) -> Mapping[str, Node] | None:
        """Return the values of a mapping by key; report keys that are unknown or duplicate."""
        if node.kind != "a mapping":
            self.report(node.location, f"{subject} must be a mapping (key: value), not {node.kind}")
            return None
        entries: dict[str, Node] = {}
        for key, value in node.pairs:
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
            self.report(node.location, f"the name must be text, not {node.kind}: put it in quotes")
            return ""
        name = normalize(self._sendable(node, node.text))
        if not name and is_required:
            self.report(node.location, "the name is empty")
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
        self.report(node.location, f"{key} must be text or null, not {node.kind}: put it in quotes")
        return None

    def _strings(self, node: Node, key: str, item_name: str, item_kind: str) -> tuple[str, ...]:
        if node.kind != "a list":
            self.report(
                node.location, f"{key} must be a list, not {node.kind}: each item is {item_kind}; [] means none"
            )
            return ()
        strings: dict[str, None] = {}
        for item in node.items:
            if item.text is not None and item.text.strip():
                strings[self._sendable(item, item.text.strip())] = None
            else:
                found = item.kind if item.text is None else "empty text"
                self.report(item.location, f"{item_name} must be {item_kind}, not {found}")
        return tuple(strings)


def _parse_yaml(text: str, report: Report) -> Node | None:
    try:
        return yaml_nodes.compose(text)
    except ModuleNotFoundError:
        report("", "reading YAML needs PyYAML: pip install 'secoda-async[cli]' (or use a .json file)")
    except yaml_nodes.YamlError as error:
        report(f":{error.line}", f"is not YAML: {error.reason}")
    return None


def _parse_json(text: str, report: Report) -> Node | None:
    try:
        return _node_of(json.loads(text, object_pairs_hook=_Pairs), "")
    except json.JSONDecodeError as error:
        report(f":{error.lineno}", f"is not JSON: {error.msg}")
    except (RecursionError, ValueError):
        report("", "is nested too deeply, or contains a number too long, to be a file of groups")
    return None


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys in order, duplicates included."""


def _node_of(value: object, location: str) -> Node:
    """Convert parsed JSON; the locations are paths such as `: groups[3].name`."""
    path = location or ": "
    if isinstance(value, _Pairs):
        dot = "." if location else ""
        pairs = [
            (Node(kind="text", location=path, text=key), _node_of(item, f"{path}{dot}{key}")) for key, item in value
        ]
        return Node(kind="a mapping", location=location, pairs=pairs)
    if isinstance(value, list):
        entries = cast("list[object]", value)
        items = [_node_of(item, f"{path}[{index}]") for index, item in enumerate(entries)]
        return Node(kind="a list", location=location, items=items)
    if isinstance(value, str):
        return Node(kind="text", location=location, text=value)
    kind = "null" if value is None else "a boolean" if isinstance(value, bool) else "a number"
    return Node(kind=kind, location=location)
