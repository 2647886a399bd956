"""Parse YAML into nodes, and dump YAML. The only module that imports PyYAML."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from attrs import define, field

from secoda_async.reconcile.files.input_file import InputError
from secoda_async.reconcile.files.nodes import MAX_DEPTH, Lines, Node

__all__ = ["compose", "dump"]

_MAX_MERGED: Final = 100
"""Keys that `<<` may merge into a mapping. A group has seven; without a limit a small file could expand hugely."""

_MERGE_TAG: Final = "tag:yaml.org,2002:merge"

_SCALARS: Final = {
    "tag:yaml.org,2002:str": "text",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:bool": "a boolean",
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:timestamp": "a date",
}

_FORBIDDEN: Final = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""A character that YAML does not allow."""

_HINTS: Final = (
    ("mapping values are not allowed", "put a text with ': ' in quotes"),
    ("found undefined alias", "put a text that starts with '*' in quotes"),
    ("expected <document start>", "write one document in a file, with the key 'groups'"),
    ("expected '<document start>'", "write one document in a file, with the key 'groups'"),
    ("expected alphabetic or numeric character", "put a text that starts with '*', '&' or '!' in quotes"),
)
"""Advice for a problem that PyYAML reports, by words of the problem."""


def compose(text: str) -> Node:
    """Parse a document.

    Raises:
        InputError: When the text is not YAML, has several documents, or is nested too deeply.
        ModuleNotFoundError: When PyYAML is not installed.
    """
    import yaml  # noqa: PLC0415 - an extra

    lines = Lines(text)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if forbidden := _FORBIDDEN.search(text):
        code = f"U+{ord(forbidden[0]):04X}"
        raise InputError(f"contains the control character {code}: remove it", lines.location(forbidden.start()))
    try:
        _check_events(yaml.parse(text, loader), lines)
        node = yaml.compose(text, loader)
    except yaml.MarkedYAMLError as error:
        index = min(getattr(error.problem_mark or error.context_mark, "index", 0), len(text.rstrip()))
        problem = error.problem or "can't be parsed"
        raise InputError(f"is not YAML: {problem}{_hint(problem, text[index:])}", lines.location(index)) from None
    except yaml.YAMLError as error:
        raise InputError(f"is not YAML: {error}".partition("\n")[0], ":1:1") from None
    return Node(kind="an empty file", location=":1:1") if node is None else _Converter(lines).convert(node)


def _hint(problem: str, rest: str) -> str:
    """Return what to do about a problem; `rest` is the text from its location on."""
    if "cannot start any token" in problem:
        advice = (
            "indent with spaces, not tabs"
            if rest[:1] == "\t"
            else f"put a text that starts with {rest[:1]!r} in quotes"
        )
        return f": {advice}"
    return next((f": {advice}" for words, advice in _HINTS if words in problem), "")


def _check_events(events: Iterable[Any], lines: Lines) -> None:
    """Refuse a second document, and deep nesting before a recursive function processes the document."""
    depth = documents = 0
    for event in events:
        name = type(event).__name__
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        documents += name == "DocumentStartEvent"
        if depth > MAX_DEPTH:
            raise InputError("is not YAML: nested too deeply", lines.location(event.start_mark.index))
        if documents > 1:
            problem = "has several documents (---): write one document in a file"
            raise InputError(problem, lines.location(event.start_mark.index))


@define
class _Converter:
    """Converts PyYAML's nodes; a node with aliases is converted once."""

    lines: Lines
    _seen: dict[int, Node | None] = field(factory=dict[int, Node | None])

    def convert(self, node: Any) -> Node:
        """Convert a node and its children."""
        location = self.lines.location(node.start_mark.index)
        if id(node) in self._seen:
            known = self._seen[id(node)]
            if known is None:
                raise InputError("is not YAML: an alias that contains itself", location)
            return known
        self._seen[id(node)] = None
        found = self._converted(node, location)
        self._seen[id(node)] = found
        return found

    def _converted(self, node: Any, location: str) -> Node:
        if node.id == "mapping":
            return Node(kind="a mapping", location=location, pairs=self._pairs(node.value))
        if node.id == "sequence":
            return Node(kind="a list", location=location, items=[self.convert(item) for item in node.value])
        kind = _SCALARS.get(node.tag, f"of the type {node.tag}")
        if kind == "text":
            return Node(kind=kind, location=location, text=node.value)
        return Node(kind=kind, location=location, literal=None if kind == "null" else node.value)

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> list[tuple[Node, Node]]:
        """Convert the pairs of a mapping. Its own keys win over merged ones, and earlier ones over later ones."""
        own: list[tuple[Node, Node]] = []
        merged: list[Node] = []
        for key, value in pairs:
            if key.tag == _MERGE_TAG:
                merged += self._merged_mappings(self.convert(value))
            else:
                own.append((self.convert(key), self.convert(value)))
        if max(len(merged), sum(len(mapping.pairs) for mapping in merged)) > _MAX_MERGED:
            raise InputError(f"<< merges more than {_MAX_MERGED} keys: write them out", merged[0].location)
        known = {_identity(key) for key, _ in own}
        for mapping in merged:
            own += [(key, value) for key, value in mapping.pairs if _identity(key) not in known]
            known |= {_identity(key) for key, _ in mapping.pairs}
        return own

    def _merged_mappings(self, value: Node) -> Sequence[Node]:
        """Return the mappings that `<<` names: one, or a list."""
        mappings = value.items[: _MAX_MERGED + 1] if value.kind == "a list" else [value]
        for mapping in mappings:
            if mapping.kind != "a mapping":
                raise InputError(f"<< merges a mapping, such as `<<: *name`, not {mapping.kind}", mapping.location)
        return mappings


def _identity(key: Node) -> object:
    return id(key) if key.text is None else key.text


def dump(document: object) -> str:
    """Return a document as YAML, in its own order.

    Raises:
        ModuleNotFoundError: When PyYAML is not installed.
    """
    import yaml  # noqa: PLC0415 - an extra

    class Dumper(yaml.SafeDumper):
        """Escapes characters that PyYAML would write as line breaks."""

    def quoted(dumper: Any, text: str) -> Any:
        style = '"' if set(text) & _BREAKS else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, quoted)
    dump = cast("Callable[..., str]", yaml.dump)  # pyright: ignore[reportUnknownMemberType] - one of its types is unknown
    return dump(document, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=120)


_BREAKS: Final = frozenset("\x85\u2028\u2029\ufeff\r")
