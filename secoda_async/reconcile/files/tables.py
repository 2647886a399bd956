"""CSV tables, a row for each membership: parse them, and quote cells that a spreadsheet would run as formulas."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from secoda_async.models import normalize
from secoda_async.reconcile.files.yaml_nodes import Node, Report

__all__ = ["COLUMNS", "parse_table", "quote_cell", "unquote_cell"]

COLUMNS: Final = ("group", "icon", "description", "member", "id")

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""The start of a formula in any spreadsheet, full-width signs included, after any number of quoting apostrophes."""


def quote_cell(cell: str) -> str:
    """Return a cell that spreadsheets treat as text: a leading apostrophe prevents a formula."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unquote_cell(cell: str) -> str:
    """Return the cell that `quote_cell` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


@frozen
class _Row:
    location: str
    cells: Mapping[str, str]


def parse_table(text: str, report: Report) -> Node | None:
    """Convert a table to the document that a YAML file with the same groups would have; None after a problem."""
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    no_header: list[str] = []
    try:
        header = [column.strip().lower() for column in next(table, no_header)]  # an export may say Group
        rows = [(table.line_num, [unquote_cell(cell.strip()) for cell in row]) for row in table if row]
    except csv.Error as error:
        report(f":{table.line_num}", f"is not CSV: {error}")
        return None
    if not _is_valid_header(header, report):
        return None
    groups: dict[tuple[str, str], list[_Row]] = {}
    for line, row in rows:
        if len(row) != len(header):
            report(f":{line}", f"has {len(row)} cells, not {len(header)}: write every cell, empty ones too")
            continue
        cells = dict(zip(header, row, strict=True))
        key = (normalize(cells["group"]), cells.get("id", ""))
        groups.setdefault(key, []).append(_Row(f":{line}", cells))
    entries = Node(kind="a list", location=":1", items=[_group_node(rows, report) for rows in groups.values()])
    return Node(kind="a mapping", location=":1", pairs=[_pair(":1", "groups", entries)])


def _is_valid_header(header: Sequence[str], report: Report) -> bool:
    wrong = [column for column in header if column not in COLUMNS or header.count(column) > 1]
    for column in wrong:
        problem = "there is no column" if column not in COLUMNS else "there are two columns"
        report(":1", f"{problem} {column!r}: use {', '.join(map(repr, COLUMNS))}")
    if "group" not in header:
        report(":1", "has no column 'group': the first line names the columns")
    return not wrong and "group" in header


def _group_node(rows: Sequence[_Row], report: Report) -> Node:
    """Return the entry of one group; rows that contradict the first are reported."""
    location, first = rows[0].location, rows[0].cells
    for row in rows[1:]:
        for key in ("icon", "description"):
            if row.cells.get(key) != first.get(key):
                report(row.location, f"{key} is {row.cells[key]!r}, but {first[key]!r} at line {location[1:]}")
    values = {"name": first["group"]} | {key: first[key] for key in ("icon", "description") if key in first}
    if first.get("id"):
        values["id"] = first["id"]
    pairs = [_pair(location, key, _text(location, value)) for key, value in values.items()]
    if "member" in first:
        pairs.append(_pair(location, "members", Node(kind="a list", location=location, items=_member_nodes(rows))))
    return Node(kind="a mapping", location=location, pairs=pairs)


def _member_nodes(rows: Sequence[_Row]) -> Sequence[Node]:
    """Return the members; a single row without one is a group without members."""
    if len(rows) == 1 and not rows[0].cells["member"]:
        return []
    return [_text(row.location, row.cells["member"]) for row in rows]


def _pair(location: str, key: str, value: Node) -> tuple[Node, Node]:
    return _text(location, key), value


def _text(location: str, text: str) -> Node:
    return Node(kind="text", location=location, text=text)
