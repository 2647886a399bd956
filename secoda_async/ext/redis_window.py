"""The window in Redis as this process knows it: the last reply, and the reports that Redis does not have yet.

Theory of operation. A request ends without waiting for Redis: `release` and `start_cooldown` change the local copy of
the window and queue a report. Each script call sends all queued reports (`Report`), and its reply settles them: it
replaces the local copy, and removes from the queue exactly the reports that were sent. If a call fails, the next call
repeats its reports, which Redis applies only once per token. While Redis is unavailable, the local copy can grant
permits (`acquire_locally`), which are reported later as requests in flight.
"""

import threading
from math import inf
from typing import Final

from attrs import frozen

from secoda_async._engine.limits.window import SlidingWindow
from secoda_async.clock import Clock
from secoda_async.config import RateLimit

MAX_PENDING: Final = 200
"""Releases that are kept while Redis is unavailable; the lease covers the others. Never less than the limit."""


@frozen
class Report:
    """The news of one script call."""

    releases: dict[str, float]
    """The tokens of ended requests, and when each permit is free."""
    in_flight: frozenset[str]
    """The tokens of requests in flight that Redis may not know."""
    cooldown_until: float


class RedisWindow:
    """The local copy of the window, and the queue of reports. Safe to use in several threads."""

    def __init__(self, limit: RateLimit, lease: float, clock: Clock) -> None:
        self.limit = limit
        self.copy: SlidingWindow = SlidingWindow(limit, is_known=False)
        """The window as of the last reply, with the changes of this process since."""
        self._lease = lease
        self._clock = clock
        self._copied_at = -inf
        self._lock = threading.RLock()
        self._in_flight: set[str] = set()
        """The tokens of this process's requests."""
        self._unreported: set[str] = set()
        self._pending_releases: dict[str, float] = {}
        self._pending_cooldown_until = -inf
        self._others, self._others_until = 0, -inf
        """Other processes' requests that were in flight when Redis failed, and when their permits are free."""

    @property
    def has_reports(self) -> bool:
        """Whether Redis lacks a report."""
        return bool(self._pending_releases or self._unreported) or self._pending_cooldown_until > self._clock.now()

    def wait_for_position(self, ahead: int) -> float:
        """Return the seconds that a call with `ahead` waiters before it waits."""
        return self.copy.wait_for_position(ahead, self._clock.now())

    def is_in_flight(self, token: str) -> bool:
        """Return whether this process's request of that token has a permit."""
        return token in self._in_flight

    def release(self, token: str, *, sent: bool) -> None:
        """End a request, and queue the report. The token may be one that Redis has granted without our knowledge."""
        with self._lock:
            now = self._clock.now()
            if token in self._in_flight and self.copy.in_flight > 0:
                self.copy.release(now, sent=sent)
            self._in_flight.discard(token)
            self._unreported.discard(token)
            self._pending_releases[token] = now + self.limit.per_seconds if sent else now
            while len(self._pending_releases) > max(MAX_PENDING, self.limit.places):
                free = (old for old, free_at in self._pending_releases.items() if free_at <= now)
                del self._pending_releases[next(free, next(iter(self._pending_releases)))]

    def start_cooldown(self, seconds: float | None) -> None:
        """Start a cooldown (None: of one window), and queue the report."""
        with self._lock:
            now = self._clock.now()
            until = now + self.copy.start_cooldown(seconds, now)
            self._pending_cooldown_until = max(self._pending_cooldown_until, until)

    # --- reporting ---------------------------------------------------------------------------------------------

    def report(self) -> Report:
        """Return all queued reports."""
        with self._lock:
            return Report(dict(self._pending_releases), frozenset(self._unreported), self._pending_cooldown_until)

    def script_arguments(self, report: Report, token: str, *, is_server_clock: bool) -> list[str | int]:
        """Return the arguments of `window.lua`."""
        now = self._clock.now()
        cooldown = report.cooldown_until - now
        arguments: list[str | int] = [
            "" if is_server_clock else _micro(now),
            self.limit.places,
            _micro(self.limit.per_seconds),
            _micro(self._lease),
            token,
            _micro(cooldown) if cooldown > 0 else "",
        ]
        for released, free_at in report.releases.items():
            arguments += [released, _micro(max(0.0, free_at - now))]
        for held in report.in_flight:
            arguments += [held, -1]
        return arguments

    def settle(self, report: Report, token: str, reply: list[int]) -> bool:
        """Apply the reply to `report`. Returns whether the permit of `token` was granted."""
        is_granted, in_flight = bool(reply[0]), reply[4]
        paused_for, paced_for, since_start, *free_in = (number / 1e6 for number in (*reply[1:4], *reply[5:]))
        with self._lock:
            for released in report.releases:
                self._pending_releases.pop(released, None)
            self._unreported -= report.in_flight
            if self._pending_cooldown_until == report.cooldown_until:
                self._pending_cooldown_until = -inf
            if is_granted and token:
                self._in_flight.add(token)
            self._copied_at = self._clock.now()
            self.copy = SlidingWindow.from_snapshot(
                self.limit,
                self._copied_at,
                paused_for=paused_for,
                paced_for=paced_for,
                since_start=None if since_start < 0 else since_start,
                in_flight=in_flight,
                free_in=free_in,
            )
            self._others = 0
        return is_granted

    # --- while Redis is unavailable ----------------------------------------------------------------------------

    def start_outage(self) -> None:
        """Note that Redis failed: it may come back without its data, so all requests in flight are reported again."""
        with self._lock:
            self._unreported |= self._in_flight
            self._others = max(0, self.copy.in_flight - len(self._in_flight))
            self._others_until = self._copied_at + self._lease + self.limit.per_seconds

    def acquire_locally(self, token: str) -> bool:
        """Take a permit from the local copy. Returns whether one was free; an empty token takes none."""
        with self._lock:
            now = self._clock.now()
            while self._others and now >= self._others_until:
                self._others -= 1
                self.copy.release(now, sent=False)
            if not token or self.copy.time_until_available(now) > 0:
                return False
            self.copy.acquire(now)
            self._in_flight.add(token)
            self._unreported.add(token)
            return True


def _micro(seconds: float) -> int:
    return round(seconds * 1e6)
