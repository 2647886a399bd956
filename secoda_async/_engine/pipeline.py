"""Send one call. Read this module downward: each method handles one concern.

    send -> _send_with_call_hooks              reports the start and the end of the call
      -> _send_handling_retries                repeats a failed attempt, and decides what error the call ends with
        -> _send_handling_redirects_and_auth   follows a trailing slash, refreshes the key, reads the response
          -> _send_single_request              waits for admission, and sends one request (`wire/transport.py`)

A call holds no connection and no permit during a backoff or a cooldown.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import evolve

from secoda_async._engine.admission import Admission
from secoda_async._engine.call import Call, CallState, Scope
from secoda_async._engine.concurrency.keyed_locks import KeyedLocks, LockHandle
from secoda_async._engine.concurrency.timeouts import CallScope, CallScopes, TimedOutError
from secoda_async._engine.hooks import Hooks
from secoda_async._engine.ledger import Ledger
from secoda_async._engine.limits.limiter import RateLimiter
from secoda_async._engine.operation import OperationCancelledError
from secoda_async._engine.retries import RetryBudget, retry, starts_cooldown
from secoda_async._engine.wire import protocol
from secoda_async._engine.wire.credentials import Credentials
from secoda_async._engine.wire.decoding import LARGE
from secoda_async._engine.wire.protocol import Reply, Request
from secoda_async._engine.wire.transport import SendState, Transport
from secoda_async.clock import Clock
from secoda_async.config import ApiKeyProvider, CallOptions, Secret
from secoda_async.errors import ClientClosedError, RateLimitError, RequestTimeoutError, SecodaError

if TYPE_CHECKING:
    from secoda_async.events import CallHook, Event

T = TypeVar("T")


class Pipeline:
    """Sends the calls of a client and of its copies."""

    def __init__(
        self,
        transport: Transport,
        source: Secret | ApiKeyProvider,
        limiter: RateLimiter,
        *,
        clock: Clock,
        retry_budget: int | None,
        window: float,
        on_event: "Callable[[Event], object] | None",
    ) -> None:
        self.clock = clock
        self.limiter = limiter
        self.transport = transport
        self.scopes: CallScopes = CallScopes(clock)
        self.ledger: Ledger = Ledger(clock)
        """The recent writes of this client."""
        self._credentials = Credentials(source)
        self._budget = RetryBudget(retry_budget)
        self._locks = KeyedLocks()
        self._slashes: dict[str, bool] = {}
        """By route: whether the server wants a trailing slash."""
        self._hooks = Hooks(clock, on_event)
        self._admission = Admission(limiter, clock=clock, scopes=self.scopes, hooks=self._hooks, window=window)

    def call(self, request: Request, options: CallOptions, scope: Scope = Scope(), *, is_write: bool = False) -> Call:
        """Return a call that begins now, or that is part of what began with `scope`.

        Args:
            request: The request.
            options: The options of the call.
            scope: The operation that the call is part of.
            is_write: Whether the precondition of the scope applies.
        """
        began = self.clock.now() if scope.began is None else scope.began
        expires_at = inf if options.deadline is None else began + options.deadline
        return Call(
            request,
            options,
            began,
            expires_at,
            scope.precondition if is_write else None,
            scope.operation,
            scope.pending,
        )

    def send(self, call: Call, read: Callable[[Reply], T], *, already_gone: T | None = None) -> Coroutine[Any, Any, T]:
        """Send the request, again if that is safe and useful, and return what `read` makes of the response.

        Args:
            call: The call.
            read: Turns a 2xx response into the result, or raises `ResponseError`.
            already_gone: The result of a DELETE that finds nothing because an earlier attempt of the same call, whose
                response was lost, deleted the object.

        Raises:
            SecodaError: With the call's method, path, attempts and seconds waited.
        """
        return self.send_with_state(CallState(call, call.request), read, already_gone)

    def send_with_state(
        self, state: CallState, read: Callable[[Reply], T], already_gone: T | None = None
    ) -> Coroutine[Any, Any, T]:
        """Send a call as `send` does; afterwards its state shows what happened."""
        hook = self._hooks.call_hook
        if hook is None:
            return self._send_handling_retries(state, read, already_gone)
        return self._send_with_call_hooks(hook, state, read, already_gone)

    async def _send_with_call_hooks(
        self, hook: "CallHook", state: CallState, read: Callable[[Reply], T], already_gone: T | None
    ) -> T:
        with self._hooks.call(hook, state.request, self.transport.origin, self.limiter):
            return await self._send_handling_retries(state, read, already_gone)

    async def _send_handling_retries(self, state: CallState, read: Callable[[Reply], T], already_gone: T | None) -> T:
        call = state.call
        try:
            try:
                result = await self._send_handling_redirects_and_auth(state, read, already_gone)
            except Exception as error:  # noqa: BLE001 - every one of them is raised again
                first_failure = error
            else:
                self._budget.give_back()
                return result
            return await retry(
                first_failure,
                partial(self._send_handling_redirects_and_auth, state, read, already_gone),
                policy=call.options.retry,
                budget=self._budget,
                decide=state.decide,
                sleep=partial(self._back_off, state),
            )
        except SecodaError as error:
            final = state.attach_call_context(error)
        except OperationCancelledError:  # between two attempts
            last = state.last_failure
            if last is None or (isinstance(last, RateLimitError) and not state.is_unclear):
                raise  # nothing was executed
            final = state.attach_call_context(last)
        except asyncio.CancelledError as cancelled:
            if state.is_unclear:
                self.report_cancelled_write(state.request, cancelled)
            raise
        finally:
            if call.operation is not None:
                call.operation.attempts += state.attempts
                call.operation.waited += state.waited
        raise state.final_error(final)

    def report_cancelled_write(self, request: Request, error: asyncio.CancelledError) -> None:
        """Say in the log and in the error that a write may have been executed although its call was cancelled."""
        self._hooks.write_cancelled(request, error)

    async def _back_off(self, state: CallState, seconds: float, cause: str = "") -> None:
        if seconds > 0:
            await self._admission.wait(state, seconds, "backoff", cause)

    async def _send_handling_redirects_and_auth(
        self, state: CallState, read: Callable[[Reply], T], already_gone: T | None
    ) -> T:
        """Send one attempt; send it once more if only the trailing slash or the key was wrong."""
        while True:
            key = self._credentials.known
            if key is None:
                key = await self._await_key(state, self._credentials.key())
            reply = await self._send_single_request(state, key)
            secrets = (key, *self.transport.secrets)
            if 200 <= reply.status < 300:  # noqa: PLR2004
                if len(reply.body) > LARGE and state.may_read_in_thread(self.clock):
                    return await self._admission.run_before_deadline(
                        state, self._read_in_thread(partial(state.read, reply, secrets, read))
                    )
                return state.read(reply, secrets, read)
            reply = protocol.redact_reply(reply, *secrets)  # no error may show an echo of them
            if self._remember_trailing_slash(state, reply) or await self._refresh_credentials(state, reply, key):
                continue
            failed = protocol.error_for(state.request, reply, datetime.now(UTC))
            if state.may_have_deleted(failed):
                return cast("T", already_gone)
            state.note_failure(failed)
            if starts_cooldown(failed):
                await self._admission.start_cooldown(state, failed)
            raise failed

    async def _read_in_thread(self, read: Callable[[], T]) -> T:
        """Read one response at a time: several threads would be no faster together, and would delay the event loop.

        After a cancellation the thread still finishes its read, and the next one may overlap.
        """
        # A key for each event loop: one that is not run any more must not block the others.
        with await self._locks.acquire(f"large response {id(asyncio.get_running_loop())}"):
            return await asyncio.to_thread(read)

    def _remember_trailing_slash(self, state: CallState, reply: Reply) -> bool:
        request = state.request  # as it was sent: another call may have learned the slash meanwhile
        slash = protocol.slash_redirect(request, reply, self.transport.origin)
        if slash is None or state.has_followed_redirect:
            return False
        state.has_followed_redirect = True
        self._slashes[request.route] = slash
        return True

    def _with_known_slash(self, request: Request) -> Request:
        slash = self._slashes.get(request.route)
        if slash is None or request.path.endswith("/") is slash:
            return request
        return evolve(request, path=request.path + "/" if slash else request.path.rstrip("/"))

    async def _refresh_credentials(self, state: CallState, reply: Reply, key: Secret) -> bool:
        if reply.status != 401 or state.has_refreshed_key:  # noqa: PLR2004
            return False
        state.has_refreshed_key = True
        return await self._await_key(state, self._credentials.refresh(key))

    async def _await_key(self, state: CallState, work: Awaitable[T]) -> T:
        """Await the api_key callable for `timeout` at most, as if it were an attempt."""
        timeout = state.call.options.timeout
        if state.call.expires_at - self.clock.now() <= timeout:
            return await self._admission.run_before_deadline(state, work)
        try:
            return await self.scopes.run_with_timeout(work, timeout)
        except TimedOutError:
            pass
        raise RequestTimeoutError(
            f"the api_key callable returned no key within {timeout:g} s (timeout)", maybe_sent=False
        )

    async def _send_single_request(self, state: CallState, key: Secret) -> Reply:
        """Send one request as soon as it may start, and read the response within the attempt's timeout.

        The slot and the permit are returned afterwards.
        """
        sessions = self.transport.sessions()
        await self._admission.admit(state, sessions.limit)
        if self._slashes:
            state.request = self._with_known_slash(state.request)  # errors show the path as it was sent
        state.attempts += 1
        began = self.clock.now()
        deadline = min(began + state.call.options.timeout, state.call.expires_at)
        send_state = SendState()
        reply: Reply | None = None
        try:
            with self.scopes.until(deadline, sessions.loop) as scope:
                reply = await self.transport.exchange(sessions, state.request, key, send_state)
            if reply is None:
                raise _early_end_error(state, scope, maybe_sent=send_state.maybe_sent)
        except (SecodaError, asyncio.CancelledError) as error:
            self._hooks.attempt_finished(state, error, self.clock.now() - began)
            raise
        else:
            if self._hooks.is_active:  # not within the scope: a hook that closes the client would cancel its own task
                secrets = (key, *self.transport.secrets)
                self._hooks.attempt_finished(state, reply, self.clock.now() - began, secrets)
            return reply
        finally:
            sessions.limit.release(state.request.method)
            if send_state.maybe_sent and state.request.method != "GET":
                state.note_write(reply)
            if state.permit is not None:
                await state.permit.release(sent=send_state.maybe_sent)

    # --- for operations of several calls -----------------------------------------------------------------------

    async def lock(self, key: str, call: Call | None = None) -> LockHandle:
        """Acquire the lock of a key: `with await pipeline.lock(key):`.

        The wait ends at the deadline of `call`, and when its operation is cancelled.
        """
        return self._locks.acquire_nowait(key) or await self._wait_for_lock(key, call)

    async def _wait_for_lock(self, key: str, call: Call | None) -> LockHandle:
        acquiring = self._locks.acquire(key)
        if call is None:
            return await self.scopes.run_with_timeout(acquiring, None)
        state = CallState(call, call.request)
        try:
            return await self._admission.run_before_deadline(state, call.unless_cancelled(acquiring))
        except SecodaError as error:
            raise state.attach_call_context(error) from None

    async def pause(self, call: Call, seconds: float, cause: str = "") -> None:
        """Sleep between two requests of an operation. The log and the error name the cause.

        Raises:
            DeadlineExceededError: Immediately, when the deadline comes first.
            OperationCancelledError: When the operation is cancelled meanwhile.
        """
        await self._back_off(CallState(call, call.request), seconds, cause)


def _early_end_error(state: CallState, scope: CallScope, *, maybe_sent: bool) -> SecodaError:
    """Return the error for an attempt that the client's close, the attempt's timeout or the call's deadline ended."""
    error = scope.error()
    if isinstance(error, ClientClosedError):
        return error
    return state.timeout_error(maybe_sent=maybe_sent, is_deadline=scope.deadline == state.call.expires_at)
