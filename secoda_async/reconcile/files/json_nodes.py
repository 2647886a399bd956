"""Parse JSON into nodes with locations, which the standard library's parser does not keep."""

import json
import re
from collections.abc import Callable
from typing import Final

from secoda_async.reconcile.files.input_file import InputError
from secoda_async.reconcile.files.nodes import MAX_DEPTH, Lines, Node

__all__ = ["is_json", "parse"]

_BLANKS: Final = re.compile(r"[ \t\n\r]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LITERAL: Final = re.compile(r"true|false|null")


def is_json(text: str) -> bool:
    """Return whether a text is a JSON object or list. Its depth and its numbers are not checked."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text, parse_int=str)
    except json.JSONDecodeError:
        return False
    except RecursionError:
        return True  # parsing it reports the depth
    return True


def parse(text: str) -> Node:
    """Parse a document.

    Raises:
        InputError: When the text is not JSON, or nested too deeply.
    """
    parser = _Parser(text)
    node = parser.value(1)
    if parser.index < len(text):
        raise parser.error("text follows the end of the document: write one document in a file")
    return node


class _Parser:
    """A recursive descent parser. `index` is that of the next character that is not blank."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = Lines(text)
        self.index = 0
        self._decode = json.JSONDecoder().raw_decode
        self._skip(0)

    def error(self, problem: str) -> InputError:
        """Return an error at the next character."""
        return InputError(f"is not JSON: {problem}", self.lines.location(self.index))

    def value(self, depth: int) -> Node:
        """Parse the next value."""
        if depth > MAX_DEPTH:
            raise self.error("nested too deeply")
        character = self.text[self.index : self.index + 1]
        if character == '"':
            return self._string()
        location = self.lines.location(self.index)
        if character == "{":
            pairs: list[tuple[Node, Node]] = []
            self._sequence("}", lambda: pairs.append(self._pair(depth)))
            return Node(kind="a mapping", location=location, pairs=pairs)
        if character == "[":
            items: list[Node] = []
            self._sequence("]", lambda: items.append(self.value(depth + 1)))
            return Node(kind="a list", location=location, items=items)
        return self._scalar(location)

    def _skip(self, length: int) -> None:
        """Move past a token and the blanks that follow it."""
        blanks = _BLANKS.match(self.text, self.index + length)
        self.index = blanks.end() if blanks else self.index + length

    def _sequence(self, end: str, parse_item: Callable[[], None]) -> None:
        """Parse items with commas between them, up to the end."""
        self._skip(1)
        while not self.text.startswith(end, self.index):
            parse_item()
            if self.text.startswith(",", self.index):
                self._skip(1)
                if self.text.startswith(end, self.index):
                    raise self.error(f"a comma before {end!r}: remove it")
            elif not self.text.startswith(end, self.index):
                raise self.error(f"expected ',' or {end!r}")
        self._skip(1)

    def _pair(self, depth: int) -> tuple[Node, Node]:
        if not self.text.startswith('"', self.index):
            raise self.error("expected a key in double quotes")
        key = self._string()
        if not self.text.startswith(":", self.index):
            raise self.error("expected ':' after a key")
        self._skip(1)
        return key, self.value(depth + 1)

    def _string(self) -> Node:
        location = self.lines.location(self.index)
        try:
            text, end = self._decode(self.text, self.index)
        except json.JSONDecodeError as error:
            self.index = error.pos
            raise self.error(error.msg) from None
        self._skip(end - self.index)
        return Node(kind="text", location=location, text=text)

    def _scalar(self, location: str) -> Node:
        found = _LITERAL.match(self.text, self.index) or _NUMBER.match(self.text, self.index)
        if found is None:
            raise self.error("expected a value" if self.index < len(self.text) else "the file ends too early")
        self._skip(len(found[0]))
        if found[0] == "null":
            return Node(kind="null", location=location)
        return Node(kind="a number" if found.re is _NUMBER else "a boolean", location=location, literal=found[0])
