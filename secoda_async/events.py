"""The events that a client passes to its `on_event` hook: one for each attempt and each wait, without key and bodies.

`str(event)` is one line of `key=value` that can be searched for: `grep 'wait .*reason=limit'`.
"""

from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable

from attrs import field, frozen

__all__ = ["AttemptEvent", "CallHook", "CallStart", "Event", "WaitEvent"]

_CLIENT_ERROR: Final = 400
"""The lowest status that is a failure."""


@frozen(kw_only=True)
class AttemptEvent:
    """A request was sent and has ended."""

    method: str
    """The HTTP method."""
    path: str
    """The path as it was sent."""
    attempt: int
    """The number of the request within its call, from 1."""
    status: int | None
    """The status of the response; None without a response."""
    seconds: float
    """Seconds that the request was in flight."""
    error: str | None = None
    """The class of the error, if there was no response."""
    limits: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    """The response's headers about limits, by lower-case name, such as `retry-after` and `ratelimit-remaining`."""
    request_id: str | None = None
    """The server's id for the request, from `X-Request-Id` or a similar header; support can find the request by it."""

    @property
    def ok(self) -> bool:
        """Whether there was a response with a status below 400."""
        return self.status is not None and self.status < _CLIENT_ERROR

    def __str__(self) -> str:
        end = f"status={self.status}" if self.error is None else f"error={self.error}"
        found = "" if self.request_id is None else f" request_id={self.request_id}"
        return (
            f"attempt method={self.method} path={self.path} attempt={self.attempt} {end} "
            f"seconds={self.seconds:.3f}{found}"
        )


@frozen(kw_only=True)
class WaitEvent:
    """A call has waited."""

    method: str
    """The HTTP method."""
    path: str
    """The path."""
    reason: str
    """`limit` (the write limit, or its cooldown after a 429), `gate` (a cooldown after a 429 on other requests) or
    `backoff`."""
    seconds: float
    """Seconds waited."""

    def __str__(self) -> str:
        return f"wait method={self.method} path={self.path} reason={self.reason} seconds={self.seconds:.3f}"


Event = AttemptEvent | WaitEvent


@frozen(kw_only=True)
class CallStart:
    """A call begins. Its attempts and waits follow in the same task."""

    method: str
    """The HTTP method."""
    template: str
    """The path below `/api/v1`, without ids."""
    address: str
    """The host."""
    port: int
    """The port."""
    limiter: object
    """The write limit of the client: a `RateLimiter`."""


@runtime_checkable
class CallHook(Protocol):
    """An `on_event` hook that also receives the start and the end of each call, in the task of the call."""

    def __call__(self, event: Event, /) -> object:
        """Receive an attempt or a wait."""
        ...

    def call_begins(self, start: CallStart, /) -> object:
        """Receive the start of a call. The return value is passed to `call_ends`."""
        ...

    def call_ends(self, began: object, error: BaseException | None, /) -> object:
        """Receive the end of a call, with its error (`asyncio.CancelledError` included) or None."""
        ...
