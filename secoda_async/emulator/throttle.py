"""The write limit, as the framework keeps it: a sliding window over the accepted writes."""

import math
from collections import deque

import attrs


@attrs.define
class Throttle:
    """The writes that reached the application.

    A request that a fault dropped or answered itself did not reach the application: it is neither counted nor refused.
    """

    arrivals: list[float] = attrs.field(init=False, factory=list[float])
    """The arrival time of each write, accepted or refused; seconds, ascending."""
    _accepted: deque[float] = attrs.field(init=False, factory=deque[float])

    def admit(self, now: float, *, limit: int | None, window: float) -> int | None:
        """Count a write, and accept it if the window has room.

        Args:
            now: The time in seconds.
            limit: The number of writes in a window; None: unlimited.
            window: Length of the window in seconds.

        Returns:
            None for an accepted write; for a refused write the whole seconds, at least 1, after which the window has
            room for one write. A refused write takes no room.
        """
        self.arrivals.append(now)
        # `accepted + window`, as a waiting client computes it: the rounding of `now - accepted` could refuse a write
        # that is exactly due.
        while self._accepted and now >= self._accepted[0] + window:
            self._accepted.popleft()
        if limit is not None and len(self._accepted) >= limit:
            # Counted from the newest write, which is also right when a test has lowered the limit meanwhile.
            return max(1, math.ceil(self._accepted[-limit] + window - now))
        self._accepted.append(now)
        return None

    def reset(self) -> None:
        """Forget all writes."""
        self.arrivals.clear()
        self._accepted.clear()

    def used(self, now: float, window: float) -> tuple[int, float]:
        """Return the number of writes in the window, and the seconds until the oldest of them leaves it."""
        current = [at for at in self._accepted if now < at + window]
        return len(current), current[0] + window - now if current else 0.0

    def busiest(self, window: float) -> int:
        """Return the largest number of writes, accepted or refused, within any `window` seconds."""
        most = first = 0
        for last, now in enumerate(self.arrivals):
            while now >= self.arrivals[first] + window:
                first += 1
            most = max(most, last - first + 1)
        return most
