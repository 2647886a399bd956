"""What a client tells its `on_event` hook: each attempt and each wait. Never the key, never a body."""

from attrs import frozen

__all__ = ["AttemptEvent", "Event", "WaitEvent"]


@frozen(kw_only=True)
class AttemptEvent:
    """One request was put on the wire and has ended."""

    method: str
    """The HTTP method."""
    path: str
    """The path as it was sent."""
    attempt: int
    """Which request of its call this was, from 1."""
    status: int | None
    """The status of the answer; None when there was none."""
    seconds: float
    """Seconds on the wire."""
    error: str | None = None
    """The class of the error, when there was no answer."""


@frozen(kw_only=True)
class WaitEvent:
    """A call is about to wait, or has waited, for longer than nothing."""

    method: str
    """The HTTP method."""
    path: str
    """The path."""
    reason: str
    """`limit` (our own write limit, or a 429 that closed it), `gate` (a 429 on a class of calls) or `backoff`."""
    seconds: float
    """Seconds waited."""


Event = AttemptEvent | WaitEvent
