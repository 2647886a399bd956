"""How a web service answers its own caller when a call fails, for any framework.

For FastAPI:

    answer = answer_to(error)
    return JSONResponse(answer.body, answer.status, answer.headers)
"""

import math
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from secoda_async.errors import (
    BadRequestError,
    ConflictError,
    DeadlineExceededError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitError,
    SecodaError,
)

__all__ = ["Answer", "answer_to"]


@frozen
class Answer:
    """What to send to one's own caller."""

    status: int
    """The HTTP status."""
    body: Mapping[str, str]
    """`error` says what went wrong, and `advice` what to do, where there is something to do."""
    headers: Mapping[str, str]
    """`Retry-After`, where it is known when another try is worth it."""


_STATUSES: Final[tuple[tuple[type[SecodaError], int], ...]] = (
    (InvalidArgumentError, 422),
    (BadRequestError, 422),
    (NotFoundError, 404),
    (ConflictError, 409),
    (RateLimitError, 429),
    (DeadlineExceededError, 504),
    (OutcomeUnknownError, 502),
)

_ADVICE: Final = "It may have been carried out: look before you ask again."
_BUSY: Final = "too many writes just now"
_UNAVAILABLE: Final = "Secoda can't be asked just now"


def answer_to(error: SecodaError) -> Answer:
    """The answer to a request whose call to Secoda has failed.

    422, 404 and 409 for what the caller can mend; 429 and 504, with `Retry-After` (RFC 9110, whole seconds) when
    it is known, for what was not sent, was refused by the limit or took too long; 502 for the rest. The rest says
    nothing of why: a refused key or a wrong host are for your log, not for strangers.
    """
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), None)
    told = _BUSY if isinstance(error, RateLimitError) else error.message
    body = {"error": _UNAVAILABLE if status is None else told}
    if isinstance(error, OutcomeUnknownError):
        body["advice"] = _ADVICE
    wait: float | None = getattr(error, "retry_after", None)
    return Answer(status or 502, body, {} if wait is None else {"Retry-After": str(math.ceil(wait))})
