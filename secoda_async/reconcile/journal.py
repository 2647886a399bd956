"""The journal of an apply: JSON Lines, with an intent before each write and an outcome after it."""

import json
import os
import secrets
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO

from secoda_async._engine.wire import codec
from secoda_async.bulk import Outcome
from secoda_async.errors import InvalidArgumentError, SecodaError
from secoda_async.reconcile.plan import Plan

__all__ = ["INCOMPLETE", "VERSION", "Journal", "open_journal"]

VERSION: Final = 2
"""The format of a line; since 2 it has the run, the origin and the workspace, which `undo` needs."""

_LINE_START: Final = b'{"time": '
"""The first bytes of every line."""

INCOMPLETE: Final = "the journal is incomplete"
"""The start of the sentence about lines that could not be written."""


@contextmanager
def open_journal(path: str | os.PathLike[str]) -> Generator[TextIO, None, None]:
    """Open a journal to append to; a new file is readable by its owner only, because it has personal data.

    An incomplete last line (the disk was full, the machine crashed) is ended first, so that the next line is valid.

    Raises:
        InvalidArgumentError: When the file can't be opened, or is not a journal.
    """
    name = os.fspath(path)
    try:
        has_torn_line = _has_torn_line(Path(name))
        stream = open(name, "a", encoding="utf-8", errors="backslashreplace", opener=_private)  # noqa: SIM115
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgumentError(f"the journal {name} can't be written: {reason}. Name another file") from None
    try:
        if has_torn_line:
            stream.write("\n")
        yield stream
    finally:
        with suppress(OSError):  # each line was flushed already; close only repeats a failed write
            stream.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _has_torn_line(path: Path) -> bool:
    """Return whether the last line is incomplete.

    Raises:
        ValueError: When the file is not a journal, such as the plan that is applied.
    """
    if not path.is_file() or not path.stat().st_size:  # opening a FIFO would wait for its other end
        return False
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_LINE_START))
            stream.seek(-1, os.SEEK_END)
            last = stream.read(1)
    except PermissionError:  # write-only: an empty line is harmless
        return True
    if start != _LINE_START:
        raise ValueError("it exists and is not a journal")
    return last != b"\n"


class Journal:
    """Writes to a file (appending), to an open stream, or nowhere.

    After a line could not be written (the disk is full), every intent raises, so that no write goes unlogged.
    """

    def __init__(self, target: str | os.PathLike[str] | TextIO | None, origin: str = "") -> None:
        self._target = target
        self._origin = origin
        self._run = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self._stream: TextIO | None = None
        self._context: AbstractContextManager[TextIO | None] = nullcontext()
        self._write_error: str | None = None

    def __enter__(self) -> Self:
        target = self._target
        self._context = open_journal(target) if isinstance(target, str | os.PathLike) else nullcontext(target)
        self._stream = self._context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, traceback)

    def held(self, plan: Plan) -> None:
        """Log each held member: an apply does not remove anybody from the member's group."""
        for held in plan.held:
            self._write("held", plan, codec.to_dict(held))

    def intent(self, plan: Plan, index: int) -> None:
        """Log that a change is about to be written, and flush it to the disk.

        Raises:
            SecodaError: When the journal can't be written.
        """
        change = plan.changes[index]
        fields = {name: codec.to_dict(getattr(change, name)) for name in ("before", "after")}
        self._write("intent", plan, _subject(plan, index) | fields)
        self._sync()
        if self._write_error:
            raise SecodaError(f"the journal can't be written, so the change was not sent: {self._write_error}")

    def outcome(self, plan: Plan, outcome: Outcome) -> None:
        """Log the outcome of a change."""
        subject = _subject(plan, outcome.index)
        group_id = subject["id"] or (outcome.group.id if outcome.group else None)
        error = None if outcome.error is None else f"{type(outcome.error).__name__}: {outcome.error}"
        fields = {"status": outcome.status, "id": group_id, "attempts": outcome.attempts, "error": error}
        self._write("outcome", plan, subject | fields)

    def _sync(self) -> None:
        """Flush to the disk: the machine may crash before the write ends."""
        with suppress(OSError, ValueError, AttributeError):  # a stream without a file
            os.fsync(self._stream.fileno())  # type: ignore[union-attr]

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence about lines that could not be written; usually empty."""
        return (f"{INCOMPLETE}: {self._write_error}",) if self._write_error else ()

    def _write(self, event: str, plan: Plan, fields: Mapping[str, Any]) -> None:
        if self._stream is None or self._write_error:
            return
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "version": VERSION,
            "event": event,
            "run": self._run,
            "origin": self._origin,
            "workspace": plan.workspace,
            "plan": plan.digest,
            **fields,
        }
        try:
            self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:  # no space left, or the caller closed the stream
            self._write_error = getattr(error, "strerror", None) or str(error)


def _subject(plan: Plan, index: int) -> dict[str, Any]:
    """Return the fields that every line about a change has."""
    change = plan.changes[index]
    return {"index": index, "kind": change.kind, "name": change.name, "id": change.id}
