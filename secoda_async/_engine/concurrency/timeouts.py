"""Run code until a deadline of the injected clock, and cancel it when the client closes.

Theory of operation: most attempts end long before their deadline. So all scopes of an event loop share one timer, which
is set to the earliest deadline (`_Deadlines`). A timer of the system clock stays for the scopes to come when the last
one ends. A scope that is due cancels its task, as `asyncio.timeout` does, and its `with` block ends without an error. A
cancellation by another party stays a `CancelledError`: `task.cancelling()` counts the requests, and a scope accounts
for exactly one.
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable
from math import inf
from types import TracebackType
from typing import Any, Self, TypeVar

from attrs import define, field

from secoda_async._engine.concurrency.per_loop import running_loop
from secoda_async.clock import Clock, SystemClock, Timer
from secoda_async.errors import ClientClosedError

T = TypeVar("T")


class TimedOutError(Exception):
    """Raised when the deadline of a scope has passed. The pipeline translates it."""


@define(eq=False, repr=False)
class CallScope:
    """A block of code that ends early when its deadline passes or the client closes; see `CallScopes.until`."""

    _scopes: "CallScopes"
    _deadlines: "_Deadlines"
    task: "asyncio.Task[Any]"
    deadline: float
    is_cancelled: bool = False
    _cancellations: int = field(init=False)
    """Number of cancellations of the task that were requested before the scope began."""

    def __enter__(self) -> Self:
        self._cancellations = self.task.cancelling()
        self._deadlines.add(self)
        if self._scopes.is_closed:  # checked after `add`: a `close` in another thread cancels the scopes that it finds
            self._deadlines.remove(self)
            raise client_closed_error()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._deadlines.remove(self)
        if not self.is_cancelled:
            return False
        is_alone = self.task.uncancel() <= self._cancellations
        return is_alone and kind is asyncio.CancelledError

    def error(self) -> ClientClosedError | TimedOutError:
        """Return the error for a block that ended early."""
        return client_closed_error() if self._scopes.is_closed else TimedOutError()


class _Deadlines:
    """The scopes of one event loop, and the timer that they share."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scopes: set[CallScope] = set()
        self._timer: Timer | None = None
        self._timer_due = inf
        self._keeps_timer = isinstance(clock, SystemClock)
        """Whether the timer may stay without scopes. Another clock could jump to it."""

    def add(self, scope: CallScope) -> None:
        self._scopes.add(scope)
        if scope.deadline < self._timer_due:
            self._arm(scope.deadline)

    def remove(self, scope: CallScope) -> None:
        self._scopes.discard(scope)
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

    def until(self, deadline: float, loop: asyncio.AbstractEventLoop) -> CallScope:
        """Return a context manager for code of the present task.

        When the deadline, a moment of the clock, has passed, or when the client closes, the task is cancelled and the
        `with` block ends. It raises nothing, because an error would keep the frames of the cancelled code. So the block
        returns its result, and the code after it runs only if the block ended early:

            with scopes.until(deadline, running_loop()) as scope:
                return await work
            raise scope.error()

        Raises:
            ClientClosedError: When the block begins, if the client is closed already.
        """
        task: Any = asyncio.current_task(loop)
        deadlines = self._deadlines.get(loop) or self._add_deadlines(loop)
        return CallScope(self, deadlines, task, deadline)

    async def run_with_timeout(self, work: Awaitable[T], seconds: float | None) -> T:
        """Await `work` for at most `seconds` (None: without a limit), until the client closes.

        Raises:
            TimedOutError: If the time has passed; `work` has been cancelled.
            ClientClosedError: If the client was closed; `work` has been cancelled.
        """
        try:
            deadline = inf if seconds is None else self._clock.now() + seconds
            with self.until(deadline, running_loop()) as scope:
                return await work
        finally:
            if asyncio.iscoroutine(work):
                work.close()  # not begun if the client is closed already
        raise scope.error()

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
