"""A call and its state: the request, its options, and what has happened to it so far."""

from collections.abc import Awaitable, Callable, Collection, Iterable
from math import inf
from typing import NamedTuple, TypeVar

from attrs import define, evolve

from secoda_async._engine.limits.limiter import Permit
from secoda_async._engine.operation import Operation
from secoda_async._engine.retries import SEE_OTHER, Decision, decide, is_refusal, is_unclear, outcome_unknown
from secoda_async._engine.wire.protocol import Reply, Request, excerpt, is_absence, is_cut_short, redact_reply
from secoda_async.clock import AutojumpClock, Clock
from secoda_async.config import CallOptions
from secoda_async.errors import (
    APIError,
    DeadlineExceededError,
    OutcomeUnknownError,
    RequestTimeoutError,
    ResponseError,
    SecodaError,
    TransportError,
)

T = TypeVar("T")

Precondition = Callable[["CallState"], Awaitable[Request | None]]
"""Awaited just before each attempt is sent, after every wait. It raises to prevent the send, and may return another
request to send in place of the present one."""


class Scope(NamedTuple):
    """The context that a bulk, a plan or an apply gives to its calls on groups."""

    operation: Operation | None = None
    """The cost and cancellation that the calls share."""
    precondition: Precondition | None = None
    """The precondition of every write."""
    began: float | None = None
    """The start of the whole, by the client's clock: all calls share its deadline."""
    known_ids: Callable[[], Awaitable[Collection[str] | None]] | None = None
    """Returns the ids of a complete listing that was read before the creates."""
    pending: Collection[str] = ()
    """Ids of users with a pending invitation: responses may lack them as members."""


@define(eq=False, repr=False)
class Call:
    """A request, its options, and the operation that it is part of. No attribute changes afterwards."""

    request: Request
    options: CallOptions
    began: float
    """The start of the operation, by the client's clock: its calls share one deadline."""
    expires_at: float = inf
    """The moment of the deadline, by the client's clock; infinity without one."""
    precondition: Precondition | None = None
    operation: Operation | None = None
    pending: Collection[str] = ()
    """Ids of users with a pending invitation: the response may lack them as members."""

    def with_precondition(self, precondition: Precondition) -> "Call":
        """Return the same call with one more precondition; the present one is checked first."""
        first = self.precondition
        if first is None:
            return evolve(self, precondition=precondition)

        async def both(state: "CallState") -> Request | None:
            request = await first(state)
            return await precondition(state) or request

        return evolve(self, precondition=both)

    def unless_cancelled(self, work: Awaitable[T]) -> Awaitable[T]:
        """Return `work` so that it ends with `OperationCancelledError` when the operation of the call is cancelled."""
        return work if self.operation is None else self.operation.run_unless_cancelled(work)


@define(eq=False, repr=False)
class CallState:
    """The state of one call."""

    call: Call
    request: Request
    """The request of the current attempt: a precondition or a redirect may have replaced that of the call."""
    permit: Permit | None = None
    """The rate-limit permit of the current attempt."""
    attempts: int = 0
    waited: float = 0.0
    """Seconds spent waiting: for the write limit, for a cooldown, between attempts."""
    waited_for_limit: float = 0.0
    is_unclear: bool = False
    """Whether the server may have executed an attempt that failed."""
    has_followed_redirect: bool = False
    """Whether a redirect to a trailing slash was followed."""
    has_refreshed_key: bool = False
    """Whether the key was requested again after a 401."""
    last_failure: SecodaError | None = None
    failed_precondition: SecodaError | None = None
    """The error that prevented an attempt."""

    async def check_precondition(self, precondition: Precondition) -> None:
        """Check the precondition of the next attempt. If that fails, the attempt is not sent."""
        try:
            self.request = await precondition(self) or self.request
        except SecodaError as error:
            if isinstance(error, TransportError):
                error.maybe_sent = False  # it was a read
            self.failed_precondition = error
            raise

    def attach_call_context(self, error: SecodaError) -> SecodaError:
        """Add the request, the attempts and the seconds waited to an error."""
        error.method, error.path = self.request.method, self.request.path
        error.attempts, error.waited = self.attempts, self.waited
        return error

    def note_failure(self, error: SecodaError) -> None:
        """Record whether the server may have executed the attempt that failed."""
        self.is_unclear |= is_unclear(self.request.method, error)

    def note_write(self, reply: Reply | None) -> None:
        """Record the response to a write that was sent; None: none came.

        A 3xx other than 303, or a 4xx, says that the write was not executed.
        """
        if reply is None:
            self.is_unclear = True
        operation = self.call.operation
        if operation is not None and (reply is None or reply.status // 100 not in (3, 4) or reply.status == SEE_OTHER):
            operation.may_have_written = True

    def read(self, reply: Reply, secrets: Iterable[str], read: Callable[[Reply], T]) -> T:
        """Read a 2xx response. An error shows the body, so an unusual response is read once more, without the key."""
        try:
            return read(reply)
        except ResponseError:
            pass
        reply = redact_reply(reply, *secrets)
        try:
            return read(reply)
        except ResponseError as error:
            # The response to a DELETE has no body, so an empty body is complete.
            if self.request.method == "DELETE" or not is_cut_short(reply):
                error.status, error.body = reply.status, excerpt(reply.body)
                self.note_failure(error)
                raise
            reason = error.message
        cut_short = TransportError(f"the response ended early: {reason}")
        self.note_failure(cut_short)
        raise cut_short

    def may_read_in_thread(self, clock: Clock) -> bool:
        """Return whether a large response may be read in a thread, so that other tasks run meanwhile.

        A write is excluded, because a cancellation meanwhile would lose its outcome. So is the clock that skips time
        while only threads work.
        """
        return self.request.method == "GET" and not isinstance(clock, AutojumpClock)

    def may_have_deleted(self, error: SecodaError) -> bool:
        """Return whether the object may be absent because an earlier attempt of this DELETE was executed."""
        return self.is_unclear and self.request.method == "DELETE" and is_absence(error)

    def decide(self, error: BaseException) -> Decision:
        """Decide what follows a failure: by the retry table, and by the policy's limit for a Retry-After."""
        if not isinstance(error, SecodaError) or error is self.failed_precondition:  # its reads have their own retries
            return Decision.RAISE
        decision = decide(self.request.method, error)
        retry_after = error.retry_after if isinstance(error, APIError) else None
        if (
            retry_after is not None
            and retry_after > self.call.options.retry.max_retry_after
            and decision is not Decision.UNKNOWN
        ):
            return Decision.RAISE
        self.last_failure = error
        return decision

    def final_error(self, error: SecodaError) -> SecodaError:
        """Return the error that the call ends with: `OutcomeUnknownError` if a write may have been executed."""
        request, operation = self.call.request, self.call.operation
        if not self.is_unclear or isinstance(error, OutcomeUnknownError):
            return error
        if request.method != "POST" and is_refusal(error):  # the earlier attempts were refused, too
            self.is_unclear = False
            if operation is not None:
                operation.may_have_written = False
            return error
        if request.method != "POST" and isinstance(error, ResponseError):
            return error  # it shows what came in place of the object
        return self.attach_call_context(outcome_unknown(request, error))

    def timeout_error(self, *, maybe_sent: bool, is_deadline: bool) -> SecodaError:
        """Return the error for an attempt that its own timeout or the call's deadline ended."""
        options = self.call.options
        if not is_deadline:
            return RequestTimeoutError(
                f"no complete response within {options.timeout:g} s (timeout)", maybe_sent=maybe_sent
            )
        if self.request.method == "GET" or not maybe_sent:
            return self.deadline_error()
        return RequestTimeoutError(f"no complete response within the deadline of {options.deadline:g} s")

    def deadline_error(self, wait: float | None = None, cause: str = "") -> DeadlineExceededError:
        """Return the error for a call that can't end before its deadline.

        Args:
            wait: The seconds that the call would have to wait, if a wait is the reason.
            cause: The cause of the wait, if no failure of this call explains it.
        """
        reason = "" if wait is None else f": it would have to wait {wait:.1f} s more"
        if cause:
            reason += f", because {cause}"
        last = self.last_failure
        if last is not None:
            reason += f" (the last attempt failed: {last.message})"
        error = DeadlineExceededError(
            f"the call can't end within its deadline of {self.call.options.deadline:g} s{reason}", retry_after=wait
        )
        error.__cause__ = last
        return error
