"""How one call travels: admission -> transport -> protocol -> retry. This is where they meet.

Nothing is held while a call sleeps: no connection, no place in the limit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from attrs import evolve

from secoda_async._engine import protocol
from secoda_async._engine.admission import Admission
from secoda_async._engine.credentials import Credentials
from secoda_async._engine.journey import SPENT, Call, Check, Journey, StoppedError
from secoda_async._engine.lifetime import Lifetime, TimeUpError
from secoda_async._engine.limits import RateLimiter
from secoda_async._engine.locks import KeyedLocks, Turn
from secoda_async._engine.loops import check_event_loop
from secoda_async._engine.notices import Notices
from secoda_async._engine.protocol import Reply, Request
from secoda_async._engine.recent import RecentIds, UnderWay
from secoda_async._engine.retry import RetryBudget, tried_again
from secoda_async._engine.retry_table import Step, next_step, outcome_unknown
from secoda_async._engine.transport import Transport, Wire
from secoda_async.clock import Clock
from secoda_async.config import CallOptions, Secret
from secoda_async.errors import (
    ClientClosedError,
    ConfigurationError,
    RateLimitError,
    RequestTimeoutError,
    ResponseError,
    SecodaError,
    TransportError,
)
from secoda_async.events import CallHook, Event

T = TypeVar("T")


class Pipeline:
    """What every call of a client, and of its copies, goes through."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        limiter: RateLimiter,
        *,
        clock: Clock,
        retry_budget: int | None,
        window: float,
        on_event: Callable[[Event], object] | None,
    ) -> None:
        self.clock = clock
        self.limiter = limiter
        self.lifetime = Lifetime(clock)
        self.transport = transport
        self._credentials = credentials
        self._budget = RetryBudget(retry_budget)
        self.created = RecentIds()
        """Groups that this client has created: not what another create's lost answer was about."""
        self.creating = UnderWay()
        """The names of groups that this client is creating just now."""
        self._locks = KeyedLocks()
        self._slashes: dict[str, bool] = {}
        self._notices = Notices(clock, on_event)
        self._admission = Admission(limiter, clock=clock, lifetime=self.lifetime, notices=self._notices, window=window)

    def call(
        self, request: Request, options: CallOptions, began: float | None = None, check: Check | None = None
    ) -> Call:
        """A call that begins now, or is part of an operation that began before."""
        check_event_loop()
        return Call(request, options, self.clock.now() if began is None else began, check)

    def send(self, call: Call, read: Callable[[Reply], T]) -> Coroutine[Any, Any, T]:
        """Send the request, again if that is safe and worth it, and return what `read` makes of the answer.

        Raises:
            SecodaError: One of its kinds, with the call's method, path, attempts and seconds waited.
        """
        hook = self._notices.call_hook
        return self._travel(call, read) if hook is None else self._watched(hook, call, read)

    async def _watched(self, hook: CallHook, call: Call, read: Callable[[Reply], T]) -> T:
        with self._notices.call(hook, call.request, self.transport.origin, self.limiter):
            return await self._travel(call, read)

    async def _travel(self, call: Call, read: Callable[[Reply], T]) -> T:
        journey = Journey(call.request, call.options, call.began, call.check)
        try:
            try:
                result = await self._attempt(journey, read)
            except Exception as error:  # noqa: BLE001 - every one of them is raised again
                first = error
            else:
                self._budget.give()
                return result
            return await tried_again(
                first,
                partial(self._attempt, journey, read),
                policy=call.options.retry,
                budget=self._budget,
                decide=journey.decide,
                sleep=partial(self._back_off, journey),
            )
        except SecodaError as error:
            final = journey.placed(error)
        except StoppedError:  # between two attempts
            last = journey.last_failure
            if last is None or (isinstance(last, RateLimitError) and not journey.is_unclear):
                raise  # nothing was tried
            final = journey.placed(last)
        finally:
            if (spent := SPENT.get()) is not None:
                spent.attempts += journey.attempts
                spent.waited += journey.waited
        if next_step(call.request.method, final) is Step.UNKNOWN:
            final = journey.placed(outcome_unknown(call.request, final))
        raise final

    async def in_turn(self, key: str, call: Call) -> Turn:
        """Take a lock that calls on the same thing share, to hold in a `with`; waiting for it ends at the deadline."""
        if (turn := self._locks.take(key)) is not None:
            return turn
        journey = Journey(call.request, call.options, call.began)
        try:
            return await self._admission.in_time(journey, self._locks.acquire(key))
        except SecodaError as error:
            raise journey.placed(error) from None

    async def pause(self, call: Call, seconds: float) -> None:
        """Sleep between two requests of an operation, unless the deadline comes first."""
        if seconds > 0:
            await self._admission.wait(Journey(call.request, call.options, call.began), seconds, "backoff")

    async def _attempt(self, journey: Journey, read: Callable[[Reply], T]) -> T:
        """One request and its answer; one more when only the trailing slash or the key was wrong."""
        while True:
            key = self._credentials.known
            if key is None:
                key = await self._asked(journey, self._credentials.key())
            reply = await self._send(journey, key)
            if reply.status < 300:  # noqa: PLR2004
                try:
                    return read(reply)
                except ResponseError:
                    pass  # and once more, without the key
            reply = protocol.scrubbed(reply, key)  # an echo of it would show in errors, and in these frames' locals
            if reply.status < 300:  # noqa: PLR2004
                return _read(reply, read)
            if self._learns_slash(journey, reply) or await self._renews_key(journey, reply, key):
                continue
            if reply.status == 404 and journey.request.method == "DELETE" and journey.is_unclear:  # noqa: PLR2004
                return read(Reply(404, reply.raw_headers, b""))  # an attempt before this one did it
            failed = protocol.failure(journey.request, reply, datetime.now(UTC))
            if next_step(journey.request.method, failed) is Step.PAUSE:
                await self._admission.close_gate(journey.request.method, failed)
            raise failed

    # --- on the wire -------------------------------------------------------------------------------------------

    async def _send(self, journey: Journey, key: Secret) -> Reply:
        method = journey.request.method
        slots = self.transport.slots()
        if not self._admission.let_through_at_once(journey, slots):
            await self._admission.let_through(journey, slots)
        wire = Wire()
        try:
            return await self._exchange(journey, key, wire)
        finally:
            slots.release(method)
            if method != "GET" and (spent := SPENT.get()) is not None:
                spent.may_have_written |= wire.maybe_sent
            if (permit := journey.permit) is not None:
                await permit.release(sent=wire.maybe_sent)

    async def _exchange(self, journey: Journey, key: Secret, wire: Wire) -> Reply:
        request = self._canonical(journey.request)
        began = self.clock.now()
        left = journey.left(began)
        timeout = journey.options.timeout
        journey.attempts += 1
        journey.request = request  # errors show the path as it was sent
        failed: SecodaError
        try:
            reply = await self.lifetime.bounded(
                self.transport.exchange(request, key, wire), timeout if left is None else min(timeout, left)
            )
        except TimeUpError:
            failed = journey.timed_out(maybe_sent=wire.maybe_sent, is_deadline=left is not None and left <= timeout)
        except (TransportError, ClientClosedError, ConfigurationError, ResponseError) as error:
            failed = error
        except asyncio.CancelledError as cancelled:
            seconds = self.clock.now() - began
            if note := self._notices.cut_off(request, journey.attempts, seconds, maybe_sent=wire.maybe_sent):
                cancelled.add_note(note)
            raise
        else:
            self._notices.attempt(request, journey.attempts, reply.status, self.clock.now() - began, None)
            return reply
        self._notices.attempt(request, journey.attempts, None, self.clock.now() - began, failed)
        if isinstance(failed, ClientClosedError) and request.method == "POST" and wire.maybe_sent:
            failed = outcome_unknown(request, failed)
        raise failed

    def _canonical(self, request: Request) -> Request:
        slash = self._slashes.get(request.route)
        if slash is None or request.path.endswith("/") is slash:
            return request
        return evolve(request, path=request.path + "/" if slash else request.path.rstrip("/"))

    def _learns_slash(self, journey: Journey, reply: Reply) -> bool:
        request = journey.request  # as it was sent: another call may have learned the slash meanwhile
        slash = protocol.slash_redirect(request, reply, self.transport.origin)
        if slash is None or journey.has_moved:
            return False
        journey.has_moved = True
        self._slashes[request.route] = slash
        return True

    async def _renews_key(self, journey: Journey, reply: Reply, key: Secret) -> bool:
        if reply.status != 401 or journey.has_renewed:  # noqa: PLR2004
            return False
        journey.has_renewed = True
        return await self._asked(journey, self._credentials.renew(key))

    async def _asked(self, journey: Journey, question: Awaitable[T]) -> T:
        """Await an answer of the api_key callable for `timeout` at most, as an attempt."""
        left = journey.left(self.clock.now())
        timeout = journey.options.timeout
        if left is not None and left <= timeout:
            return await self._admission.in_time(journey, question)
        try:
            return await self.lifetime.bounded(question, timeout)
        except TimeUpError:
            failed = RequestTimeoutError(f"the api_key callable gave no key within {timeout:g} s (timeout)")
        failed.maybe_sent = False
        raise failed

    async def _back_off(self, journey: Journey, seconds: float) -> None:
        if seconds > 0:
            await self._admission.wait(journey, seconds, "backoff")


def _read(reply: Reply, read: Callable[[Reply], T]) -> T:
    """What a 2xx says; when that is not what it should be, the error shows its body."""
    try:
        return read(reply)
    except ResponseError as error:
        if not protocol.is_cut_short(reply):
            error.status, error.body = reply.status, protocol.shown(reply.body)
            raise
        reason = error.message
    raise TransportError(f"the answer ended early: {reason}")
