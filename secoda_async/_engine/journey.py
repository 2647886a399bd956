"""What a call knows of itself on its way: what was asked, how patiently, and what has happened so far."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeVar

from attrs import define, evolve, frozen

from secoda_async._engine.limits import Permit
from secoda_async._engine.protocol import Request
from secoda_async._engine.retry_table import Step, may_have_run, next_step
from secoda_async.config import CallOptions
from secoda_async.errors import APIError, DeadlineExceededError, RateLimitError, RequestTimeoutError, SecodaError

T = TypeVar("T")


class NotSentError(Exception):
    """A call ends before it is sent, and nothing has gone wrong."""


class StoppedError(NotSentError):
    """An operation was stopped while it waited to be sent; whoever stopped it says what that means."""


@define(eq=False, repr=False)
class Spent:
    """What the calls of an operation took, and a way to stop it before it is sent: see `SPENT`."""

    attempts: int = 0
    waited: float = 0.0
    may_have_written: bool = False
    """Whether anything but a read may have reached the server."""
    is_stopped: bool = False
    """Whether nothing more is to be sent for it."""
    _wait: asyncio.Timeout | None = None

    def stop(self) -> None:
        """Send nothing more for it: a wait to send ends, now or when it comes to that; what is on the wire goes on."""
        self.is_stopped = True
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(asyncio.get_running_loop().time())

    async def unless_stopped(self, work: Awaitable[T]) -> T:
        """Await what comes before something is sent.

        Raises:
            StoppedError: When the operation is stopped.
        """
        if self.is_stopped:
            if asyncio.iscoroutine(work):
                work.close()
            raise StoppedError
        self._wait = wait = asyncio.timeout(None)
        try:
            async with wait:
                return await work
        except TimeoutError:
            if not wait.expired():
                raise  # one of ours, from inside
        finally:
            self._wait = None
        raise StoppedError


SPENT: ContextVar[Spent | None] = ContextVar("secoda_async_spent", default=None)
"""Where calls add up what they took; a bulk sets it for each of its operations."""


Check = Callable[[], Awaitable[None]]
"""Awaited when a request may be sent, just before; keeps it back by raising."""


@frozen(eq=False, repr=False)
class Call:
    """A request, how patiently it is made, and when the operation began that it is part of."""

    request: Request
    options: CallOptions
    began: float
    check: Check | None = None
    """For each attempt."""

    def followed_by(self, request: Request) -> "Call":
        """Another request of the same operation: the two share a deadline."""
        return evolve(self, request=request, check=None)

    def checked_by(self, check: Check) -> "Call":
        """The same call, sent only when the check does not raise."""
        return evolve(self, check=check)


@define(eq=False, repr=False)
class Journey:
    """One call, and what has happened to it so far."""

    request: Request
    options: CallOptions
    began: float
    check: Check | None = None
    permit: Permit | None = None
    """The place in the write limit that the attempt at hand has."""
    attempts: int = 0
    waited: float = 0.0
    waited_for_limit: float = 0.0
    is_unclear: bool = False
    """Whether an attempt may have been carried out although it failed."""
    has_moved: bool = False
    """Whether a trailing slash was learned on the way."""
    has_renewed: bool = False
    """Whether the key was asked for again."""
    last_failure: SecodaError | None = None

    def left(self, now: float) -> float | None:
        """Seconds until the deadline, or None."""
        deadline = self.options.deadline
        return None if deadline is None else self.began + deadline - now

    def placed(self, error: SecodaError) -> SecodaError:
        """Write on an error which call it belongs to."""
        error.method, error.path = self.request.method, self.request.path
        error.attempts, error.waited = self.attempts, self.waited
        return error

    def decide(self, error: BaseException) -> Step:
        """The retry table, and what it depends on: the server's patience against ours, what went before."""
        if not isinstance(error, SecodaError):
            return Step.RAISE
        step = next_step(self.request.method, error)
        asked = error.retry_after if isinstance(error, APIError) else None
        if asked is not None and asked > self.options.retry.max_retry_after:
            return Step.RAISE
        self.last_failure = error
        self.is_unclear |= step is Step.RETRY and may_have_run(error)
        return step

    def timed_out(self, *, maybe_sent: bool, is_deadline: bool) -> SecodaError:
        """The error for an attempt that was cut off, by its own timeout or by the call's deadline."""
        if is_deadline and not (self.request.method == "POST" and maybe_sent):
            return self.too_late(None)
        limit = f"the deadline of {self.options.deadline:g}" if is_deadline else f"{self.options.timeout:g}"
        error = RequestTimeoutError(f"no whole answer within {limit} s{'' if is_deadline else ' (timeout)'}")
        error.maybe_sent = maybe_sent
        return error

    def too_late(self, wait: float | None) -> DeadlineExceededError:
        """The error for a call that can't end within its deadline."""
        why = "" if wait is None else f": it would have to wait {wait:.1f} s more"
        last = self.last_failure
        if last is not None:
            why += f" (the last attempt failed: {last.message})"
        error = DeadlineExceededError(f"the call can't end within its deadline of {self.options.deadline:g} s{why}")
        error.retry_after = wait
        error.__cause__ = last
        return error


def refused(wait: float, why: str) -> RateLimitError:
    """The error for a wait that is longer than the caller, or the policy, allows."""
    error = RateLimitError(f"{why} for about {wait:.1f} s, longer than allowed (max_wait, max_retry_after): try then")
    error.retry_after = wait
    return error
