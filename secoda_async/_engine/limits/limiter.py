"""The write limit: an exact sliding window on an injected clock, and the writes that wait for it.

Why the window is exact: the server refuses a write while thirty accepted ones are younger than sixty seconds
(docs/api-facts.md). A permit is taken before a request starts, and is free again one window after its response
arrived. The server counted the request somewhere between the two, so it never counts more than thirty in a window,
however slow the network is. One case is left: a request that was abandoned and that the server processes later.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from math import inf
from typing import Protocol, cast
from weakref import WeakKeyDictionary

from attrs import define, frozen

from secoda_async._engine.limits.waiters import Waiter, Waiters
from secoda_async._engine.limits.window import SlidingWindow, Usage
from secoda_async.clock import SYSTEM_CLOCK, Clock, Timer
from secoda_async.config import Priority, RateLimit
from secoda_async.errors import RateLimitError


@frozen
class LimitState:
    """The state of a limiter at one moment."""

    free: int
    """Permits that a write could take now. During the slow start, only a few can be in use at a time."""
    next_free: float
    """Seconds until the next permit can be taken: 0 if one is free and no cooldown is active."""
    queued: int
    """Writes that wait for a permit."""
    in_flight: int
    """Writes whose response has not arrived yet."""
    paused: float
    """Seconds until the cooldown after a 429 ends: 0 if none is active."""


class Permit(Protocol):
    """The right to send one request."""

    async def release(self, *, sent: bool) -> None:
        """Return the permit when the request has ended; `sent=False` if it certainly never reached the server."""
        ...


class RateLimiter(Protocol):
    """The limit that a client asks before each POST, PUT and PATCH. Pass your own as `limiter=`."""

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
        """Wait for a permit and take it. A cancelled wait leaves no trace.

        Raises:
            RateLimitError: Immediately, if the wait would be longer than `max_wait` seconds; or as soon as a 429
                asks for a cooldown longer than `max_pause` seconds.
        """
        ...

    async def pause(self, seconds: float | None) -> None:
        """Start a cooldown after a 429: no write starts for `seconds` (None: for one window)."""
        ...

    def time_for(self, writes: int) -> float:
        """Return the seconds until the last of `writes` further writes could start."""
        ...


class ReleaseCallback(Protocol):
    """A function that a permit calls when it is released."""

    def __call__(self, *, sent: bool) -> None:
        """Return the permit to its limiter."""
        ...


@define(eq=False, repr=False)
class _Permit:
    """A permit of this process's window."""

    on_release: ReleaseCallback
    is_released: bool = False

    async def release(self, *, sent: bool) -> None:
        if not self.is_released:
            self.is_released = True
            self.on_release(sent=sent)


class SlidingWindowLimiter:
    """At most `RateLimit.places` calls in any window of `RateLimit.per_seconds`, first in, first out by priority.

    After a 429 no call starts until the cooldown ends. Calls are then evenly spaced until a full window has passed
    without another 429, because a 429 means that another program spends the same budget. Several event loops in
    several threads can use one limiter.

    The limiter starts slowly, because it can't know the permits that other processes used in the last window: until
    one window has passed since its first call, at most four calls (an eighth of a larger `RateLimit.places`) are in
    flight. If the window is used up, only these few calls get a 429. `max_wait=0` is exempt.
    """

    def __init__(self, limit: RateLimit | None = None, *, clock: Clock | None = None) -> None:
        self._clock = clock or SYSTEM_CLOCK
        self._window = SlidingWindow(limit or RateLimit(), is_known=False)
        self._on_change: Callable[[Usage], object] | None = None
        self._waiters = Waiters()
        self._process = os.getpid()
        self._timers: WeakKeyDictionary[asyncio.AbstractEventLoop, Timer] = WeakKeyDictionary()
        """One timer per event loop that runs waiters: no loop depends on another, which may close at any time."""
        self._lock = threading.RLock()  # re-entered when garbage collection closes a task that holds a permit
        self._is_waking = self._must_wake_again = False

    @property
    def limit(self) -> RateLimit:
        """The limit in force."""
        return self._window.limit

    @property
    def state(self) -> LimitState:
        """The limit at this moment."""
        with self._lock:
            queued = self._discard_stale_waiters()
            now = self._clock.now()
            return LimitState(
                free=self._window.free(now),
                next_free=self._window.time_until_available(now),
                queued=queued,
                in_flight=self._window.in_flight,
                paused=self._window.cooldown.remaining(now),
            )

    @property
    def is_idle(self) -> bool:
        """Whether no permit is used, no cooldown is active and no call waits: a new limiter would act the same."""
        with self._lock:
            return self._window.is_empty(self._clock.now()) and not self._waiters

    @property
    def is_paused(self) -> bool:
        """Whether a cooldown is active."""
        return self._window.cooldown.remaining(self._clock.now()) > 0

    def tighten(self, limit: RateLimit) -> None:
        """Apply the stricter of both limits: the fewer calls, in the longer window."""
        with self._lock:
            self._window.tighten(limit)

    def end_slow_start(self) -> None:
        """Start at full speed: something else counts the permits of other processes."""
        with self._lock:
            self._window.end_slow_start()

    def share(self, used: Usage, on_change: Callable[[Usage], object]) -> None:
        """Count the permits that other processes have used, unless this limiter has counted calls before.

        Args:
            used: The permits of all other processes.
            on_change: Called with the permits of this process whenever they change: before a call starts, when it
                ends, and after a 429.
        """
        with self._lock:
            if self.is_idle:
                self._window.add(used, self._clock.now())
            self._on_change = on_change

    def time_for(self, writes: int) -> float:
        """Return the seconds until the last of `writes` further writes could start, after those that wait already.

        The result is an upper bound if responses arrive immediately and no other program spends the same budget.
        """
        with self._lock:
            ahead = self._discard_stale_waiters() + writes - 1
            return self._window.wait_for_position(ahead, self._clock.now()) if writes > 0 else 0.0

    def acquire_nowait(self) -> Permit | None:
        """Take a permit if one is free and no call waits for it."""
        with self._lock:
            now = self._clock.now()
            is_free = self._discard_stale_waiters() == 0 and self._window.time_until_available(now) <= 0
            return self._grant(now) if is_free else None

    async def acquire(
        self,
        *,
        priority: Priority = "interactive",
        max_wait: float | None = None,
        max_pause: float | None = None,
    ) -> Permit:
        """Wait for a permit and take it; see `RateLimiter.acquire`."""
        longest_wait, longest_pause = (inf if seconds is None else seconds for seconds in (max_wait, max_pause))
        with self._lock:
            # 1. A permit is free and no call waits.
            if (permit := self.acquire_nowait()) is not None:
                return permit
            # 2. The wait or the cooldown is longer than the caller allows.
            now = self._clock.now()
            if (wait := self._window.wait_for_position(self._waiters.count_ahead_of(priority), now)) > longest_wait:
                raise wait_too_long_error(wait)
            if (pause := self._window.cooldown.remaining(now)) > longest_pause:
                raise wait_too_long_error(pause)
            # 3. Only the slow start delays the call: there are permits for the call and for all waiters ahead.
            if longest_wait <= 0:
                return self._grant(now)
            # 4. Wait.
            waiter = self._waiters.add(priority, longest_pause)
            self._wake_waiters()
        try:
            await waiter.ready.wait()
        except BaseException:  # cancelled, or garbage-collected with its event loop
            self._remove_waiter(waiter)
            raise
        if isinstance(waiter.result, RateLimitError):
            raise waiter.result
        return cast("_Permit", waiter.result)

    async def pause(self, seconds: float | None) -> None:
        """Start a cooldown of `seconds` (None: of one window); the calls after it are evenly spaced for a window."""
        with self._lock:
            pause = self._window.start_cooldown(seconds, self._clock.now())
            self._report_usage(self._clock.now())
            for waiter in self._waiters.pop_impatient(pause):
                waiter.set_result(wait_too_long_error(pause))
            self._wake_waiters()

    def _grant(self, now: float) -> _Permit:
        self._window.acquire(now)
        self._report_usage(now)
        return _Permit(self._release)

    def _release(self, *, sent: bool) -> None:
        with self._lock:
            now = self._clock.now()
            self._window.release(now, sent=sent)
            self._report_usage(now)
            self._wake_waiters()

    def _remove_waiter(self, waiter: Waiter) -> None:
        """Drop a waiter that was cancelled. A permit that it was granted in the same moment is returned."""
        with self._lock:
            if waiter.result is None:
                self._waiters.remove(waiter)
            elif isinstance(waiter.result, _Permit):
                self._release(sent=False)
            self._wake_waiters()

    def _discard_stale_waiters(self) -> int:
        """Drop the waiters of closed event loops and, after a fork, the parent's. Return the number of the others."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._waiters = Waiters()
            for _ in range(self._window.in_flight):  # the parent's requests count as sent
                self._window.release(self._clock.now(), sent=True)
        if not self._waiters.have_waited:
            return 0
        self._waiters.discard_closed_loops()
        return len(self._waiters)

    def _report_usage(self, now: float) -> None:
        if self._on_change is not None:
            self._on_change(self._window.usage(now))

    # --- waking waiters ----------------------------------------------------------------------------------------

    def _wake_waiters(self) -> None:
        """Grant the free permits, and set a timer for the next one.

        Garbage collection can close a task that holds a permit while this runs. The release then calls this method
        again on the same thread, which only asks the outer call for another round.
        """
        if not self._waiters.have_waited:
            return
        with self._lock:
            self._must_wake_again = True
            if self._is_waking:
                return
            self._is_waking = True
            try:
                while self._must_wake_again:
                    self._must_wake_again = False
                    self._schedule_wakeup(self._grant_available())
            finally:
                self._is_waking = False

    def _grant_available(self) -> float | None:
        """Grant the free permits. Return the seconds until the next one is free; None if no call waits."""
        while (waiter := self._waiters.next()) is not None:
            now = self._clock.now()
            if (wait := self._window.time_until_available(now)) > 0:
                return wait
            self._waiters.remove(waiter)
            waiter.set_result(self._grant(now))
        return None

    def _schedule_wakeup(self, seconds: float | None) -> None:
        """Set the running event loop's timer (None: clear it)."""
        for closed in [loop for loop in self._timers if loop.is_closed()]:
            del self._timers[closed]  # timer and loop reference each other: the weak key alone would never expire
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no loop runs: a garbage-collected task has returned its permit
            return
        if (timer := self._timers.pop(loop, None)) is not None:
            timer.cancel()
        if seconds is not None:
            self._timers[loop] = self._clock.call_later(seconds, self._wake_waiters)


def wait_too_long_error(wait: float) -> RateLimitError:
    """Make the error for a wait that is longer than allowed."""
    return RateLimitError(f"the write limit has no free permit for about {wait:.1f} s", retry_after=wait)


def time_left(limiter: RateLimiter, writes: int) -> float:
    """Return the seconds until the last of a job's `writes`, which include those queued and in flight, could start."""
    state = limiter.state
    more = writes - state.queued - state.in_flight
    return limiter.time_for(max(more, min(writes, state.queued, 1)))  # if all are queued: until one more could start
