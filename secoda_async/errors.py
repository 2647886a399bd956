"""Every exception the SDK raises, in one tree.

    SecodaError
    ├── ConfigurationError          a setting that can't work; raised before any I/O
    ├── InvalidArgumentError        an argument that can't be sent; raised before any I/O (also a ValueError)
    ├── AmbiguousNameError          a name or an e-mail address that fits several; `.candidates` holds their ids
    ├── ClientClosedError           the client was closed before or during the call
    ├── TransportError              no usable answer: refused, reset, cut short, not HTTP
    │   └── RequestTimeoutError     one attempt took longer than `timeout` (also a TimeoutError)
    ├── DeadlineExceededError       the whole call would take longer than `deadline` (also a TimeoutError)
    ├── OutcomeUnknownError         a write that may have been executed; `.candidates` names groups it may have made
    ├── APIError                    the server answered with a status that says no
    │   ├── BadRequestError         400, 422; `.fields` names what was wrong
    │   ├── AuthenticationError     401
    │   ├── PermissionDeniedError   403
    │   ├── NotFoundError           404
    │   ├── ConflictError           409
    │   ├── RateLimitError          429, or a wait longer than `max_wait`; `.retry_after` in seconds
    │   └── ServerError             5xx
    ├── ResponseError               a 2xx that is not what the API promises; `.location` is the path into the body
    │   └── PaginationError         a list that contradicts itself, or changed while it was read
    ├── RedirectError               a redirect that is not followed, because the key or the write would be lost
    ├── DesiredStateError           a file of groups that can't be used; every problem at once
    ├── UnsafePlanError             a plan beyond the safety limits
    ├── StalePlanError              a plan that the workspace has moved away from
    └── LockedError                 another run is writing there; `.holder` says which

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
    """The HTTP method of the call, or None when the error has none."""
    path: str | None = None
    """The path as it was sent, with `/api/v1`."""
    attempts: int = 0
    """How many requests of this call were put on the wire."""
    waited: float = 0.0
    """Seconds the call spent waiting: for the write limit, for a closed gate, between attempts."""

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
    """An argument that can't be sent, or an e-mail address that no user has. Nothing was written."""


class AmbiguousNameError(SecodaError):
    """A name or an e-mail address that fits several groups or users. Nothing was written."""

    candidates: tuple[str, ...] = ()
    """The ids of all that it fits."""


class ClientClosedError(SecodaError):
    """The client is closed. A write that may have been sent ends in `OutcomeUnknownError` instead."""


class TransportError(SecodaError):
    """The server could not be reached, or its answer did not arrive whole."""

    maybe_sent: bool = True
    """Whether the server may have received the request; False when it certainly did not."""


class RequestTimeoutError(TransportError, TimeoutError):
    """One attempt got no whole answer within `timeout` seconds."""


class DeadlineExceededError(SecodaError, TimeoutError):
    """The call can't end within its `deadline`; it stops as soon as that is known."""

    retry_after: float | None = None
    """Seconds until the call could go on, when a wait was what took too long."""


class OutcomeUnknownError(SecodaError):
    """A write that may have been executed: it was sent, and no clear answer came back.

    Read the object before you repeat the write; for a create, pass `on_unknown="reconcile"`.
    The reason is the `__cause__`.
    """

    name: str | None = None
    """The name of the group that was being created."""
    candidates: tuple[str, ...] = ()
    """Ids of the groups that may be the result of a create."""


class APIError(SecodaError):
    """The server answered, and the answer is no."""

    status: int = 0
    """The HTTP status."""
    headers: Mapping[str, str] = {}
    """The headers of the answer, names in lower case."""
    body: str = ""
    """The start of the body, at most 2,000 characters."""
    request_id: str | None = None
    """The server's id for the request, if it gave one."""
    retry_after: float | None = None
    """Seconds that the server asked to wait, if it did."""


class BadRequestError(APIError):
    """400 or 422: the server refused the content."""

    fields: Mapping[str, Sequence[str]] = {}
    """The server's messages by field name."""


class AuthenticationError(APIError):
    """401: the key is missing, wrong or revoked."""


class PermissionDeniedError(APIError):
    """403: the key's owner may not do this."""


class NotFoundError(APIError):
    """404: there is nothing with this id, or no such path."""

    is_missing_route: bool = False
    """Whether the answer is not the API's own JSON: a gateway's, or an unknown path's. It proves no absence."""


class ConflictError(APIError):
    """409: the request contradicts the present state."""


class RateLimitError(APIError):
    """429 after the last attempt, or a wait for the write limit longer than `max_wait`.

    In the second case nothing was sent, `status` is 0, and `retry_after` is the SDK's own estimate, an upper bound.
    """


class ServerError(APIError):
    """5xx: the server, or something in front of it, failed."""


class ResponseError(SecodaError):
    """A success whose body is not what the API promises."""

    location: str = ""
    """Where in the body, for example `results[3].users`; empty for the body as a whole."""
    item_id: str | None = None
    """The id of the item that could not be read, when it has one."""
    status: int = 0
    """The HTTP status of the answer."""
    body: str = ""
    """The start of the body, at most 2,000 characters."""


class PaginationError(ResponseError):
    """A list that contradicts itself, is incomplete, or changed while it was read."""

    page: int | None = None
    """The number of the page at fault, from 1."""
    items_so_far: int = 0
    """How many items came before it."""


class RedirectError(SecodaError):
    """The server points elsewhere, and following would lose the write or show the key to another host."""

    status: int = 0
    """The HTTP status of the redirect."""
    target: str = ""
    """Where the server pointed."""


class DesiredStateError(SecodaError):
    """A file of groups that can't be used."""

    problems: tuple[str, ...] = ()
    """Each problem on a line of its own: `file:line: what is wrong and what to do`."""


class UnsafePlanError(SecodaError):
    """A plan that deletes or removes more than the limits allow; nothing was written."""

    breaches: tuple[str, ...] = ()
    """Each limit that it is beyond, with the numbers."""
    digest: str = ""
    """What approves exactly this plan."""


class StalePlanError(SecodaError):
    """A plan made for a workspace that has changed since."""

    names: tuple[str, ...] = ()
    """The groups that are not as the plan found them."""


class LockedError(SecodaError):
    """Another run holds the lock of the workspace; nothing was written."""

    holder: str = ""
    """Which: its process, its machine and since when."""


STATUS_ERRORS: Final[Mapping[int, type[APIError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: BadRequestError,
    429: RateLimitError,
}
"""The error class for each status that has one of its own; the rest are ServerError from 500, else APIError."""
