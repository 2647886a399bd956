"""The write limit in Redis (or Valkey), for several processes and machines that use one key; and a lock for `apply`."""

import asyncio
import contextlib
import hashlib
import logging
from functools import partial
from importlib.resources import files
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self, cast
from uuid import uuid4

from attrs import define

from secoda_async._engine.concurrency.per_loop import PerLoop
from secoda_async._engine.concurrency.timeouts import CallScopes
from secoda_async._engine.limits.limiter import (
    LimitState,
    Permit,
    ReleaseCallback,
    SlidingWindowLimiter,
    wait_too_long_error,
)
from secoda_async.clock import SYSTEM_CLOCK, Clock, sleep
from secoda_async.config import Priority, RateLimit
from secoda_async.errors import ConfigurationError, SecodaError
from secoda_async.ext.redis_connection import (
    CONNECT_TIMEOUT,
    FAILURES,
    REPLY_TIMEOUT,
    NoScriptError,
    Redis,
    Session,
    check_address,
    check_name,
    check_seconds,
    client_factory,
    failure,
    is_permanent,
    reason,
)
from secoda_async.ext.redis_lock import RedisLock
from secoda_async.ext.redis_queue import WaitQueue
from secoda_async.ext.redis_window import RedisWindow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["RedisLock", "RedisRateLimiter"]

_log: Final = logging.getLogger("secoda_async")

POLL_INTERVAL: Final = 1.0
"""Seconds: the longest time between two requests of the first waiter, for permits that become free early."""

RETRY_AFTER: Final = 1.0
"""Seconds before Redis is used again after a failure."""

LEASE: Final = 30.0
"""Seconds: the default timeout of one attempt."""


@define(eq=False, repr=False)
class _SharedPermit:
    """A permit in Redis, and one in the window of this process."""

    release_shared: ReleaseCallback
    local: Permit

    async def release(self, *, sent: bool) -> None:
        await self.local.release(sent=sent)
        self.release_shared(sent=sent)


class RedisRateLimiter:
    """The write limit of all processes that use one `name` on one Redis: pass it as `limiter=` to each client.

    The same exact window as `SlidingWindowLimiter`: a permit is taken when a write starts and is free again one
    window after its response arrived, and a 429 that one process gets starts a cooldown for all. One Lua script
    decides, on the Redis server's clock. Within a process waiters are served in order of arrival, by priority;
    between processes in the order in which they ask. `state` and `time_for` are as of the last reply.
    """

    def __init__(
        self,
        url_or_client: "str | Redis",
        limit: RateLimit | None = None,
        *,
        name: str,
        on_unavailable: Literal["raise", "local"] = "raise",
        lease_seconds: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Check the settings; nothing is sent.

        Args:
            url_or_client: The URL of Redis (`redis://`, `rediss://` or `unix://`), or a client of redis-py's asyncio
                kind, which stays yours to close.
            limit: The number of writes that all processes together may start in a window; the same in each.
            name: The name of the limit: one for each API key.
            on_unavailable: The behavior when Redis does not reply: `raise` a `TransportError` (nothing was sent, so
                the call is retried first), or let each process keep the limit by itself until Redis is back. The
                process then starts from the permits that it last saw in Redis, and reports its own when Redis is back.
                Both are logged. If Redis refuses us (password, permissions, a cluster), a `ConfigurationError` is
                raised with either setting.
            lease_seconds: The time for which the permit of a process that died stays taken, beyond the window. Not
                shorter than the longest `timeout` of an attempt. None: 30 s, the default timeout.
            clock: The clock to use instead of the Redis server's; for tests.

        Raises:
            ConfigurationError: If a setting can't work.
        """
        self.limit: RateLimit = limit or RateLimit()
        check_address(url_or_client)
        check_name(name)
        if on_unavailable not in ("raise", "local"):
            raise ConfigurationError(f"on_unavailable must be 'raise' or 'local', not {on_unavailable!r}")
        if lease_seconds is not None:
            check_seconds("lease_seconds", lease_seconds)
        self._name = name
        self._fallback_local = on_unavailable == "local"
        self._is_server_clock = clock is None
        self._clock = clock or SYSTEM_CLOCK
        client, scopes = client_factory(url_or_client), CallScopes(self._clock)
        self._wait_queues = PerLoop(lambda: WaitQueue(Session(client(), scopes)), WaitQueue.close)
        self._keys = [f"secoda-async:{{{name}}}:{part}" for part in ("places", "gate")]
        self._script = files("secoda_async.ext").joinpath("window.lua").read_text("utf-8")
        self._script_sha = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._shared = RedisWindow(self.limit, LEASE if lease_seconds is None else lease_seconds, self._clock)
        self._local = SlidingWindowLimiter(self.limit, clock=self._clock)
        """The window of this process alone."""
        self._local.end_slow_start()  # Redis counts the permits of other processes
        self._waiting: set[asyncio.Event] = set()
        """The waiters of all event loops."""
        self._retry_at = -inf
        """When Redis may be used again; minus infinity while it is available."""
        self._why, self._is_refused = "", False

    @property
    def state(self) -> LimitState:
        """The limit of all processes, as of the last reply; `queued` is of this process."""
        now = self._clock.now()
        window = self._shared.copy
        return LimitState(
            free=window.free(now),
            next_free=window.time_until_available(now),
            queued=len(self._waiting),
            in_flight=window.in_flight,
            paused=window.cooldown.remaining(now),
        )

    def time_for(self, writes: int) -> float:
        """Return the seconds until the last of `writes` further writes could start, if other processes start none."""
        return self._shared.wait_for_position(len(self._waiting) + writes - 1) if writes > 0 else 0.0

    async def acquire(
        self,
        *,
        priority: Priority = "interactive",
        max_wait: float | None = None,
        max_pause: float | None = None,
    ) -> Permit:
        """Wait for a permit and take it; see `RateLimiter.acquire`.

        Raises:
            RateLimitError: If the wait, or a cooldown, would be longer than allowed.
            TransportError: If Redis does not reply, unless `on_unavailable="local"`.
            ConfigurationError: If Redis refuses the user or the command.
        """
        token = uuid4().hex
        try:
            await self._wait_in_queue(token, priority, max_wait, max_pause)
            local = await self._local.acquire(priority=priority, max_wait=max_wait, max_pause=max_pause)
        except BaseException:
            self._shared.release(token, sent=False)  # Redis may have granted it although the reply was lost
            raise
        return _SharedPermit(partial(self._release_soon, token), local)

    async def look(self) -> LimitState:
        """Read the state from Redis, without taking a permit.

        Raises:
            TransportError: If Redis does not reply, unless `on_unavailable="local"`.
            ConfigurationError: If Redis refuses the user or the command.
        """
        await self._evaluate("")
        return self.state

    async def pause(self, seconds: float | None) -> None:
        """Start a cooldown of `seconds` (None: of one window) for all processes; the calls after it are spaced."""
        await self._local.pause(seconds)
        self._shared.start_cooldown(seconds)
        self._flush_soon()

    async def aclose(self) -> None:
        """Report to Redis what it lacks, and close the connections that are ours."""
        await self._flush()
        await asyncio.gather(*self._wait_queues.current().flush_tasks)
        await self._wait_queues.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- waiting -----------------------------------------------------------------------------------------------

    async def _wait_in_queue(
        self, token: str, priority: Priority, max_wait: float | None, max_pause: float | None
    ) -> None:
        """Wait until the permit is granted: by Redis, or by this process while Redis is unavailable."""
        longest_wait, longest_pause = (inf if seconds is None else seconds for seconds in (max_wait, max_pause))
        queue = self._wait_queues.current()
        if (ahead := queue.count_ahead_of(priority)) and (wait := self._shared.wait_for_position(ahead)) > longest_wait:
            raise wait_too_long_error(wait)
        with queue.enter(priority) as waiter:
            self._waiting.add(waiter)
            try:
                await queue.wait_until_first(waiter)
                while not await self._evaluate(token):
                    await sleep(self._clock, self._time_until_next_try(longest_wait, longest_pause))
                    longest_wait = inf  # max_wait only bounds admission to the queue; now the deadline applies
                    await queue.wait_until_first(waiter)
            finally:
                self._waiting.discard(waiter)

    def _time_until_next_try(self, longest_wait: float, longest_pause: float) -> float:
        """Return the seconds until the first waiter uses Redis again; raise if the wait is longer than allowed."""
        now = self._clock.now()
        window = self._shared.copy
        if (pause := window.cooldown.remaining(now)) > longest_pause:
            raise wait_too_long_error(pause)
        if (wait := window.wait_for_position(0, now)) > longest_wait:
            raise wait_too_long_error(wait)
        return min(max(wait, window.time_until_available(now)), POLL_INTERVAL)  # `wait` leaves out the slow start

    # --- reporting ---------------------------------------------------------------------------------------------

    def _release_soon(self, token: str, *, sent: bool) -> None:
        """Release a permit without waiting for Redis; a report that fails is repeated later."""
        if self._shared.is_in_flight(token):
            self._shared.release(token, sent=sent)
            self._flush_soon()

    def _flush_soon(self) -> None:
        """Report to Redis in a task: a caller that ends a request, or is cancelled, does not wait for Redis."""
        queue = self._wait_queues.current()
        task = asyncio.create_task(self._flush())
        queue.flush_tasks.add(task)
        task.add_done_callback(queue.flush_tasks.discard)

    async def _flush(self) -> None:
        """Report to Redis what it lacks. A failure is logged, and raised to the next caller of `acquire`."""
        if self._shared.has_reports and self._clock.now() >= self._retry_at:
            with contextlib.suppress(SecodaError):
                await self._evaluate("", is_report_only=True)

    # --- Redis -------------------------------------------------------------------------------------------------

    async def _evaluate(self, token: str, *, is_report_only: bool = False) -> bool:
        """Report to Redis what it lacks, and ask for a permit. Returns whether it was granted."""
        queue = self._wait_queues.current()
        async with queue.lock:
            if is_report_only and not self._shared.has_reports:  # a command before this one has reported everything
                return False
            if self._clock.now() >= self._retry_at:  # fail fast: a command before this one may have failed
                # During an outage, connecting continues in the background, and callers wait for it less long.
                connect_timeout = CONNECT_TIMEOUT if self._retry_at == -inf else REPLY_TIMEOUT
                try:
                    is_granted = await queue.session.run(
                        partial(self._run_script, token), connect_timeout=connect_timeout
                    )
                except FAILURES as error:
                    self._mark_unavailable(error)
                else:
                    return is_granted
        if self._fallback_local and not self._is_refused:
            return self._shared.acquire_locally(token)
        raise failure(f"the shared write limit {self._name!r}", self._why, is_permanent=self._is_refused)

    async def _run_script(self, token: str, redis: Redis) -> bool:
        """Run the script once and apply its reply. Returns whether the permit was granted."""
        report = self._shared.report()
        arguments = self._shared.script_arguments(report, token, is_server_clock=self._is_server_clock)
        run = cast("Callable[..., Awaitable[list[int]]]", redis.execute_command)  # pyright: ignore[reportUnknownMemberType]
        try:
            reply = await run("EVALSHA", self._script_sha, len(self._keys), *self._keys, *arguments)
        except NoScriptError:  # EVAL stores the script: one round trip less than SCRIPT LOAD
            reply = await run("EVAL", self._script, len(self._keys), *self._keys, *arguments)
        is_granted = self._shared.settle(report, token, reply)
        if self._retry_at > -inf:
            self._retry_at = -inf
            _log.info("the shared write limit %r is back", self._name)
        return is_granted

    def _mark_unavailable(self, error: Exception) -> None:
        """Remember that Redis failed, and log it once per outage."""
        self._why, self._is_refused = reason(error), is_permanent(error)
        if self._retry_at == -inf:
            if self._is_refused:
                consequence = "writes fail"
            elif self._fallback_local:
                consequence = "until it is back, this process keeps the limit by itself"
            else:
                consequence = "until it is back, writes fail"
            state = "refused" if self._is_refused else "unavailable"
            _log.warning("the shared write limit %r is %s: %s; %s", self._name, state, self._why, consequence)
            self._shared.start_outage()
        self._retry_at = self._clock.now() + RETRY_AFTER
