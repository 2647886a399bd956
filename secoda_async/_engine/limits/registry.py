"""One write limit for all clients of one key: the server counts the writes of a key, not of a client."""

import hashlib
import threading
from collections.abc import Hashable
from typing import Final
from weakref import WeakValueDictionary

from secoda_async._engine.limits.limiter import SlidingWindowLimiter
from secoda_async.clock import Clock
from secoda_async.config import ApiKeyProvider, RateLimit, Secret

_LIMITERS: Final[WeakValueDictionary[Hashable, SlidingWindowLimiter]] = WeakValueDictionary()
"""The limiters that clients use. They belong to the process, because the server counts all its clients together."""

_BUSY: Final[dict[Hashable, SlidingWindowLimiter]] = {}
"""Limiters that the server may still count writes of, even if their clients are gone. They must not be collected."""

_LOCK: Final = threading.Lock()


def shared_limiter(
    origin: str, source: Secret | ApiKeyProvider, limit: RateLimit, clock: Clock
) -> SlidingWindowLimiter:
    """Return the limiter of this key (or of the callable that returns it) at this origin. The strictest limit applies.

    Clients with different clocks, as in tests, do not share a limiter. Neither do clients whose callable has no hash.
    """
    owner = hashlib.sha256(source.encode()).digest() if isinstance(source, Secret) else source
    entry = (origin, owner, id(clock))  # the limiter keeps its clock alive, so the id is not reused
    try:
        hash(entry)
    except TypeError:
        return SlidingWindowLimiter(limit, clock=clock)
    with _LOCK:
        for idle in [known for known, limiter in _BUSY.items() if _is_idle(limiter)]:
            del _BUSY[idle]
        limiter = _LIMITERS.get(entry)
        if limiter is None:
            limiter = _LIMITERS[entry] = SlidingWindowLimiter(limit, clock=clock)
        limiter.tighten(limit)
        _BUSY[entry] = limiter
        return limiter


def _is_idle(limiter: SlidingWindowLimiter) -> bool:
    """Return whether the limiter may be dropped. A clock that raises counts as idle: other clients are not affected."""
    try:
        return limiter.is_idle
    except Exception:  # noqa: BLE001 - a clock of the user's may raise anything
        return True
