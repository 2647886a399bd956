"""The write limit in Redis (or Valkey), for several processes and machines that use one key; and a lock for `apply`."""

import asyncio
import contextlib
import hashlib
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import files
from math import inf
from types import TracebackType
from typing import Final, Literal, Self, cast
from uuid import uuid4

from attrs import define, field

from secoda_async._engine.concurrency.per_loop import PerLoop
from secoda_async._engine.concurrency.timeouts import CallScopes
from secoda_async._engine.limits.limiter import LimitState, Permit, SlidingWindowLimiter, wait_too_long_error
from secoda_async._engine.limits.window import SlidingWindow
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

__all__ = ["RedisLock", "RedisRateLimiter"]

_log: Final = logging.getLogger("secoda_async")

POLL_INTERVAL: Final = 1.0
"""Seconds: the longest time between two requests of the first waiter, for permits that become free early."""

RETRY_AFTER: Final = 1.0
"""Seconds before a Redis that failed is asked again."""

LEASE: Final = 30.0
"""Seconds: the default timeout of one attempt."""

MAX_PENDING: Final = 200
"""The releases that are kept for Redis while it is away: the lease covers the rest. Never less than the limit."""


@define(eq=False, repr=False)
class _WaitQueue:
    """The waiters of one event loop, of which the first asks Redis; and the session to ask with."""

    session: Session
    lock: asyncio.Lock = field(init=False, factory=asyncio.Lock)
    """Held while a command runs."""
    flush_tasks: set[asyncio.Task[None]] = field(init=False, factory=set["asyncio.Task[None]"])
    queues: dict[Priority, deque[asyncio.Event]] = field(
        init=False, factory=lambda: {"interactive": deque(), "background": deque()}
    )

    def ahead_of(self, priority: Priority) -> int:
        """Return the number of waiters that go before a new one of this priority."""
        interactive = len(self.queues["interactive"])
        return interactive if priority == "interactive" else interactive + len(self.queues["background"])

    def first(self) -> asyncio.Event | None:
        """Return the next waiter."""
        return next((waiter for queue in self.queues.values() for waiter in queue), None)

    async def close(self) -> None:
        """Cancel what runs and close the session."""
        for task in tuple(self.flush_tasks):
            task.cancel()
        await self.session.close()


@define(eq=False, repr=False)
class _SharedPermit:
    """A permit in Redis, and one in this process's own window."""

    release_shared: Callable[[bool], None]
    own: Permit

    async def release(self, *, sent: bool) -> None:
        await self.own.release(sent=sent)
        self.release_shared(sent)


class RedisRateLimiter:
    """The write limit, for all who use one `name` on one Redis: pass it as `limiter=` to each client.

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
            url_or_client: Where Redis is (`redis://`, `rediss://` or `unix://`), or a client of redis-py's asyncio
                kind, which stays yours to close.
            limit: How many writes may start in a window, by all together; the same for all of them.
            name: What the limit is of: one for each API key.
            on_unavailable: What to do when Redis does not answer: `raise` a `TransportError` (nothing was sent, so
                the call is retried first), or let each process keep the limit by itself until Redis is back. It
                starts from the permits that it last saw in Redis, and reports its own when Redis is back. Both are
                logged. A Redis that refuses us (password, permissions, a cluster) is a `ConfigurationError` with
                either.
            lease_seconds: How long the permit of a process that died stays taken, beyond the window. Not shorter
                than the longest `timeout` of an attempt. None: 30 s, the default timeout.
            clock: Where time comes from, instead of the Redis server's clock; for tests.

        Raises:
            ConfigurationError: When a setting can't work.
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
        self._lease = LEASE if lease_seconds is None else lease_seconds
        self._uses_server_clock = clock is None
        self._clock = clock or SYSTEM_CLOCK
        self._scopes = CallScopes(self._clock)
        self._wait_queues = PerLoop(partial(_wait_queue, client_factory(url_or_client), self._scopes), _WaitQueue.close)
        self._keys = [f"secoda-async:{{{name}}}:{part}" for part in ("places", "gate")]
        self._script = files("secoda_async.ext").joinpath("window.lua").read_text("utf-8")
        self._script_sha = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._lock = threading.RLock()
        self._seen = SlidingWindow(self.limit, is_known=False)
        """The window in Redis as of the last reply; and, while Redis is away, as this process continues it."""
        self._seen_at = -inf
        self._own = SlidingWindowLimiter(self.limit, clock=self._clock)
        """The window of this process alone."""
        self._own.end_slow_start()  # Redis knows the window: no slow start
        self._waiting: set[asyncio.Event] = set()
        self._in_flight: set[str] = set()
        """The tokens of this process's requests."""
        self._unreported: set[str] = set()
        """Those of them that Redis may not know."""
        self._pending_releases: dict[str, float] = {}
        """The permits whose end Redis does not know yet, and when each is free again."""
        self._pending_pause_until = -inf
        """When a cooldown ends that Redis does not know yet."""
        self._others, self._others_until = 0, -inf
        """Requests of other processes that were in flight when Redis went away, and when their permits are free."""
        self._retry_at = -inf
        self._why, self._is_refused = "", False

    @property
    def state(self) -> LimitState:
        """The limit as it was seen last, for all who share it; `queued` is of this process."""
        now = self._clock.now()
        return LimitState(
            free=self._seen.free(now),
            next_free=self._seen.time_until_available(now),
            queued=len(self._waiting),
            in_flight=self._seen.in_flight,
            paused=self._seen.cooldown.remaining(now),
        )

    def time_for(self, writes: int) -> float:
        """Seconds until the last of `writes` further writes could start, if the others make none meanwhile."""
        return self._seen.wait_for_position(len(self._waiting) + writes - 1, self._clock.now()) if writes > 0 else 0.0

    async def acquire(
        self,
        *,
        priority: Priority = "interactive",
        max_wait: float | None = None,
        max_pause: float | None = None,
    ) -> Permit:
        """Wait for a permit and take it; see `RateLimiter.acquire`.

        Raises:
            RateLimitError: When the wait, or a cooldown, would be longer than allowed.
            TransportError: When Redis does not answer, unless `on_unavailable="local"`.
            ConfigurationError: When Redis refuses the user or the command.
        """
        token = uuid4().hex
        try:
            await self._wait_in_queue(token, priority, max_wait, max_pause)
            own = await self._own.acquire(priority=priority, max_wait=max_wait, max_pause=max_pause)
        except BaseException:
            self._release(token, sent=False)  # Redis may have granted it although the reply was lost
            raise
        return _SharedPermit(partial(self._release_soon, token), own)

    async def look(self) -> LimitState:
        """Ask Redis how the limit is now, and take no permit.

        Raises:
            TransportError: When Redis does not answer, unless `on_unavailable="local"`.
            ConfigurationError: When Redis refuses the user or the command.
        """
        await self._evaluate("")
        return self.state

    async def pause(self, seconds: float | None) -> None:
        """Start a cooldown of so many seconds (None: of one window) for all, and space the calls after it."""
        await self._own.pause(seconds)
        with self._lock:
            now = self._clock.now()
            self._pending_pause_until = max(self._pending_pause_until, now + self._seen.start_cooldown(seconds, now))
        self._flush_soon()

    async def aclose(self) -> None:
        """Report to Redis what it does not know yet, and close the connections that are ours."""
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
        """Wait until the permit is granted: by Redis, or by this process while Redis is away."""
        queue = self._wait_queues.current()
        longest = inf if max_wait is None else max_wait
        if (ahead := queue.ahead_of(priority)) and (wait := self._wait_of(ahead)) > longest:
            raise wait_too_long_error(wait)
        waiter = asyncio.Event()
        queue.queues[priority].append(waiter)
        self._waiting.add(waiter)
        try:
            while True:
                if queue.first() is not waiter:
                    await waiter.wait()
                    waiter.clear()
                elif await self._evaluate(token):
                    break
                elif (pause := self._seen.cooldown.remaining(self._clock.now())) > (
                    inf if max_pause is None else max_pause
                ):
                    raise wait_too_long_error(pause)
                elif (wait := self._wait_of(0)) > longest:
                    raise wait_too_long_error(wait)
                else:
                    longest = inf  # max_wait decides about entering; a later limit is the caller's deadline
                    time_until_available = self._seen.time_until_available(
                        self._clock.now()
                    )  # `wait` does not include a slow start
                    await sleep(self._clock, min(max(wait, time_until_available), POLL_INTERVAL))
        finally:
            queue.queues[priority].remove(waiter)
            self._waiting.discard(waiter)
            if (first := queue.first()) is not None:
                first.set()

    def _wait_of(self, ahead: int) -> float:
        return self._seen.wait_for_position(ahead, self._clock.now())

    # --- releasing ---------------------------------------------------------------------------------------------

    def _release_soon(self, token: str, sent: bool) -> None:  # noqa: FBT001 - called by its permit alone
        """Release a permit without waiting: a report that fails is repeated later."""
        if token in self._in_flight:
            self._release(token, sent=sent)
            self._flush_soon()

    def _release(self, token: str, *, sent: bool) -> None:
        with self._lock:
            now = self._clock.now()
            if token in self._in_flight and self._seen.in_flight > 0:
                self._seen.release(now, sent=sent)
            self._in_flight.discard(token)
            self._unreported.discard(token)
            self._pending_releases[token] = now + self.limit.per_seconds if sent else now
            while len(self._pending_releases) > max(MAX_PENDING, self.limit.places):
                free = (old for old, free_at in self._pending_releases.items() if free_at <= now)
                del self._pending_releases[next(free, next(iter(self._pending_releases)))]

    def _flush_soon(self) -> None:
        """Report to Redis in a task: a caller that ends a request, or is cancelled, does not wait for Redis."""
        queue = self._wait_queues.current()
        task = asyncio.create_task(self._flush())
        queue.flush_tasks.add(task)
        task.add_done_callback(queue.flush_tasks.discard)

    async def _flush(self) -> None:
        """Report to Redis what it does not know. A failure is logged, and raised to the next caller of `acquire`."""
        if self._has_news() and self._clock.now() >= self._retry_at:
            with contextlib.suppress(SecodaError):
                await self._evaluate("", only_news=True)

    def _has_news(self) -> bool:
        return bool(self._pending_releases or self._unreported) or self._pending_pause_until > self._clock.now()

    # --- talking to Redis --------------------------------------------------------------------------------------

    async def _evaluate(self, token: str, *, only_news: bool = False) -> bool:
        """Report to Redis what it does not know, and ask for a permit; True when it was granted."""
        queue = self._wait_queues.current()
        async with queue.lock:
            if only_news and not self._has_news():  # a command before this one reported it
                return False
            if self._clock.now() >= self._retry_at:  # else a command before this one failed
                is_away = self._retry_at > -inf  # connecting goes on, and nobody waits for all of it
                try:
                    return await queue.session.run(
                        partial(self._exchange, token), connect_timeout=REPLY_TIMEOUT if is_away else CONNECT_TIMEOUT
                    )
                except FAILURES as error:
                    self._mark_unavailable(error)
        if self._fallback_local and not self._is_refused:
            return self._take_locally(token)
        raise failure(f"the shared write limit {self._name!r}", self._why, is_permanent=self._is_refused)

    async def _exchange(self, token: str, redis: Redis) -> bool:
        """Run the script once."""
        with self._lock:
            now = self._clock.now()
            pending, unreported = dict(self._pending_releases), set(self._unreported)
            pause_until = self._pending_pause_until
        arguments: list[str | int] = [
            "" if self._uses_server_clock else _micro(now),
            self.limit.places,
            _micro(self.limit.per_seconds),
            _micro(self._lease),
            token,
            _micro(pause_until - now) if pause_until > now else "",
        ]
        for released, free_at in pending.items():
            arguments += [released, _micro(max(0.0, free_at - now))]
        for held in unreported:
            arguments += [held, -1]
        reply = await self._run_script(redis, arguments)
        with self._lock:
            for released in pending:
                self._pending_releases.pop(released, None)
            self._unreported -= unreported
            if self._pending_pause_until == pause_until:
                self._pending_pause_until = -inf
            if reply[0] and token:
                self._in_flight.add(token)
            self._apply_reply(reply)
        return bool(reply[0])

    async def _run_script(self, redis: Redis, arguments: list[str | int]) -> list[int]:
        run = cast("Callable[..., Awaitable[list[int]]]", redis.execute_command)  # pyright: ignore[reportUnknownMemberType]
        try:
            return await run("EVALSHA", self._script_sha, len(self._keys), *self._keys, *arguments)
        except NoScriptError:  # EVAL stores it: one round trip less than SCRIPT LOAD
            return await run("EVAL", self._script, len(self._keys), *self._keys, *arguments)

    def _apply_reply(self, reply: list[int]) -> None:
        opens, spaced, since_start, *free_in = (number / 1e6 for number in (*reply[1:4], *reply[5:]))
        self._seen_at = self._clock.now()
        self._seen = SlidingWindow.from_snapshot(
            self.limit,
            self._seen_at,
            paused_for=opens,
            paced_for=spaced,
            since_start=None if since_start < 0 else since_start,
            in_flight=reply[4],
            free_in=free_in,
        )
        self._others = 0
        if self._retry_at > -inf:
            self._retry_at = -inf
            _log.info("the shared write limit %r is back", self._name)

    # --- while Redis is away -----------------------------------------------------------------------------------

    def _mark_unavailable(self, error: Exception) -> None:
        """Remember that Redis failed, and log it once."""
        self._why, self._is_refused = reason(error), is_permanent(error)
        if self._retry_at == -inf:
            if self._is_refused:
                consequence = "writes fail"
            elif self._fallback_local:
                consequence = "until it is back, this process keeps the limit by itself"
            else:
                consequence = "until it is back, writes fail"
            state = "refused" if self._is_refused else "away"
            _log.warning("the shared write limit %r is %s: %s; %s", self._name, state, self._why, consequence)
            with self._lock:
                self._unreported |= self._in_flight  # it may come back without its data
                self._others = max(0, self._seen.in_flight - len(self._in_flight))
                self._others_until = self._seen_at + self._lease + self.limit.per_seconds
        self._retry_at = self._clock.now() + RETRY_AFTER

    def _take_locally(self, token: str) -> bool:
        """Take a permit from the window as Redis knew it last; True when one was free."""
        with self._lock:
            now = self._clock.now()
            while self._others and now >= self._others_until:
                self._others -= 1
                self._seen.release(now, sent=False)
            if not token or self._seen.time_until_available(now) > 0:
                return False
            self._seen.acquire(now)
            self._in_flight.add(token)
            self._unreported.add(token)
            return True


def _wait_queue(client: Callable[[], tuple[Redis, bool]], scopes: CallScopes) -> _WaitQueue:
    """Make the wait queue of the running event loop."""
    return _WaitQueue(Session(client(), scopes))


def _micro(seconds: float) -> int:
    return round(seconds * 1e6)
