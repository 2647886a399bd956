"""YAML with its line numbers: the only module that knows PyYAML."""

from typing import Any, Final

from attrs import frozen


class YamlError(Exception):
    """Text that is not YAML."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@frozen
class Located:
    """A value and where it stands."""

    value: object
    """Text, None, a list of `Located`, or of pairs of them for a mapping; `()` for any other kind."""
    place: str
    """`:12` for line 12, or a path into JSON."""
    kind: str
    """What it is, in words."""


_SCALARS: Final = {
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
        return Located(None, ":1", "empty") if node is None else _located(node)
    except RecursionError:
        raise YamlError(1, "nested too deeply, or an alias that contains itself") from None


def _located(node: Any) -> Located:  # noqa: ANN401 - PyYAML's nodes have no types
    place = f":{node.start_mark.line + 1}"
    if node.id == "mapping":
        return Located([(_located(key), _located(value)) for key, value in node.value], place, "a mapping")
    if node.id == "sequence":
        return Located([_located(item) for item in node.value], place, "a list")
    if node.tag == "tag:yaml.org,2002:null":
        return Located(None, place, "null")
    if node.tag in _SCALARS:
        return Located((), place, _SCALARS[node.tag])
    return Located(node.value, place, "text")
