"""Waiting until a call may start: for the write limit, for a gate that a 429 has closed, for a place on the wire."""

from collections.abc import Awaitable
from math import inf
from typing import Final, TypeVar

from secoda_async._engine.call import CallState, refused
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
"""Seconds of waiting for a connection slot after which a permit of a shared limit is acquired anew (it expires), and a
precondition is checked again."""

_ASKING: Final = 1.5
"""Seconds that a limiter may take to answer whether it has a place: one that many processes share is asked over a
network."""

_LONGEST_COOLDOWN: Final = 300.0
"""Seconds: five windows of the API's limit. If the server asks for more, the call that got the 429 raises, all others
wait or raise for so long, and then one call probes: an absurd `Retry-After` must not stop a process for a day. It is
twice `RetryPolicy.max_retry_after` if that is more, so that no call that waits for its turn is sent too early."""


class Admission:
    """Lets calls through, and lets them wait."""

    def __init__(
        self, limiter: RateLimiter, *, clock: Clock, scopes: CallScopes, notices: Hooks, window: float
    ) -> None:
        self._limiter = limiter
        is_own = isinstance(limiter, SlidingWindowLimiter)
        self._freshness, self._asking = (inf, 0.0) if is_own else (_FRESH, _ASKING)
        self._own = limiter if type(limiter) is SlidingWindowLimiter else None
        """The limiter, when it can be asked without waiting: a subclass may do something else."""
        self._clock = clock
        self._scopes = scopes
        self._hooks = notices
        self._cooldowns = {"GET": Cooldown(window), "DELETE": Cooldown(window)}

    async def admit(self, state: CallState, slots: ConnectionLimit) -> None:
        """Wait until the call may start and has a place on the wire; both are given back when they come too late."""
        method = state.request.method
        while True:
            state.permit = permit = await self._admitted(state)
            try:
                waited = await self._take_slot(state, slots)
            except BaseException:
                if permit is not None:
                    await permit.release(sent=False)
                raise
            may_start = False
            try:
                may_start = await self._may_start_now(state, waited)
            finally:
                if not may_start:
                    slots.release(method)
            if may_start:
                return

    async def _may_start_now(self, state: CallState, waited: float) -> bool:
        """Return whether a call that has a slot may start; a permit that the wait for it made old is acquired anew."""
        permit = state.permit
        is_paused = self._is_paused(state.request.method)  # last: a probe is sent when it has passed
        if not is_paused and (permit is None or waited <= self._freshness):
            return True
        if permit is not None:
            await permit.release(sent=False)
            state.permit = None if is_paused else await self._acquire_nowait(state)
        return state.permit is not None

    async def _take_slot(self, state: CallState, slots: ConnectionLimit) -> float:
        """Check the precondition and take a connection slot.

        The precondition is checked again after a wait for the slot: what it has read is old by then.

        Returns:
            The seconds it waited for the slot.
        """
        method = state.request.method
        if state.precondition is None and slots.acquire_nowait(method):
            return 0.0
        while True:
            if state.precondition is not None:
                state.request = await state.precondition(state) or state.request
            began = self._clock.now()
            if not slots.acquire_nowait(method):
                await self.in_time(state, slots.acquire(method))
            waited = self._clock.now() - began
            try:
                self._check_may_start(state)
            except BaseException:
                slots.release(method)
                raise
            if state.precondition is None or waited <= _FRESH:
                return waited
            slots.release(method)

    async def _acquire_nowait(self, state: CallState) -> Permit | None:
        """A place in the limit, if there is one right now."""
        priority = state.options.priority
        try:
            return await self._scopes.run_with_timeout(self._limiter.acquire(priority=priority, max_wait=0.0), _ASKING)
        except (RateLimitError, TimedOutError):
            return None

    def _is_paused(self, method: str) -> bool:
        if method in protocol.LIMITED:
            return self._limiter.state.paused > 0 if self._own is None else self._own.is_paused
        return not self._cooldowns[method].try_pass(self._clock.now())

    def _check_may_start(self, state: CallState) -> None:
        """Raise when it is too late for the call: the client is closed, the deadline over, the operation stopped."""
        if self._scopes.is_closed:
            raise client_closed_error()
        if (left := state.left(self._clock.now())) is not None and left <= 0:
            raise state.too_late(None)
        if state.request.method != "GET" and state.operation is not None and state.operation.is_cancelled:
            raise OperationCancelledError

    async def _admitted(self, state: CallState) -> Permit | None:
        """Wait until the call may start: a place in the limit for a write, an open gate for the rest."""
        self._check_may_start(state)
        method = state.request.method
        if method in protocol.LIMITED:
            permit = None if self._own is None else self._own.acquire_nowait()
            return permit or await self._permitted(state)
        while (delay := self._cooldowns[method].remaining(self._clock.now())) > 0:
            if delay > state.options.retry.max_retry_after:
                raise refused(delay, "the server asked for a pause")
            await self.wait(state, delay, "gate")
        return None

    async def _permitted(self, state: CallState) -> Permit:
        """Take a place in the write limit, or say at once that it would take too long."""
        began = self._clock.now()
        options = state.options
        left = state.left(began)
        patience = None if options.max_wait is None else options.max_wait - state.waited_for_limit
        allowed = min((seconds for seconds in (left, patience) if seconds is not None), default=None)
        is_deadline = left is not None and (patience is None or left <= patience)
        self._hooks.waiting(state.request, "limit", self._limiter.time_for(1))
        place = self._limiter.acquire(
            priority=options.priority, max_wait=allowed, max_pause=options.retry.max_retry_after
        )
        if state.operation is not None:
            place = state.operation.run_unless_cancelled(place)
        # A limiter refuses by itself what takes longer than max_wait; to ask, it may need a moment of its own.
        bound = allowed if allowed is None or is_deadline else allowed + self._asking
        permit: Permit | None = None
        wait = longer = 0.0
        try:
            permit = await self._scopes.run_with_timeout(place, bound)
        except RateLimitError as error:
            wait = longer = error.retry_after or 0.0
        except TimedOutError:
            wait, longer = max(self._limiter.time_for(1), self._limiter.state.next_free), inf
        finally:
            waited = self._clock.now() - began
            state.waited += waited
            state.waited_for_limit += waited
            try:
                self._hooks.waited(state.request, "limit", waited)
            except BaseException:  # the hook's
                if permit is not None:
                    await permit.release(sent=False)
                raise
        if permit is not None:
            return permit
        if is_deadline and left is not None and longer > left:
            raise state.too_late(wait)
        raise refused(wait, "the write limit has no place")

    async def wait(self, state: CallState, seconds: float, reason: str) -> None:
        """Sleep, unless the deadline comes first: then say so at once."""
        left = state.left(self._clock.now())
        if left is not None and left < seconds:
            raise state.too_late(seconds)
        self._hooks.waiting(state.request, reason, seconds)
        began = self._clock.now()
        nap = sleep(self._clock, seconds)
        if state.request.method != "GET" and state.operation is not None:
            nap = state.operation.run_unless_cancelled(nap)
        try:
            await self._scopes.run_with_timeout(nap, None)
        finally:
            state.waited += self._clock.now() - began
            self._hooks.waited(state.request, reason, self._clock.now() - began)

    async def in_time(self, state: CallState, work: Awaitable[T]) -> T:
        """Await something that is over when the deadline is."""
        try:
            return await self._scopes.run_with_timeout(work, state.left(self._clock.now()))
        except TimedOutError:
            pass
        raise state.too_late(None)

    async def start_cooldown(self, state: CallState, failed: SecodaError) -> None:
        """Let every call of the class wait, not only the one that got the 429."""
        seconds = failed.retry_after if isinstance(failed, APIError) else None
        method = state.request.method
        longest = max(_LONGEST_COOLDOWN, 2 * state.options.retry.max_retry_after)
        is_capped = seconds is not None and seconds > longest
        if is_capped:
            seconds = longest
        if method in protocol.LIMITED:
            await self._limiter.pause(seconds)
        else:
            self._cooldowns[method].start(seconds, self._clock.now(), is_capped=is_capped)
