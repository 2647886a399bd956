"""The arithmetic of the sliding window: when the next call may start. It uses neither clocks nor tasks.

The window is a log. A call in flight uses one permit. When its response has arrived, the moment at which the permit is
free again (one window later) is appended to `_free_at`. So `limit - in flight - len(_free_at)` permits are
unused, and `window.lua` in `secoda_async.ext` computes the same on a Redis server.

Two rules are stricter than the log. After a cooldown, calls start evenly spaced for one window (*pacing*). While the
permits of other processes are unknown, few calls are in flight (*slow start*).
"""

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import Final, NamedTuple, Self

from secoda_async.config import RateLimit

_LONGEST_COOLDOWN: Final = 86_400.0
"""Seconds: a safety net. The constant of the same name in admission.py caps an absurd `Retry-After` far earlier."""

_PROBE: Final = 1.0
"""Seconds that other calls wait for the first one after a cooldown that was shorter than the server asked."""

_SLOW_START: Final = 4
"""Calls in flight while other processes' permits are unknown: the most 429s, if those have used up the window."""


class Usage(NamedTuple):
    """The permits of a window that are used; all times are seconds from now."""

    free_in: tuple[float, ...] = ()
    """For each call whose response has arrived: the time until its permit is free."""
    in_flight: int = 0
    paused_for: float = 0.0
    """Time until the cooldown ends."""
    paced_for: float = 0.0
    """Time until calls are no longer evenly spaced."""


class Cooldown:
    """A time after a 429 in which no call of a class starts."""

    def __init__(self, window: float) -> None:
        self.window: float = window
        """Seconds of a cooldown whose length the server does not give."""
        self._ends_at = -inf
        self._must_probe = False

    def start(self, seconds: float | None, now: float, *, is_capped: bool = False) -> float:
        """Start or extend the cooldown; it is never shortened. Returns the seconds that remain.

        Args:
            seconds: Its length; None: one window.
            now: The present.
            is_capped: Whether the server asked for more: then a single call probes first.
        """
        length = self.window if seconds is None else min(seconds, _LONGEST_COOLDOWN)
        self._ends_at = max(self._ends_at, now + length)
        self._must_probe = is_capped
        return self.remaining(now)

    @property
    def has_begun(self) -> bool:
        """Whether there was a cooldown, which may have ended."""
        return self._ends_at > -inf

    def try_pass(self, now: float) -> bool:
        """Return whether a call may start now. If the call is a probe, the others wait for it a moment."""
        if self.remaining(now) > 0:
            return False
        if self._must_probe:
            self._must_probe = False
            self._ends_at = now + _PROBE
        return True

    def remaining(self, now: float) -> float:
        """Return the seconds until the cooldown ends: 0 if none is active."""
        return max(0.0, self._ends_at - now)


class SlidingWindow:
    """The permits of one window, as of the times that each method is given.

    With `is_known=False` the window starts slowly: other processes may have used permits that the server still counts.
    Few calls are in flight until one window has passed since the first call, so that few are refused before the first
    429 arrives.
    """

    def __init__(self, limit: RateLimit, *, is_known: bool = True) -> None:
        self.limit: RateLimit = limit
        self.cooldown: Cooldown = Cooldown(limit.per_seconds)
        self.in_flight: int = 0
        self._free_at: deque[float] = deque()
        """When each used permit is free again, in order."""
        self._paced_until = -inf
        self._last_start = -inf
        self._known_at = -inf if is_known else inf
        """When all permits that others used before the first call are free; infinity before the first call."""
        self._others = frozenset[float]()
        """The moments in `_free_at` that belong to other processes."""

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
        """Make a window from a state that is stored elsewhere; all times are seconds from now."""
        window = cls(limit)
        window.cooldown.start(paused_for, now)
        window.in_flight = in_flight
        window._free_at.extend(now + seconds for seconds in free_in)
        window._paced_until = now + paced_for
        window._last_start = -inf if since_start is None else now - since_start
        return window

    # --- state -------------------------------------------------------------------------------------------------

    def free(self, now: float) -> int:
        """Return the number of unused permits, a cooldown aside."""
        return max(0, self._unused(now))

    def is_empty(self, now: float) -> bool:
        """Return whether no permit is used and no cooldown or pacing is active."""
        return self.in_flight == 0 and now >= self._paced_until and self.free(now) == self.limit.places

    def usage(self, now: float) -> Usage:
        """Return the permits that this process uses, without those of `add`."""
        return Usage(
            free_in=tuple(moment - now for moment in self._free_at if moment > now and moment not in self._others),
            in_flight=self.in_flight,
            paused_for=self.cooldown.remaining(now),
            paced_for=max(0.0, self._paced_until - now),
        )

    def time_until_available(self, now: float) -> float:
        """Return the seconds until a permit can be taken; one window if that depends on responses to come."""
        wait = self._time_until_permit(0, now)
        if now < self._paced_until:
            wait = max(wait, self.cooldown.remaining(now), self._last_start + self._spacing - now)
        if now < self._known_at and self.in_flight >= max(_SLOW_START, self.limit.places // 8):
            wait = max(wait, self._known_at - now)
        return wait

    def wait_for_position(self, ahead: int, now: float) -> float:
        """Return the seconds that a call with `ahead` waiters before it waits.

        The slow start is left out: its calls wait for responses, which are assumed to arrive immediately.
        """
        if now >= self._paced_until:
            rounds, number = divmod(ahead, self.limit.places)
            return self._time_until_permit(number, now) + rounds * self.limit.per_seconds
        first = max(self.cooldown.remaining(now), self._last_start + self._spacing - now)
        numbers = range(min(ahead + 1, self.limit.places))
        late = max(self._time_until_permit(number, now) - number * self._spacing for number in numbers)
        return max(first, late) + ahead * self._spacing  # a call that starts late delays all calls after it

    # --- changes -----------------------------------------------------------------------------------------------

    def acquire(self, now: float) -> None:
        """Use a permit: a call starts."""
        self.in_flight += 1
        self._last_start = now
        if self._known_at == inf:  # the first call
            self._known_at = now + self.limit.per_seconds

    def release(self, now: float, *, sent: bool) -> None:
        """End a call. Its permit is free one window later, or immediately if the call was never sent."""
        self.in_flight -= 1
        if sent:
            self._free_at.append(now + self.limit.per_seconds)

    def start_cooldown(self, seconds: float | None, now: float) -> float:
        """Start a cooldown (None: of one window) and pace calls for a window after it. Returns the cooldown's rest."""
        pause = self.cooldown.start(seconds, now)
        self._paced_until = now + pause + self.limit.per_seconds
        return pause

    def tighten(self, limit: RateLimit) -> None:
        """Apply the stricter of both limits: the fewer calls, in the longer window."""
        longer = limit.per_seconds - self.limit.per_seconds
        if limit.places < self.limit.places or longer > 0:
            seconds = max(limit.per_seconds, self.limit.per_seconds)
            self.limit = RateLimit(min(limit.places, self.limit.places), per_seconds=seconds)
            self.cooldown.window = seconds
            self._free_at = deque(moment + max(0.0, longer) for moment in self._free_at)
            self._known_at += max(0.0, longer)

    def end_slow_start(self) -> None:
        """Start at full speed: something else counts the permits of other processes."""
        self._known_at = -inf

    def add(self, usage: Usage, now: float) -> None:
        """Count the permits that other processes use."""
        in_flight = [self.limit.per_seconds] * usage.in_flight  # as if each response arrived now
        others = [now + seconds for seconds in (*usage.free_in, *in_flight)]
        self._free_at = deque(sorted([*self._free_at, *others]))
        self._others = self._others.union(others)
        if usage.paused_for > 0:
            self.start_cooldown(usage.paused_for, now)
        if usage.paced_for > 0:
            self._paced_until = max(self._paced_until, now + usage.paced_for)

    # --- arithmetic --------------------------------------------------------------------------------------------

    @property
    def _spacing(self) -> float:
        return self.limit.per_seconds / self.limit.places

    def _unused(self, now: float) -> int:
        """Return the limit less the used permits: below 0 if the limit was tightened."""
        while self._free_at and self._free_at[0] <= now:
            self._free_at.popleft()
        return self.limit.places - self.in_flight - len(self._free_at)

    def _time_until_permit(self, number: int, now: float) -> float:
        """Return the seconds until the permit of that number (0 is the next) can be taken for the first time."""
        used = number - self._unused(now)
        if used < 0:
            return 0.0
        if used < len(self._free_at):
            return self._free_at[used] - now
        return self.limit.per_seconds  # in flight: free again one window after its response
