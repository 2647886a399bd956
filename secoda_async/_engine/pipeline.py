"""How one call is sent: admission -> transport -> protocol -> retry decision.

A call holds no connection and no permit during a backoff or a cooldown.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from attrs import evolve

from secoda_async._engine.admission import Admission
from secoda_async._engine.call import Call, Journey, Precondition
from secoda_async._engine.concurrency.keyed_locks import KeyedLocks, Turn
from secoda_async._engine.concurrency.per_loop import check_event_loop
from secoda_async._engine.concurrency.timeouts import Lifetime, TimeUpError
from secoda_async._engine.hooks import Notices
from secoda_async._engine.ledger import Ledger
from secoda_async._engine.limits.limiter import RateLimiter
from secoda_async._engine.operation import Operation, OperationCancelledError
from secoda_async._engine.retries import RetryBudget, tried_again
from secoda_async._engine.retry_table import is_refusal, outcome_unknown, starts_cooldown
from secoda_async._engine.wire import protocol
from secoda_async._engine.wire.credentials import Credentials
from secoda_async._engine.wire.protocol import Reply, Request
from secoda_async._engine.wire.transport import Transport, Wire
from secoda_async.clock import Clock
from secoda_async.config import CallOptions, Secret
from secoda_async.errors import (
    ClientClosedError,
    ConfigurationError,
    OutcomeUnknownError,
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
        self.ledger = Ledger(clock)
        """What this client has written lately."""
        self._locks = KeyedLocks()
        self._slashes: dict[str, bool] = {}
        self._notices = Notices(clock, on_event)
        self._admission = Admission(limiter, clock=clock, lifetime=self.lifetime, notices=self._notices, window=window)

    def call(
        self,
        request: Request,
        options: CallOptions,
        *,
        began: float | None = None,
        precondition: Precondition | None = None,
        operation: Operation | None = None,
    ) -> Call:
        """Return a call that begins now, or with `began` one of an operation that began before."""
        check_event_loop()
        return Call(request, options, self.clock.now() if began is None else began, precondition, operation)

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
        journey = Journey.of(call)
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
        except OperationCancelledError:  # between two attempts
            last = journey.last_failure
            if last is None or (isinstance(last, RateLimitError) and not journey.is_unclear):
                raise  # nothing was executed
            final = journey.placed(last)
        finally:
            if call.operation is not None:
                call.operation.attempts += journey.attempts
                call.operation.waited += journey.waited
        raise self._final(journey, call, final)

    def _final(self, journey: Journey, call: Call, error: SecodaError) -> SecodaError:
        """Return the error that a call ends with: `OutcomeUnknownError` when a write may have been executed."""
        is_post = call.request.method == "POST"
        if not journey.is_unclear or isinstance(error, OutcomeUnknownError):
            return error
        if not is_post and is_refusal(error):  # the server refuses what it was sent before, too
            if call.operation is not None:
                call.operation.may_have_written = False
            return error
        if not is_post and isinstance(error, ResponseError):
            return error  # it shows what came in place of the object
        return journey.placed(outcome_unknown(call.request, error))

    @asynccontextmanager
    async def lock(self, key: str, call: Call) -> AsyncGenerator[None, None]:
        """Hold a lock that calls on the same thing share.

        Waiting for it ends at the deadline of `call`, and when its operation is cancelled.
        """
        if (turn := self._locks.take(key)) is None:
            journey = Journey.of(call)
            try:
                turn = await self._admission.in_time(journey, self._turn(key, call))
            except SecodaError as error:
                raise journey.placed(error) from None
        with turn:
            yield

    async def _turn(self, key: str, call: Call) -> Turn:
        turn = self._locks.acquire(key)
        return await (turn if call.operation is None else call.operation.run_unless_cancelled(turn))

    async def pause(self, call: Call, seconds: float) -> None:
        """Sleep between two requests of an operation.

        Raises:
            DeadlineExceededError: Immediately, when the deadline comes first.
            OperationCancelledError: When the operation is cancelled meanwhile.
        """
        if seconds > 0:
            await self._admission.wait(Journey.of(call), seconds, "backoff")

    async def _attempt(self, journey: Journey, read: Callable[[Reply], T]) -> T:
        """One request and its answer; one more when only the trailing slash or the key was wrong."""
        while True:
            key = self._credentials.known
            if key is None:
                key = await self._asked(journey, self._credentials.key())
            reply = await self._send(journey, key)
            is_success = 200 <= reply.status < 300  # noqa: PLR2004
            if is_success:
                try:
                    return read(reply)
                except ResponseError:
                    pass  # and once more, without the key
            reply = protocol.scrubbed(reply, key)  # an echo of it would show in errors, and in these frames' locals
            if is_success:
                return _read(journey, reply, read)
            if self._learns_slash(journey, reply) or await self._renews_key(journey, reply, key):
                continue
            failed = protocol.failure(journey.request, reply, datetime.now(UTC))
            if journey.request.method == "DELETE" and journey.is_unclear and protocol.is_absence(failed):
                return read(Reply(404, reply.raw_headers, b""))  # an earlier attempt deleted it
            journey.note_failure(failed)
            if starts_cooldown(failed):
                await self._admission.close_gate(journey, failed)
            raise failed

    # --- on the wire -------------------------------------------------------------------------------------------

    async def _send(self, journey: Journey, key: Secret) -> Reply:
        method = journey.request.method
        slots = self.transport.slots()
        await self._admission.let_through(journey, slots)
        wire = Wire()
        reply: Reply | None = None
        try:
            reply = await self._exchange(journey, key, wire)
            return reply
        finally:
            slots.release(method)
            is_refused = reply is not None and 300 <= reply.status < 500  # noqa: PLR2004
            if method != "GET" and journey.operation is not None and wire.maybe_sent and not is_refused:
                journey.operation.may_have_written = True
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
        if request.method != "GET" and wire.maybe_sent:
            journey.is_unclear = True
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


def _read(journey: Journey, reply: Reply, read: Callable[[Reply], T]) -> T:
    """Return the meaning of a 2xx; an error shows the body."""
    try:
        return read(reply)
    except ResponseError as error:
        # The answer to a DELETE has no body: an empty one is whole.
        if journey.request.method == "DELETE" or not protocol.is_cut_short(reply):
            error.status, error.body = reply.status, protocol.shown(reply.body)
            journey.note_failure(error)
            raise
        reason = error.message
    cut_short = TransportError(f"the answer ended early: {reason}")
    journey.note_failure(cut_short)
    raise cut_short
