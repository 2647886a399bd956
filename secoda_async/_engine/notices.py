"""Telling what happens: events for the hook, one log line for each long wait. Neither can break a call."""

import logging
from collections.abc import Callable
from typing import Final

from secoda_async._engine.protocol import Request
from secoda_async.clock import Clock
from secoda_async.errors import SecodaError
from secoda_async.events import AttemptEvent, Event, WaitEvent

_log: Final = logging.getLogger("secoda_async")

_WORTH_A_LINE: Final = 1.0
"""Seconds: a shorter wait is not logged."""


class Notices:
    """Where a client's events and log lines come from."""

    def __init__(self, clock: Clock, hook: Callable[[Event], object] | None) -> None:
        self._clock = clock
        self._hook = hook
        self._said_until: dict[str, float] = {}

    def attempt(
        self, request: Request, attempt: int, status: int | None, seconds: float, failed: SecodaError | None
    ) -> None:
        """A request was on the wire, and is not any more."""
        if self._hook is None:
            return
        error = None if failed is None else type(failed).__name__
        event = AttemptEvent(
            method=request.method, path=request.path, attempt=attempt, status=status, seconds=seconds, error=error
        )
        _tell(self._hook, event)

    def cut_off(self, request: Request, attempt: int, seconds: float, *, maybe_sent: bool) -> str | None:
        """The caller gave up while a request was on the wire. Returns what they should know of it, if anything."""
        event = AttemptEvent(
            method=request.method,
            path=request.path,
            attempt=attempt,
            status=None,
            seconds=seconds,
            error="CancelledError",
        )
        if self._hook is not None:
            _tell(self._hook, event)
        if not maybe_sent or request.method == "GET":
            return None
        name = "" if request.name is None else f" of {request.name!r}"
        note = (
            f"{request.method} {request.path}{name} was cancelled after it was sent: whether it was carried out is not "
            "known, look before you repeat it"
        )
        _log.warning("%s", note)
        return note

    def waiting(self, request: Request, reason: str, seconds: float) -> None:
        """A call is about to wait: log it, once for all that wait for the same reason at the same time."""
        now = self._clock.now()
        if seconds >= _WORTH_A_LINE and now >= self._said_until.get(reason, now):
            self._said_until[reason] = now + seconds
            _log.info("waiting %.1f s (%s) before %s %s", seconds, _REASONS[reason], request.method, request.path)

    def waited(self, request: Request, reason: str, seconds: float) -> None:
        """A call has waited."""
        if self._hook is not None and seconds > 0:
            _tell(self._hook, WaitEvent(method=request.method, path=request.path, reason=reason, seconds=seconds))


def _tell(hook: Callable[[Event], object], event: Event) -> None:
    try:
        hook(event)
    except Exception:  # noqa: BLE001 - the caller's code; their call goes on
        _log.exception("the on_event hook failed; the call goes on")


_REASONS: Final = {
    "limit": "the write limit",
    "gate": "the server asked for a pause",
    "backoff": "backing off after a failure",
}
