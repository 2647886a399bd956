"""Time as the SDK sees it: read, and wait on, through one small object, so that tests need not sleep.

A client, its limiter and an emulator that share a clock agree on what a minute is.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Final, Protocol

from attrs import define, field, frozen

from secoda_async.errors import ConfigurationError

__all__ = ["AutojumpClock", "Clock", "ScaledClock", "SystemClock", "Timer", "sleep"]


class Timer(Protocol):
    """What `Clock.call_later` returns."""

    def cancel(self) -> object:
        """Forget the callback, if it has not run."""
        ...


class Clock(Protocol):
    """Where the SDK takes its time from. `asyncio`'s own loop time is never used directly."""

    def now(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Run `callback` on the running event loop once `delay` seconds have passed."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Seconds of `time.monotonic()`."""
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """As `loop.call_later`."""
        return asyncio.get_running_loop().call_later(delay, callback)


SYSTEM_CLOCK: Final = SystemClock()
"""The one that is used where none is given."""


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
        """Seconds of `time.monotonic()`, times `speed`."""
        return time.monotonic() * self.speed

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """As `loop.call_later`, `speed` times sooner."""
        return asyncio.get_running_loop().call_later(delay / self.speed, callback)


@define(order=True, repr=False)
class _Pending:
    """A callback that waits for its moment."""

    due: float
    number: int
    callback: Callable[[], object] = field(order=False)
    is_cancelled: bool = field(default=False, order=False)

    def cancel(self) -> None:
        self.is_cancelled = True


async def _pause(loop: asyncio.AbstractEventLoop) -> None:
    """Wait in real time for what an event loop other than asyncio's does in threads.

    uvloop looks up numeric addresses, too, in its thread pool before it connects: a connection that is being
    opened needs real time. A look-up of our own ends after those that began before it.
    """
    await loop.getaddrinfo("127.0.0.1", None)
    await asyncio.sleep(0.001)


class AutojumpClock:
    """A clock for tests: it stands still while anything runs and jumps to the next timer when nothing does.

    "Nothing runs" means that the event loop turned `patience` times while nobody asked this clock for anything. Sockets
    between a client and a server on the same event loop make progress at every turn, so a call that is under
    way is not overtaken; work in other threads or processes is not seen. On an event loop that is not asyncio's own,
    such as uvloop, connecting takes real time: there the clock pauses for about a millisecond, and counts once
    more, before each jump.
    """

    def __init__(self, *, start: float = 0.0, patience: int = 250) -> None:
        self._now = start
        self._patience = patience
        self._idle_turns = 0
        self._has_paused = False
        self._pause: asyncio.Task[None] | None = None
        self._timers: list[_Pending] = []
        self._numbers = itertools.count()
        self._watched: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        """Seconds since `start`, all of them skipped over."""
        self._reset()
        return self._now

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Run `callback` when the clock has jumped `delay` seconds ahead."""
        loop = asyncio.get_running_loop()
        if self._watched is not loop:
            self._timers.clear()  # what is left belongs to an event loop that has ended
            self._watched = loop
            loop.call_soon(self._turn, loop)
        timer = _Pending(self._now + max(0.0, delay), next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        self._reset()
        return timer

    def _reset(self) -> None:
        self._idle_turns = 0
        self._has_paused = False

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._idle_turns += 1
        if self._idle_turns <= self._patience:
            loop.call_soon(self._turn, loop)
            return
        if not self._has_paused and not isinstance(loop, asyncio.BaseEventLoop):
            self._idle_turns = 0
            self._has_paused = True
            self._pause = loop.create_task(_pause(loop))
            self._pause.add_done_callback(lambda _: self._turn(loop))
            return
        self._reset()
        while self._timers and self._timers[0].is_cancelled:
            heapq.heappop(self._timers)
        if not self._timers:
            self._watched = None
            return
        loop.call_soon(self._turn, loop)  # first: a callback that raises must not stop the clock
        due = heapq.heappop(self._timers)
        self._now = max(self._now, due.due)
        due.callback()


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait `seconds` on `clock`; cancelling it leaves no timer behind."""
    done = asyncio.Event()
    timer = clock.call_later(seconds, done.set)
    try:
        await done.wait()
    finally:
        timer.cancel()
