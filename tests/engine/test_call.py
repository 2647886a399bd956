"""A call: its preconditions, its state, and the errors of its timeouts."""

import asyncio

import pytest

from secoda_async import RetryPolicy
from secoda_async._engine.call import Call, CallState, Precondition
from secoda_async._engine.retries import Decision
from secoda_async._engine.wire.protocol import Request
from secoda_async.config import CallOptions
from secoda_async.errors import (
    DeadlineExceededError,
    NotFoundError,
    RateLimitError,
    RequestTimeoutError,
    SecodaError,
    TransportError,
)

PATCH = Request("PATCH", "/x")
OTHER = Request("PATCH", "/other")
THIRD = Request("PATCH", "/third")


def call_with(max_retry_after: float = 60.0) -> Call:
    return Call(PATCH, CallOptions(retry=RetryPolicy(max_retry_after=max_retry_after)), 0.0)


def returning(request: Request | None) -> Precondition:
    async def check(_: CallState) -> Request | None:
        await asyncio.sleep(0)
        return request

    return check


class TestPreconditions:
    async def test_only_precondition_is_checked_alone(self) -> None:
        call = call_with().with_precondition(returning(OTHER))
        assert call.precondition is not None
        assert await call.precondition(CallState(call, PATCH)) is OTHER

    @pytest.mark.parametrize(
        ("first", "second", "sent"),
        [(OTHER, THIRD, THIRD), (OTHER, None, OTHER), (None, THIRD, THIRD), (None, None, None)],
    )
    async def test_request_of_the_later_precondition_is_sent(
        self, first: Request | None, second: Request | None, sent: Request | None
    ) -> None:
        call = call_with().with_precondition(returning(first)).with_precondition(returning(second))
        assert call.precondition is not None
        assert await call.precondition(CallState(call, PATCH)) is sent


class TestDecision:
    def test_error_of_another_library_is_raised(self) -> None:
        assert CallState(call_with(), PATCH).decide(LookupError("a bug")) is Decision.RAISE

    @pytest.mark.parametrize(("seconds", "decision"), [(60.0, Decision.THROTTLED), (60.5, Decision.RAISE)])
    def test_retry_after_above_the_limit_is_raised(self, seconds: float, decision: Decision) -> None:
        error = RateLimitError("too many", status=429, retry_after=seconds)
        state = CallState(call_with(60.0), PATCH)
        assert state.decide(error) is decision
        assert state.last_failure is (error if decision is Decision.THROTTLED else None)


class TestState:
    def test_new_call_has_sent_nothing_and_waited_for_nothing(self) -> None:
        state = CallState(call_with(), PATCH)
        assert (state.attempts, state.waited, state.waited_for_limit) == (0, 0.0, 0.0)
        flags = (state.is_unclear, state.has_followed_redirect, state.has_refreshed_key)
        assert flags == (False, False, False)

    def test_outcome_stays_unclear_after_a_later_clear_failure(self) -> None:
        state = CallState(call_with(), PATCH)
        state.note_failure(RateLimitError("too many", status=429))
        assert not state.is_unclear
        state.note_failure(TransportError("dropped"))
        state.note_failure(RateLimitError("too many", status=429))
        assert state.is_unclear

    @pytest.mark.requirement("RT-13")
    @pytest.mark.parametrize(
        ("method", "is_unclear", "is_absent", "expected"),
        [
            ("DELETE", True, True, True),
            ("DELETE", False, True, False),
            ("DELETE", True, False, False),
            ("PATCH", True, True, False),
        ],
    )
    def test_absent_object_may_be_deleted_by_an_earlier_unclear_delete(
        self, method: str, *, is_unclear: bool, is_absent: bool, expected: bool
    ) -> None:
        state = CallState(call_with(), Request(method, "/x"), is_unclear=is_unclear)
        error = NotFoundError("404", status=404, is_missing_route=not is_absent)
        assert state.may_have_deleted(error) is expected


class TestTimeouts:
    @pytest.mark.parametrize(
        ("wait", "last_failure", "message"),
        [
            (None, None, "the call can't end within its deadline of 5 s"),
            (7.25, None, "the call can't end within its deadline of 5 s: it would have to wait 7.2 s more"),
            (
                None,
                TransportError("dropped"),
                "the call can't end within its deadline of 5 s (the last attempt failed: dropped)",
            ),
        ],
    )
    def test_deadline_error_names_the_wait_and_the_last_failure(
        self, wait: float | None, last_failure: SecodaError | None, message: str
    ) -> None:
        state = CallState(Call(PATCH, CallOptions(deadline=5.0), 0.0), PATCH, last_failure=last_failure)
        error = state.deadline_error(wait)
        assert (str(error), error.retry_after, error.__cause__) == (message, wait, last_failure)

    @pytest.mark.parametrize("maybe_sent", [True, False])
    def test_timeout_of_an_attempt_says_whether_it_was_sent(self, *, maybe_sent: bool) -> None:
        error = CallState(call_with(), PATCH).timeout_error(maybe_sent=maybe_sent, is_deadline=False)
        assert isinstance(error, RequestTimeoutError)
        assert (str(error), error.maybe_sent) == ("no complete response within 30 s (timeout)", maybe_sent)

    @pytest.mark.parametrize(
        ("request_", "maybe_sent", "kind"),
        [
            (PATCH, True, RequestTimeoutError),
            (PATCH, False, DeadlineExceededError),
            (Request("GET", "/x"), True, DeadlineExceededError),
        ],
    )
    def test_deadline_leaves_only_a_sent_write_unclear(
        self, request_: Request, kind: type[SecodaError], *, maybe_sent: bool
    ) -> None:
        call = Call(request_, CallOptions(deadline=5.0), 0.0)
        error = CallState(call, request_).timeout_error(maybe_sent=maybe_sent, is_deadline=True)
        assert type(error) is kind
        assert "deadline of 5 s" in str(error)
