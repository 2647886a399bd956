"""The rows of a CSV table, with the lines at which they start."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

__all__ = ["SEPARATORS", "CsvError", "Row", "first_line", "read_rows"]

SEPARATORS: Final = ",;\t|"

_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")

_DIRECTIVES: Final = re.compile(
    r'(?:[\s,;|]*"?(?:sep=[^\r\n]"?[,;\t| ]*|#TYPE [^\r\n]*)(?:\r\n|\r|\n|\Z))*', re.IGNORECASE
)
"""First lines that Excel (`sep=;`) and PowerShell (`#TYPE ...`) write."""


class CsvError(Exception):
    """Raised for a row that can't be parsed."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__("a quote in this row is never closed" if "end of data" in reason else reason)
        self.line = line


@frozen
class Row:
    """A row with text in it. Spreadsheets leave out empty cells at its end."""

    line: int
    """The line on which the row starts."""
    cells: Sequence[str]

    def cell(self, index: int | None) -> str:
        """Return the trimmed text of a cell; empty for a cell or a column that is missing."""
        return self.cells[index].strip() if index is not None and index < len(self.cells) else ""


def read_rows(text: str, separator: str) -> Iterator[Row]:
    """Yield each row that has text.

    Raises:
        CsvError: When a row is not CSV.
    """
    start = _start(text)
    skipped = len(_LINE_BREAK.findall(text, 0, start))
    stream = io.StringIO(text, newline="")
    stream.seek(start)
    reader = csv.reader(stream, delimiter=separator, skipinitialspace=True, strict=True)
    line = skipped + 1
    try:
        for cells in reader:
            if "".join(cells).strip():
                yield Row(line, cells)
            line = skipped + reader.line_num + 1
    except csv.Error as error:
        raise CsvError(line, str(error)) from None


def first_line(text: str) -> str:
    """Return the first line with text after the directives, trimmed."""
    found = re.compile(r"\s*([^\r\n]*)").match(text, _start(text))
    return found[1].strip() if found else ""


def _start(text: str) -> int:
    found = _DIRECTIVES.match(text)
    return found.end() if found else 0
