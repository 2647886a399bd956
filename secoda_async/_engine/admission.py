"""Decide when a request may start: it needs a rate-limit permit or the end of a cooldown, and a connection slot.

Theory of operation. `admit` is one loop with four steps:

1. POST, PUT and PATCH acquire a permit of the write limit; GET and DELETE wait for the end of their class's cooldown.
2. The precondition is checked, if the call has one.
3. The request acquires a connection slot.
4. Steps 2 and 3 may have taken time. If a cooldown has started meanwhile, or the permit may have expired, the request
   returns both and starts again.

Nothing is awaited when nothing blocks, which is the usual case. Every wait ends at the call's deadline, when the client
is closed, and, for a write, when its operation is cancelled.
"""

from collections.abc import Awaitable, Generator
from contextlib import contextmanager
from math import inf
from typing import Final, TypeVar

from secoda_async._engine.call import CallState
from secoda_async._engine.concurrency.connection_limit import ConnectionLimit
from secoda_async._engine.concurrency.timeouts import CallScopes, TimedOutError, client_closed_error
from secoda_async._engine.hooks import Hooks
from secoda_async._engine.limits.limiter import Permit, RateLimiter, SlidingWindowLimiter
from secoda_async._engine.limits.window import Cooldown
from secoda_async._engine.operation import OperationCancelledError
from secoda_async._engine.wire import protocol
from secoda_async.clock import Clock, sleep
from secoda_async.errors import APIError, RateLimitError, SecodaError

T = TypeVar("T")

_FRESH: Final = 1.0
"""Seconds of waiting for a connection slot after which a permit of a shared limiter is acquired again (it is a lease),
and a precondition is checked again."""

_ROUND_TRIP: Final = 1.5
"""Seconds that a limiter may take to refuse a permit: a limiter that many processes share is asked over a network."""

_UNKNOWN_WAIT: Final = 1.0
"""Seconds of `retry_after` if the limiter can't tell: its estimate is 0 if only responses are awaited."""

_LONGEST_COOLDOWN: Final = 300.0
"""Seconds: five windows of the API's limit. If the server asks for more, the call that got the 429 raises, all others
wait or raise for so long, and then one call probes: an absurd `Retry-After` must not stop a process for a day. The
maximum is twice `RetryPolicy.max_retry_after` if that is longer, so that no waiting call is sent too early."""


class Admission:
    """Admits requests, and starts cooldowns."""

    def __init__(self, limiter: RateLimiter, *, clock: Clock, scopes: CallScopes, hooks: Hooks, window: float) -> None:
        self._limiter = limiter
        self._local = limiter if type(limiter) is SlidingWindowLimiter else None
        """The limiter, if a permit can be acquired without awaiting; a subclass may behave differently."""
        is_in_process = isinstance(limiter, SlidingWindowLimiter)
        self._lease, self._round_trip = (inf, 0.0) if is_in_process else (_FRESH, _ROUND_TRIP)
        self._clock = clock
        self._scopes = scopes
        self._hooks = hooks
        self._cooldowns = {"GET": Cooldown(window), "DELETE": Cooldown(window)}

    async def admit(self, state: CallState, slots: ConnectionLimit) -> None:
        """Wait until the request may start; then it holds a connection slot and, if rate-limited, a permit."""
        method = state.request.method
        while True:
            self._check_may_start(state)
            is_free = self._try_enter(state)
            if not is_free:
                await self._wait_to_enter(state)
            waited = 0.0
            if state.call.precondition is not None or not slots.acquire_nowait(method):
                waited = await self._wait_for_slot(state, slots)
            elif is_free:
                return  # nothing was awaited since: no cooldown can have started
            if await self._is_still_admitted(state, slots, waited):
                return

    def _check_may_start(self, state: CallState) -> None:
        """Raise if the client is closed, the deadline has passed, or the operation is cancelled."""
        if self._scopes.is_closed:
            raise client_closed_error()
        if state.call.expires_at <= self._clock.now():
            raise state.deadline_error()
        operation = state.call.operation
        if operation is not None and operation.is_cancelled and state.request.method != "GET":
            raise OperationCancelledError

    def _try_enter(self, state: CallState) -> bool:
        """Acquire a permit, or pass the cooldown, without waiting; return whether that was possible."""
        if state.request.method not in protocol.LIMITED:
            return not self._cooldowns[state.request.method].has_begun
        state.permit = None if self._local is None else self._local.acquire_nowait()
        return state.permit is not None

    async def _wait_to_enter(self, state: CallState) -> None:
        """Wait for a permit, or for the end of the cooldown."""
        if state.request.method in protocol.LIMITED:
            state.permit = await self._acquire_permit(state)
            return
        cooldown = self._cooldowns[state.request.method]
        while (seconds := cooldown.remaining(self._clock.now())) > 0:
            if seconds > state.call.options.retry.max_retry_after:
                raise _wait_error("the server asks for a pause of", seconds, "max_retry_after")
            await self.wait(state, seconds, "gate")

    async def _wait_for_slot(self, state: CallState, slots: ConnectionLimit) -> float:
        """Check the precondition and acquire a connection slot; return the permit if that fails.

        The precondition is checked again after a long wait for the slot, because what it has read is old by then. A
        wait no longer than the check is accepted: otherwise the reads of many checks, which wait in one queue with the
        writes, would never end.

        Returns:
            The seconds of the last wait for the slot.
        """
        try:
            while True:
                check_began = self._clock.now()
                if state.call.precondition is not None:
                    await state.check_precondition(state.call.precondition)
                began = self._clock.now()
                await self.run_before_deadline(state, slots.acquire(state.request.method))
                waited = self._clock.now() - began
                try:
                    self._check_may_start(state)
                except BaseException:
                    slots.release(state.request.method)
                    raise
                if state.call.precondition is None or waited <= max(_FRESH, began - check_began):
                    return waited
                slots.release(state.request.method)
        except BaseException:
            if state.permit is not None:
                await state.permit.release(sent=False)
            raise

    async def _is_still_admitted(self, state: CallState, slots: ConnectionLimit, waited: float) -> bool:
        """Return whether a request that has a slot may start now; otherwise its slot and permit are returned."""
        method = state.request.method
        permit = state.permit
        is_admitted = False
        try:
            if method in protocol.LIMITED:
                is_paused = self._limiter.state.paused > 0
            else:
                is_paused = not self._cooldowns[method].try_pass(self._clock.now())  # this request may be the probe
            if not is_paused and (permit is None or waited <= self._lease):
                is_admitted = True
            elif permit is not None:
                await permit.release(sent=False)
                state.permit = None if is_paused else await self._acquire_permit_nowait(state)
                is_admitted = state.permit is not None
        finally:
            if not is_admitted:
                slots.release(method)
        return is_admitted

    async def _acquire_permit_nowait(self, state: CallState) -> Permit | None:
        """Acquire a permit again, if the shared limiter has one immediately."""
        acquiring = self._limiter.acquire(priority=state.call.options.priority, max_wait=0.0)
        try:
            return await self._scopes.run_with_timeout(acquiring, _ROUND_TRIP)
        except (RateLimitError, TimedOutError):
            return None

    async def _acquire_permit(self, state: CallState) -> Permit:
        """Wait for a permit of the write limit, or raise immediately if the wait would be too long."""
        options = state.call.options
        left = state.call.expires_at - self._clock.now()
        patience = inf if options.max_wait is None else options.max_wait - state.waited_for_limit
        longest = min(left, patience)
        self._hooks.wait_started(state, "limit", self._limiter.time_for(1))
        acquiring = self._limiter.acquire(
            priority=options.priority,
            max_wait=None if longest == inf else longest,
            max_pause=options.retry.max_retry_after,
        )
        # The limiter enforces max_wait itself; a shared one needs a network round trip to do so.
        timeout = left if left <= patience else patience + self._round_trip
        permit: Permit | None = None
        try:
            with self._count_wait(state, "limit"):
                permit = await self._scopes.run_with_timeout(state.call.unless_cancelled(acquiring), timeout)
        except (RateLimitError, TimedOutError) as error:
            failed = self._no_permit_error(state, error, left, patience)
        except BaseException:
            if permit is not None:  # the hook raised
                await permit.release(sent=False)
            raise
        else:
            return permit
        raise failed

    def _no_permit_error(
        self, state: CallState, error: RateLimitError | TimedOutError, left: float, patience: float
    ) -> SecodaError:
        """Return the error for a permit that was refused or did not come in time: the deadline's, if it is first."""
        if isinstance(error, RateLimitError):
            wait = error.retry_after or 0.0
            is_late = wait > left
        else:
            wait = max(self._limiter.time_for(1), self._limiter.state.next_free)
            is_late = True
        wait = wait or _UNKNOWN_WAIT
        if left <= patience and is_late:
            return state.deadline_error(wait)
        options = state.call.options
        settings = [] if options.max_wait is None else ["max_wait"]
        if not settings or wait > options.retry.max_retry_after:
            settings.append("max_retry_after")
        return _wait_error("the write limit has no permit for", wait, " or ".join(settings))

    async def wait(self, state: CallState, seconds: float, reason: str, cause: str = "") -> None:
        """Sleep, or raise immediately if the deadline comes first. The log and the error name the cause."""
        if state.call.expires_at - self._clock.now() < seconds:
            raise state.deadline_error(seconds, cause)
        self._hooks.wait_started(state, reason, seconds, cause)
        sleeping: Awaitable[None] = sleep(self._clock, seconds)
        if state.request.method != "GET":
            sleeping = state.call.unless_cancelled(sleeping)
        with self._count_wait(state, reason):
            await self._scopes.run_with_timeout(sleeping, None)

    @contextmanager
    def _count_wait(self, state: CallState, reason: str) -> Generator[None, None, None]:
        """Add the time of a wait to the call's, and report it."""
        began = self._clock.now()
        try:
            yield
        finally:
            waited = self._clock.now() - began
            state.waited += waited
            if reason == "limit":
                state.waited_for_limit += waited
            self._hooks.wait_finished(state.request, reason, waited)

    async def run_before_deadline(self, state: CallState, work: Awaitable[T]) -> T:
        """Await `work`; at the deadline, cancel it and raise."""
        try:
            return await self._scopes.run_with_timeout(work, state.call.expires_at - self._clock.now())
        except TimedOutError:
            pass
        raise state.deadline_error()

    async def start_cooldown(self, state: CallState, failed: SecodaError) -> None:
        """Start a cooldown for every call of the class, not only for the one that got the 429."""
        seconds = failed.retry_after if isinstance(failed, APIError) else None
        method = state.request.method
        longest = max(_LONGEST_COOLDOWN, 2 * state.call.options.retry.max_retry_after)
        is_capped = seconds is not None and seconds > longest
        if is_capped:
            seconds = longest
        if method in protocol.LIMITED:
            await self._limiter.pause(seconds)
        else:
            self._cooldowns[method].start(seconds, self._clock.now(), is_capped=is_capped)


def _wait_error(reason: str, seconds: float, setting: str) -> RateLimitError:
    """Return the error for a wait that is longer than a setting allows."""
    return RateLimitError(
        f"{reason} about {seconds:.1f} s, longer than {setting}; retry after that time",
        retry_after=seconds,
    )
