"""The nodes of a parsed file of groups, each with its location."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from attrs import frozen

__all__ = ["LINE_BREAK", "MAX_DEPTH", "Lines", "Node", "Report"]

MAX_DEPTH: Final = 20
"""Levels of nesting. A file of groups has five, and lists of members may be nested."""

Report = Callable[[str, str], None]
"""Called with the location and the text of a problem."""

LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")


@frozen(kw_only=True)
class Node:
    """A value and its location."""

    kind: str
    """The type, for messages: `text`, `null`, `a list`, `a mapping`, `a number`, or another one."""
    location: str
    """`:12:3` for column 3 of line 12."""
    text: str | None = None
    """The string, for a text."""
    literal: str | None = None
    """The value as written, for a number or a boolean."""
    items: Sequence["Node"] = ()
    """The items of a list."""
    pairs: Sequence[tuple["Node", "Node"]] = ()
    """The keys and values of a mapping, in order; keys may repeat."""


class Lines:
    """Converts an index into a text to a line and a column, as editors count them."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in LINE_BREAK.finditer(text))]

    def location(self, index: int) -> str:
        """Return the location of a character: `:12:3` for column 3 of line 12."""
        line = bisect_right(self._starts, index)
        return f":{line}:{index - self._starts[line - 1] + 1}"
