"""The output of a command: results on stdout, everything else on stderr."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from itertools import compress
from pathlib import Path
from typing import Any, Final, Literal

from attrs import define, field, frozen
from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Column as TableColumn
from rich.table import Table
from rich.text import Text

from secoda_async.cli import files
from secoda_async.cli.options import Output
from secoda_async.cli.output.times import time_left
from secoda_async.cli.signals import interrupt_on_signal
from secoda_async.reconcile.escape import escape_control, escape_json

PIPED_WIDTH: Final = 1000
"""Columns of a table in a pipe or file, where nothing should be cut."""

_CHUNK: Final = 4096
"""Characters per write to stdout."""

_GAP: Final = 2
"""Columns between the cells of a table."""

_LOG_INTERVAL: Final = 30.0
"""Seconds between two progress lines when stderr is not a terminal."""

_MINIMUM_SHRUNK: Final = 12
"""Columns below which a shrinkable column is left out: a few letters and an ellipsis help nobody."""

_MINIMUM_CUT: Final = 20
"""Columns below which a column wraps in place of being cut: the starts of names may all be the same."""

_HANG: Final = 2
"""Columns by which the further lines of a wrapped text are indented."""

_MINIMUM_WRAPPED: Final = 20
"""Columns of a wrapped text on the narrowest terminal."""

_TO_COPY: Final = ("  secoda-async ", "export ")
"""Beginnings of lines that a person copies into a shell, where the first half of a command could do harm."""


class PipeConsole(RichConsole):
    """Raises BrokenPipeError, so that the exit code is decided in `app.main`; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Raise what the write raised."""
        raise BrokenPipeError


def make_console(output: Output, *, stderr: bool = False, width: int | None = None) -> RichConsole:
    """Return a console for stdout or stderr; with --no-color or NO_COLOR it prints no colors and no bold text."""
    is_plain = output.no_color or bool(os.environ.get("NO_COLOR"))
    return PipeConsole(stderr=stderr, width=width, highlight=False, color_system=None if is_plain else "auto")


def _output_console(output: Output, *, stderr: bool) -> RichConsole:
    stream = sys.stderr if stderr else sys.stdout
    return make_console(output, stderr=stderr, width=None if stream.isatty() else PIPED_WIDTH)


@frozen
class Column:
    """A column of a table, and what happens to it on a narrow terminal."""

    heading: str
    overflow: Literal["cut", "keep", "shrink", "wrap"] = "cut"
    """`shrink`: gives way first, or is left out. `cut`: gives way after that. `keep`: never, as an id is copied."""
    align: Literal["left", "right"] = "left"


@define
class Console:
    """Prints for a person, or one JSON document for a program."""

    output: Output
    out: RichConsole = field(init=False)
    err: RichConsole = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.out = _output_console(self.output, stderr=False)
        self.err = _output_console(self.output, stderr=True)

    def print_json(self, value: object) -> None:
        """Print the one JSON document of a command."""
        write_stdout(to_json(value))

    def confirm(self, question: str) -> bool:
        """Ask a person on the terminal, and return whether the answer is yes."""
        with interrupt_on_signal():
            self.err.print(Text(f"{escape_control(question)} [y/N] "), end="")
            answer = ""
            try:
                answer = sys.stdin.readline()
            finally:
                if not answer.endswith("\n"):  # Ctrl-C or Ctrl-D: the next message starts a new line
                    self.err.print()
            return answer.strip().lower() in ("yes", "y")

    def table(self, title: str, columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> None:
        """Print a table. Names are escaped, and never read as markup."""
        cells = [[cell if isinstance(cell, Text) else Text(escape_control(cell)) for cell in row] for row in rows]
        table = Table(
            title=Text(escape_control(title)),
            title_justify="left",
            title_style="bold",
            show_header=any(column.heading for column in columns),
            header_style="dim",
            box=None,
            pad_edge=False,
        )
        lengths = _lengths(columns, cells)
        widths = _column_widths(columns, lengths, self.out.width)
        shown = [width != 0 for width in widths]
        for column, width, length in compress(zip(columns, widths, lengths, strict=True), shown):
            _add_column(table, column, width, length)
        for row in cells:
            table.add_row(*compress(row, shown))
        if self.out.is_terminal:
            self.out.print(table)
            return
        with self.out.capture() as captured:
            self.out.print(table)
        write_stdout(re.sub(r" +$", "", captured.get(), flags=re.MULTILINE))  # rich pads each line to the longest

    def print(self, text: str, style: str = "") -> None:
        """Print a line of a result for a person."""
        print_text(self.out, escape_control(text), style)

    def print_command(self, command: str) -> None:
        """Print a command line to copy."""
        self.print(f"  {command}")

    def info(self, text: str) -> None:
        """Print a note to stderr, unless the command is quiet."""
        if not self.output.quiet:
            self._print_to_stderr(text, "dim")

    def warn(self, text: str) -> None:
        """Print a warning to stderr."""
        self._print_to_stderr(text, "yellow")

    def error(self, text: str) -> None:
        """Print an error to stderr."""
        self._print_to_stderr(text, "red")

    def _print_to_stderr(self, text: str, style: str) -> None:
        with suppress(OSError, ValueError):  # a closed stderr is not an error
            print_text(self.err, escape_control(text), style)

    @contextmanager
    def progress(
        self, description: str, total: int | None, seconds_for: Callable[[int], float] | None = None
    ) -> "Generator[Bar, None, None]":
        """Show a progress bar on a terminal; elsewhere print a line every 30 seconds.

        `seconds_for` returns how many seconds a number of further items takes, for the time left.
        """
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        columns += [BarColumn(bar_width=30), MofNCompleteColumn(table_column=_whole())] if total is not None else []
        columns += [_EtaColumn(seconds_for)] if seconds_for is not None else []
        with Progress(
            *columns, console=self.err, transient=True, disable=self.output.quiet or not self.err.is_terminal
        ) as progress:
            yield Bar(self, progress, progress.add_task(description, total=total), seconds_for)


def _whole() -> TableColumn:
    """Return a column of a progress line that never wraps: on a narrow terminal the bar gives way."""
    return TableColumn(no_wrap=True)


class _EtaColumn(ProgressColumn):
    """The time left: asked of the write limit, not extrapolated from the pace so far."""

    def __init__(self, seconds_for: Callable[[int], float]) -> None:
        super().__init__(table_column=_whole())
        self._seconds_for = seconds_for

    def render(self, task: Task) -> Text:
        left = int((task.total or 0) - task.completed)
        return Text(time_left(left, self._seconds_for(left)), style="cyan") if left else Text("")


@define
class Bar:
    """A progress bar."""

    _console: Console
    _progress: Progress
    _task: Any
    _seconds_for: Callable[[int], float] | None
    _logged_at: float = field(factory=lambda: time.monotonic(), init=False)  # noqa: PLW0108 - looked up when called

    def update(self, done: int, failed: int, unknown: int = 0) -> None:
        """Set the number of items that are done, how many of them failed, and how many have an unknown outcome."""
        self._progress.update(self._task, completed=done)
        task = self._progress.tasks[0]
        problems = [f", {number} {status}" for number, status in ((failed, "failed"), (unknown, "unknown")) if number]
        description = task.description.partition(", ")[0] + "".join(problems)
        self.describe(description)
        if self._progress.disable and self._seconds_for and time.monotonic() - self._logged_at >= _LOG_INTERVAL:
            self._logged_at = time.monotonic()
            left = int(task.total or 0) - done
            self._console.info(f"{description}: {done} of {task.total:.0f}, {time_left(left, self._seconds_for(left))}")

    def describe(self, text: str) -> None:
        """Change the text before the bar."""
        self._progress.update(self._task, description=text)


def _add_column(table: Table, column: Column, width: int | None, length: int) -> None:
    """Add a column. Its cells are cut at the width; without a width, or if too little would be left, they wrap."""
    is_cut = width is not None and (column.overflow != "cut" or width >= min(length, _MINIMUM_CUT))
    overflow: Literal["ellipsis", "fold"] = "ellipsis" if is_cut else "fold"
    table.add_column(column.heading, justify=column.align, overflow=overflow, no_wrap=is_cut, width=width)


def _lengths(columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> Sequence[int]:
    """Return the length of the longest cell of each column, its heading included."""
    return [max([len(column.heading), *(row[index].cell_len for row in rows)]) for index, column in enumerate(columns)]


def _column_widths(columns: Sequence[Column], lengths: Sequence[int], available: int) -> Sequence[int | None]:
    """Return the width of each column: 0 leaves a column out, None wraps its cells."""
    overflows = [column.overflow for column in columns]
    if "wrap" in overflows:
        return [None if overflow == "wrap" else length for overflow, length in zip(overflows, lengths, strict=True)]
    return _cut_widths(overflows, lengths, available)


def _cut_widths(overflows: Sequence[str], lengths: Sequence[int], available: int) -> Sequence[int]:
    widths = list(lengths)
    shrinkable = [index for index, overflow in enumerate(overflows) if overflow == "shrink"]
    room = available + _GAP - sum(width + _GAP for index, width in enumerate(widths) if index not in shrinkable)
    for index in shrinkable:
        share = room // len(shrinkable) - _GAP
        widths[index] = min(widths[index], share) if share >= _MINIMUM_SHRUNK else 0
    if room < 0:
        widest = _widest(overflows, widths)
        widths[widest] = max(1, widths[widest] + room)
    return widths


def _widest(overflows: Sequence[str], widths: Sequence[int]) -> int:
    """Return the index of the widest column that may be cut."""
    return max((index for index, overflow in enumerate(overflows) if overflow != "keep"), key=widths.__getitem__)


def print_text(console: RichConsole, text: str, style: str = "", indent: int = 0) -> None:
    """Print a line of escaped text: wrapped with an indentation on a narrow terminal, whole in a pipe.

    A command to copy stays one line.
    """
    rows = [Text(text, style=style)]
    if console.is_terminal and indent + rows[0].cell_len > console.width and not text.startswith(_TO_COPY):
        rows = list(rows[0].wrap(console, max(_MINIMUM_WRAPPED, console.width - indent - _HANG)))
    for number, row in enumerate(rows):
        console.print(Text(" " * (indent + (_HANG if number else 0))) + row, soft_wrap=True)


def write_or_print(text: str, file: Path | None) -> None:
    """Write a text to a file, or to stdout if there is none."""
    if file is None:
        write_stdout(text)
    else:
        files.write(file, text)


def write_stdout(text: str) -> None:
    """Write a text to stdout in chunks: with PYTHONUNBUFFERED, Python drops the rest of one that a closed pipe cuts."""
    for start in range(0, len(text), _CHUNK):
        sys.stdout.write(text[start : start + _CHUNK])
    sys.stdout.flush()


def to_json(value: object) -> str:
    """Return a value as indented JSON, with control characters escaped."""
    return escape_json(json.dumps(value, ensure_ascii=False, indent=2)) + "\n"
