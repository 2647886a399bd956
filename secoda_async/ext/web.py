"""Map an error of a Secoda call to the response of your own web service, for any framework.

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
    """The response to send to your caller."""

    status: int
    """The HTTP status."""
    body: Mapping[str, str]
    """`error` is the message; `advice`, if present, says what to do."""
    headers: Mapping[str, str]
    """`Retry-After`, if it is known when a retry is worthwhile."""


_STATUSES: Final[tuple[tuple[type[SecodaError], int], ...]] = (
    (InvalidArgumentError, 422),
    (BadRequestError, 422),
    (NotFoundError, 404),
    (ConflictError, 409),
    (RateLimitError, 429),
    (DeadlineExceededError, 504),
    (OutcomeUnknownError, 502),
)

_ADVICE: Final = "The request may have been executed: check before you retry."
_BUSY: Final = "too many writes; retry later"
_UNAVAILABLE: Final = "Secoda is unavailable"


def answer_to(error: SecodaError) -> Answer:
    """Return the response to a request whose Secoda call failed.

    - 422, 404 and 409: errors that the caller can fix.
    - 429 and 504: refused by the write limit, or too slow. `Retry-After` (whole seconds, at least 1) is set if known.
    - 502: everything else. The cause, such as a refused key or a wrong host, is not disclosed; log it.
    """
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), None)
    message = _BUSY if isinstance(error, RateLimitError) else error.message
    body = {"error": _UNAVAILABLE if status is None else message}
    if isinstance(error, OutcomeUnknownError):
        body["advice"] = _ADVICE
    wait: float | None = getattr(error, "retry_after", None)
    return Answer(status or 502, body, {} if wait is None else {"Retry-After": str(max(1, math.ceil(wait)))})
