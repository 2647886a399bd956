"""YAML with its line numbers: the only module that knows PyYAML."""

from collections.abc import Sequence
from typing import Any, Final

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


_SCALARS: Final = {
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
        node = yaml.compose(text, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(mark.line + 1 if mark else 1, error.problem or "can't be parsed") from None
    except yaml.YAMLError as error:
        raise YamlError(1, str(error).partition("\n")[0]) from None
    try:
        return Located(kind="an empty file", place=":1") if node is None else _located(node)
    except RecursionError:
        raise YamlError(1, "nested too deeply, or an alias that contains itself") from None


def _located(node: Any) -> Located:  # noqa: ANN401 - PyYAML's nodes have no types
    place = f":{node.start_mark.line + 1}"
    if node.id == "mapping":
        pairs = [(_located(key), _located(value)) for key, value in node.value]
        return Located(kind="a mapping", place=place, pairs=pairs)
    if node.id == "sequence":
        return Located(kind="a list", place=place, items=[_located(item) for item in node.value])
    kind = _SCALARS.get(node.tag, "text")
    return Located(kind=kind, place=place, text=node.value if kind == "text" else None)


def dump(document: object) -> str:
    """Write a document, in the order it has.

    Raises:
        ModuleNotFoundError: When PyYAML is not installed.
    """
    import yaml  # noqa: PLC0415 - an extra

    text: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=120)
    return text
