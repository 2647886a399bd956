"""How many writes may start, and when: an exact sliding window with an injected clock.

The server refuses a write while thirty accepted ones are younger than sixty seconds (FACTS: assumed, from its
framework). A place here is taken before a request starts and is free again one window after its answer
arrived, and the server saw the request somewhere in between: so it never sees one too many, whatever the
network does.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Protocol

from attrs import define, field, frozen

from secoda_async.clock import Clock, SystemClock, Timer
from secoda_async.config import Priority, RateLimit
from secoda_async.errors import RateLimitError


@frozen
class LimitState:
    """What a limiter looks like at one moment."""

    free: int
    """Places that a write could take now."""
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
class _Place:
    """A place that is taken."""

    over: Callable[[bool], None]
    """Tells the limiter that the request is over, and whether it was sent."""
    is_over: bool = False

    async def release(self, *, sent: bool) -> None:
        self.give_back(sent=sent)

    def give_back(self, *, sent: bool) -> None:
        if not self.is_over:
            self.is_over = True
            self.over(sent)


@define(eq=False, repr=False)
class _Turn:
    """A write that waits for a place."""

    place: asyncio.Future[_Place]
    max_pause: float | None

    def serve(self, take: Callable[[], _Place]) -> None:
        """Hand it a place, unless it has been cancelled meanwhile."""
        if not self.place.done():
            self.place.set_result(take())

    def give_up(self, pause: float) -> None:
        """The pause is longer than it will wait."""
        if not self.place.done():
            self.place.set_exception(_too_long(pause))


@define(eq=False, repr=False)
class Gate:
    """A door that a 429 closes for a while, for a class of calls that has no limit of its own."""

    clock: Clock
    window: float
    """Seconds to stay closed when the server does not say."""
    _opens_at: float = field(default=float("-inf"), init=False)

    def pause(self, seconds: float | None) -> None:
        """Stay closed for so many seconds from now; never shortens."""
        self._opens_at = max(self._opens_at, self.clock.now() + (self.window if seconds is None else seconds))

    def delay(self) -> float:
        """Seconds until it opens: 0 when it is open."""
        return max(0.0, self._opens_at - self.clock.now())


class SlidingWindowLimiter:
    """`RateLimit.places` calls in any window of `RateLimit.per_seconds`, first come, first served by priority.

    After a 429 nothing starts until the pause is over, and then one call after the other, evenly spaced,
    until a full window has passed without another: a 429 means that somebody else spends the same budget.
    """

    def __init__(self, limit: RateLimit | None = None, *, clock: Clock | None = None) -> None:
        self.limit = limit or RateLimit()
        self._clock = clock or SystemClock()
        self._gate = Gate(self._clock, self.limit.per_seconds)
        self._in_flight = 0
        self._free_at: deque[float] = deque()
        """When each place that was used comes free, in order."""
        self._spaced_until = float("-inf")
        self._last_start = float("-inf")
        self._queues: dict[Priority, deque[_Turn]] = {"interactive": deque(), "background": deque()}
        self._timer: Timer | None = None

    @property
    def state(self) -> LimitState:
        """The limit at this moment."""
        now = self._clock.now()
        return LimitState(
            free=self._free(now),
            next_free=self._ready_in(now),
            queued=self._queued("background"),
            in_flight=self._in_flight,
            paused=self._gate.delay(),
        )

    def time_for(self, writes: int) -> float:
        """Seconds until the last of `writes` further writes could start, after those that wait already.

        An upper bound as long as answers come at once and nobody else spends the same budget.
        """
        return self._wait_of(self._queued("background") + writes - 1) if writes > 0 else 0.0

    async def acquire(
        self,
        *,
        priority: Priority = "interactive",
        max_wait: float | None = None,
        max_pause: float | None = None,
    ) -> Permit:
        """Wait for a place and take it; see `RateLimiter.acquire`."""
        if not self._queued("background") and self._ready_in(self._clock.now()) <= 0:
            return self._take()
        if (wait := self._wait_of(self._queued(priority))) > (inf if max_wait is None else max_wait):
            raise _too_long(wait)
        if (pause := self._gate.delay()) > (inf if max_pause is None else max_pause):
            raise _too_long(pause)
        turn = _Turn(asyncio.get_running_loop().create_future(), max_pause)
        self._queues[priority].append(turn)
        self._serve()
        try:
            return await turn.place
        except asyncio.CancelledError:
            if turn in self._queues[priority]:
                self._queues[priority].remove(turn)
            elif not turn.place.cancelled() and turn.place.exception() is None:
                turn.place.result().give_back(sent=False)  # served and cancelled in the same turn of the loop
            raise

    async def pause(self, seconds: float | None) -> None:
        """Let nothing start for so many seconds (None: for one window), and space what comes after it."""
        self._gate.pause(seconds)
        pause = self._gate.delay()
        self._spaced_until = self._clock.now() + pause + self.limit.per_seconds
        for queue in self._queues.values():
            for turn in tuple(queue):
                if turn.max_pause is not None and pause > turn.max_pause:
                    queue.remove(turn)
                    turn.give_up(pause)
        self._serve()

    def _queued(self, priority: Priority) -> int:
        """How many wait ahead of a newcomer of this priority."""
        interactive = len(self._queues["interactive"])
        return interactive if priority == "interactive" else interactive + len(self._queues["background"])

    def _free(self, now: float) -> int:
        while self._free_at and self._free_at[0] <= now:
            self._free_at.popleft()
        return self.limit.places - self._in_flight - len(self._free_at)

    @property
    def _spacing(self) -> float:
        return self.limit.per_seconds / self.limit.places

    def _ready_in(self, now: float) -> float:
        """Seconds until a place can be taken; a window when that depends on answers that are still to come."""
        wait = 0.0
        if self._free(now) <= 0:
            wait = self._free_at[0] - now if self._free_at else self.limit.per_seconds
        if now < self._spaced_until:
            wait = max(wait, self._gate.delay(), self._last_start + self._spacing - now)
        return wait

    def _wait_of(self, ahead: int) -> float:
        """Seconds that a write waits which has so many ahead of it."""
        now = self._clock.now()
        if now >= self._spaced_until:
            rounds, place = divmod(ahead, self.limit.places)
            return self._place_in(place, now) + rounds * self.limit.per_seconds
        first = max(self._gate.delay(), self._last_start + self._spacing - now)
        places = range(min(ahead + 1, self.limit.places))
        late = max(self._place_in(place, now) - place * self._spacing for place in places)
        return max(first, late) + ahead * self._spacing  # one that starts late delays all after it

    def _place_in(self, place: int, now: float) -> float:
        """Seconds until that place (0 is the next) can be taken for the first time."""
        used = place - self._free(now)
        if used < 0:
            return 0.0
        if used < len(self._free_at):
            return self._free_at[used] - now
        return self.limit.per_seconds  # still under way: free again a window after its answer

    def _take(self) -> _Place:
        self._in_flight += 1
        self._last_start = self._clock.now()
        return _Place(self._over)

    def _over(self, sent: bool) -> None:  # noqa: FBT001 - called by its place alone
        self._in_flight -= 1
        if sent:
            self._free_at.append(self._clock.now() + self.limit.per_seconds)
        self._serve()

    def _serve(self) -> None:
        """Give places to those who wait, and come back when the next one is free."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queued("background"):
            wait = self._ready_in(self._clock.now())
            if wait > 0:
                self._timer = self._clock.call_later(wait, self._serve)
                return
            queue = self._queues["interactive"] or self._queues["background"]
            queue.popleft().serve(self._take)


def _too_long(wait: float) -> RateLimitError:
    """The error for a wait that is refused beforehand."""
    error = RateLimitError(f"the write limit has no place for about {wait:.1f} s")
    error.retry_after = wait
    return error
