"""What people and programs see: results on stdout, everything else on stderr."""

import io
import json
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from attrs import define, field
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from secoda_async import Plan
from secoda_async.cli.options import Output
from secoda_async.cli.signals import raised_at_once
from secoda_async.reconcile import render
from secoda_async.reconcile.escape import escape_control, escape_json

_PIPED_WIDTH: Final = 1000
"""Columns of a table that goes into a pipe: cut values help nobody there."""

_PART: Final = 4096
"""Characters that are written at a time."""

_GAP: Final = 2
"""Columns between the cells of a table."""

_SILENCE: Final = 30.0
"""Seconds after which a log gets another line of how far a job is."""

_LEAST_ROOM: Final = 12
"""Columns below which what gives way is left out: three letters and an ellipsis tell nothing."""


class OutputConsole(Console):
    """Leaves it to the caller what it means that nobody reads."""

    def on_broken_pipe(self) -> None:
        """Raise what the write raised."""
        raise BrokenPipeError


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return OutputConsole(stderr=stderr, width=None if stream.isatty() else _PIPED_WIDTH, highlight=False)


@define
class Screen:
    """Where a command prints."""

    output: Output
    out: Console = field(factory=lambda: _console(stderr=False), init=False)
    err: Console = field(factory=lambda: _console(stderr=True), init=False)

    def document(self, value: object) -> None:
        """Print the one JSON document of a command."""
        emit(document(value))

    def ask(self, question: str) -> bool:
        """Ask a person on the terminal."""
        with raised_at_once():
            self.err.print(Text(f"{escape_control(question)} Type yes: "), end="")
            return sys.stdin.readline().strip().lower() in ("yes", "y")

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
        """Print a table; what people typed is shown as it is, never read as markup.

        Args:
            title: What stands above it.
            columns: The headings. At the end, `#` is for numbers, `~` for what gives way on a narrow screen, `/` for
                what is wrapped.
            rows: The cells.
        """
        cells = [[cell if isinstance(cell, Text) else Text(escape_control(cell)) for cell in row] for row in rows]
        headings = [column.rstrip("#~/") for column in columns]
        table = Table(
            title=Text(escape_control(title)),
            title_justify="left",
            title_style="bold",
            show_header=any(headings),
            header_style="dim",
            box=None,
            pad_edge=False,
        )
        widths = _widths(columns, [[Text(heading) for heading in headings], *cells], self.out.width)
        shown = [index for index, width in enumerate(widths) if width != 0]
        for index in shown:
            table.add_column(
                headings[index],
                justify="right" if columns[index].endswith("#") else "left",
                overflow="ellipsis" if widths[index] else "fold",
                no_wrap=bool(widths[index]),
                width=widths[index],
            )
        for row in cells:
            table.add_row(*(row[index] for index in shown))
        self.out.print(table)

    def say(self, text: str, style: str = "") -> None:
        """Print a line of a result for a person."""
        self.out.print(Text(escape_control(text), style=style))

    def note(self, text: str, style: str = "dim") -> None:
        """Print a line that is not part of the result; when nobody reads stderr, it is lost and nothing else."""
        with suppress(OSError, ValueError):
            self.err.print(Text(escape_control(text), style=style))

    def warn(self, text: str) -> None:
        """Print a line that is not part of the result, and should not be overlooked."""
        self.note(text, style="yellow")

    @contextmanager
    def progress(
        self, what: str, total: int | None, seconds_for: Callable[[int], float] | None = None
    ) -> "Generator[Bar, None, None]":
        """Show a bar while something goes on; elsewhere than on a terminal, a line now and then.

        Args:
            what: What goes on.
            total: How many items there are, if that is known.
            seconds_for: How many seconds so many further items take, for the time that is left.
        """
        columns: list[ProgressColumn] = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        columns += [BarColumn(bar_width=30), MofNCompleteColumn()] if total is not None else []
        columns += [_EtaColumn(seconds_for)] if seconds_for is not None else []
        with Progress(*columns, console=self.err, transient=True, disable=not self.err.is_terminal) as progress:
            yield Bar(self, progress, progress.add_task(what, total=total), seconds_for)


class _EtaColumn(ProgressColumn):
    """When a job will be over: not guessed from its pace, but asked of the limit that it waits for."""

    def __init__(self, seconds_for: Callable[[int], float]) -> None:
        super().__init__()
        self._seconds_for = seconds_for

    def render(self, task: Task) -> Text:
        left = int((task.total or 0) - task.completed)
        return Text(_left(self._seconds_for(left)), style="cyan") if left else Text("")


@define
class Bar:
    """A bar that moves."""

    _screen: Screen
    _progress: Progress
    _task: Any
    _seconds_for: Callable[[int], float] | None
    _told: float = field(factory=lambda: time.monotonic(), init=False)  # noqa: PLW0108 - looked up when called

    def reach(self, done: int, failed: int) -> None:
        """So many are done, and so many of them failed."""
        self._progress.update(self._task, completed=done)
        task = self._progress.tasks[0]
        what = task.description.partition(", ")[0] + (f", {failed} failed" if failed else "")
        self.show(what)
        if self._progress.disable and self._seconds_for and time.monotonic() - self._told >= _SILENCE:
            self._told = time.monotonic()
            left = int(task.total or 0) - done
            self._screen.note(f"{what}: {done} of {task.total:.0f}, {_left(self._seconds_for(left))}")

    def show(self, text: str) -> None:
        """Say something else beside it."""
        self._progress.update(self._task, description=text)


def _widths(columns: Sequence[str], rows: Sequence[Sequence[Text]], whole: int) -> Sequence[int | None]:
    """How wide each column of a table is: 0 when it is left out, None when it is wrapped."""
    widths = [max(row[index].cell_len for row in rows) for index in range(len(columns))]
    if any(column.endswith("/") for column in columns):
        return [None if column.endswith("/") else width for width, column in zip(widths, columns, strict=True)]
    gives_way = [index for index, column in enumerate(columns) if column.endswith("~")]
    room = whole + _GAP - sum(width + _GAP for index, width in enumerate(widths) if index not in gives_way)
    for index in gives_way:
        share = room // len(gives_way) - _GAP
        widths[index] = min(widths[index], share) if share >= _LEAST_ROOM else 0
    if room < 0:  # the widest of the others is cut; an id is copied, and so shown whole
        widest = max((index for index, column in enumerate(columns) if column != "id"), key=lambda index: widths[index])
        widths[widest] = max(1, widths[widest] + room)
    return widths


_COLOURS: Final = {
    "create": "green",
    "update": "yellow",
    "delete": "red",
    "added": "green",
    "removed": "red",
    "warning": "bold red",
    "summary": "bold",
}


def show_plan(screen: Screen, plan: Plan, *, most: int | None = None, console: Console | None = None) -> None:
    """Print what would change, and what it takes; of more than `most` changes, some."""
    console = console or screen.out
    for line in render.render_text(plan, most=most):
        console.print(Padding(Text(line.text, style=_COLOURS.get(line.kind, "")), (0, 0, 0, line.indent), expand=False))
    if not plan.is_empty:
        console.print(Text(f"{estimate(plan)}; digest {plan.digest}", style="dim"))


def estimate(plan: Plan) -> str:
    """What a plan takes. A new process can't know what programs elsewhere wrote in the last minute, and says so."""
    return f"{plan.writes} writes, {at_least(plan.seconds)} if no other program wrote in the last minute"


def plan_text(plan: Plan) -> str:
    """Return a plan as `show_plan` prints it into a pipe."""
    console = Console(file=io.StringIO(), width=_PIPED_WIDTH, highlight=False)
    with console.capture() as captured:
        show_plan(Screen(Output()), plan, console=console)
    return captured.get()


def emit(text: str) -> None:
    """Write a text to stdout, in parts: with PYTHONUNBUFFERED, Python drops the rest of one that a closed pipe cuts."""
    for start in range(0, len(text), _PART):
        sys.stdout.write(text[start : start + _PART])
    sys.stdout.flush()


def document(value: object) -> str:
    """Return a value as JSON, with what would steer a terminal escaped."""
    return escape_json(json.dumps(value, ensure_ascii=False, indent=2)) + "\n"


def at_least(seconds: float) -> str:
    """How long a job takes at least: `at once`, `at least 2 min 00 s`."""
    return f"at least {duration(seconds)}" if seconds else "at once"


def _left(seconds: float) -> str:
    return f"about {duration(seconds)} left" if seconds >= 1 else "nearly done"


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
