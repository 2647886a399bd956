"""Parse YAML into nodes with line numbers, and dump YAML. The only module that imports PyYAML."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from attrs import frozen

Report = Callable[[str, str], None]
"""Called with the location and the text of a problem."""


class YamlError(Exception):
    """Raised for text that is not valid YAML."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@frozen(kw_only=True)
class Node:
    """A value and its location."""

    kind: str
    """The type, for messages: `text`, `null`, `a list`, `a mapping`, or another one."""
    location: str
    """`:12` for line 12, or a path into JSON such as `: groups[3].name`."""
    text: str | None = None
    """The string, for a text."""
    items: Sequence["Node"] = ()
    """The items of a list."""
    pairs: Sequence[tuple["Node", "Node"]] = ()
    """The keys and values of a mapping, in order; keys may repeat."""


_MAX_DEPTH: Final = 20
"""Levels of nesting. A file of groups has four, and the stream and the document are a level each."""

_SCALARS: Final = {
    "tag:yaml.org,2002:str": "text",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:bool": "a boolean",
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:timestamp": "a date",
}


def compose(text: str) -> Node:
    """Parse a document.

    Raises:
        YamlError: When the text is not YAML.
        ModuleNotFoundError: When PyYAML is not installed.
    """
    import yaml  # noqa: PLC0415 - an extra

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_depth(yaml.parse(text, loader))
        node = yaml.compose(text, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(mark.line + 1 if mark else 1, error.problem or "can't be parsed") from None
    except yaml.YAMLError as error:
        raise YamlError(1, str(error).partition("\n")[0]) from None
    return Node(kind="an empty file", location=":1") if node is None else _convert(node, {})


def _check_depth(events: Iterable[Any]) -> None:
    """Refuse deep nesting before a recursive function processes the document."""
    depth = 0
    for event in events:
        name = type(event).__name__
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        if depth > _MAX_DEPTH:
            raise YamlError(event.start_mark.line + 1, "nested too deeply")


def _convert(node: Any, seen: dict[int, Node | None]) -> Node:  # noqa: ANN401 - PyYAML's nodes have no types
    """Convert a PyYAML node and its children; a node with aliases is converted once."""
    location = f":{node.start_mark.line + 1}"
    if id(node) in seen:
        known = seen[id(node)]
        if known is None:
            raise YamlError(node.start_mark.line + 1, "an alias that contains itself")
        return known
    seen[id(node)] = None
    if node.id == "mapping":
        pairs = [(_convert(key, seen), _convert(value, seen)) for key, value in node.value]
        found = Node(kind="a mapping", location=location, pairs=pairs)
    elif node.id == "sequence":
        found = Node(kind="a list", location=location, items=[_convert(item, seen) for item in node.value])
    else:
        kind = _SCALARS.get(node.tag, f"of the type {node.tag}")
        found = Node(kind=kind, location=location, text=node.value if kind == "text" else None)
    seen[id(node)] = found
    return found


def dump(document: object) -> str:
    """Return a document as YAML, in its own order.

    Raises:
        ModuleNotFoundError: When PyYAML is not installed.
    """
    import yaml  # noqa: PLC0415 - an extra

    class Dumper(yaml.SafeDumper):
        """Escapes characters that PyYAML would write as line breaks."""

    def quoted(dumper: Any, text: str) -> Any:  # noqa: ANN401 - PyYAML's nodes have no types
        style = '"' if set(text) & _BREAKS else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, quoted)
    dump = cast("Callable[..., str]", yaml.dump)  # pyright: ignore[reportUnknownMemberType] - one of its types is unknown
    return dump(document, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=120)


_BREAKS: Final = frozenset("\x85\u2028\u2029\ufeff\r")
