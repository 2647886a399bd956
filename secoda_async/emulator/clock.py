"""The emulator's time: clocks that run fast or are advanced by hand, cancellable waits, and the calendar."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import NoReturn, Protocol

import attrs

TICK = timedelta(microseconds=1)


class Timer(Protocol):
    """A pending callback of a clock."""

    def cancel(self) -> object:
        """Cancel the callback."""
        ...


class Clock(Protocol):
    """A source of time in seconds; only differences between its readings have a meaning."""

    def now(self) -> float:
        """Return the time in seconds."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call `callback` once, after `delay` seconds of this clock."""
        ...


@attrs.frozen
class ScaledClock:
    """The monotonic clock, accelerated: with a speed of 60 a minute takes one second."""

    speed: float = 1.0

    def now(self) -> float:
        """Return the time in seconds of this clock."""
        return time.monotonic() * self.speed

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call `callback` once on the running event loop, after `delay` seconds of this clock."""
        return asyncio.get_running_loop().call_later(delay / self.speed, callback)


@attrs.define(eq=False)
class ManualTimer:
    """A pending callback of a manual clock."""

    due: float
    """The time of the call, in seconds of the clock."""
    callback: Callable[[], object]
    _timers: "list[ManualTimer]" = attrs.field(alias="timers", repr=False)

    def cancel(self) -> None:
        """Cancel the callback."""
        if self in self._timers:
            self._timers.remove(self)


@attrs.define(eq=False)
class ManualClock:
    """A clock for tests, which stands still until it is advanced."""

    _now: float = 0.0
    timers: list[ManualTimer] = attrs.field(init=False, factory=list[ManualTimer])
    """The pending callbacks."""

    def now(self) -> float:
        """Return the time in seconds."""
        return self._now

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call `callback` once, when the clock has been advanced by `delay` seconds."""
        timer = ManualTimer(self._now + delay, callback, self.timers)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Advance the time, and run the callbacks that become due, in order and each at its time."""
        end = self._now + seconds
        while due := [timer for timer in self.timers if timer.due <= end]:
            timer = min(due, key=lambda timer: timer.due)
            self._now = timer.due
            timer.cancel()
            timer.callback()
        self._now = end


@attrs.define(eq=False)
class Waits:
    """All pending waits on a clock, so that they can be cancelled together."""

    clock: Clock
    _futures: "set[asyncio.Future[None]]" = attrs.field(init=False, factory=set["asyncio.Future[None]"])

    async def sleep(self, seconds: float) -> None:
        """Wait for this many seconds of the clock; for 0 return without yielding to the event loop."""
        if seconds:
            await self._wait(seconds)

    async def sleep_forever(self) -> NoReturn:
        """Wait until cancelled."""
        while True:
            await self._wait(None)

    def cancel_all(self) -> None:
        """Cancel all waits."""
        for future in tuple(self._futures):
            future.cancel()

    async def _wait(self, seconds: float | None) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = None if seconds is None else self.clock.call_later(seconds, lambda: _wake(future))
        self._futures.add(future)
        try:
            await future
        finally:
            self._futures.discard(future)
            if timer is not None:
                timer.cancel()


def _wake(future: "asyncio.Future[None]") -> None:
    """End a wait, unless it was cancelled just before."""
    if not future.done():
        future.set_result(None)


@attrs.define
class Calendar:
    """The emulated date and time: the time at which the calendar was made, plus the seconds of its clock since then."""

    clock: Clock
    _start: datetime = attrs.field(init=False, factory=lambda: datetime.now(UTC))
    _start_reading: float = attrs.field(init=False)
    _last: datetime = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._start_reading = self.clock.now()
        self._last = self._start

    def now(self) -> datetime:
        """Return the emulated time, aware and in UTC."""
        return self._start + timedelta(seconds=self.clock.now() - self._start_reading)

    def next_timestamp(self) -> str:
        """Return the time as the API writes it, always later than the timestamp before.

        A real server never stores two writes in the same microsecond; with a manual clock that would happen.
        """
        self._last = max(self.now(), self._last + TICK)
        return timestamp(self._last)

    def continue_after(self, stamps: Iterable[str]) -> None:
        """Make each further timestamp later than these, which an earlier run with a fast clock may have written."""
        for stamp in stamps:
            with contextlib.suppress(ValueError):  # of a file that was edited
                self._last = max(self._last, datetime.fromisoformat(f"{stamp.removesuffix('Z')}+00:00"))

    def date_header(self, skew: float = 0.0) -> str:
        """Return the time, `skew` seconds ahead, as a `Date` header."""
        return format_datetime((self.now() + timedelta(seconds=skew)).replace(microsecond=0), usegmt=True)


def timestamp(moment: datetime) -> str:
    """Return a time in UTC as the API writes it: with six digits after the second, or none if they are zero."""
    return moment.replace(tzinfo=None).isoformat() + "Z"
