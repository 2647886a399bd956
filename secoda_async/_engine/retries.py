"""When a failed attempt is tried again: the only module that knows tenacity.

Each call has a controller of its own (a shared one would mix the attempts of concurrent calls), made only after
a first failure: most calls have none, and it costs as much as a fifth of a call.
"""

from collections.abc import Awaitable, Callable
from math import inf
from typing import Protocol, TypeVar, cast

from tenacity import (
    AsyncRetrying,
    Future,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from secoda_async._engine.retry_table import Decision
from secoda_async.config import RetryPolicy
from secoda_async.errors import APIError, RateLimitError

T = TypeVar("T")


class RetryBudget:
    """The retries that a client may still owe; see `RetryPolicy.budget`."""

    def __init__(self, most: int | None) -> None:
        self._most = inf if most is None else most
        self.left = self._most

    def take(self) -> bool:
        """Take one for a retry; False when none is left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True

    def give(self) -> None:
        """Give one back after a success."""
        self.left = min(self._most, self.left + 1)


class Decide(Protocol):
    """Says what to do about a failure of the call at hand."""

    def __call__(self, error: BaseException, /) -> Decision: ...


async def retry(
    first: Exception,
    attempt: Callable[[], Awaitable[T]],
    *,
    policy: RetryPolicy,
    budget: RetryBudget,
    decide: Decide,
    sleep: Callable[[float], Awaitable[None]],
) -> T:
    """Run `attempt` again until it succeeds, fails for good, or has used up its attempts.

    Args:
        first: What the first attempt has raised.
        attempt: One try; raises what `decide` knows.
        policy: How often and how patiently.
        budget: Where each retry but that after a pause is paid from.
        decide: What to do about a failure.
        sleep: Waits out a backoff; may refuse by raising.

    Raises:
        SecodaError: That of the last attempt, itself.
    """
    failures = [first]

    async def replayed() -> T:
        if failures:
            raise failures.pop()
        result = await attempt()
        budget.give()
        return result

    def is_worth_it(error: BaseException) -> bool:
        return decide(error) in (Decision.RETRY, Decision.THROTTLED)

    enough = stop_after_attempt(policy.attempts)

    def is_over(state: RetryCallState) -> bool:
        # A 429 says that the server is well, and when to come again: nothing to be sparing for.
        return enough(state) or (not isinstance(_failure(state), RateLimitError) and not budget.take())

    controller = AsyncRetrying(
        retry=retry_if_exception(is_worth_it),
        stop=is_over,
        wait=_Backoff(policy, decide),
        sleep=sleep,
        reraise=True,
    )
    return await controller(replayed)


def _failure(state: RetryCallState) -> BaseException:
    # tenacity asks only after a failure; its types do not say so
    return cast("BaseException", cast("Future", state.outcome).exception())


class _Backoff:
    """Full jitter, and never earlier than the server asks."""

    def __init__(self, policy: RetryPolicy, decide: Decide) -> None:
        self._jitter = wait_random_exponential(multiplier=policy.initial, max=policy.maximum)
        self._decide = decide

    def __call__(self, state: RetryCallState) -> float:
        error = _failure(state)
        if self._decide(error) is Decision.THROTTLED:
            return 0.0  # the gate of its class does the waiting, for all who wait there
        asked = error.retry_after if isinstance(error, APIError) else None
        return max(self._jitter(state), asked or 0.0)
