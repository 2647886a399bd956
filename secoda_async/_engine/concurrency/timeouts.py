"""Run awaitables with a timeout on the injected clock, and cancel them when the client closes.

Theory of operation: `asyncio.timeout` and a timer for each attempt would cost a tenth of a call. So all scopes of an
event loop share one timer, which is set to the earliest deadline (`_Deadlines`). A timer of the system clock stays for
the scopes to come when the last one ends. A scope that is due cancels its task, as `asyncio.timeout` does, and
`run_with_timeout` turns this cancellation into `TimedOutError`. A cancellation by another party stays a
`CancelledError`: `task.cancelling()` counts the requests, and a scope accounts for exactly one.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable
from math import inf
from typing import Any, TypeVar, cast

from attrs import define

from secoda_async.clock import Clock, SystemClock, Timer
from secoda_async.errors import ClientClosedError

T = TypeVar("T")


class TimedOutError(Exception):
    """Raised when the timeout of `run_with_timeout` has passed. The pipeline translates it."""


@define(eq=False, repr=False)
class _CancelScope:
    """An awaitable that runs in a task and may be cancelled."""

    task: "asyncio.Task[Any]"
    deadline: float
    cancellations: int
    """Number of cancellations of the task that were requested before the scope began."""
    is_cancelled: bool = False


class _Deadlines:
    """The scopes of one event loop, and the timer that they share."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scopes: set[_CancelScope] = set()
        self._timer: Timer | None = None
        self._timer_due = inf
        self._keeps_timer = isinstance(clock, SystemClock)
        """Whether the timer may stay without scopes. Another clock could jump to it."""

    def add(self, scope: _CancelScope) -> None:
        self._scopes.add(scope)
        if scope.deadline < self._timer_due:
            self._arm(scope.deadline)

    def remove(self, scope: _CancelScope) -> None:
        self._scopes.discard(scope)
        if scope.is_cancelled:
            scope.task.uncancel()
        if not self._scopes and not self._keeps_timer:
            self._arm(inf)

    def close(self) -> None:
        """Cancel every scope, and disarm the timer."""
        self._cancel_due(inf)
        self._arm(inf)

    def _cancel_due(self, now: float) -> None:
        """Cancel every scope whose deadline has passed, once; work that suppresses it is not cancelled again."""
        for scope in tuple(self._scopes):
            if scope.deadline <= now and not scope.is_cancelled:
                scope.is_cancelled = True
                scope.task.cancel()

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = None if due == inf else self._clock.call_later(due - self._clock.now(), self._on_timer)

    def _on_timer(self) -> None:
        self._cancel_due(self._clock.now())
        self._arm(min((scope.deadline for scope in tuple(self._scopes) if not scope.is_cancelled), default=inf))


class CallScopes:
    """All scopes of a client, on every event loop, and whether the client is closed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._deadlines: dict[asyncio.AbstractEventLoop, _Deadlines] = {}
        self._lock = threading.RLock()
        """Guards `_deadlines`; re-entered when garbage collection ends a task meanwhile."""
        self.is_closed: bool = False

    async def run_with_timeout(self, work: Awaitable[T], seconds: float | None) -> T:
        """Await `work` for at most `seconds` (None: without a limit), until the client closes.

        Raises:
            TimedOutError: If the time has passed; `work` has been cancelled.
            ClientClosedError: If the client was closed; `work` has been cancelled.
        """
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        deadline = inf if seconds is None else self._clock.now() + seconds
        scope = _CancelScope(task, deadline, task.cancelling())
        deadlines = self._deadlines.get(loop := task.get_loop()) or self._add_deadlines(loop)
        deadlines.add(scope)
        try:
            if self.is_closed:  # checked after `add`: a `close` in another thread cancels the scopes that it finds
                if asyncio.iscoroutine(work):
                    work.close()
                raise client_closed_error()
            return await work
        except asyncio.CancelledError:
            if not scope.is_cancelled or task.cancelling() > scope.cancellations + 1:
                raise  # requested by another party
        finally:
            deadlines.remove(scope)
        # Raised after the `except` block, so that the error has no context: that would keep the cancelled frames.
        if self.is_closed:
            raise client_closed_error()
        raise TimedOutError

    def close(self) -> None:
        """Cancel all scopes, those of other event loops too."""
        self.is_closed = True
        with self._lock:
            by_loop = tuple(self._deadlines.items())
        for loop, deadlines in by_loop:
            if loop is asyncio.get_running_loop():
                deadlines.close()
            else:
                with contextlib.suppress(RuntimeError):  # the loop is closed, so none of its tasks runs
                    loop.call_soon_threadsafe(deadlines.close)

    def _add_deadlines(self, loop: asyncio.AbstractEventLoop) -> _Deadlines:
        with self._lock:
            for closed in [known for known in self._deadlines if known.is_closed()]:
                del self._deadlines[closed]
            deadlines = self._deadlines[loop] = _Deadlines(self._clock)
        return deadlines


def client_closed_error() -> ClientClosedError:
    """Make the error for a call on a closed client."""
    return ClientClosedError("the client is closed: make the call inside `async with SecodaClient(...)`")
