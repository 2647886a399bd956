"""Every exception the SDK raises, in one tree.

    SecodaError
    ├── ConfigurationError          a setting that can't work; raised before any I/O
    ├── InvalidArgumentError        an argument that can't be sent; raised before any I/O (also a ValueError)
    ├── AmbiguousNameError          a name or an e-mail address that fits several; `.candidates` holds their ids
    ├── ClientClosedError           the client was closed before or during the call
    ├── TransportError              no usable response: refused, reset, cut short, not HTTP
    │   └── RequestTimeoutError     one attempt took longer than `timeout` (also a TimeoutError)
    ├── DeadlineExceededError       the whole call would take longer than `deadline` (also a TimeoutError)
    ├── OutcomeUnknownError         a write that may have been executed; `.candidates` names groups it may have made
    ├── APIError                    the server responded with an error status
    │   ├── BadRequestError         400, 422; `.fields` names what was wrong
    │   ├── AuthenticationError     401
    │   ├── PermissionDeniedError   403
    │   ├── NotFoundError           404
    │   ├── ConflictError           409
    │   ├── RateLimitError          429, or a wait longer than `max_wait`; `.retry_after` in seconds
    │   └── ServerError             5xx
    ├── ResponseError               a 2xx that breaks the API's contract; `.location` is the path into the body
    │   └── PaginationError         a list that contradicts itself, or changed during the read
    ├── RedirectError               a redirect that is not followed: it would lose the write or expose the key
    ├── DesiredStateError           a file of groups that can't be used; all problems together
    ├── UnsafePlanError             a plan that needs an approval
    ├── StalePlanError              a plan for a workspace that has changed since
    └── LockedError                 another run holds the workspace's lock; `.holder` names it

An error holds no key, no request body and no exception of another library, and survives pickle and copy.
"""

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = [
    "APIError",
    "AmbiguousNameError",
    "AuthenticationError",
    "BadRequestError",
    "ClientClosedError",
    "ConfigurationError",
    "ConflictError",
    "DeadlineExceededError",
    "DesiredStateError",
    "InvalidArgumentError",
    "LockedError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PaginationError",
    "PermissionDeniedError",
    "RateLimitError",
    "RedirectError",
    "RequestTimeoutError",
    "ResponseError",
    "SecodaError",
    "ServerError",
    "StalePlanError",
    "TransportError",
    "UnsafePlanError",
]


class SecodaError(Exception):
    """The base class of every error of the SDK.

    Every attribute of a class can be passed as a keyword: `TransportError("...", maybe_sent=False)`. The message is the
    only positional argument and attributes are settable, so that pickle and copy can rebuild every subclass.
    """

    method: str | None = None
    """The HTTP method of the call; None if no call failed."""
    path: str | None = None
    """The path as it was sent, with `/api/v1`."""
    attempts: int = 0
    """The number of requests that the call sent."""
    waited: float = 0.0
    """Seconds that the call waited: for the write limit, for cooldowns, between attempts."""

    def __init__(self, message: str, **context: object) -> None:
        super().__init__(message)
        self.message = message
        for name, value in context.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no attribute {name!r}")
            setattr(self, name, value)

    def __str__(self) -> str:
        if self.method is None:
            return self.message
        parts = [f"{self.method} {self.path}"]
        if self.attempts != 1:
            parts.append(f"{self.attempts} attempts")
        if self.waited:
            parts.append(f"waited {self.waited:.1f} s")
        return f"{self.message} [{', '.join(parts)}]"


class ConfigurationError(SecodaError):
    """A setting that can't work, or a missing extra. Nothing was sent."""


class InvalidArgumentError(SecodaError, ValueError):
    """An argument that can't be sent, or an unknown e-mail address. Nothing was written."""


class AmbiguousNameError(SecodaError):
    """A name or an e-mail address that matches several groups or users. Nothing was written."""

    candidates: tuple[str, ...] = ()
    """The ids of all matches."""


class ClientClosedError(SecodaError):
    """The client is closed. A write that may have been sent ends in `OutcomeUnknownError` instead."""


class TransportError(SecodaError):
    """The server could not be reached, or its response did not arrive completely."""

    maybe_sent: bool = True
    """Whether the server may have received the request; False when it certainly did not."""


class RequestTimeoutError(TransportError, TimeoutError):
    """One attempt got no complete response within `timeout` seconds."""


class DeadlineExceededError(SecodaError, TimeoutError):
    """The call can't end within its `deadline`; it raises as soon as that is certain."""

    retry_after: float | None = None
    """Seconds until the call could continue, if a wait is too long."""


class OutcomeUnknownError(SecodaError):
    """A write that may have been executed: it was sent, and there is no clear response.

    Read the object before you repeat the write; for a create, pass `on_unknown="reconcile"`.
    The reason is the `__cause__`.
    """

    name: str | None = None
    """The name of the group that was being created."""
    candidates: tuple[str, ...] = ()
    """Ids of the groups that may be the result of a create."""


class APIError(SecodaError):
    """The server responded with an error status."""

    status: int = 0
    """The HTTP status."""
    headers: Mapping[str, str] = {}
    """The headers of the response, with names in lower case."""
    body: str = ""
    """The start of the body, at most 2,000 characters."""
    request_id: str | None = None
    """The server's id for the request, if it gave one."""
    retry_after: float | None = None
    """Seconds that the server asks to wait, if it does."""


class BadRequestError(APIError):
    """400 or 422: the server refused the content."""

    fields: Mapping[str, Sequence[str]] = {}
    """The server's messages by field name."""


class AuthenticationError(APIError):
    """401: the key is missing, wrong or revoked."""


class PermissionDeniedError(APIError):
    """403: the key's owner may not do this."""


class NotFoundError(APIError):
    """404: no object has this id, or the path does not exist."""

    is_missing_route: bool = False
    """Whether the response is not the API's own JSON but a gateway's or an unknown path's. It proves no absence."""


class ConflictError(APIError):
    """409: the request contradicts the present state."""


class RateLimitError(APIError):
    """429 after the last attempt, or a wait for the write limit longer than `max_wait`.

    In the second case nothing was sent, `status` is 0, and `retry_after` is an upper bound that the SDK estimates.
    """


class ServerError(APIError):
    """5xx: the server or a gateway failed."""


class ResponseError(SecodaError):
    """A 2xx response whose body breaks the API's contract."""

    location: str = ""
    """The path into the body, such as `results[3].users`; empty for the whole body."""
    item_id: str | None = None
    """The id of the item that could not be read, when it has one."""
    status: int = 0
    """The HTTP status of the response."""
    body: str = ""
    """The start of the body, at most 2,000 characters."""


class PaginationError(ResponseError):
    """A list that contradicts itself, is incomplete, or changed while it was read."""

    page: int | None = None
    """The number of the faulty page, from 1."""
    items_so_far: int = 0
    """The number of items before the error."""


class RedirectError(SecodaError):
    """A redirect that is not followed: it would lose the write or expose the key to another host."""

    status: int = 0
    """The HTTP status of the redirect."""
    target: str = ""
    """The target of the redirect."""


class DesiredStateError(SecodaError):
    """A file of groups that can't be used."""

    problems: tuple[str, ...] = ()
    """The problems, each with its file, its line and advice."""


class UnsafePlanError(SecodaError):
    """A plan that deletes or removes more than the limits allow; nothing was written."""

    breaches: tuple[str, ...] = ()
    """Each limit that the plan exceeds, with the numbers."""
    digest: str = ""
    """The plan's hash, which approves exactly this plan."""


class StalePlanError(SecodaError):
    """A plan made for a workspace that has changed since."""

    names: tuple[str, ...] = ()
    """The names of the groups that have changed."""


class LockedError(SecodaError):
    """Another run holds the lock of the workspace; nothing was written."""

    holder: str = ""
    """The process and machine of the other run, and its start."""


STATUS_ERRORS: Final[Mapping[int, type[APIError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: BadRequestError,
    429: RateLimitError,
}
"""The error class of each status; other statuses are ServerError from 500, and APIError below."""
