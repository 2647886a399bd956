"""Cells of a table that a spreadsheet would run: quoted when they are written, and read back as they were."""

import re
from typing import Final

__all__ = ["quoted", "unquoted"]

_RUN: Final = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""The start of a formula in any spreadsheet, full-width signs too; apostrophes before it are a quotation."""


def quoted(cell: str) -> str:
    """Return a cell that no spreadsheet runs: an apostrophe before it makes it text."""
    return f"'{cell}" if _RUN.match(cell) else cell


def unquoted(cell: str) -> str:
    """Return what `quoted` was given."""
    return cell[1:] if cell.startswith("'") and _RUN.match(cell) else cell
