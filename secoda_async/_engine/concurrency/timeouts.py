"""Stretches of a call that end early: when their time is up, or when the client is closed.

A timer for each attempt, and `asyncio.timeout` around it, would cost as much as a tenth of a call; so there is one
timer for all stretches of an event loop, set to the first that may become due.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable
from math import inf
from typing import Any, TypeVar, cast

from attrs import define

from secoda_async.clock import Clock, Timer
from secoda_async.errors import ClientClosedError

T = TypeVar("T")


class TimedOutError(Exception):
    """A scope took as long as it may; the pipeline says what that means."""


@define(eq=False, repr=False)
class _CancelScope:
    """Something that a task awaits, and may be made to leave."""

    task: "asyncio.Task[Any]"
    due: float
    cancellations: int
    """How often others had cancelled the task before."""
    is_cancelled: bool = False


class _Deadlines:
    """The stretches of one event loop, and the timer that they share."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scopes: set[_CancelScope] = set()
        self._timer: Timer | None = None
        self._due = inf
        self._is_disarm_scheduled = False
        """Whether `_rest` is about to be called."""

    def add(self, scope: _CancelScope) -> None:
        self._scopes.add(scope)
        if scope.due < self._due:
            self._arm(scope.due)

    def remove(self, scope: _CancelScope) -> None:
        self._scopes.discard(scope)
        if scope.is_cancelled:
            scope.task.uncancel()
        if not self._scopes and not self._is_disarm_scheduled:
            with contextlib.suppress(RuntimeError):  # a task that was thrown away, with its event loop
                scope.task.get_loop().call_soon(self._disarm_if_idle)
                self._is_disarm_scheduled = True

    def _disarm_if_idle(self) -> None:
        """Cancel the timer when nothing has begun meanwhile; one after the other, calls need not set it each time."""
        self._is_disarm_scheduled = False
        if not self._scopes:
            self._arm(inf)

    def cancel_due(self, *, now: float = inf) -> None:
        """End those that are due; work that will not be cancelled is left alone afterwards."""
        for scope in tuple(self._scopes):
            if scope.due <= now and not scope.is_cancelled:
                scope.is_cancelled = True
                scope.task.cancel()

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = None if due == inf else self._clock.call_later(due - self._clock.now(), self._on_timer)

    def _on_timer(self) -> None:
        self.cancel_due(now=self._clock.now())
        self._arm(min((scope.due for scope in tuple(self._scopes) if not scope.is_cancelled), default=inf))


class CallScopes:
    """What a client has under way, and whether it is still open."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._deadlines: dict[asyncio.AbstractEventLoop, _Deadlines] = {}
        self._lock = threading.RLock()
        """Guards `_deadlines`; entered again when the garbage collector, in here, ends a task."""
        self.is_closed: bool = False

    async def run_with_timeout(self, work: Awaitable[T], seconds: float | None) -> T:
        """Await `work` for at most `seconds` (None: as long as it takes), or until the client is closed.

        Raises:
            TimedOutError: When the seconds are over; `work` has been cancelled.
            ClientClosedError: When the client was closed meanwhile; likewise.
        """
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        scope = _CancelScope(task, inf if seconds is None else self._clock.now() + seconds, task.cancelling())
        deadlines = self._deadlines.get(loop := task.get_loop()) or self._add_deadlines(loop)
        deadlines.add(scope)
        try:
            if self.is_closed:  # asked now: `close` in another thread ends what it finds
                if asyncio.iscoroutine(work):
                    work.close()
                raise client_closed_error()
            return await work
        except asyncio.CancelledError:
            if not scope.is_cancelled or task.cancelling() > scope.cancellations + 1:
                raise  # by somebody else
        finally:
            deadlines.remove(scope)
        # Raised out here, so that the error has no context: that would hold the frames of what was cancelled.
        if self.is_closed:
            raise client_closed_error()
        raise TimedOutError

    def _add_deadlines(self, loop: asyncio.AbstractEventLoop) -> _Deadlines:
        with self._lock:
            for ended in [known for known in self._deadlines if known.is_closed()]:
                del self._deadlines[ended]
            deadlines = self._deadlines[loop] = _Deadlines(self._clock)
        return deadlines

    def close(self) -> None:
        """End everything that is under way, on other event loops too."""
        self.is_closed = True
        with self._lock:
            all_deadlines = tuple(self._deadlines.items())
        for loop, deadlines in all_deadlines:
            if loop is asyncio.get_running_loop():
                deadlines.cancel_due()
            else:
                with contextlib.suppress(RuntimeError):  # that loop has ended, and all on it
                    loop.call_soon_threadsafe(deadlines.cancel_due)


def client_closed_error() -> ClientClosedError:
    """The error for a call on a client that is closed."""
    return ClientClosedError("the client is closed: make the call inside `async with SecodaClient(...)`")
