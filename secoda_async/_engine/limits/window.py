"""The arithmetic of a sliding window: when the next call may start. It knows neither clocks nor tasks."""

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Final, Self

from attrs import define, field, frozen

from secoda_async.config import RateLimit

_LONGEST_PAUSE: Final = 86_400.0
"""Seconds: a safety net. `_LONGEST_COOLDOWN` in admission.py caps an absurd `Retry-After` far earlier."""

_PROBE: Final = 1.0
"""Seconds that other calls wait for the first one after a cooldown that was shorter than the server asked."""

_FEW_IN_FLIGHT: Final = 4
"""Calls that may be in flight while the window is unknown: so many 429s at most, when others have used it up."""


@frozen
class Usage:
    """The permits of a window that are taken; all times are seconds from now."""

    free_in: tuple[float, ...] = ()
    """For each answered call: the time until its permit is free."""
    in_flight: int = 0
    paused_for: float = 0.0
    """Time until the cooldown ends."""
    paced_for: float = 0.0
    """Time until calls are no longer evenly spaced."""


@define(eq=False, repr=False)
class Cooldown:
    """A door that a 429 closes for a while, for a class of calls."""

    window: float
    """Seconds to stay closed when the server does not say."""
    _opens_at: float = field(default=-inf, init=False)
    _must_probe: bool = field(default=False, init=False)

    def start(self, seconds: float | None, now: float, *, is_capped: bool = False) -> float:
        """Stay closed for so many seconds from now; never shortens. Returns the seconds until it opens.

        `is_capped` says that the server asked for more: then one call probes first.
        """
        self._opens_at = max(self._opens_at, now + self.capped(seconds))
        self._must_probe = is_capped
        return self.remaining(now)

    def try_pass(self, now: float) -> bool:
        """Return whether a call may start now. If it is a probe, the others wait for it a moment."""
        if self.remaining(now) > 0:
            return False
        if self._must_probe:
            self._must_probe = False
            self._opens_at = now + _PROBE
        return True

    def capped(self, seconds: float | None) -> float:
        """The pause that is kept when so many seconds are asked for."""
        return self.window if seconds is None else min(seconds, _LONGEST_PAUSE)

    def remaining(self, now: float) -> float:
        """Seconds until it opens: 0 when it is open."""
        return max(0.0, self._opens_at - now)


class SlidingWindow:
    """Which places of a limit are taken, and from when on each is free again.

    After a 429 nothing starts until the pause is over, and then one call after the other, evenly spaced,
    until a full window has passed without another: a 429 means that somebody else spends the same budget.

    A window that is not known (`is_known=False`) starts slowly: other processes may have used permits that the server
    still counts. Until one window has passed since the first call, few calls are in flight at a time, so that few
    are refused before the first 429 arrives.
    """

    def __init__(self, limit: RateLimit, *, is_known: bool = True) -> None:
        self.limit = limit
        self.cooldown = Cooldown(limit.per_seconds)
        self.in_flight = 0
        self._free_at: deque[float] = deque()
        """When each place that was used comes free, in order."""
        self._paced_until = -inf
        self._last_start = -inf
        self._known_at = -inf if is_known else inf
        """When all that others used before the first call is free again; infinity before the first call."""
        self._others = frozenset[float]()
        """The moments in `_free_at` at which permits of other processes are free."""

    @classmethod
    def from_snapshot(
        cls,
        limit: RateLimit,
        now: float,
        *,
        paused_for: float,
        paced_for: float,
        since_start: float | None,
        in_flight: int,
        free_in: Iterable[float],
    ) -> Self:
        """One that is kept elsewhere, as it looks now; every time is in seconds from now."""
        window = cls(limit)
        window.cooldown.start(paused_for, now)
        window.in_flight = in_flight
        window._free_at.extend(now + seconds for seconds in free_in)
        window._paced_until = now + paced_for
        window._last_start = -inf if since_start is None else now - since_start
        return window

    def tighten(self, limit: RateLimit) -> None:
        """Keep to `limit` too: to the fewer calls, in the longer window."""
        longer = limit.per_seconds - self.limit.per_seconds
        if limit.places < self.limit.places or longer > 0:
            seconds = max(limit.per_seconds, self.limit.per_seconds)
            self.limit = RateLimit(min(limit.places, self.limit.places), per_seconds=seconds)
            self.cooldown.window = seconds
            self._free_at = deque(moment + max(0.0, longer) for moment in self._free_at)
            self._known_at += max(0.0, longer)

    def end_slow_start(self) -> None:
        """End the slow start: somebody else knows what is used."""
        self._known_at = -inf

    def usage(self, now: float) -> Usage:
        """What this process uses, and not what `add` added."""
        self.free(now)
        return Usage(
            free_in=tuple(moment - now for moment in self._free_at if moment not in self._others),
            in_flight=self.in_flight,
            paused_for=self.cooldown.remaining(now),
            paced_for=max(0.0, self._paced_until - now),
        )

    def add(self, usage: Usage, now: float) -> None:
        """Count what other processes use, too."""
        in_flight = [self.limit.per_seconds] * usage.in_flight  # each was answered now at the latest
        others = [now + seconds for seconds in (*usage.free_in, *in_flight)]
        self._free_at = deque(sorted([*self._free_at, *others]))
        self._others = self._others.union(others)
        if usage.paused_for > 0:
            self.pause(usage.paused_for, now)
        if usage.paced_for > 0:
            self._paced_until = max(self._paced_until, now + usage.paced_for)

    def acquire(self, now: float) -> None:
        """A call starts."""
        self.in_flight += 1
        self._last_start = now
        self._known_at = min(self._known_at, now + self.limit.per_seconds)

    def release(self, now: float, *, sent: bool) -> None:
        """A call is over: its place is free a window later, or at once when it was never sent."""
        self.in_flight -= 1
        if sent:
            self._free_at.append(now + self.limit.per_seconds)

    def pause(self, seconds: float | None, now: float) -> float:
        """Start nothing for so many seconds (None: for one window). Returns the seconds until the gate opens."""
        pause = self.cooldown.start(seconds, now)
        self._paced_until = now + pause + self.limit.per_seconds
        return pause

    def free(self, now: float) -> int:
        """Places that could be taken, were nothing paused."""
        while self._free_at and self._free_at[0] <= now:
            self._free_at.popleft()
        return max(0, self._unused())

    def is_empty(self, now: float) -> bool:
        """Whether no place is taken, and nothing is paused or spaced."""
        return self.in_flight == 0 and now >= self._paced_until and self.free(now) == self.limit.places

    def time_until_available(self, now: float) -> float:
        """Seconds until a place can be taken; a window when that depends on answers that are still to come."""
        wait = self._time_until_permit(0, now)
        if now < self._paced_until:
            wait = max(wait, self.cooldown.remaining(now), self._last_start + self._spacing - now)
        if self.in_flight >= max(_FEW_IN_FLIGHT, self.limit.places // 8):
            wait = max(wait, self._known_at - now)
        return wait

    def wait_for_position(self, ahead: int, now: float) -> float:
        """Seconds that a call waits which has so many ahead of it. In a slow start, answers are taken for prompt."""
        if now >= self._paced_until:
            rounds, place = divmod(ahead, self.limit.places)
            return self._time_until_permit(place, now) + rounds * self.limit.per_seconds
        first = max(self.cooldown.remaining(now), self._last_start + self._spacing - now)
        places = range(min(ahead + 1, self.limit.places))
        late = max(self._time_until_permit(place, now) - place * self._spacing for place in places)
        return max(first, late) + ahead * self._spacing  # one that starts late delays all after it

    def _unused(self) -> int:
        """Places less those taken: below 0 when the limit was tightened."""
        return self.limit.places - self.in_flight - len(self._free_at)

    def _time_until_permit(self, place: int, now: float) -> float:
        """Seconds until that place (0 is the next) can be taken for the first time."""
        self.free(now)
        used = place - self._unused()
        if used < 0:
            return 0.0
        if used < len(self._free_at):
            return self._free_at[used] - now
        return self.limit.per_seconds  # still under way: free again a window after its answer

    @property
    def _spacing(self) -> float:
        return self.limit.per_seconds / self.limit.places
