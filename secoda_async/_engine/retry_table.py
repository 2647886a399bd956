"""The retry table: what to do after each failure of each kind of call. docs/resiliency.md is tested against it."""

import enum
from typing import Final

from secoda_async._engine.protocol import Request
from secoda_async.errors import APIError, OutcomeUnknownError, ResponseError, SecodaError, TransportError


class Step(enum.Enum):
    """What to do about a failed attempt."""

    RAISE = "raise"
    """Trying again would change nothing."""
    RETRY = "retry"
    """Try again after a backoff."""
    PAUSE = "pause"
    """Every call of this class waits as long as the server asks; then try again."""
    UNKNOWN = "unknown"
    """The write may have happened and must not be sent again."""


def next_step(method: str, error: SecodaError) -> Step:
    """What to do after a failure of a call with this method.

    PATCH, PUT and DELETE are repeated after an unclear failure, because the same request again has the same
    effect. A POST would make a second group: it is repeated only when the first was certainly not carried out.
    """
    if isinstance(error, TransportError):
        if not error.maybe_sent:
            return Step.RETRY
    elif isinstance(error, APIError):
        if error.status == 429 or (error.status == 503 and error.retry_after is not None):  # noqa: PLR2004
            return Step.PAUSE
        if error.status == NOT_RECEIVED:
            return Step.RAISE if method == "POST" else Step.RETRY
        if error.status not in UNCLEAR_STATUSES:
            return Step.RAISE
    elif not (isinstance(error, ResponseError) and method == "POST"):
        return Step.RAISE
    return Step.UNKNOWN if method == "POST" else Step.RETRY


def may_have_run(error: SecodaError) -> bool:
    """Whether the server may have executed the request of a failed attempt."""
    return getattr(error, "maybe_sent", True) and getattr(error, "status", None) != NOT_RECEIVED


NOT_RECEIVED: Final = 408
"""The server got no whole request (RFC 9110, 15.5.9). Some servers write it on an idle connection that was kept, where
the next request finds it. A POST has a connection of its own, so that a 408 is about the POST itself."""

UNCLEAR_STATUSES: Final = frozenset({500, 502, 503, 504, *range(520, 528), 530})
"""Statuses after which a write may or may not have been carried out: the framework's own failure, the gateway's
in front of it, and 52x, with which one well-known gateway says the same."""


_NOT_LOOKED_FOR: Final = ". It was not sent again; look for it before you repeat it, or use on_unknown='reconcile'"


def outcome_unknown(request: Request, cause: SecodaError) -> OutcomeUnknownError:
    """The error for a create that may have happened."""
    subject = "this POST" if request.name is None else f"the group {request.name!r}"
    error = OutcomeUnknownError(f"whether {subject} was created is not known: {cause.message}{_NOT_LOOKED_FOR}")
    error.name = request.name
    error.__cause__ = cause
    return error


def looked_for(unknown: OutcomeUnknownError, what: str) -> None:
    """Say what came of looking for it, in place of the advice to do so."""
    unknown.message = f"{unknown.message.removesuffix(_NOT_LOOKED_FOR)}; {what}"
