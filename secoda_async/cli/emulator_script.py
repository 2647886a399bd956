"""The script of an emulator: stubs and faults, from a YAML or JSON file."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Final

from attrs import frozen

from secoda_async.cli.exit_codes import CommandError, Exit
from secoda_async.emulator import Emulator
from secoda_async.reconcile.files import yaml_nodes
from secoda_async.reconcile.files.decoding import decode_text
from secoda_async.reconcile.files.input_file import InputError, read_bytes
from secoda_async.reconcile.files.nodes import Node

_TEXT: Final = (str,)
_NUMBER: Final = (int, float)
_ANY: Final = (object,)
_STUB_FIELDS: Final[Mapping[str, tuple[type, ...]]] = {
    "method": _TEXT,
    "path": _TEXT,
    "status": (int,),
    "headers": (dict,),
    "body": _ANY,
}
_FAULT_FIELDS: Final[Mapping[str, tuple[type, ...]]] = {
    **_STUB_FIELDS,
    "delay": _NUMBER,
    "drop": _TEXT,
    "cut": (int,),
    "redirect": _TEXT,
    "raw": _TEXT,
    "stall": _TEXT,
    "carry_out": (bool,),
    "execute_after": _NUMBER,
    "skip": (int,),
    "times": (int, NoneType),
}
"""The arguments of `Faults.add`, except those that are functions; `times: null` is unlimited."""


@frozen
class Entry:
    """The arguments of one stub or fault."""

    location: str
    arguments: Mapping[str, Any]


@frozen
class EmulatorScript:
    """The stubs and faults of a file."""

    stubs: Iterable[Entry]
    faults: Iterable[Entry]

    @classmethod
    def read(cls, path: Path) -> "EmulatorScript":
        """Read a file: a mapping with the lists `stubs` and `faults`, each optional.

        Raises:
            CommandError: If the file can't be used.
        """
        try:
            document = yaml_nodes.compose(decode_text(read_bytes(str(path))))
            lists = _lists(document)
            stubs = [_entry(node, _STUB_FIELDS, path) for node in lists.get("stubs", ())]
            return cls(stubs, [_entry(node, _FAULT_FIELDS, path) for node in lists.get("faults", ())])
        except InputError as error:
            raise CommandError(f"{path}{error.location}: {error.problem}", Exit.BAD_INPUT) from None

    def apply(self, emulator: Emulator) -> None:
        """Add the stubs and faults to an emulator.

        Raises:
            CommandError: If an argument is out of range.
        """
        for entries, add in ((self.stubs, emulator.stubs.add), (self.faults, emulator.faults.add)):
            for entry in entries:
                try:
                    add(**entry.arguments)
                except ValueError as error:
                    raise CommandError(f"{entry.location}: {error}", Exit.BAD_INPUT) from None


def _lists(document: Node) -> Mapping[str, Iterable[Node]]:
    if document.kind != "a mapping":
        raise InputError(f'must be a mapping with "stubs" and "faults", not {document.kind}')
    lists: dict[str, Iterable[Node]] = {}
    for key, value in document.pairs:
        if key.text not in {"stubs", "faults"}:
            raise InputError(f"unknown key {key.text!r}: the keys are stubs and faults", key.location)
        if value.kind != "a list":
            raise InputError(f"{key.text} must be a list, not {value.kind}", value.location)
        lists[key.text] = value.items
    return lists


def _entry(node: Node, fields: Mapping[str, tuple[type, ...]], path: Path) -> Entry:
    if node.kind != "a mapping":
        raise InputError(f"must be a mapping, not {node.kind}", node.location)
    arguments: dict[str, Any] = {}
    for key, value_node in node.pairs:
        name, value = _name(key), _value(value_node)
        if name not in fields:
            raise InputError(f"unknown key {name!r}: the keys are {', '.join(fields)}", key.location)
        is_bool_for_number = isinstance(value, bool) and fields[name] not in {(bool,), _ANY}
        if is_bool_for_number or not isinstance(value, fields[name]):
            raise InputError(f"{name} can't be {value_node.kind}", value_node.location)
        arguments[name] = _CONVERTERS.get(name, _as_it_is)(value)
    if fields is _STUB_FIELDS and not {"method", "path"} <= arguments.keys():
        raise InputError("a stub needs method and path", node.location)
    return Entry(f"{path}{node.location}", arguments)


def _name(key: Node) -> str:
    return key.text if key.text is not None else key.literal or "null"


def _headers(headers: Mapping[str, object]) -> Mapping[str, str]:
    return {name: str(value) for name, value in headers.items()}


def _as_it_is(value: object) -> object:
    return value


_CONVERTERS: Final[Mapping[str, Callable[[Any], object]]] = {"headers": _headers, "raw": str.encode}


def _value(node: Node) -> object:
    """Return the value of a node.

    Raises:
        InputError: If JSON has no such value.
    """
    if node.kind == "a mapping":
        return {_name(key): _value(value) for key, value in node.pairs}
    if node.kind == "a list":
        return [_value(item) for item in node.items]
    if node.kind in {"text", "null"}:
        return node.text
    try:
        return json.loads((node.literal or "").lower())
    except ValueError:
        raise InputError(f"{node.kind} can't be sent as JSON: put it in quotation marks", node.location) from None
