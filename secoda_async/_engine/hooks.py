"""Telling what happens: events for the hook, one log line for each long wait. Neither can break a call."""

import logging
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from secoda_async._engine.limits.limiter import RateLimiter
from secoda_async._engine.operation import NotSentError
from secoda_async._engine.wire.protocol import Request
from secoda_async.clock import Clock
from secoda_async.config import API_PREFIX
from secoda_async.errors import SecodaError
from secoda_async.events import AttemptEvent, CallHook, CallStart, Event, WaitEvent

_log: Final = logging.getLogger("secoda_async")

_WORTH_A_LINE: Final = 1.0
"""Seconds: a shorter wait is not logged."""


class Hooks:
    """Where a client's events and log lines come from."""

    def __init__(self, clock: Clock, hook: Callable[[Event], object] | None) -> None:
        self._clock = clock
        self._hook = hook
        self.call_hook = hook if isinstance(hook, CallHook) else None
        """Who wants to know of whole calls, if anybody does."""
        self._said_until: dict[str, float] = {}

    @contextmanager
    def call(self, hook: CallHook, request: Request, origin: str, limiter: RateLimiter) -> Generator[None, None, None]:
        """Tell a hook that a call begins, and how it ends."""
        host = urlsplit(origin)
        start = CallStart(
            method=request.method,
            template=_template(request),
            address=host.hostname or "",
            port=host.port or (443 if host.scheme == "https" else 80),
            limiter=limiter,
        )
        began: list[object] = []
        _tell(lambda: began.append(hook.call_begins(start)))
        failed: BaseException | None = None
        try:
            yield
        except BaseException as error:
            failed = None if isinstance(error, NotSentError) else error
            raise
        finally:
            if began:
                _tell(lambda: hook.call_ends(began[0], failed))

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
        _tell(partial(self._hook, event))

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
            _tell(partial(self._hook, event))
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
            event = WaitEvent(method=request.method, path=request.path, reason=reason, seconds=seconds)
            _tell(partial(self._hook, event))


_COLLECTION: Final = re.compile(r"[a-z][a-z_-]*")


def _template(request: Request) -> str:
    """The path without what is in it of a person or a thing: of a raw request's, the collection at most."""
    if not request.route.startswith("/"):
        return request.route
    first, _, rest = request.route.removeprefix(API_PREFIX).strip("/").partition("/")
    if not _COLLECTION.fullmatch(first):
        return "..."
    return f"{first}/..." if rest else first


def _tell(tell: Callable[[], object]) -> None:
    try:
        tell()
    except Exception:  # noqa: BLE001 - the caller's code; their call goes on
        _log.exception("the on_event hook failed; the call goes on")


_REASONS: Final = {
    "limit": "the write limit",
    "gate": "the server asked for a pause",
    "backoff": "backing off after a failure",
}
