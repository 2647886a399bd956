"""The emulator's time: clocks that run fast or are moved by hand, waits, and the calendar."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import NoReturn, Protocol

import attrs

TICK = timedelta(microseconds=1)


class Timer(Protocol):
    """What `Clock.call_later` returns."""

    def cancel(self) -> object:
        """Call the callback no more."""
        ...


class Clock(Protocol):
    """A source of time in seconds; only differences between its readings mean anything."""

    def now(self) -> float:
        """Return the time in seconds."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call `callback` once, `delay` of this clock's seconds from now."""
        ...


@attrs.frozen
class ScaledClock:
    """The monotonic clock, made faster: with a speed of 60 a minute lasts a second."""

    speed: float = 1.0

    def now(self) -> float:
        """Return the time in this clock's seconds."""
        return time.monotonic() * self.speed

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call `callback` once, `delay` of this clock's seconds from now, in the running loop."""
        return asyncio.get_running_loop().call_later(delay / self.speed, callback)


@attrs.define(eq=False)
class ManualTimer:
    """A callback that a manual clock will call."""

    due: float
    """The time, in seconds of its clock."""
    callback: Callable[[], object]
    _timers: "list[ManualTimer]" = attrs.field(alias="timers", repr=False)

    def cancel(self) -> None:
        """Call the callback no more."""
        if self in self._timers:
            self._timers.remove(self)


@attrs.define(eq=False)
class ManualClock:
    """A clock that stands still until it is advanced: time in tests."""

    _now: float = 0.0
    timers: list[ManualTimer] = attrs.field(init=False, factory=list[ManualTimer])
    """What waits on it."""

    def now(self) -> float:
        """Return the time in seconds."""
        return self._now

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call `callback` when the clock has been advanced by `delay` seconds."""
        timer = ManualTimer(self._now + delay, callback, self.timers)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Let time go by, and call what falls due, each at its time."""
        end = self._now + seconds
        while due := [timer for timer in self.timers if timer.due <= end]:
            timer = min(due, key=lambda timer: timer.due)
            self._now = timer.due
            timer.cancel()
            timer.callback()
        self._now = end


@attrs.define(eq=False)
class Waits:
    """Everything under way that waits on a clock, so that it can be ended together."""

    clock: Clock
    _futures: "set[asyncio.Future[None]]" = attrs.field(init=False, factory=set["asyncio.Future[None]"])

    async def pause(self, seconds: float) -> None:
        """Wait so many of the clock's seconds; for none, not even a turn of the loop."""
        if seconds:
            await self._wait(seconds)

    async def stall(self) -> NoReturn:
        """Wait until cancelled."""
        while True:
            await self._wait(None)

    def cancel(self) -> None:
        """Cancel all waits."""
        for future in tuple(self._futures):
            future.cancel()

    async def _wait(self, seconds: float | None) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = None if seconds is None else self.clock.call_later(seconds, lambda: _release(future))
        self._futures.add(future)
        try:
            await future
        finally:
            self._futures.discard(future)
            if timer is not None:
                timer.cancel()


def _release(future: "asyncio.Future[None]") -> None:
    """End a wait, unless it was cancelled a moment before."""
    if not future.done():
        future.set_result(None)


@attrs.define
class Calendar:
    """Dates and times of day: when the calendar was made, plus what its clock has counted since."""

    clock: Clock
    _begun: datetime = attrs.field(init=False, factory=lambda: datetime.now(UTC))
    _begun_at: float = attrs.field(init=False)
    _last: datetime = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._begun_at = self.clock.now()
        self._last = self._begun

    def now(self) -> datetime:
        """Return the emulated time, aware and in UTC."""
        return self._begun + timedelta(seconds=self.clock.now() - self._begun_at)

    def stamp(self) -> str:
        """Return the time as the API writes it, always later than the stamp before.

        A real server never stores two writes in one microsecond; a clock that is moved by hand would.
        """
        self._last = max(self.now(), self._last + TICK)
        return timestamp(self._last)

    def date_header(self, skew: float = 0.0) -> str:
        """Return the time, `skew` seconds ahead, as the `Date` header of an answer."""
        return format_datetime((self.now() + timedelta(seconds=skew)).replace(microsecond=0), usegmt=True)


def timestamp(moment: datetime) -> str:
    """Write a time in UTC as the API does: six digits after the second, none at all when they are zero."""
    return moment.replace(tzinfo=None).isoformat() + "Z"
