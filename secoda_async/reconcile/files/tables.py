"""CSV tables, a row for each membership, as spreadsheets and directories write them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from attrs import define, field

from secoda_async.models import normalize
from secoda_async.reconcile.files.cells import damage_of, unquote_cell
from secoda_async.reconcile.files.columns import Columns, Layout, find_layout, list_names
from secoda_async.reconcile.files.csv_rows import SEPARATORS, Row, first_line, read_rows
from secoda_async.reconcile.files.input_file import InputError, OtherFormatError
from secoda_async.reconcile.files.nodes import Node, Report

__all__ = ["looks_like_table", "parse_table"]

_SUFFIXES: Final = frozenset(("csv", "tsv", "tab"))
_OTHER_SUFFIXES: Final = frozenset(("yaml", "yml", "json"))

_YAML_START: Final = re.compile(r"""[\[{\-%!&*?#@`]|.*:(?:\s|$)|.*["']\s*:""")
"""A line that a file of groups in YAML or JSON may start with."""

_MAX_LISTED: Final = 5

_MAX_TITLES: Final = 10
"""Rows that are searched for the header, below a title."""


def looks_like_table(text: str, suffix: str) -> bool:
    """Return whether a text is a table. `suffix` is the file's, such as `.csv`; empty for none and for standard input.

    The content decides for `.txt`, other suffixes and none. A file of groups in YAML or JSON is never a table.
    """
    kind = suffix.lower().removeprefix(".")
    if kind in _SUFFIXES or kind in _OTHER_SUFFIXES:
        return kind in _SUFFIXES
    line = first_line(text)
    if _YAML_START.match(line):
        return False
    return any(separator in line for separator in SEPARATORS) or line.strip("\"'").lower() == "group"


def parse_table(text: str, report: Report, columns: Columns | str | Mapping[str, str] | None = None) -> Node | None:
    """Convert a table to the document that a YAML file with the same groups would have; None after a problem.

    Raises:
        InputError: When the text is not CSV.
        OtherFormatError: When it looks like YAML or JSON.
        InvalidArgumentError: When the columns are not what `Columns.parse` reads.
    """
    layout, header, rows = _find_layout(text, None if columns is None else Columns.parse(columns), report)
    if layout is None:
        return None
    table = _Table(layout, report)
    for row in rows:
        table.add(row)
    table.finish(header, is_cut=not text.endswith(("\n", "\r")))
    entries = Node(kind="a list", location=":1", items=[_group_node(group, layout) for group in table.groups()])
    return Node(kind="a mapping", location=":1", pairs=[_pair(1, "groups", entries)])


def _find_layout(text: str, columns: Columns | None, report: Report) -> tuple[Layout | None, Row, Iterator[Row]]:
    """Return the layout, the header and the rows below it, with the separator that makes the wanted columns.

    A header without these columns is reported, as the separator with the most columns splits it.

    Raises:
        InputError: When no separator makes the first row CSV.
        OtherFormatError: When the text looks like YAML or JSON.
    """
    failures: list[InputError] = []
    candidates: list[tuple[Row, Layout, list[str], Iterator[Row]]] = []
    for separator in SEPARATORS:
        rows = read_rows(text, separator)
        try:
            header = next(rows, Row(1, ()))
        except InputError as error:
            failures.append(error)
            continue
        layout, problems = find_layout(header.cells, columns)
        if not problems:
            return layout, header, rows
        candidates.append((header, layout, problems, rows))
    if not candidates:
        raise failures[0]
    header, _, problems, _ = max(candidates, key=lambda found: ("group" in found[1].fields, found[1].width))
    if _YAML_START.match(first_line(text)):
        raise OtherFormatError("YAML or JSON", ["yaml", "json"], f":{header.line}")
    if columns is None and (line := _line_of_header(rows for *_, rows in candidates)):
        problems = [f"is not the header, which is on line {line}: delete the lines above it"]
    for problem in problems:
        report(f":{header.line}", problem)
    return None, header, iter(())


def _line_of_header(candidates: Iterable[Iterator[Row]]) -> int | None:
    """Return the line of the header below a title; None if none of the first rows is a header."""
    for rows in candidates:
        with suppress(InputError):
            for row in islice(rows, _MAX_TITLES):
                if not find_layout(row.cells, None)[1]:
                    return row.line
    return None


@define
class _Group:
    """A group, from its rows."""

    line: int
    name: str
    id: str
    texts: dict[str, tuple[int, str]] = field(factory=dict[str, tuple[int, str]])
    """The icon and the description, each with its line."""
    members: list[tuple[int, str]] = field(factory=list[tuple[int, str]])
    """The cells of the column `member`, each with its line."""


@define
class _Table:
    """Collects the groups of a table from its rows."""

    layout: Layout
    report: Report
    _by_name: dict[str, dict[str, _Group]] = field(factory=dict[str, dict[str, _Group]], init=False)
    """Groups by name and id."""
    _last: Row | None = field(default=None, init=False)
    _without_group: list[int] = field(factory=list[int], init=False)
    """Lines of rows without a group."""
    _is_any_wanted: bool = field(default=False, init=False)
    _values: dict[str, dict[str, None]] = field(factory=dict[str, dict[str, None]], init=False)
    """Some values of the columns with conditions."""
    _reported: set[tuple[object, str]] = field(factory=set[tuple[object, str]], init=False)

    def add(self, row: Row) -> None:
        """Add a row to its group, if the row fulfils the conditions."""
        self._last = row
        if not self._is_sound(row) or not self._is_wanted(row):
            return
        name, group_id = normalize(self._text(row, "group")), self._text(row, "id")
        if not name and not group_id:
            self._without_group.append(row.line)
            return
        ids = self._by_name.setdefault(name, {})
        group = ids.get(group_id)
        if group is None:
            group = ids[group_id] = _Group(row.line, name, group_id)
        for key in ("icon", "description"):
            if text := self._text(row, key):
                self._add_text(group, key, row.line, text)
        if "member" in self.layout.fields:
            group.members.append((row.line, self._text(row, "member")))

    def finish(self, header: Row, *, is_cut: bool) -> None:
        """Report the problems that only the whole table shows. `is_cut` is true without a line break at its end."""
        needed = max(self.layout.fields.values()) + 1
        if is_cut and self._last is not None and len(self._last.cells) < needed:
            self.report(
                f":{self._last.line}",
                f"the last row has {len(self._last.cells)} of {needed} cells, and no line break follows: the file may "
                "be cut off; complete the row",
            )
        if self._without_group:
            lines = list_names(self._without_group)
            plural = "s" if len(self._without_group) > 1 else ""
            self.report(
                f":{self._without_group[0]}",
                f"the group is empty on line{plural} {lines}: write its name in every row, also of merged cells",
            )
        if self.layout.conditions and not self._is_any_wanted:
            self.report(f":{header.line}", self._no_row_problem())

    def groups(self) -> Iterator[_Group]:
        """Yield the groups. Rows without an id belong to the only group of their name that has one."""
        for name, ids in self._by_name.items():
            if name and "" in ids and len(ids) == 2:  # noqa: PLR2004 - rows with an id, and rows without
                rest = ids.pop("")
                (group,) = ids.values()
                group.line = min(group.line, rest.line)
                group.members += rest.members
                for key, (line, text) in rest.texts.items():
                    self._add_text(group, key, line, text)
            for group in ids.values():
                self._check_damage(group)
                yield group

    def _text(self, row: Row, key: str) -> str:
        return unquote_cell(row.cell(self.layout.fields.get(key)))

    def _is_sound(self, row: Row) -> bool:
        """Report text outside the columns: it would be lost, and the cells before it may be in wrong columns."""
        if len(row.cells) > self.layout.width and "".join(row.cells[self.layout.width :]).strip():
            self.report(
                f":{row.line}",
                f"has {len(row.cells)} cells, not {self.layout.width}: put cells that contain the separator in quotes",
            )
            return False
        for index in self.layout.unnamed:
            if text := row.cell(index):
                self._report_once(index, "", row.line, f"{text!r} is in column {index + 1}, which has no name: name it")
        return True

    def _is_wanted(self, row: Row) -> bool:
        """Return whether a row fulfils all conditions."""
        for condition in self.layout.conditions:
            values = self._values.setdefault(condition.column, {})
            if len(values) < _MAX_LISTED:
                values[row.cell(condition.index)] = None
        is_wanted = all(condition.accepts(row.cell(condition.index)) for condition in self.layout.conditions)
        self._is_any_wanted |= is_wanted
        return is_wanted

    def _no_row_problem(self) -> str:
        wanted = " and ".join(f"{condition.column} = {condition.value!r}" for condition in self.layout.conditions)
        found = "; ".join(f"{column!r} has {list_names(values)}" for column, values in self._values.items())
        return f"no row has {wanted}: {found or 'the table is empty'}"

    def _add_text(self, group: _Group, key: str, line: int, text: str) -> None:
        """Add an icon or a description: an empty cell means that another row of the group has the text."""
        first, known = group.texts.setdefault(key, (line, text))
        if known != text:
            problem = f"{key} is {text!r}, but {known!r} at line {first}: use one text"
            self._report_once((group.name, group.id), key, line, problem)

    def _check_damage(self, group: _Group) -> None:
        """Report damaged texts, except of a group with an id: the id says that the group exists with them."""
        if group.id:
            return
        for key, (line, text) in {"name": (group.line, group.name), **group.texts}.items():
            if damage := damage_of(key, text):
                self.report(f":{line}", damage)

    def _report_once(self, subject: object, key: str, line: int, problem: str) -> None:
        if (subject, key) not in self._reported:
            self._reported.add((subject, key))
            self.report(f":{line}", problem)


def _group_node(group: _Group, layout: Layout) -> Node:
    """Return the entry of one group."""
    values = {"name": (group.line, group.name)}
    values |= {key: group.texts.get(key, (group.line, "")) for key in ("icon", "description") if key in layout.fields}
    if group.id:
        values["id"] = (group.line, group.id)
    pairs = [_pair(group.line, key, _text(line, text)) for key, (line, text) in values.items()]
    if "member" in layout.fields:
        members = [_text(line, cell) for line, cell in _member_cells(group)]
        pairs.append(_pair(group.line, "members", Node(kind="a list", location=f":{group.line}", items=members)))
    return Node(kind="a mapping", location=f":{group.line}", pairs=pairs)


def _member_cells(group: _Group) -> Sequence[tuple[int, str]]:
    """Return the cells with members; a single row without one is a group without members."""
    is_empty = len(group.members) == 1 and not group.members[0][1]
    return [] if is_empty else group.members


def _pair(line: int, key: str, value: Node) -> tuple[Node, Node]:
    return _text(line, key), value


def _text(line: int, text: str) -> Node:
    return Node(kind="text", location=f":{line}", text=text)
