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
    """A stretch took as long as it may; the pipeline says what that means."""


@define(eq=False, repr=False)
class _CancelScope:
    """Something that a task awaits, and may be made to leave."""

    task: "asyncio.Task[Any]"
    due: float
    cancellations: int
    """How often others had cancelled the task before."""
    is_over: bool = False


class _Deadlines:
    """The stretches of one event loop, and the timer that they share."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stretches: set[_CancelScope] = set()
        self._timer: Timer | None = None
        self._due = inf
        self._is_disarm_scheduled = False
        """Whether `_rest` is about to be called."""

    def add(self, stretch: _CancelScope) -> None:
        self._stretches.add(stretch)
        if stretch.due < self._due:
            self._arm(stretch.due)

    def remove(self, stretch: _CancelScope) -> None:
        self._stretches.discard(stretch)
        if stretch.is_over:
            stretch.task.uncancel()
        if not self._stretches and not self._is_disarm_scheduled:
            with contextlib.suppress(RuntimeError):  # a task that was thrown away, with its event loop
                stretch.task.get_loop().call_soon(self._disarm_if_idle)
                self._is_disarm_scheduled = True

    def _disarm_if_idle(self) -> None:
        """Cancel the timer when nothing has begun meanwhile; one after the other, calls need not set it each time."""
        self._is_disarm_scheduled = False
        if not self._stretches:
            self._arm(inf)

    def end(self, *, now: float = inf) -> None:
        """End those that are due; work that will not be cancelled is left alone afterwards."""
        for stretch in tuple(self._stretches):
            if stretch.due <= now and not stretch.is_over:
                stretch.is_over = True
                stretch.task.cancel()

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = None if due == inf else self._clock.call_later(due - self._clock.now(), self._on_timer)

    def _on_timer(self) -> None:
        self.end(now=self._clock.now())
        self._arm(min((stretch.due for stretch in tuple(self._stretches) if not stretch.is_over), default=inf))


class CallScopes:
    """What a client has under way, and whether it is still open."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watches: dict[asyncio.AbstractEventLoop, _Deadlines] = {}
        self._lock = threading.RLock()
        """Guards `_watches`; entered again when the garbage collector, in here, ends a task."""
        self.is_closed: bool = False

    async def bounded(self, work: Awaitable[T], seconds: float | None) -> T:
        """Await `work` for at most `seconds` (None: as long as it takes), or until the client is closed.

        Raises:
            TimedOutError: When the seconds are over; `work` has been cancelled.
            ClientClosedError: When the client was closed meanwhile; likewise.
        """
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        stretch = _CancelScope(task, inf if seconds is None else self._clock.now() + seconds, task.cancelling())
        watch = self._watches.get(loop := task.get_loop()) or self._new_watch(loop)
        watch.add(stretch)
        try:
            if self.is_closed:  # asked now: `close` in another thread ends what it finds
                if asyncio.iscoroutine(work):
                    work.close()
                raise closed()
            return await work
        except asyncio.CancelledError:
            if not stretch.is_over or task.cancelling() > stretch.cancellations + 1:
                raise  # by somebody else
        finally:
            watch.remove(stretch)
        # Raised out here, so that the error has no context: that would hold the frames of what was cancelled.
        if self.is_closed:
            raise closed()
        raise TimedOutError

    def _new_watch(self, loop: asyncio.AbstractEventLoop) -> _Deadlines:
        with self._lock:
            for ended in [known for known in self._watches if known.is_closed()]:
                del self._watches[ended]
            watch = self._watches[loop] = _Deadlines(self._clock)
        return watch

    def close(self) -> None:
        """End everything that is under way, on other event loops too."""
        self.is_closed = True
        with self._lock:
            watches = tuple(self._watches.items())
        for loop, watch in watches:
            if loop is asyncio.get_running_loop():
                watch.end()
            else:
                with contextlib.suppress(RuntimeError):  # that loop has ended, and all on it
                    loop.call_soon_threadsafe(watch.end)


def closed() -> ClientClosedError:
    """The error for a call on a client that is closed."""
    return ClientClosedError("the client is closed: make the call inside `async with SecodaClient(...)`")
