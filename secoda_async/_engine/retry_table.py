"""The retry table: what follows each failure of each kind of call. docs/resiliency.md is tested against it."""

import enum
from typing import Final

from secoda_async._engine.wire.protocol import Request, is_absence
from secoda_async.errors import (
    APIError,
    BadRequestError,
    OutcomeUnknownError,
    ResponseError,
    SecodaError,
    TransportError,
)


class Decision(enum.Enum):
    """What follows a failed attempt."""

    RAISE = "raise"
    """Another attempt would change nothing."""
    RETRY = "retry"
    """Try again after a backoff."""
    THROTTLED = "throttled"
    """Start a cooldown for every call of this class, then try again."""
    UNKNOWN = "unknown"
    """The create may have been executed and must not be sent again."""


NOT_RECEIVED: Final = 408
"""The server got no whole request (RFC 9110, 15.5.9). Some servers write it on an idle connection that was kept, where
the next request finds it. A POST has a connection of its own, so that a 408 is about the POST itself."""


UNCLEAR_STATUSES: Final = frozenset({*range(1, 200), *range(500, 1000)}) - {501, 505, 511}
"""Statuses after which a write may have been executed: the framework's own failure, a gateway's (a 503 with
Retry-After too: some send it although the origin has executed the request), and those that gateways invented, such as
52x, 529, 561 and 999. 501, 505 and 511 say that nobody has read the request. An interim answer (1xx) is none."""


def starts_cooldown(error: SecodaError) -> bool:
    """Return whether the server asks every call of the class to wait: 429, or 503 with Retry-After."""
    if not isinstance(error, APIError):
        return False
    return error.status == 429 or (error.status == 503 and error.retry_after is not None)  # noqa: PLR2004


def is_unclear(method: str, error: SecodaError) -> bool:
    """Return whether the server may have executed a request that failed in this way."""
    if method == "GET":
        return False
    if isinstance(error, TransportError):
        return error.maybe_sent
    if isinstance(error, APIError):
        return error.status in UNCLEAR_STATUSES
    return isinstance(error, ResponseError)


def is_refusal(error: SecodaError) -> bool:
    """Return whether the API, in its own JSON, refused the content or the target of a request.

    The same request was refused before, whatever became of its answer. The refusal of a gateway proves nothing.
    """
    return is_absence(error) or (isinstance(error, BadRequestError) and bool(error.fields))


def decide(method: str, error: SecodaError) -> Decision:
    """Return what follows a failure of a call with this method.

    PATCH, PUT and DELETE are repeated after an unclear failure, because the same request again has the same
    effect. A POST would make a second group: it is repeated only when the first was certainly not executed.
    """
    if method == "POST" and is_unclear(method, error):
        return Decision.UNKNOWN
    if starts_cooldown(error):
        return Decision.THROTTLED
    if isinstance(error, TransportError):
        return Decision.RETRY
    if not isinstance(error, APIError):
        return Decision.RAISE
    is_not_received = error.status == NOT_RECEIVED and method != "POST"
    return Decision.RETRY if is_not_received or error.status in UNCLEAR_STATUSES else Decision.RAISE


def outcome_unknown(request: Request, cause: SecodaError, note: str = "") -> OutcomeUnknownError:
    """Return the error for a write that may have been executed.

    Args:
        request: What was sent.
        cause: Why no clear answer came.
        note: The result of a search for the group; without it, the error advises one.
    """
    if request.method != "POST":
        subject = f"this {request.method} was executed"
        advice = "read the object before you repeat it"
    elif request.name is None:
        subject = "this POST was executed"
        advice = "it was not sent again; check before you repeat it"
    else:
        subject = f"the group {request.name!r} was created"
        advice = "it was not sent again; look for it before you repeat it, or use on_unknown='reconcile'"
    error = OutcomeUnknownError(f"whether {subject} is not known: {cause.message}; {note or advice}")
    error.name = request.name
    error.__cause__ = cause
    return error
