"""One write limit for all clients of one key: the server counts a key's writes, not a client's."""

import hashlib
import threading
from collections.abc import Hashable
from typing import Final
from weakref import WeakValueDictionary

from secoda_async._engine.limits.limiter import SlidingWindowLimiter
from secoda_async.clock import Clock
from secoda_async.config import ApiKeyProvider, RateLimit, Secret

_LIMITERS: Final[WeakValueDictionary[Hashable, SlidingWindowLimiter]] = WeakValueDictionary()
"""Those that clients use at present. State of the whole process: what the server counts is one for it as well."""

_BUSY: Final[dict[Hashable, SlidingWindowLimiter]] = {}
"""Those that may still remember writes, of clients that are gone too: the server remembers them as well."""

_LOCK: Final = threading.Lock()


def shared_limiter(
    origin: str, source: Secret | ApiKeyProvider, limit: RateLimit, clock: Clock
) -> SlidingWindowLimiter:
    """The limiter of this key, or of the callable that returns it, at this origin: it keeps the strictest limit asked.

    Clients with different clocks, in a test, share nothing; nor do those whose callable can't be hashed.
    """
    who = hashlib.sha256(source.encode()).digest() if isinstance(source, Secret) else source
    place = (origin, who, id(clock))  # the limiter keeps its clock, and so the id
    try:
        hash(place)
    except TypeError:
        return SlidingWindowLimiter(limit, clock=clock)
    with _LOCK:
        for idle in [known for known, limiter in _BUSY.items() if _is_idle(limiter)]:
            del _BUSY[idle]
        limiter = _LIMITERS.get(place)
        if limiter is None:
            limiter = _LIMITERS[place] = SlidingWindowLimiter(limit, clock=clock)
        limiter.tighten(limit)
        _BUSY[place] = limiter
        return limiter


def _is_idle(limiter: SlidingWindowLimiter) -> bool:
    """Whether the limiter remembers no writes; one whose clock fails counts as idle, and harms no other client."""
    try:
        return limiter.is_idle
    except Exception:  # noqa: BLE001 - the clock is the user's
        return True
