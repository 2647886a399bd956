"""Read a journal: the runs of apply that were appended to it, and the changes that each may have written."""

import json
import os
from collections.abc import Sequence
from typing import Any, Final, Literal, NoReturn, TypeVar, cast

from attrs import define, evolve, field, frozen

from secoda_async._engine.wire import codec
from secoda_async.errors import DesiredStateError, ResponseError
from secoda_async.reconcile.escape import escape_control
from secoda_async.reconcile.files.input_file import FileTooLargeError, InputError, read_bytes
from secoda_async.reconcile.journal import VERSION
from secoda_async.reconcile.plan import Change, is_saved_plan

__all__ = ["JournalRun", "LoggedChange", "load_runs", "read_runs", "select_run"]

T = TypeVar("T")

_MOST_PROBLEMS: Final = 10
"""Problems that an error lists; the others are counted."""

_NOT_WRITTEN: Final = frozenset({"unchanged", "failed", "not_attempted"})
"""Statuses that prove that the run did not write the change."""


@frozen(kw_only=True)
class LoggedChange:
    """A change that a run wrote, or may have written."""

    change: Change
    """The change as it was planned; its place is the line of the intent."""
    id: str | None
    """The group's id; None for a create whose response the journal does not have."""
    is_applied: bool
    """Whether the run ended with the proof that the change was written; False if the outcome is unknown or missing."""


@frozen(kw_only=True)
class JournalRun:
    """One run of apply in a journal."""

    id: str
    """The id of the run."""
    digest: str
    """The digest of the plan that it applied."""
    time: str
    """The time of its first line, ISO 8601."""
    origin: str
    """The origin that it wrote to."""
    workspace: str | None
    """The id of the workspace that it wrote to; None when it was not known."""
    changes: tuple[LoggedChange, ...]
    """The changes that it wrote or may have written, in the order of the plan."""


@frozen(kw_only=True)
class _Line:
    """The fields of a line that tell what it is about; the change has more."""

    time: str
    event: Literal["intent", "outcome", "held"]
    run: str
    plan: str
    origin: str
    workspace: str | None
    index: int | None = None
    id: str | None = None
    status: str | None = None


@define
class _RunLines:
    """The lines of one run that were read so far."""

    first: _Line
    intents: dict[int, Change] = field(factory=dict[int, Change])
    outcomes: dict[int, _Line] = field(factory=dict[int, _Line])

    def result(self) -> JournalRun:
        """Return the run."""
        logged = (self._logged(index) for index in sorted(self.intents))
        return JournalRun(
            id=self.first.run,
            digest=self.first.plan,
            time=self.first.time,
            origin=self.first.origin,
            workspace=self.first.workspace,
            changes=tuple(change for change in logged if change is not None),
        )

    def _logged(self, index: int) -> LoggedChange | None:
        change, outcome = self.intents[index], self.outcomes.get(index)
        if outcome is None:
            return LoggedChange(change=change, id=change.id, is_applied=False)
        if outcome.status in _NOT_WRITTEN:
            return None
        group_id = change.id or outcome.id
        return LoggedChange(change=change, id=group_id, is_applied=outcome.status == "applied")


def load_runs(path: str | os.PathLike[str]) -> Sequence[JournalRun]:
    """Read a journal, and return its runs, the oldest first. An apply that had nothing to do leaves an empty journal.

    A run whose process died may end in an incomplete line, which is ignored. Other damage is an error: a run that is
    known only in part must not be undone.

    Raises:
        DesiredStateError: When the file can't be read, is not a journal or is damaged; with the line of each problem.
    """
    name = os.fspath(path)
    try:
        content = read_bytes(name)
    except FileTooLargeError as error:
        _fail([f"{name}: {error} If it is, copy the lines of the run to a file of their own"])
    except InputError as error:
        _fail([f"{name}: {error.problem}"])
    return read_runs(content, name)


def read_runs(content: bytes, name: str) -> Sequence[JournalRun]:
    """Return the runs in the content of a journal; messages contain the file's `name`. See `load_runs`."""
    if _is_plan(content):
        _fail([f"{name}: is a plan, not a journal: pass the file that `apply --log` wrote"])
    return _Reader.read(name, content)


def select_run(runs: Sequence[JournalRun], wanted: str | None = None) -> JournalRun | None:
    """Return the last run with the id or the plan's digest `wanted`; by default, the last run that changed something.

    Returns:
        The run. By default, a run without changes if no run has any, and None if there is no run.

    Raises:
        DesiredStateError: When no run has this id or digest.
    """
    if wanted is None:
        chosen = [run for run in runs if run.changes] or runs
        return chosen[-1] if chosen else None
    chosen = [run for run in runs if wanted in (run.id, run.digest)]
    if not chosen:
        known = f"its runs are {', '.join(run.id for run in runs)}" if runs else "it is empty"
        _fail([f"the journal has no run {wanted!r}: {known}"])
    return chosen[-1]


def _is_plan(content: bytes) -> bool:
    if not content.startswith(b"{\n"):
        return False
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return is_saved_plan(document)


def _fail(problems: Sequence[str]) -> NoReturn:
    shown = [escape_control(problem) for problem in problems[:_MOST_PROBLEMS]]
    hidden = len(problems) - len(shown)
    raise DesiredStateError("\n".join([*shown, *([f"and {hidden} more"] if hidden else [])]), problems=tuple(shown))


class _LineError(Exception):
    """A line is not what apply writes."""


@define
class _Reader:
    """Collects the lines of a journal by run."""

    _name: str
    _runs: dict[str, _RunLines] = field(factory=dict[str, _RunLines])
    _problems: list[str] = field(factory=list[str])
    _torn: str | None = None
    """The problem of an incomplete line, until the next line tells whether it was the last of its run."""

    @classmethod
    def read(cls, name: str, content: bytes) -> Sequence[JournalRun]:
        """Read every line."""
        reader = cls(name)
        for number, text in enumerate(content.split(b"\n"), 1):
            if text.strip():
                reader._read_line(f"{name}:{number}", text)
        if reader._torn is not None and not reader._runs:  # not even one whole line
            reader._problems.append(reader._torn)
        if reader._problems:
            _fail(reader._problems)
        return [lines.result() for lines in reader._runs.values()]

    def _read_line(self, place: str, text: bytes) -> None:
        try:
            fields = _parse(text)
        except _LineError as error:
            self._settle_torn(is_new_run=False)
            self._torn = f"{place}: {error}"
            return
        self._settle_torn(is_new_run=fields.get("run") not in self._runs)
        try:
            self._add(place, fields)
        except _LineError as error:
            self._problems.append(f"{place}: {error}")

    def _settle_torn(self, *, is_new_run: bool) -> None:
        """Report an incomplete line, unless its run ended there because its process died."""
        if self._torn is not None and not (is_new_run and self._runs):
            advice = ". If its run crashed before the first write, delete the line" if is_new_run else ""
            self._problems.append(f"{self._torn}{advice}")
        self._torn = None

    def _add(self, place: str, fields: dict[str, Any]) -> None:
        version = fields.get("version")
        if version is None:
            raise _LineError("is not a line of a journal: it has no version")
        if version != VERSION:
            raise _LineError(
                f"is a line of version {version!r}, not {VERSION}: another version of this program wrote it"
            )
        line = _structure(fields, _Line)
        if line.event == "held":  # about a member, and no change
            return
        if line.index is None:
            raise _LineError("index: missing")
        lines = self._runs.setdefault(line.run, _RunLines(line))
        if (line.plan, line.origin, line.workspace) != (lines.first.plan, lines.first.origin, lines.first.workspace):
            raise _LineError("belongs to another plan or workspace than the lines before it: the journal was edited")
        if line.event == "intent":
            self._add_intent(lines, line.index, evolve(_structure(fields, Change), place=place))
        else:
            self._add_outcome(lines, line.index, line)

    def _add_intent(self, lines: _RunLines, index: int, change: Change) -> None:
        if index in lines.intents:
            raise _LineError(f"is a second intent of change {index}, first at {lines.intents[index].place}")
        if change.kind != "create" and change.id is None:
            raise _LineError(f"id: missing for the {change.kind} of a group")
        lines.intents[index] = change

    def _add_outcome(self, lines: _RunLines, index: int, line: _Line) -> None:
        if line.status not in (*_NOT_WRITTEN, "applied", "unknown"):
            raise _LineError(f"status: {line.status!r} is not a status")
        if index not in lines.intents and line.status not in _NOT_WRITTEN:
            raise _LineError(f"is the outcome of change {index}, whose intent is missing: lines were removed")
        lines.outcomes[index] = line


def _parse(text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise _LineError("is not a line of a journal: it is not JSON") from None
    if not isinstance(fields, dict):
        raise _LineError("is not a line of a journal: it is not a JSON object")
    return cast("dict[str, Any]", fields)


def _structure(fields: dict[str, Any], model: type[T]) -> T:
    try:
        return cast("T", codec.structure(fields, model))
    except ResponseError as error:
        raise _LineError(error.message) from None
