"""What people and programs see: results on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Final

from attrs import define, field
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from secoda_async import Plan
from secoda_async.cli.options import Output
from secoda_async.reconcile import words

_PIPED_WIDTH = 1000
"""Columns of a table that goes into a pipe: cut values help nobody there."""


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _PIPED_WIDTH, highlight=False)


@define
class Screen:
    """Where a command prints."""

    output: Output
    out: Console = field(factory=lambda: _console(stderr=False), init=False)
    err: Console = field(factory=lambda: _console(stderr=True), init=False)

    def document(self, value: object) -> None:
        """Print the one JSON document of a command."""
        json.dump(value, sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
        """Print a table; what people typed is shown as it is, never read as markup.

        Args:
            title: What stands above it.
            columns: The headings. A `#` at the end is for numbers, a `~` for what gives way on a narrow screen.
            rows: The cells.
        """
        table = Table(
            show_header=any(columns),
            title_justify="left",
            title_style="bold",
            header_style="dim",
            box=None,
            pad_edge=False,
        )
        table.title = Text(title)
        for column in columns:
            kind = "id" if column == "id" else column[-1:]
            table.add_column(
                column.rstrip("#~"),
                justify="right" if kind == "#" else "left",
                overflow="ellipsis" if kind == "~" else "fold",
                no_wrap=kind in ("id", "#", "~"),
                min_width=36 if kind == "id" else None,
                ratio=1 if kind == "~" else None,
            )
        table.expand = self.out.is_terminal and any(column.endswith("~") for column in columns)
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
        self.out.print(table)

    def say(self, text: str, style: str = "") -> None:
        """Print a line of a result for a person."""
        self.out.print(Text(text, style=style))

    def note(self, text: str, style: str = "dim") -> None:
        """Print a line that is not part of the result."""
        self.err.print(Text(text, style=style))

    @contextmanager
    def progress(
        self, what: str, total: int | None, seconds_for: Callable[[int], float] | None = None
    ) -> "Generator[Bar, None, None]":
        """Show a bar while something goes on, on a terminal only.

        Args:
            what: What goes on.
            total: How many items there are, if that is known.
            seconds_for: How many seconds so many further items take, for the time that is left.
        """
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        columns += [BarColumn(bar_width=30), MofNCompleteColumn()] if total is not None else []
        columns += [_EtaColumn(seconds_for)] if seconds_for is not None else []
        with Progress(*columns, console=self.err, transient=True, disable=not self.err.is_terminal) as progress:
            yield Bar(progress, progress.add_task(what, total=total))


class _EtaColumn(ProgressColumn):
    """When a job will be over: not guessed from its pace, but asked of the limit that it waits for."""

    def __init__(self, seconds_for: Callable[[int], float]) -> None:
        super().__init__()
        self._seconds_for = seconds_for

    def render(self, task: Task) -> Text:
        left = int((task.total or 0) - task.completed)
        return Text(f"about {duration(self._seconds_for(left))} left", style="cyan") if left else Text("")


@define
class Bar:
    """A bar that moves."""

    _progress: Progress
    _task: Any

    def advance(self) -> None:
        """One more is done."""
        self._progress.advance(self._task)

    def show(self, text: str) -> None:
        """Say something else beside it."""
        self._progress.update(self._task, description=text)


_COLOURS: Final = {
    "create": "green",
    "update": "yellow",
    "delete": "red",
    "added": "green",
    "removed": "red",
    "warning": "bold red",
    "summary": "bold",
}


def show_plan(screen: Screen, plan: Plan, *, most: int | None = None) -> None:
    """Print what would change, and what it takes; of more than `most` changes, some."""
    for line in words.lines(plan, most=most):
        screen.out.print(
            Padding(Text(line.text, style=_COLOURS.get(line.kind, "")), (0, 0, 0, line.indent), expand=False)
        )
    if not plan.is_empty:
        screen.say(f"{plan.writes} writes, {at_least(plan.seconds)}; digest {plan.digest}", style="dim")


def at_least(seconds: float) -> str:
    """How long a job takes at least: `at once`, `at least 2 min 00 s`."""
    return f"at least {duration(seconds)}" if seconds else "at once"


def duration(seconds: float) -> str:
    """Seconds in words that people use: `4 s`, `12 min 05 s`, `1 h 20 min`."""
    if seconds < 9.95:  # noqa: PLR2004 - below ten, tenths matter
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
