"""A log of what was about to be written and how it ended, a line of JSON each, that outlives the process."""

import json
import os
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from secoda_async._engine import convert
from secoda_async.bulk import Outcome
from secoda_async.errors import InvalidArgumentError, SecodaError
from secoda_async.reconcile.plan import Plan

__all__ = ["Journal"]


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
        if isinstance(target, str | os.PathLike):
            try:
                self._context = Path(target).open("a", encoding="utf-8", errors="backslashreplace")
            except OSError as error:
                why = error.strerror or type(error).__name__
                raise InvalidArgumentError(f"the log {os.fspath(target)} can't be written: {why}") from None
        else:
            self._context = nullcontext(target)
        self._stream = self._context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):  # each line was flushed; what could not be written is only tried again
            self._context.__exit__(kind, error, traceback)

    def intent(self, plan: Plan, index: int) -> None:
        """Say that a change is about to be written.

        Raises:
            SecodaError: When that can't be said.
        """
        change = plan.changes[index]
        fields = {name: convert.to_dict(getattr(change, name)) for name in ("before", "after")}
        self._write("intent", plan, index, fields)
        if self._broken:
            raise SecodaError(f"the log can't be written, and so nothing is: {self._broken}")

    def outcome(self, plan: Plan, outcome: Outcome) -> None:
        """Say how it ended."""
        group_id = plan.changes[outcome.index].id or (outcome.group.id if outcome.group else None)
        error = None if outcome.error is None else f"{type(outcome.error).__name__}: {outcome.error}"
        fields = {"status": outcome.status, "id": group_id, "attempts": outcome.attempts, "error": error}
        self._write("outcome", plan, outcome.index, fields)

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
