"""Exit codes, and how a failure is told: one line for a person, a document for a program, never a traceback."""

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

from secoda_async import (
    AmbiguousNameError,
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    DeadlineExceededError,
    DesiredStateError,
    InvalidArgumentError,
    LockedError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    RedirectError,
    ResponseError,
    SecodaError,
    ServerError,
    StalePlanError,
    TransportError,
    UnsafePlanError,
)


class Exit(enum.IntEnum):
    """What the exit code says (64 and up as in BSD's sysexits)."""

    DONE = 0
    ERROR = 1
    CHANGES = 2
    SOME_FAILED = 3
    UNSAFE = 4
    STALE = 5
    LOCKED = 7
    USAGE = 64
    BAD_INPUT = 65
    UNAVAILABLE = 69
    REFUSED = 77
    INTERRUPTED = 130
    CLOSED_PIPE = 141


class CommandError(Exception):
    """A command can't go on; `code` says why, the message what to do."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code


_CODES: Final[tuple[tuple[type[SecodaError], Exit], ...]] = (
    (ConfigurationError, Exit.USAGE),
    (InvalidArgumentError, Exit.USAGE),
    (AmbiguousNameError, Exit.BAD_INPUT),
    (DesiredStateError, Exit.BAD_INPUT),
    (UnsafePlanError, Exit.UNSAFE),
    (StalePlanError, Exit.STALE),
    (LockedError, Exit.LOCKED),
    (AuthenticationError, Exit.REFUSED),
    (PermissionDeniedError, Exit.REFUSED),
    (TransportError, Exit.UNAVAILABLE),
    (ServerError, Exit.UNAVAILABLE),
    (RateLimitError, Exit.UNAVAILABLE),
    (DeadlineExceededError, Exit.UNAVAILABLE),
    (ResponseError, Exit.UNAVAILABLE),
    (RedirectError, Exit.UNAVAILABLE),
)


def exit_for(error: Exception) -> Exit:
    """The exit code for an error."""
    if isinstance(error, CommandError):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.ERROR)


_ADVICE: Final[tuple[tuple[type[SecodaError], str], ...]] = (
    (AuthenticationError, "Check the key: SECODA_API_KEY, or --api-key-file (Settings > API in Secoda)."),
    (PermissionDeniedError, "The key acts with its creator's rights: use one made by an admin."),
    (
        TransportError,
        (
            "Check the network, the host (SECODA_BASE_URL, SECODA_REGION), any proxy in between (--trust-env), and "
            "whose certificates are trusted (SSL_CERT_FILE)."
        ),
    ),
    (ServerError, "The service is down or overloaded: try again later."),
    (ResponseError, "Check the host: is it the API's, or the web page's?"),
    (OutcomeUnknownError, "Look with `secoda-async groups list` before you try again."),
)


def advice_for(error: Exception) -> str | None:
    """What to do about an error, where its own text does not say."""
    if isinstance(error, TransportError) and error.method is None:
        return "Check the network, and where Redis is (--redis, SECODA_REDIS_URL); nothing was written."
    return next((advice for kind, advice in _ADVICE if isinstance(error, kind)), None)


def told(error: Exception) -> Sequence[str]:
    """The error for a person, line by line: what, where and what to do.

    Only the lines of an error that has several, each made safe by itself, count as lines: a line break in any other
    message is somebody else's.
    """
    has_lines = isinstance(error, DesiredStateError | UnsafePlanError)
    lines = str(error).split("\n") if has_lines else [str(error)]
    advice = advice_for(error)
    return lines if advice is None else [*lines, f"{advice} `secoda-async doctor` tells how far a call gets."]


def as_document(error: Exception) -> Mapping[str, Any]:
    """The error for a program."""
    fields: dict[str, Any] = {"type": type(error).__name__, "message": str(error), "exit_code": int(exit_for(error))}
    if isinstance(error, SecodaError):
        fields |= {"method": error.method, "path": error.path, "attempts": error.attempts, "waited": error.waited}
    if isinstance(error, APIError):
        fields |= {"status": error.status, "request_id": error.request_id, "retry_after": error.retry_after}
    if isinstance(error, BadRequestError):
        fields["fields"] = {name: list(messages) for name, messages in error.fields.items()}
    if isinstance(error, OutcomeUnknownError):
        fields |= {"name": error.name, "candidates": list(error.candidates)}
    if isinstance(error, AmbiguousNameError):
        fields["candidates"] = list(error.candidates)
    if isinstance(error, UnsafePlanError):
        fields |= {"breaches": list(error.breaches), "digest": error.digest}
    if isinstance(error, StalePlanError):
        fields["names"] = list(error.names)
    if isinstance(error, LockedError):
        fields["holder"] = error.holder
    if isinstance(error, DesiredStateError):
        fields["problems"] = list(error.problems)
    return {"error": fields}
