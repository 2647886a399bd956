"""What a client tells its `on_event` hook: each attempt and each wait. Never the key, never a body.

As text an event is one line of `key=value`, made to be found again: `grep 'wait .*reason=limit'`.
"""

from typing import Final, Protocol, runtime_checkable

from attrs import frozen

__all__ = ["AttemptEvent", "CallHook", "CallStart", "Event", "WaitEvent"]

_CLIENT_ERROR: Final = 400
"""The first status that is a failure."""


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

    @property
    def ok(self) -> bool:
        """Whether there was an answer, and its status is below 400."""
        return self.status is not None and self.status < _CLIENT_ERROR

    def __str__(self) -> str:
        end = f"status={self.status}" if self.error is None else f"error={self.error}"
        return f"attempt method={self.method} path={self.path} attempt={self.attempt} {end} seconds={self.seconds:.3f}"


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

    def __str__(self) -> str:
        return f"wait method={self.method} path={self.path} reason={self.reason} seconds={self.seconds:.3f}"


Event = AttemptEvent | WaitEvent


@frozen(kw_only=True)
class CallStart:
    """A call begins: attempts and waits follow, in the same task."""

    method: str
    """The HTTP method."""
    template: str
    """The path below `/api/v1`, with ids left out."""
    address: str
    """The host that is called."""
    port: int
    """Its port."""
    limiter: object
    """The write limit in use: a `RateLimiter`."""


@runtime_checkable
class CallHook(Protocol):
    """What `on_event` can be instead of a function: it is told of whole calls, too, in the task that makes them."""

    def __call__(self, event: Event, /) -> object:
        """An attempt or a wait is over."""
        ...

    def call_begins(self, start: CallStart, /) -> object:
        """A call begins. What is returned comes back in `call_ends`."""
        ...

    def call_ends(self, began: object, error: BaseException | None, /) -> object:
        """The call has ended, with an error (`asyncio.CancelledError` among them) or None."""
        ...
