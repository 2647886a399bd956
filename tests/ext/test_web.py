"""The responses of a web service whose Secoda call failed."""

import pytest

from secoda_async import (
    AuthenticationError,
    BadRequestError,
    ConflictError,
    DeadlineExceededError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitError,
    SecodaError,
    ServerError,
)
from secoda_async.ext.web import answer_to


@pytest.mark.requirement("RL-6", "ER-3")
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidArgumentError("name is empty"), 422),
        (BadRequestError("name is too long"), 422),
        (NotFoundError("no group has this id"), 404),
        (ConflictError("the name is taken"), 409),
        (DeadlineExceededError("the deadline of 3 s passed"), 504),
    ],
)
def test_errors_that_the_caller_can_fix_keep_their_message(error: SecodaError, status: int) -> None:
    answer = answer_to(error)
    assert (answer.status, answer.body, answer.headers) == (status, {"error": error.message}, {})


@pytest.mark.requirement("RL-6")
@pytest.mark.parametrize(("seconds", "header"), [(1.2, "2"), (0.3, "1"), (0.0, "1")])
def test_rate_limit_error_becomes_429_with_retry_after_in_whole_seconds(seconds: float, header: str) -> None:
    answer = answer_to(RateLimitError("longer than max_wait", retry_after=seconds))
    assert (answer.status, answer.headers) == (429, {"Retry-After": header})
    assert answer.body == {"error": "too many writes; retry later"}  # max_wait is a setting of the service


@pytest.mark.requirement("ER-3")
@pytest.mark.parametrize("kind", [SecodaError, ServerError, AuthenticationError])
def test_other_errors_become_502_without_their_message(kind: type[SecodaError]) -> None:
    answer = answer_to(kind("the key of https://inner.example is refused"))
    assert (answer.status, answer.body, answer.headers) == (502, {"error": "Secoda is unavailable"}, {})


def test_unknown_outcome_becomes_502_with_advice() -> None:
    answer = answer_to(OutcomeUnknownError("the response was lost"))
    assert answer.status == 502
    assert answer.body == {
        "error": "the response was lost",
        "advice": "The request may have been executed: check before you retry.",
    }
