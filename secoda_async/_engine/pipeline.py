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
from secoda_async._engine.call import Call, CallState, Precondition
from secoda_async._engine.concurrency.keyed_locks import KeyedLocks, LockHandle
from secoda_async._engine.concurrency.per_loop import check_event_loop
from secoda_async._engine.concurrency.timeouts import CallScopes, TimedOutError
from secoda_async._engine.hooks import Hooks
from secoda_async._engine.ledger import Ledger
from secoda_async._engine.limits.limiter import RateLimiter
from secoda_async._engine.operation import Operation, OperationCancelledError
from secoda_async._engine.retries import RetryBudget, retry
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
        self.scopes: CallScopes = CallScopes(clock)
        self.transport = transport
        self._credentials = credentials
        self._budget = RetryBudget(retry_budget)
        self.ledger: Ledger = Ledger(clock)
        """What this client has written lately."""
        self._locks = KeyedLocks()
        self._slashes: dict[str, bool] = {}
        self._hooks = Hooks(clock, on_event)
        self._admission = Admission(limiter, clock=clock, scopes=self.scopes, notices=self._hooks, window=window)

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
        hook = self._hooks.call_hook
        return self._send_handling_retries(call, read) if hook is None else self._send_with_call_hooks(hook, call, read)

    async def _send_with_call_hooks(self, hook: CallHook, call: Call, read: Callable[[Reply], T]) -> T:
        with self._hooks.call(hook, call.request, self.transport.origin, self.limiter):
            return await self._send_handling_retries(call, read)

    async def _send_handling_retries(self, call: Call, read: Callable[[Reply], T]) -> T:
        state = CallState.of(call)
        try:
            try:
                result = await self._send_handling_redirects_and_auth(state, read)
            except Exception as error:  # noqa: BLE001 - every one of them is raised again
                first = error
            else:
                self._budget.give()
                return result
            return await retry(
                first,
                partial(self._send_handling_redirects_and_auth, state, read),
                policy=call.options.retry,
                budget=self._budget,
                decide=state.decide,
                sleep=partial(self._back_off, state),
            )
        except SecodaError as error:
            final = state.placed(error)
        except OperationCancelledError:  # between two attempts
            last = state.last_failure
            if last is None or (isinstance(last, RateLimitError) and not state.is_unclear):
                raise  # nothing was executed
            final = state.placed(last)
        finally:
            if call.operation is not None:
                call.operation.attempts += state.attempts
                call.operation.waited += state.waited
        raise self._final(state, call, final)

    def _final(self, state: CallState, call: Call, error: SecodaError) -> SecodaError:
        """Return the error that a call ends with: `OutcomeUnknownError` when a write may have been executed."""
        is_post = call.request.method == "POST"
        if not state.is_unclear or isinstance(error, OutcomeUnknownError):
            return error
        if not is_post and is_refusal(error):  # the server refuses what it was sent before, too
            if call.operation is not None:
                call.operation.may_have_written = False
            return error
        if not is_post and isinstance(error, ResponseError):
            return error  # it shows what came in place of the object
        return state.placed(outcome_unknown(call.request, error))

    @asynccontextmanager
    async def lock(self, key: str, call: Call) -> AsyncGenerator[None, None]:
        """Hold a lock that calls on the same thing share.

        Waiting for it ends at the deadline of `call`, and when its operation is cancelled.
        """
        if (turn := self._locks.acquire_nowait(key)) is None:
            state = CallState.of(call)
            try:
                turn = await self._admission.in_time(state, self._turn(key, call))
            except SecodaError as error:
                raise state.placed(error) from None
        with turn:
            yield

    async def _turn(self, key: str, call: Call) -> LockHandle:
        turn = self._locks.acquire(key)
        return await (turn if call.operation is None else call.operation.run_unless_cancelled(turn))

    async def pause(self, call: Call, seconds: float) -> None:
        """Sleep between two requests of an operation.

        Raises:
            DeadlineExceededError: Immediately, when the deadline comes first.
            OperationCancelledError: When the operation is cancelled meanwhile.
        """
        if seconds > 0:
            await self._admission.wait(CallState.of(call), seconds, "backoff")

    async def _send_handling_redirects_and_auth(self, state: CallState, read: Callable[[Reply], T]) -> T:
        """One request and its answer; one more when only the trailing slash or the key was wrong."""
        while True:
            key = self._credentials.known
            if key is None:
                key = await self._asked(state, self._credentials.key())
            reply = await self._send_single_request(state, key)
            is_success = 200 <= reply.status < 300  # noqa: PLR2004
            if is_success:
                try:
                    return read(reply)
                except ResponseError:
                    pass  # and once more, without the key
            reply = protocol.scrubbed(reply, key)  # an echo of it would show in errors, and in these frames' locals
            if is_success:
                return _read(state, reply, read)
            if self._remember_trailing_slash(state, reply) or await self._refresh_credentials(state, reply, key):
                continue
            failed = protocol.failure(state.request, reply, datetime.now(UTC))
            if state.request.method == "DELETE" and state.is_unclear and protocol.is_absence(failed):
                return read(Reply(404, reply.raw_headers, b""))  # an earlier attempt deleted it
            state.note_failure(failed)
            if starts_cooldown(failed):
                await self._admission.start_cooldown(state, failed)
            raise failed

    # --- on the wire -------------------------------------------------------------------------------------------

    async def _send_single_request(self, state: CallState, key: Secret) -> Reply:
        method = state.request.method
        slots = self.transport.slots()
        await self._admission.admit(state, slots)
        wire = Wire()
        reply: Reply | None = None
        try:
            reply = await self._exchange_within_timeout(state, key, wire)
            return reply
        finally:
            slots.release(method)
            is_refused = reply is not None and 300 <= reply.status < 500  # noqa: PLR2004
            if method != "GET" and state.operation is not None and wire.maybe_sent and not is_refused:
                state.operation.may_have_written = True
            if (permit := state.permit) is not None:
                await permit.release(sent=wire.maybe_sent)

    async def _exchange_within_timeout(self, state: CallState, key: Secret, wire: Wire) -> Reply:
        request = self._with_known_slash(state.request)
        began = self.clock.now()
        left = state.left(began)
        timeout = state.options.timeout
        state.attempts += 1
        state.request = request  # errors show the path as it was sent
        failed: SecodaError
        try:
            reply = await self.scopes.run_with_timeout(
                self.transport.exchange(request, key, wire), timeout if left is None else min(timeout, left)
            )
        except TimedOutError:
            failed = state.timed_out(maybe_sent=wire.maybe_sent, is_deadline=left is not None and left <= timeout)
        except (TransportError, ClientClosedError, ConfigurationError, ResponseError) as error:
            failed = error
        except asyncio.CancelledError as cancelled:
            seconds = self.clock.now() - began
            if note := self._hooks.cut_off(request, state.attempts, seconds, maybe_sent=wire.maybe_sent):
                cancelled.add_note(note)
            raise
        else:
            self._hooks.attempt(request, state.attempts, reply.status, self.clock.now() - began, None)
            return reply
        self._hooks.attempt(request, state.attempts, None, self.clock.now() - began, failed)
        if request.method != "GET" and wire.maybe_sent:
            state.is_unclear = True
        raise failed

    def _with_known_slash(self, request: Request) -> Request:
        slash = self._slashes.get(request.route)
        if slash is None or request.path.endswith("/") is slash:
            return request
        return evolve(request, path=request.path + "/" if slash else request.path.rstrip("/"))

    def _remember_trailing_slash(self, state: CallState, reply: Reply) -> bool:
        request = state.request  # as it was sent: another call may have learned the slash meanwhile
        slash = protocol.slash_redirect(request, reply, self.transport.origin)
        if slash is None or state.has_moved:
            return False
        state.has_moved = True
        self._slashes[request.route] = slash
        return True

    async def _refresh_credentials(self, state: CallState, reply: Reply, key: Secret) -> bool:
        if reply.status != 401 or state.has_renewed:  # noqa: PLR2004
            return False
        state.has_renewed = True
        return await self._asked(state, self._credentials.renew(key))

    async def _asked(self, state: CallState, question: Awaitable[T]) -> T:
        """Await an answer of the api_key callable for `timeout` at most, as an attempt."""
        left = state.left(self.clock.now())
        timeout = state.options.timeout
        if left is not None and left <= timeout:
            return await self._admission.in_time(state, question)
        try:
            return await self.scopes.run_with_timeout(question, timeout)
        except TimedOutError:
            failed = RequestTimeoutError(f"the api_key callable gave no key within {timeout:g} s (timeout)")
        failed.maybe_sent = False
        raise failed

    async def _back_off(self, state: CallState, seconds: float) -> None:
        if seconds > 0:
            await self._admission.wait(state, seconds, "backoff")


def _read(state: CallState, reply: Reply, read: Callable[[Reply], T]) -> T:
    """Return the meaning of a 2xx; an error shows the body."""
    try:
        return read(reply)
    except ResponseError as error:
        # The answer to a DELETE has no body: an empty one is whole.
        if state.request.method == "DELETE" or not protocol.is_cut_short(reply):
            error.status, error.body = reply.status, protocol.shown(reply.body)
            state.note_failure(error)
            raise
        reason = error.message
    cut_short = TransportError(f"the answer ended early: {reason}")
    state.note_failure(cut_short)
    raise cut_short
