"""Decide whether a failed attempt is repeated: the decision table, the retry budget, and the only use of tenacity.

Theory of operation. One question decides: may the server have executed the request?

- It certainly did not (no connection, a 429, a 4xx): repeating is safe with every method.
- It may have (a dropped connection, a timeout, most 5xx): the outcome is *unclear*. The same GET, PUT, PATCH or DELETE
  again has the same effect, so it is repeated. The same POST again would create a second object, so it is not.

`decide` gives one `Decision` for each failure. After RETRY the call backs off with full jitter. After THROTTLED
it does not back off, because the cooldown in `admission.py` makes every call of the class wait. Each retry takes one
from the client's retry budget, except after a 429, which is flow control and not a failure.

Most calls succeed at first. So `retry` is called only after a first failure, and replays that failure as its first
attempt; tenacity is imported then. Each call has a controller of its own: a shared one would mix the attempts of
concurrent calls. `docs/failures.md` is tested against this table.
"""

import enum
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, Final, TypeVar, cast

from secoda_async._engine.wire.protocol import Request, is_absence
from secoda_async.config import RetryPolicy
from secoda_async.errors import (
    APIError,
    BadRequestError,
    OutcomeUnknownError,
    RateLimitError,
    RedirectError,
    ResponseError,
    SecodaError,
    TransportError,
)

if TYPE_CHECKING:
    from tenacity import Future, RetryCallState

T = TypeVar("T")


class Decision(enum.Enum):
    """The consequence of a failed attempt."""

    RAISE = "raise"
    """Another attempt would change nothing."""
    RETRY = "retry"
    """Try again after a backoff."""
    THROTTLED = "throttled"
    """Start a cooldown for every call of this class, then try again."""
    UNKNOWN = "unknown"
    """The write may have been executed, and is not sent again."""


Decide = Callable[[BaseException], Decision]
"""Decides what follows a failure of one call."""

REQUEST_TIMEOUT: Final = 408
"""The server got no complete request (RFC 9110, 15.5.9). Some servers write a 408 on an idle connection, and the next
request on that connection finds it. A POST has a connection of its own, so a 408 is about the POST itself."""

SEE_OTHER: Final = 303
"""The status of a redirect to the result of a request that was executed (RFC 9110, 15.4.4)."""

_REFUSED_FIELDS: Final = frozenset({"detail", "non_field_errors", "name", "icon", "description", "users"})
"""The keys of the API's own JSON about a group that it refuses. A gateway's JSON has others, such as `message`."""

UNCLEAR_STATUSES: Final = frozenset({*range(1, 200), *range(500, 1000)}) - {501, 505, 511}
"""Statuses after which a write may have been executed: the framework's own failure, a gateway's (a 503 with
Retry-After too: some gateways send it although the origin has executed the request), and those that gateways invented,
such as 52x, 529, 561 and 999. 501, 505 and 511 say that nothing has read the request. A 1xx is not a final response."""


# --- the table -------------------------------------------------------------------------------------------------


def decide(method: str, error: SecodaError) -> Decision:
    """Return what follows a failure of a request with this method."""
    if is_unclear(method, error) and (method == "POST" or isinstance(error, RedirectError)):
        return Decision.UNKNOWN
    if starts_cooldown(error):
        return Decision.THROTTLED
    if isinstance(error, TransportError):
        return Decision.RETRY
    if not isinstance(error, APIError):
        return Decision.RAISE
    is_incomplete = error.status == REQUEST_TIMEOUT and method != "POST"
    return Decision.RETRY if is_incomplete or error.status in UNCLEAR_STATUSES else Decision.RAISE


def is_unclear(method: str, error: SecodaError) -> bool:
    """Return whether the server may have executed a request that failed in this way."""
    if method == "GET":
        return False
    if isinstance(error, TransportError):
        return error.maybe_sent
    if isinstance(error, APIError):
        return error.status in UNCLEAR_STATUSES
    if isinstance(error, RedirectError):
        return error.status == SEE_OTHER
    return isinstance(error, ResponseError)


def starts_cooldown(error: SecodaError) -> bool:
    """Return whether the server asks every call of the class to wait: 429, or 503 with Retry-After."""
    if not isinstance(error, APIError):
        return False
    return error.status == 429 or (error.status == 503 and error.retry_after is not None)  # noqa: PLR2004


def is_refusal(error: SecodaError) -> bool:
    """Return whether the API itself, in its own JSON, refused the content or the target of a request.

    The API then refused the earlier attempts of the same request as well, although their responses were lost. An error
    of a gateway proves nothing.
    """
    if isinstance(error, BadRequestError) and error.fields:
        return {field.partition(".")[0] for field in error.fields} <= _REFUSED_FIELDS
    return is_absence(error)


def outcome_unknown(
    request: Request, cause: SecodaError, note: str = "", *, candidates: tuple[str, ...] = ()
) -> OutcomeUnknownError:
    """Return the error for a write that may have been executed.

    Args:
        request: The request that was sent.
        cause: The reason why there is no clear response.
        note: The result of a search for the group; without it, the error advises one.
        candidates: Ids of the groups that may be the result; without any, the id in an unusable response counts.
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
    if not candidates and request.method == "POST" and isinstance(cause, ResponseError) and cause.item_id is not None:
        candidates = (cause.item_id,)
    message = f"whether {subject} is not known: {cause.message}; {note or advice}"
    error = OutcomeUnknownError(message, name=request.name, candidates=candidates)
    error.__cause__ = cause
    return error


# --- the loop --------------------------------------------------------------------------------------------------


class RetryBudget:
    """The retries that a client may still make; see `RetryPolicy.budget`."""

    def __init__(self, limit: int | None) -> None:
        self._limit = inf if limit is None else limit
        self.spent = 0

    def take(self) -> bool:
        """Take one for a retry; return False when none is left."""
        if self.spent >= self._limit:
            return False
        self.spent += 1
        return True

    def give_back(self) -> None:
        """Give one back after a success."""
        if self.spent:
            self.spent -= 1


async def retry(
    first_failure: Exception,
    attempt: Callable[[], Awaitable[T]],
    *,
    policy: RetryPolicy,
    budget: RetryBudget,
    decide: Decide,
    sleep: Callable[[float], Awaitable[None]],
) -> T:
    """Run `attempt` until it succeeds, fails for good, or has used up its attempts or the budget.

    Args:
        first_failure: The error of the first attempt.
        attempt: Makes one more attempt.
        policy: The number of attempts and the length of the backoffs.
        budget: Each retry takes one from it, except after a 429; a success gives one back.
        decide: Decides what follows a failure.
        sleep: Waits for a backoff in seconds; it may raise instead of waiting.

    Raises:
        SecodaError: The error of the last attempt.
    """
    import tenacity  # noqa: PLC0415 - few calls fail, and the import takes long

    first: list[Exception] = [first_failure]

    async def first_failure_then_attempt() -> T:
        if first:
            raise first.pop()
        result = await attempt()
        budget.give_back()
        return result

    def should_retry(error: BaseException) -> bool:
        return decide(error) in (Decision.RETRY, Decision.THROTTLED)

    has_no_attempts_left = tenacity.stop_after_attempt(policy.attempts)

    def should_stop(state: "RetryCallState") -> bool:
        is_throttled = isinstance(_failure_of(state), RateLimitError)
        return has_no_attempts_left(state) or (not is_throttled and not budget.take())

    full_jitter = tenacity.wait_random_exponential(multiplier=policy.initial, max=policy.maximum)

    def backoff(state: "RetryCallState") -> float:
        error = _failure_of(state)
        if decide(error) is Decision.THROTTLED:
            return 0.0  # admission waits for the cooldown
        retry_after = error.retry_after if isinstance(error, APIError) else None
        return max(full_jitter(state), retry_after or 0.0)

    controller = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(should_retry),
        stop=should_stop,
        wait=backoff,
        sleep=sleep,
        reraise=True,
    )
    return await controller(first_failure_then_attempt)


def _failure_of(state: "RetryCallState") -> BaseException:
    # tenacity asks only after a failure; its types do not say so
    return cast("BaseException", cast("Future", state.outcome).exception())
