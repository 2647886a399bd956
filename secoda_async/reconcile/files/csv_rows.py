"""The rows of a CSV table, with the lines at which they start."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from secoda_async.reconcile.files.input_file import InputError
from secoda_async.reconcile.files.nodes import LINE_BREAK

__all__ = ["SEPARATORS", "Row", "first_line", "read_rows"]

SEPARATORS: Final = ",;\t|"

_DIRECTIVES: Final = re.compile(
    r'(?:[\s,;|]*"?(?:sep=[^\r\n]"?[,;\t| ]*|#TYPE [^\r\n]*)(?:\r\n|\r|\n|\Z))*', re.IGNORECASE
)
"""First lines that Excel (`sep=;`) and PowerShell (`#TYPE ...`) write."""


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
        InputError: When a row is not CSV.
    """
    start = _start(text)
    skipped = len(LINE_BREAK.findall(text, 0, start))
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
        reason = "a quote in this row is never closed" if "end of data" in str(error) else str(error)
        raise InputError(f"is not CSV: {reason}", f":{line}") from None


def first_line(text: str) -> str:
    """Return the first line with text after the directives, trimmed."""
    found = re.compile(r"\s*([^\r\n]*)").match(text, _start(text))
    return found[1].strip() if found else ""


def _start(text: str) -> int:
    found = _DIRECTIVES.match(text)
    return found.end() if found else 0
