"""A log of what was about to be written and how it ended, a line of JSON each, that outlives the process."""

import json
import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from secoda_async._engine.wire import codec
from secoda_async.bulk import Outcome
from secoda_async.errors import InvalidArgumentError, SecodaError
from secoda_async.reconcile.plan import Plan

__all__ = ["Journal", "open_journal"]


@contextmanager
def open_journal(path: str | os.PathLike[str]) -> Generator[TextIO, None, None]:
    """Open a log to append to: made for its owner alone, for it holds e-mail addresses.

    A last line that was cut off (the disk was full, the machine died) is ended first, or it would swallow the next.

    Raises:
        InvalidArgumentError: When it can't be opened.
    """
    name = os.fspath(path)
    try:
        ends_in_half_a_line = _ends_in_half_a_line(Path(name))
        stream = open(name, "a", encoding="utf-8", errors="backslashreplace", opener=_private)  # noqa: SIM115
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InvalidArgumentError(f"the log {name} can't be written: {why}") from None
    try:
        if ends_in_half_a_line:
            stream.write("\n")
        yield stream
    finally:
        with suppress(OSError):  # each line was flushed; what could not be written is only tried again
            stream.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _ends_in_half_a_line(path: Path) -> bool:
    if not path.is_file() or not path.stat().st_size:  # to open a FIFO would wait for its other end
        return False
    try:
        with path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) != b"\n"
    except PermissionError:  # it may be written and not read: an empty line does no harm
        return True


class Journal:
    """Writes to a file (appended to), to a stream that is open, or nowhere.

    Once a line could not be written (the disk is full), nothing is announced: what can't be logged is not done.
    """

    def __init__(self, target: str | os.PathLike[str] | TextIO | None) -> None:
        self._target = target
        self._stream: TextIO | None = None
        self._context: AbstractContextManager[TextIO | None] = nullcontext()
        self._broken: str | None = None

    def __enter__(self) -> Self:
        target = self._target
        self._context = open_journal(target) if isinstance(target, str | os.PathLike) else nullcontext(target)
        self._stream = self._context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, traceback)

    def intent(self, plan: Plan, index: int) -> None:
        """Say that a change is about to be written.

        Raises:
            SecodaError: When that can't be said.
        """
        change = plan.changes[index]
        fields = {name: codec.to_dict(getattr(change, name)) for name in ("before", "after")}
        self._write("intent", plan, index, fields)
        self._sync()
        if self._broken:
            raise SecodaError(f"the log can't be written, and so nothing is: {self._broken}")

    def outcome(self, plan: Plan, outcome: Outcome) -> None:
        """Say how it ended."""
        group_id = plan.changes[outcome.index].id or (outcome.group.id if outcome.group else None)
        error = None if outcome.error is None else f"{type(outcome.error).__name__}: {outcome.error}"
        fields = {"status": outcome.status, "id": group_id, "attempts": outcome.attempts, "error": error}
        self._write("outcome", plan, outcome.index, fields)

    def _sync(self) -> None:
        """Have the disk keep what was said: the machine may die before the write ends."""
        with suppress(OSError, ValueError, AttributeError):  # a stream that is no file has nothing to keep
            os.fsync(self._stream.fileno())  # type: ignore[union-attr]

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be logged, in words: nothing, as a rule."""
        return (f"the log could not be written to its end: {self._broken}",) if self._broken else ()

    def _write(self, event: str, plan: Plan, index: int, fields: dict[str, Any]) -> None:
        if self._stream is None or self._broken:
            return
        change = plan.changes[index]
        line: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "plan": plan.digest,
            "index": index,
            "kind": change.kind,
            "name": change.name,
            "id": change.id,
        }
        try:
            self._stream.write(json.dumps(line | fields, ensure_ascii=False) + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:  # no space left; a stream of the caller's that was closed
            self._broken = getattr(error, "strerror", None) or str(error)
