"""How many writes may start, and when: an exact sliding window with an injected clock, and the queue before it.

The server refuses a write while thirty accepted ones are younger than sixty seconds (FACTS: assumed, from its
framework). A place here is taken before a request starts and is free again one window after its answer
arrived, and the server saw the request somewhere in between: so it never sees one too many, however long the
network takes. Only a request that was given up, and that the server takes up later still, can be one too many.
"""

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from itertools import chain
from math import inf
from typing import Protocol, cast
from weakref import WeakKeyDictionary, WeakSet

from attrs import define, field, frozen

from secoda_async._engine.limits.window import SlidingWindow, Usage
from secoda_async.clock import SYSTEM_CLOCK, Clock, Timer
from secoda_async.config import Priority, RateLimit
from secoda_async.errors import RateLimitError


@frozen
class LimitState:
    """What a limiter looks like at one moment."""

    free: int
    """Places that a write could take now. In a slow start, they are taken a few at a time."""
    next_free: float
    """Seconds until the next place can be taken: 0 when one is free and nothing is paused."""
    queued: int
    """Writes that wait for a place."""
    in_flight: int
    """Writes whose answer has not come yet."""
    paused: float
    """Seconds until the gate opens that a 429 closed: 0 when it is open."""


class Permit(Protocol):
    """A place in the limit, taken by one request."""

    async def release(self, *, sent: bool) -> None:
        """Say that the request is over: `sent=False` when it certainly never reached the server."""
        ...


class RateLimiter(Protocol):
    """What a client asks before each POST, PUT and PATCH. Pass one of your own as `limiter=`."""

    @property
    def state(self) -> LimitState:
        """The limit at this moment."""
        ...

    async def acquire(
        self,
        *,
        priority: Priority = "interactive",
        max_wait: float | None = None,
        max_pause: float | None = None,
    ) -> Permit:
        """Wait for a place and take it. Cancelling the wait leaves no trace.

        Raises:
            RateLimitError: At once, when the wait would be longer than `max_wait` seconds; or as soon as a 429
                asks for a pause longer than `max_pause` seconds.
        """
        ...

    async def pause(self, seconds: float | None) -> None:
        """A 429 came: let nothing start for so many seconds (None: for one window)."""
        ...

    def time_for(self, writes: int) -> float:
        """Seconds until the last of `writes` further writes could start."""
        ...


@define(eq=False, repr=False)
class _Permit:
    """A place that is taken."""

    over: Callable[[bool], None]
    """Tells the limiter that the request is over, and whether it was sent."""
    is_over: bool = False

    async def release(self, *, sent: bool) -> None:
        self.release_nowait(sent=sent)

    def release_nowait(self, *, sent: bool) -> None:
        if not self.is_over:
            self.is_over = True
            self.over(sent)


@define(eq=False, repr=False)
class _Waiter:
    """A write that waits for a place, on an event loop that need not be the one that serves it."""

    priority: Priority
    max_pause: float
    loop: asyncio.AbstractEventLoop = field(init=False, factory=asyncio.get_running_loop)
    result: _Permit | RateLimitError | None = field(init=False, default=None)
    """A place, or why there is none."""
    ready: asyncio.Event = field(init=False, factory=asyncio.Event)

    def set_result(self, result: _Permit | RateLimitError) -> None:
        """Answer it, unless its event loop ends in this moment: then a place comes back when it leaves."""
        self.result = result
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.ready.set)


class SlidingWindowLimiter:
    """`RateLimit.places` calls in any window of `RateLimit.per_seconds`, first come, first served by priority.

    After a 429 nothing starts until the pause is over, and then one call after the other, evenly spaced,
    until a full window has passed without another: a 429 means that somebody else spends the same budget.
    It can be used on several event loops, in several threads, at a time.

    It starts slowly, because it can't know what other processes used in the last window: until one window has passed
    since its first call, four calls (an eighth of a larger `RateLimit.places`) are in flight at a time. So few calls
    get a 429 when the window is used up. `max_wait=0` is exempt.
    """

    def __init__(self, limit: RateLimit | None = None, *, clock: Clock | None = None) -> None:
        self._clock = clock or SYSTEM_CLOCK
        self._window = SlidingWindow(limit or RateLimit(), is_known=False)
        self._on_change: Callable[[Usage], object] | None = None
        self._queues: dict[Priority, deque[_Waiter]] = {"interactive": deque(), "background": deque()}
        self._timers: WeakKeyDictionary[asyncio.AbstractEventLoop, Timer] = WeakKeyDictionary()
        """Each event loop wakes itself: another may end at any time."""
        self._lock = threading.RLock()  # entered again when a task that was thrown away gives its place back
        self._is_waking = self._must_wake_again = False
        self._process = os.getpid()
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        """Those on which somebody has waited."""

    @property
    def limit(self) -> RateLimit:
        """The limit that is kept."""
        return self._window.limit

    def tighten(self, limit: RateLimit) -> None:
        """Keep to `limit` too: to the fewer calls, in the longer window."""
        with self._lock:
            self._window.tighten(limit)

    def end_slow_start(self) -> None:
        """End the slow start: somebody else knows what is used."""
        with self._lock:
            self._window.end_slow_start()

    def share(self, used: Usage, on_change: Callable[[Usage], object]) -> None:
        """Count what other processes have used, unless calls were counted before.

        Args:
            used: The permits of all other processes.
            on_change: Called with those of this process whenever they change: before a call starts, when it ends, and
                after a 429.
        """
        with self._lock:
            if self.is_idle:
                self._window.add(used, self._clock.now())
            self._on_change = on_change

    @property
    def is_idle(self) -> bool:
        """Whether it remembers nothing: one that is made anew would be the same."""
        with self._lock:
            now = self._clock.now()
            return self._window.is_empty(now) and not self._waiters_ahead_of("background")

    @property
    def state(self) -> LimitState:
        """The limit at this moment."""
        with self._lock:
            self._discard_closed_loops()
            now = self._clock.now()
            return LimitState(
                free=self._window.free(now),
                next_free=self._window.time_until_available(now),
                queued=self._waiters_ahead_of("background"),
                in_flight=self._window.in_flight,
                paused=self._window.cooldown.remaining(now),
            )

    def time_for(self, writes: int) -> float:
        """Seconds until the last of `writes` further writes could start, after those that wait already.

        An upper bound as long as answers come at once and nobody else spends the same budget.
        """
        with self._lock:
            self._discard_closed_loops()
            ahead = self._waiters_ahead_of("background") + writes - 1
            return self._window.wait_for_position(ahead, self._clock.now()) if writes > 0 else 0.0

    @property
    def is_paused(self) -> bool:
        """Whether a 429 has closed the gate."""
        return self._window.cooldown.remaining(self._clock.now()) > 0

    def acquire_nowait(self) -> Permit | None:
        """Take a place, if one is free and nobody waits for it."""
        with self._lock:
            self._discard_closed_loops()
            is_free = (
                not self._waiters_ahead_of("background") and self._window.time_until_available(self._clock.now()) <= 0
            )
            return self._grant() if is_free else None

    async def acquire(
        self,
        *,
        priority: Priority = "interactive",
        max_wait: float | None = None,
        max_pause: float | None = None,
    ) -> Permit:
        """Wait for a place and take it; see `RateLimiter.acquire`."""
        most, most_pause = (inf if most is None else most for most in (max_wait, max_pause))
        with self._lock:
            if (permit := self.acquire_nowait()) is not None:
                return permit
            now = self._clock.now()
            if (wait := self._window.wait_for_position(self._waiters_ahead_of(priority), now)) > most:
                raise wait_too_long_error(wait)
            if (pause := self._window.cooldown.remaining(now)) > most_pause:
                raise wait_too_long_error(pause)
            if most <= 0:  # only the slow start keeps it back: there is a permit for it and for all ahead of it
                return self._grant()
            waiter = _Waiter(priority, most_pause)
            self._loops.add(waiter.loop)
            self._queues[priority].append(waiter)
            self._wake_waiters()
        try:
            await waiter.ready.wait()
        except BaseException:  # cancelled, or thrown away with its event loop
            self._remove_waiter(waiter)
            raise
        if isinstance(waiter.result, RateLimitError):
            raise waiter.result
        return cast("_Permit", waiter.result)

    async def pause(self, seconds: float | None) -> None:
        """Let nothing start for so many seconds (None: for one window), and space what comes after it."""
        with self._lock:
            pause = self._window.pause(seconds, self._clock.now())
            self._report_usage()
            for queue in self._queues.values():
                for waiter in [waiter for waiter in queue if pause > waiter.max_pause]:
                    queue.remove(waiter)
                    waiter.set_result(wait_too_long_error(pause))
            self._wake_waiters()

    def _waiters_ahead_of(self, priority: Priority) -> int:
        """How many wait ahead of a newcomer of this priority."""
        interactive = len(self._queues["interactive"])
        return interactive if priority == "interactive" else interactive + len(self._queues["background"])

    def _discard_closed_loops(self) -> None:
        """Forget who waits on event loops that have ended, and, in a forked process, what is its parent's."""
        if self._process != os.getpid():
            self._process = os.getpid()
            for queue in self._queues.values():
                queue.clear()
            for _ in range(self._window.in_flight):
                self._window.release(self._clock.now(), sent=True)
        if not self._loops:  # nobody has ever waited
            return
        for ended in [loop for loop in self._loops if loop.is_closed()]:
            self._loops.discard(ended)
            for queue in self._queues.values():
                for waiter in [waiter for waiter in queue if waiter.loop is ended]:
                    queue.remove(waiter)

    def _remove_waiter(self, waiter: _Waiter) -> None:
        with self._lock:
            if waiter.result is None:
                with contextlib.suppress(ValueError):  # forgotten, since its event loop has ended
                    self._queues[waiter.priority].remove(waiter)
            elif isinstance(waiter.result, _Permit):
                waiter.result.release_nowait(sent=False)  # served and cancelled at the same time
            self._wake_waiters()

    def _grant(self) -> _Permit:
        self._window.acquire(self._clock.now())
        self._report_usage()
        return _Permit(self._release)

    def _release(self, sent: bool) -> None:  # noqa: FBT001 - called by its place alone
        with self._lock:
            self._window.release(self._clock.now(), sent=sent)
            self._report_usage()
            self._wake_waiters()

    def _report_usage(self) -> None:
        if self._on_change is not None:
            self._on_change(self._window.usage(self._clock.now()))

    def _on_timer(self) -> None:
        with self._lock:
            self._wake_waiters()

    def _wake_waiters(self) -> None:
        """Give places to those who wait, and come back when the next one is free."""
        if not self._loops:  # nobody has ever waited
            return
        self._must_wake_again = True
        if self._is_waking:  # the garbage collector, in the midst of this, threw a task away that held a place
            return
        self._is_waking = True
        try:
            while self._must_wake_again:
                self._must_wake_again = False
                self._schedule_wakeup(self._grant_available())
        finally:
            self._is_waking = False

    def _grant_available(self) -> float | None:
        """Give away the places that are free. Returns the seconds until the next one is, if anybody waits for it."""
        while (waiter := self._next_waiter()) is not None:
            wait = self._window.time_until_available(self._clock.now())
            if wait > 0:
                return wait
            self._queues[waiter.priority].remove(waiter)
            waiter.set_result(self._grant())
        return None

    def _next_waiter(self) -> _Waiter | None:
        """Whose waiter it is: nobody's who would not notice."""
        waiting = chain(self._queues["interactive"], self._queues["background"])
        return next((waiter for waiter in waiting if waiter.loop.is_running()), None)

    def _schedule_wakeup(self, seconds: float | None) -> None:
        """Let the running event loop serve again after so many seconds, or when it is asked to."""
        for ended in [loop for loop in self._timers if loop.is_closed()]:
            del self._timers[ended]  # a timer refers to its loop: by itself neither would go
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a task gives its place back that was thrown away after its loop
            return
        if (timer := self._timers.pop(loop, None)) is not None:
            timer.cancel()
        if seconds is not None:
            self._timers[loop] = self._clock.call_later(seconds, self._on_timer)


def wait_too_long_error(wait: float) -> RateLimitError:
    """The error for a wait that is refused beforehand."""
    error = RateLimitError(f"the write limit has no place for about {wait:.1f} s")
    error.retry_after = wait
    return error
