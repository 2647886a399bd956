"""YAML with its line numbers: the only module that knows PyYAML."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from attrs import frozen


class YamlError(Exception):
    """Text that is not YAML."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@frozen(kw_only=True)
class Located:
    """A value and where it stands."""

    kind: str
    """What it is, in words: `text`, `null`, `a list`, `a mapping`, or what it should not be."""
    place: str
    """`:12` for line 12, or a path into JSON."""
    text: str | None = None
    """The text, when it is text."""
    items: Sequence["Located"] = ()
    """What a list holds."""
    pairs: Sequence[tuple["Located", "Located"]] = ()
    """What a mapping holds, in order; a key can be there twice."""


_DEEPEST: Final = 20
"""Levels of nesting: a file of groups has four, and a level of the stream and the document each."""

_SCALARS: Final = {
    "tag:yaml.org,2002:str": "text",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:bool": "a boolean",
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:timestamp": "a date",
}


def compose(text: str) -> Located:
    """Parse a document.

    Raises:
        YamlError: When it is not YAML.
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
    return Located(kind="an empty file", place=":1") if node is None else _located(node, {})


def _check_depth(events: Iterable[Any]) -> None:
    """Refuse what no file of groups needs, before anything goes through it recursively."""
    depth = 0
    for event in events:
        name = type(event).__name__
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        if depth > _DEEPEST:
            raise YamlError(event.start_mark.line + 1, "nested too deeply")


def _located(node: Any, seen: dict[int, Located | None]) -> Located:  # noqa: ANN401 - PyYAML's nodes have no types
    """A node, with what it holds; one that aliases name again is gone through once."""
    place = f":{node.start_mark.line + 1}"
    if id(node) in seen:
        known = seen[id(node)]
        if known is None:
            raise YamlError(node.start_mark.line + 1, "an alias that contains itself")
        return known
    seen[id(node)] = None
    if node.id == "mapping":
        pairs = [(_located(key, seen), _located(value, seen)) for key, value in node.value]
        found = Located(kind="a mapping", place=place, pairs=pairs)
    elif node.id == "sequence":
        found = Located(kind="a list", place=place, items=[_located(item, seen) for item in node.value])
    else:
        kind = _SCALARS.get(node.tag, f"of the type {node.tag}")
        found = Located(kind=kind, place=place, text=node.value if kind == "text" else None)
    seen[id(node)] = found
    return found


def dump(document: object) -> str:
    """Write a document, in the order it has.

    Raises:
        ModuleNotFoundError: When PyYAML is not installed.
    """
    import yaml  # noqa: PLC0415 - an extra

    class Dumper(yaml.SafeDumper):
        """Escapes what PyYAML would write as a line break."""

    def quoted(dumper: Any, text: str) -> Any:  # noqa: ANN401 - PyYAML's nodes have no types
        style = '"' if set(text) & _BREAKS else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, quoted)
    dump = cast("Callable[..., str]", yaml.dump)  # pyright: ignore[reportUnknownMemberType] - one of its types is unknown
    return dump(document, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=120)


_BREAKS: Final = frozenset("\x85\u2028\u2029\ufeff\r")
