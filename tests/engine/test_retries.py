"""Retries: the decision table, the backoff and the retry budget, without a server."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async._engine.retries import (
    UNCLEAR_STATUSES,
    Decision,
    RetryBudget,
    decide,
    is_refusal,
    is_unclear,
    outcome_unknown,
    retry,
    starts_cooldown,
)
from secoda_async._engine.wire.protocol import Reply, Request, error_for
from secoda_async.config import RetryPolicy
from secoda_async.errors import (
    APIError,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    NotFoundError,
    OutcomeUnknownError,
    PaginationError,
    RateLimitError,
    RedirectError,
    RequestTimeoutError,
    ResponseError,
    SecodaError,
    ServerError,
    TransportError,
)


class Script:
    """A call that raises the given failures, and then succeeds."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.attempts = 0
        self.slept: list[float] = []

    async def attempt(self) -> str:
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def run(
        self,
        policy: RetryPolicy | None = None,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> str:
        budget = budget or RetryBudget(None)
        try:
            result = await self.attempt()
        except Exception as error:  # noqa: BLE001 - every one of them is raised again
            first = error
        else:
            budget.give_back()
            return result
        return await retry(
            first,
            self.attempt,
            policy=policy or RetryPolicy(),
            budget=budget,
            decide=partial(decide_for, "GET"),
            sleep=sleep or self.sleep,
        )


def decide_for(method: str, error: BaseException) -> Decision:
    return decide(method, error) if isinstance(error, SecodaError) else Decision.RAISE


def failed(status: int, retry_after: float | None = None) -> APIError:
    error = RateLimitError("no") if status == 429 else ServerError("no")
    error.status, error.retry_after = status, retry_after
    return error


async def test_success_is_returned_without_a_backoff() -> None:
    script = Script()
    assert await script.run() == "done"
    assert (script.attempts, script.slept) == (1, [])


async def test_failure_is_retried_until_an_attempt_succeeds() -> None:
    script = Script(failed(503), TransportError("dropped"), failed(500))
    assert await script.run() == "done"
    assert script.attempts == 4
    assert len(script.slept) == 3


@pytest.mark.requirement("RT-9", "ER-1")
@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_error_of_the_last_attempt_is_raised(attempts: int) -> None:
    failures = [failed(503) for _ in range(9)]
    script = Script(*failures)
    with pytest.raises(ServerError) as caught:
        await script.run(RetryPolicy(attempts=attempts))
    assert caught.value is failures[attempts - 1]
    assert script.attempts == attempts
    assert len(script.slept) == attempts - 1
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_permanent_error_is_raised_immediately() -> None:
    error = NotFoundError("no")
    error.status = 404
    script = Script(failed(503), error)
    with pytest.raises(NotFoundError) as caught:
        await script.run()
    assert caught.value is error
    assert script.attempts == 2


@pytest.mark.requirement("RT-7")
@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), LookupError("a bug")])
@pytest.mark.parametrize("before", [0, 1])
async def test_cancellation_and_foreign_errors_are_never_retried(error: BaseException, before: int) -> None:
    script = Script(*[failed(503)] * before, error)
    with pytest.raises(type(error)) as caught:
        await script.run()
    assert caught.value is error
    assert script.attempts == before + 1


async def test_error_of_the_backoff_is_raised() -> None:
    refusal = DeadlineExceededError("no time left")

    async def refuse(_: float) -> None:
        raise refusal

    script = Script(failed(503))
    with pytest.raises(DeadlineExceededError) as caught:
        await script.run(sleep=refuse)
    assert caught.value is refusal
    assert script.attempts == 1


@given(st.floats(0, 10), st.floats(0, 60), st.integers(2, 12))
def test_backoff_is_random_and_at_most_doubles_up_to_its_maximum(initial: float, maximum: float, attempts: int) -> None:
    script = Script(*[failed(503)] * (attempts - 1))
    asyncio.run(script.run(RetryPolicy(attempts=attempts, initial=initial, maximum=maximum)))
    assert len(script.slept) == attempts - 1
    for number, seconds in enumerate(script.slept):
        assert 0 <= seconds <= min(maximum, initial * 2**number)


@pytest.mark.requirement("RT-4")
async def test_backoff_is_at_least_retry_after() -> None:
    script = Script(failed(500, 45.0), failed(500, 0.0))
    await script.run(RetryPolicy(initial=0.5, maximum=1.0))
    assert script.slept[0] == 45.0
    assert script.slept[1] <= 1.0


@pytest.mark.requirement("RT-4")
async def test_429_has_no_backoff_because_the_cooldown_waits() -> None:
    script = Script(failed(429, 10.0), failed(429), failed(503, 3.0))
    await script.run()
    assert script.slept == [0.0, 0.0, 0.0]


async def test_backoff_of_a_thousand_attempts_does_not_overflow() -> None:
    script = Script(*[failed(503)] * 2000)
    await script.run(RetryPolicy(attempts=3000))
    assert max(script.slept) <= 30.0
    assert all(one != other for one, other in pairwise(script.slept))


@pytest.mark.requirement("RT-9")
class TestBudget:
    async def test_empty_budget_raises_immediately(self) -> None:
        script = Script(failed(503))
        with pytest.raises(ServerError):
            await script.run(budget=RetryBudget(0))
        assert script.attempts == 1

    async def test_retry_takes_from_the_budget_and_success_gives_back(self) -> None:
        budget = RetryBudget(3)
        assert await Script(failed(503), failed(503)).run(budget=budget) == "done"
        assert budget.spent == 1
        for _ in range(5):
            await Script().run(budget=budget)
        assert budget.spent == 0

    async def test_429_takes_nothing_from_the_budget(self) -> None:
        budget = RetryBudget(0)
        assert await Script(failed(429), failed(429)).run(budget=budget) == "done"

    async def test_outage_costs_at_most_the_budget(self) -> None:
        budget = RetryBudget(100)
        scripts = [Script(*[failed(503) for _ in range(9)]) for _ in range(200)]
        outcomes = await asyncio.gather(*(script.run(budget=budget) for script in scripts), return_exceptions=True)
        assert all(isinstance(outcome, ServerError) for outcome in outcomes)
        assert sum(script.attempts for script in scripts) == 300

    async def test_last_attempt_takes_nothing_from_the_budget(self) -> None:
        budget = RetryBudget(5)
        with pytest.raises(ServerError):
            await Script(*[failed(503)] * 5).run(RetryPolicy(attempts=2), budget)
        assert budget.spent == 1

    async def test_budget_of_none_is_unlimited(self) -> None:
        budget = RetryBudget(None)
        assert all(budget.take() for _ in range(10_000))


@pytest.mark.requirement("RT-8")
async def test_concurrent_retries_share_no_state() -> None:
    attempts: dict[int, int] = dict.fromkeys(range(100), 0)

    async def call(number: int) -> None:
        async def attempt() -> None:
            attempts[number] += 1
            await asyncio.sleep(0)
            error = failed(503)
            error.message = f"group {number}, attempt {attempts[number]}"
            raise error

        async def sleep(_: float) -> None:
            for _ in range(number % 7):
                await asyncio.sleep(0)

        with pytest.raises(ServerError) as first:
            await attempt()
        await retry(
            first.value,
            attempt,
            policy=RetryPolicy(attempts=4),
            budget=RetryBudget(None),
            decide=partial(decide_for, "GET"),
            sleep=sleep,
        )

    outcomes = await asyncio.gather(*map(call, attempts), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == [f"group {number}, attempt 4" for number in attempts]
    assert set(attempts.values()) == {4}


@pytest.mark.requirement("RT-1")
class TestDecision:
    @pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE", "POST"])
    @pytest.mark.parametrize(
        ("error", "repeated", "created"),
        [
            (TransportError("refused", maybe_sent=False), Decision.RETRY, Decision.RETRY),
            (TransportError("dropped"), Decision.RETRY, Decision.UNKNOWN),
            (RequestTimeoutError("late"), Decision.RETRY, Decision.UNKNOWN),
            *(
                (failed(status), Decision.RETRY, Decision.UNKNOWN)
                for status in (500, 502, 503, 504, 520, 524, 528, 530, 561, 599)
            ),
            (failed(500, 5), Decision.RETRY, Decision.UNKNOWN),
            (failed(429), Decision.THROTTLED, Decision.THROTTLED),
            (failed(429, 0), Decision.THROTTLED, Decision.THROTTLED),
            (failed(503, 0), Decision.THROTTLED, Decision.UNKNOWN),
            (failed(503, 9), Decision.THROTTLED, Decision.UNKNOWN),
            *(
                (failed(status), Decision.RAISE, Decision.RAISE)
                for status in (302, 304, 400, 401, 403, 404, 405, 409, 413, 422, 425, 501, 505, 511)
            ),
            (failed(408), Decision.RETRY, Decision.RAISE),
            (RedirectError("found", status=302), Decision.RAISE, Decision.RAISE),
            (ResponseError("not JSON"), Decision.RAISE, Decision.UNKNOWN),
            (PaginationError("moved"), Decision.RAISE, Decision.UNKNOWN),
            (RateLimitError("no permit"), Decision.RAISE, Decision.RAISE),
            (OutcomeUnknownError("?"), Decision.RAISE, Decision.RAISE),
            (DeadlineExceededError("late"), Decision.RAISE, Decision.RAISE),
            (ClientClosedError("closed"), Decision.RAISE, Decision.RAISE),
            (ConfigurationError("key"), Decision.RAISE, Decision.RAISE),
        ],
        ids=repr,
    )
    def test_failure_has_the_decision_of_the_table(
        self, method: str, error: SecodaError, repeated: Decision, created: Decision
    ) -> None:
        assert decide(method, error) is (created if method == "POST" else repeated)

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (failed(429), True),
            (failed(503, 0.0), True),
            (failed(503), False),
            (failed(500, 5.0), False),
            (TransportError("dropped"), False),
            (RateLimitError("no permit", retry_after=5.0), False),
        ],
        ids=repr,
    )
    def test_cooldown_starts_after_a_429_or_a_503_with_retry_after(self, error: SecodaError, *, expected: bool) -> None:
        assert starts_cooldown(error) is expected


@pytest.mark.requirement("RT-13")
@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, b'{"detail": "Not found."}', True),
        (404, b"<html>", False),
        (400, b'{"name": ["too long"]}', True),
        (400, b"<html>", False),
        (422, b'{"name": ["too long"]}', True),
        (403, b'{"detail": "no"}', False),
        (409, b'{"name": ["taken"]}', False),
    ],
)
def test_refusal_is_an_error_that_the_api_itself_gives_for_the_content(
    status: int, body: bytes, *, expected: bool
) -> None:
    error = error_for(Request("PATCH", "/x"), Reply(status, [], body), datetime(2026, 8, 1, tzinfo=UTC))
    assert is_refusal(error) is expected


@pytest.mark.requirement("RT-1")
class TestUnclearOutcome:
    def test_unclear_statuses_are_those_that_do_not_say_whether_the_request_was_read(self) -> None:
        assert {status for status in range(1000) if status not in UNCLEAR_STATUSES} == {
            0,
            *range(200, 500),
            501,
            505,
            511,
        }

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    @pytest.mark.parametrize(
        ("error", "is_write_unclear"),
        [
            (TransportError("dropped"), True),
            (TransportError("refused", maybe_sent=False), False),
            (failed(500), True),
            (failed(503, 1.0), True),
            (failed(429), False),
            (failed(501), False),
            (ResponseError("not JSON"), True),
            (DeadlineExceededError("no time left"), False),
        ],
        ids=repr,
    )
    def test_outcome_is_unclear_for_a_write_that_may_have_been_executed(
        self, method: str, error: SecodaError, *, is_write_unclear: bool
    ) -> None:
        assert is_unclear(method, error) is (is_write_unclear and method != "GET")

    @pytest.mark.parametrize("error", [TransportError("dropped"), failed(500), failed(503, 1.0), ResponseError("?")])
    def test_unclear_create_is_never_repeated(self, error: SecodaError) -> None:
        assert decide("POST", error) is Decision.UNKNOWN

    @pytest.mark.parametrize(
        ("request_", "message"),
        [
            (
                Request("POST", "/x", name="Finance"),
                (
                    "whether the group 'Finance' was created is not known: dropped; it was not sent again; look for "
                    "it before you repeat it, or use on_unknown='reconcile'"
                ),
            ),
            (
                Request("POST", "/x"),
                (
                    "whether this POST was executed is not known: dropped; it was not sent again; check before you "
                    "repeat it"
                ),
            ),
            (
                Request("PATCH", "/x"),
                "whether this PATCH was executed is not known: dropped; read the object before you repeat it",
            ),
        ],
    )
    def test_error_advises_what_to_do_with_each_kind_of_write(self, request_: Request, message: str) -> None:
        cause = TransportError("dropped")
        error = outcome_unknown(request_, cause)
        assert (str(error), error.name, error.candidates) == (message, request_.name, ())
        assert error.__cause__ is cause

    def test_error_shows_the_result_of_a_search_instead_of_the_advice(self) -> None:
        error = outcome_unknown(
            Request("POST", "/x", name="Finance"), TransportError("dropped"), "two groups fit", candidates=("a", "b")
        )
        assert str(error) == "whether the group 'Finance' was created is not known: dropped; two groups fit"
        assert error.candidates == ("a", "b")
