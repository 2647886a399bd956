"""A call and its state: the request, its options, and what has happened to it so far."""

from collections.abc import Awaitable, Callable, Collection

from attrs import define, evolve, frozen

from secoda_async._engine.limits.limiter import Permit
from secoda_async._engine.operation import Operation
from secoda_async._engine.retry_table import Decision, decide, is_unclear
from secoda_async._engine.wire.protocol import Request
from secoda_async.config import CallOptions
from secoda_async.errors import APIError, DeadlineExceededError, RateLimitError, RequestTimeoutError, SecodaError

Precondition = Callable[["CallState"], Awaitable[Request | None]]
"""Awaited just before each attempt is sent, after every wait. It raises to prevent the send, and may return another
request to send in place of the present one."""


@frozen(eq=False, repr=False, kw_only=True)
class Scope:
    """What the calls on groups are part of, when a bulk, a plan or an apply makes them."""

    operation: Operation | None = None
    """Their shared cost and cancellation."""
    precondition: Precondition | None = None
    """For each of their writes."""
    began: float | None = None
    """When the whole began, by the client's clock: all calls share its deadline."""
    known_ids: Callable[[], Awaitable[Collection[str] | None]] | None = None
    """Returns the ids of a complete listing that was read before the creates."""


@frozen(eq=False, repr=False)
class Call:
    """A request, its options, and the operation that it is part of."""

    request: Request
    options: CallOptions
    began: float
    """When the operation began, by the client's clock: its calls share one deadline."""
    precondition: Precondition | None = None
    operation: Operation | None = None

    def with_precondition(self, precondition: Precondition) -> "Call":
        """Return the same call with one more precondition; the present one is checked first."""
        first = self.precondition
        if first is None:
            return evolve(self, precondition=precondition)

        async def both(state: "CallState") -> Request | None:
            request = await first(state)
            return await precondition(state) or request

        return evolve(self, precondition=both)


@define(eq=False, repr=False)
class CallState:
    """The state of one call."""

    request: Request
    options: CallOptions
    began: float
    precondition: Precondition | None = None
    operation: Operation | None = None
    permit: Permit | None = None
    """The rate-limit permit of the current attempt."""
    attempts: int = 0
    waited: float = 0.0
    waited_for_limit: float = 0.0
    is_unclear: bool = False
    """Whether the server may have executed an attempt that failed."""
    has_moved: bool = False
    """Whether a redirect to a trailing slash was followed."""
    has_renewed: bool = False
    """Whether the key was requested again after a 401."""
    last_failure: SecodaError | None = None

    @classmethod
    def of(cls, call: Call) -> "CallState":
        """Return the state of a call that has not begun."""
        return cls(call.request, call.options, call.began, call.precondition, call.operation)

    def left(self, now: float) -> float | None:
        """Return the seconds until the deadline, or None."""
        deadline = self.options.deadline
        return None if deadline is None else self.began + deadline - now

    def placed(self, error: SecodaError) -> SecodaError:
        """Attach the call's context to an error."""
        error.method, error.path = self.request.method, self.request.path
        error.attempts, error.waited = self.attempts, self.waited
        return error

    def note_failure(self, error: SecodaError) -> None:
        """Record whether the server may have executed the attempt that failed."""
        self.is_unclear |= is_unclear(self.request.method, error)

    def decide(self, error: BaseException) -> Decision:
        """Decide what follows a failure: the retry table, and the server's Retry-After against the policy's cap."""
        if not isinstance(error, SecodaError):
            return Decision.RAISE
        step = decide(self.request.method, error)
        asked = error.retry_after if isinstance(error, APIError) else None
        if asked is not None and asked > self.options.retry.max_retry_after and step is not Decision.UNKNOWN:
            return Decision.RAISE
        self.last_failure = error
        return step

    def timed_out(self, *, maybe_sent: bool, is_deadline: bool) -> SecodaError:
        """Return the error for an attempt that its own timeout or the call's deadline ended."""
        is_write = self.request.method != "GET"
        if is_deadline and not (is_write and maybe_sent):
            return self.too_late(None)
        limit = f"the deadline of {self.options.deadline:g}" if is_deadline else f"{self.options.timeout:g}"
        error = RequestTimeoutError(f"no whole answer within {limit} s{'' if is_deadline else ' (timeout)'}")
        error.maybe_sent = maybe_sent
        return error

    def too_late(self, wait: float | None) -> DeadlineExceededError:
        """Return the error for a call that can't end before its deadline."""
        why = "" if wait is None else f": it would have to wait {wait:.1f} s more"
        last = self.last_failure
        if last is not None:
            why += f" (the last attempt failed: {last.message})"
        error = DeadlineExceededError(f"the call can't end within its deadline of {self.options.deadline:g} s{why}")
        error.retry_after = wait
        error.__cause__ = last
        return error


def refused(wait: float, why: str) -> RateLimitError:
    """Return the error for a wait that is longer than the caller or the policy allows."""
    error = RateLimitError(f"{why} for about {wait:.1f} s, longer than allowed (max_wait, max_retry_after): try then")
    error.retry_after = wait
    return error
