"""The clocks of the SDK. All time is read from and waited for on an injected clock, so that tests need not sleep.

A client, its limiter and an emulator that share a clock agree on how long a minute is.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Final, Protocol

from attrs import field, frozen

from secoda_async.errors import ConfigurationError

__all__ = ["AutojumpClock", "Clock", "ScaledClock", "SystemClock", "Timer", "sleep"]


class Timer(Protocol):
    """A scheduled callback, as `Clock.call_later` returns it."""

    def cancel(self) -> object:
        """Cancel the callback if it has not run yet."""
        ...


class Clock(Protocol):
    """The source of all time in the SDK; the event loop's own time is never used directly."""

    def now(self) -> float:
        """Return the seconds since a fixed moment; never decreases."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Run `callback` on the running event loop once `delay` seconds have passed."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call `loop.call_later`."""
        return asyncio.get_running_loop().call_later(delay, callback)


SYSTEM_CLOCK: Final = SystemClock()
"""The default clock."""


def _positive(_: object, __: object, value: float) -> None:
    try:
        fits = 0 < value < float("inf")
    except TypeError:  # "60", say, from an environment variable
        fits = False
    if not fits:
        raise ConfigurationError(f"speed must be a positive number, not {value!r}")


@frozen
class ScaledClock:
    """A clock that runs `speed` times as fast as the machine's, for demonstrations."""

    speed: float = field(validator=_positive)

    def now(self) -> float:
        """Return `time.monotonic()` times `speed`."""
        return time.monotonic() * self.speed

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call `loop.call_later` with a delay that is `speed` times shorter."""
        return asyncio.get_running_loop().call_later(delay / self.speed, callback)


class _Pending:
    """A callback that is scheduled on an `AutojumpClock`."""

    def __init__(self, due: float, number: int, callback: Callable[[], object]) -> None:
        self.due = due
        self.number = number
        self.callback = callback
        self.is_cancelled = False

    def __lt__(self, other: "_Pending") -> bool:
        return (self.due, self.number) < (other.due, other.number)

    def cancel(self) -> None:
        self.is_cancelled = True


async def _wait_for_threads(loop: asyncio.AbstractEventLoop) -> None:
    """Wait in real time for the work that an event loop other than asyncio's does in threads.

    Before it connects, uvloop resolves every address in its thread pool, numeric ones included. A lookup that starts
    here ends after the lookups that started before it.
    """
    await loop.getaddrinfo("127.0.0.1", None)
    await asyncio.sleep(0.001)


class AutojumpClock:
    """A clock for tests: it stands still while work runs, and jumps to the next timer when none does.

    No work runs if the event loop has completed `patience` iterations in which the clock was not used. Sockets between
    a client and a server on the same event loop make progress in every iteration, so the clock does not jump while
    a request is in flight. Work in other threads or processes is not seen, and neither is the lookup of a host name:
    connect to `127.0.0.1`, not to `localhost`. On an event loop other than asyncio's own, such as uvloop, connecting
    takes real time: before each jump the clock waits for about a millisecond and counts the iterations again.
    """

    def __init__(self, *, start: float = 0.0, patience: int = 250) -> None:
        self._now = start
        self._patience = patience
        self._idle_iterations = 0
        self._has_waited_for_threads = False
        self._thread_wait: asyncio.Task[None] | None = None
        self._timers: list[_Pending] = []
        self._numbers = itertools.count()
        self._watched: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        """Return the seconds since `start`, all of them skipped."""
        self._reset()
        return self._now

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Run `callback` when the clock has jumped `delay` seconds ahead."""
        loop = asyncio.get_running_loop()
        if self._watched is not loop:
            self._timers.clear()  # the timers that are left belong to a closed event loop
            self._watched = loop
            loop.call_soon(self._count_iteration, loop)
        timer = _Pending(self._now + max(0.0, delay), next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        self._reset()
        return timer

    def _reset(self) -> None:
        self._idle_iterations = 0
        self._has_waited_for_threads = False

    def _count_iteration(self, loop: asyncio.AbstractEventLoop) -> None:
        self._idle_iterations += 1
        if self._idle_iterations <= self._patience:
            loop.call_soon(self._count_iteration, loop)
        elif not self._has_waited_for_threads and not isinstance(loop, asyncio.BaseEventLoop):
            self._idle_iterations = 0
            self._has_waited_for_threads = True
            self._thread_wait = loop.create_task(_wait_for_threads(loop))
            self._thread_wait.add_done_callback(lambda _: self._count_iteration(loop))
        else:
            self._jump(loop)

    def _jump(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the next timer. Without one, stop watching the event loop until `call_later` is called again."""
        self._reset()
        while self._timers and self._timers[0].is_cancelled:
            heapq.heappop(self._timers)
        if not self._timers:
            self._watched = None
            return
        loop.call_soon(self._count_iteration, loop)  # before the callback, which may raise
        timer = heapq.heappop(self._timers)
        self._now = max(self._now, timer.due)
        timer.callback()


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait `seconds` on `clock`. A cancelled wait leaves no timer behind."""
    done = asyncio.Event()
    timer = clock.call_later(seconds, done.set)
    try:
        await done.wait()
    finally:
        timer.cancel()
