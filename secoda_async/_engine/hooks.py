"""Write the log lines of a client, and pass its events to the `on_event` hook."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Final

from secoda_async._engine.call import CallState
from secoda_async._engine.limits.limiter import RateLimiter
from secoda_async._engine.wire.protocol import Reply, Request
from secoda_async.clock import Clock
from secoda_async.errors import RequestTimeoutError

if TYPE_CHECKING:
    from secoda_async._engine.event_reporter import EventReporter
    from secoda_async.events import CallHook, Event

_log: Final = logging.getLogger("secoda_async")

_LOGGED_FROM: Final = 1.0
"""Seconds: a shorter wait is not logged, except after a timeout."""

_MAX_CAUSE: Final = 120
"""Characters of the failure that a wait follows."""

_REASONS: Final = {
    "limit": ("the write limit", "before"),
    "gate": ("the server asked for a pause", "before"),
    "backoff": ("a pause before the result is read again", "for"),
}
"""By the reason of a wait: its cause and its purpose, in the words of a log line about a call without a failure."""


class Hooks:
    """Reports events to the hook of a client, and writes its log lines."""

    def __init__(self, clock: Clock, on_event: "Callable[[Event], object] | None") -> None:
        self._clock = clock
        self._on_event = on_event
        self.call_hook = None if on_event is None else self._reporter.call_hook
        """The hook, if it also implements `CallHook`."""
        self._logged_until: dict[str, float] = {}

    @cached_property
    def _reporter(self) -> "EventReporter":
        from secoda_async._engine.event_reporter import EventReporter  # noqa: PLC0415 - most clients have no hook

        return EventReporter(self._on_event)

    @property
    def is_active(self) -> bool:
        """Whether events are reported: to a hook, or to the log at level DEBUG."""
        return self._on_event is not None or _log.isEnabledFor(logging.DEBUG)

    def call(
        self, hook: "CallHook", request: Request, origin: str, limiter: RateLimiter
    ) -> AbstractContextManager[None]:
        """Report the start and the end of a call."""
        return self._reporter.call(hook, request, origin, limiter)

    def attempt_finished(
        self, state: CallState, result: Reply | BaseException, seconds: float, secrets: Iterable[str] = ()
    ) -> None:
        """Report the present attempt of a call; see `EventReporter.attempt`."""
        if self.is_active:
            self._reporter.attempt(state.request, state.attempts, result, seconds, secrets)

    def write_cancelled(self, request: Request, error: asyncio.CancelledError) -> None:
        """Log that a call was cancelled although its write may have been executed. The error gets a note, too."""
        name = "" if request.name is None else f" of {request.name!r}"
        note = (
            f"{request.method} {request.path}{name} was cancelled after it was sent: whether it was executed is not "
            "known, check before you repeat it"
        )
        if note not in getattr(error, "__notes__", ()):  # an inner call may have reported it
            _log.warning("%s", note)
            error.add_note(note)

    def wait_started(self, state: CallState, reason: str, seconds: float, cause: str = "") -> None:
        """Log a long wait: one line for all calls that wait for the same reason at the same time.

        A short wait after a timeout is logged too: the attempt itself was a long wait, and nothing else shows it.

        Args:
            state: The state of the call.
            reason: The reason in the event of the wait.
            seconds: The length of the wait.
            cause: The cause of the wait, if no failure of this call and no usual reason explains it.
        """
        now, failure = self._clock.now(), state.last_failure
        is_long = seconds >= _LOGGED_FROM or (reason == "backoff" and isinstance(failure, RequestTimeoutError))
        if is_long and now >= self._logged_until.get(reason, now):
            self._logged_until[reason] = now + max(seconds, _LOGGED_FROM)
            request = state.request
            cause, purpose = (cause, "before") if cause else _REASONS[reason]
            if failure is not None:
                cause = "".join(filter(str.isprintable, failure.message))[:_MAX_CAUSE]  # may quote the server
                purpose = f"before attempt {state.attempts + 1} of {state.call.options.retry.attempts}:"
            _log.info("waiting %.1f s (%s) %s %s %s", seconds, cause, purpose, request.method, request.path)

    def wait_finished(self, request: Request, reason: str, seconds: float) -> None:
        """Report a wait."""
        if seconds > 0 and self.is_active:
            self._reporter.wait(request, reason, seconds)
