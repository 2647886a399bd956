"""The write limit, as the framework keeps it: a log of the accepted calls that slides with the clock."""

import math
from collections import deque

import attrs


@attrs.define
class Throttle:
    """The writes that reached the application.

    A request that a fault dropped before it was read, or answered itself, never got here: it is neither
    counted nor refused.
    """

    arrivals: list[float] = attrs.field(init=False, factory=list[float])
    """When each write came, accepted or refused; seconds, ascending."""
    _accepted: deque[float] = attrs.field(init=False, factory=deque[float])

    def admit(self, now: float, *, limit: int | None, window: float) -> int | None:
        """Count a write.

        Args:
            now: The time in seconds.
            limit: How many writes the window takes; None: any number.
            window: Length of the window in seconds.

        Returns:
            None for an accepted write; for a refused one the whole seconds, at least 1, after which there
            is room for one write. A refused write takes no place.
        """
        self.arrivals.append(now)
        # `accepted + window`, as a client that waits would compute it: `now - accepted` is rounded otherwise,
        # and would refuse a write that is exactly due.
        while self._accepted and now >= self._accepted[0] + window:
            self._accepted.popleft()
        if limit is not None and len(self._accepted) >= limit:
            # Counted from the newest, so that a limit lowered midway is told right, too.
            return max(1, math.ceil(self._accepted[-limit] + window - now))
        self._accepted.append(now)
        return None

    def used(self, now: float, window: float) -> tuple[int, float]:
        """Return how many places are taken, and the seconds until the first of them is free again."""
        taken = [at for at in self._accepted if now < at + window]
        return len(taken), taken[0] + window - now if taken else 0.0

    def busiest(self, window: float) -> int:
        """Return the most writes, accepted or refused, that came within any `window` seconds."""
        most = first = 0
        for last, now in enumerate(self.arrivals):
            while now >= self.arrivals[first] + window:
                first += 1
            most = max(most, last - first + 1)
        return most
