"""The write limit in Redis (or Valkey), for several processes and machines that use one key; and a lock for `apply`."""

import asyncio
import contextlib
import logging
from collections import deque
from functools import partial
from importlib.resources import files
from math import inf
from types import TracebackType
from typing import Final, Literal, Self, cast
from uuid import uuid4

from attrs import define, field

from secoda_async._engine.lifetime import Lifetime, TimeUpError
from secoda_async._engine.limits import LimitState, Permit, SlidingWindowLimiter, too_long
from secoda_async._engine.loops import Home, PerLoop
from secoda_async._engine.window import Window
from secoda_async.clock import SYSTEM_CLOCK, Clock, sleep
from secoda_async.config import Priority, RateLimit
from secoda_async.errors import ConfigurationError, SecodaError, TransportError
from secoda_async.ext.redis_connection import (
    PATIENCE,
    REFUSALS,
    Redis,
    RedisError,
    check_address,
    check_name,
    check_seconds,
    connected,
    heeded,
    reason,
)
from secoda_async.ext.redis_lock import RedisLock

__all__ = ["RedisLock", "RedisRateLimiter"]

_log: Final = logging.getLogger("secoda_async")

LOOK_EVERY: Final = 1.0
"""Seconds: who is first in the line asks at least so often, for places that came free sooner than was known."""

AWAY_FOR: Final = 1.0
"""Seconds before a Redis that did not answer is asked again."""

LEASE: Final = 30.0
"""Seconds: the default timeout of one attempt."""

MOST_OWED: Final = 200
"""What Redis is still to be told, at most, when it comes back: the lease takes care of the rest."""


@define(eq=False, repr=False)
class _Line:
    """Those of one event loop who wait: the first of them asks Redis."""

    redis: Redis
    is_ours: bool
    telling: set[asyncio.Task[None]] = field(init=False, factory=set["asyncio.Task[None]"])
    """What Redis is being told just now."""
    queues: dict[Priority, deque[asyncio.Event]] = field(
        init=False, factory=lambda: {"interactive": deque(), "background": deque()}
    )

    def ahead_of(self, priority: Priority) -> int:
        """How many go before a newcomer of this priority."""
        interactive = len(self.queues["interactive"])
        return interactive if priority == "interactive" else interactive + len(self.queues["background"])

    def first(self) -> asyncio.Event | None:
        """Whose turn it is."""
        return next((turn for queue in self.queues.values() for turn in queue), None)

    async def close(self) -> None:
        """Close the connections that are ours."""
        for task in tuple(self.telling):
            task.cancel()
        if self.is_ours:
            await self.redis.aclose()


@define(eq=False, repr=False)
class _Place:
    """A place in Redis, and one in this process's own window."""

    limiter: "RedisRateLimiter"
    token: str
    mine: Permit

    async def release(self, *, sent: bool) -> None:
        await self.mine.release(sent=sent)
        self.limiter.give_back(self.token, sent=sent)


class RedisRateLimiter:
    """The write limit, for all who use one `name` on one Redis: pass it as `limiter=` to each client.

    The same exact window as `SlidingWindowLimiter`: a place is taken when a write starts and is free again one
    window after its answer came, and a 429 that one of them gets closes the gate for all. One Lua script decides,
    on the Redis server's clock. Within a process first come is first served, by priority; between processes
    whoever asks first. `state` and `time_for` are as of the last time Redis was asked.
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
                the call is retried first), or let each process keep the limit for itself until Redis is back, and
                log both.
            lease_seconds: How long the place of a process that died stays taken, beyond the window. Not shorter
                than the longest `timeout` of an attempt. None: 30 s, the default timeout.
            clock: Where time comes from, instead of the Redis server's clock; for tests.

        Raises:
            ConfigurationError: When a setting can't work.
        """
        self.limit = limit or RateLimit()
        check_address(url_or_client)
        check_name(name)
        if on_unavailable not in ("raise", "local"):
            raise ConfigurationError(f"on_unavailable must be 'raise' or 'local', not {on_unavailable!r}")
        if lease_seconds is not None:
            check_seconds("lease_seconds", lease_seconds)
        self._name = name
        self._goes_on_alone = on_unavailable == "local"
        self._lease = LEASE if lease_seconds is None else lease_seconds
        self._is_servers_clock = clock is None
        self._clock = clock or SYSTEM_CLOCK
        self._lifetime = Lifetime(self._clock)
        self._lines = PerLoop(partial(_line, url_or_client, Home()), _Line.close)
        self._keys = [f"secoda-async:{{{name}}}:{part}" for part in ("places", "gate")]
        self._script = files("secoda_async.ext").joinpath("window.lua").read_text("utf-8")
        self._seen = Window(self.limit)
        """The window in Redis, as it looked last."""
        self._own = SlidingWindowLimiter(self.limit, clock=self._clock)
        self._own.know()  # Redis knows the window: no slow start
        """The window of this process alone: what it goes by while Redis is away."""
        self._waiting: set[asyncio.Event] = set()
        self._owed: dict[str, float] = {}
        """What Redis is still to be told: the places that are over, and when each is free again."""
        self._away_until = -inf
        self._why, self._is_refused = "", False

    @property
    def state(self) -> LimitState:
        """The limit as it was seen last, for all who share it; `queued` is of this process."""
        if self._is_alone():
            return self._own.state
        now = self._clock.now()
        return LimitState(
            free=self._seen.free(now),
            next_free=self._seen.ready_in(now),
            queued=len(self._waiting),
            in_flight=self._seen.in_flight,
            paused=self._seen.gate.delay(now),
        )

    def time_for(self, writes: int) -> float:
        """Seconds until the last of `writes` further writes could start, if the others make none meanwhile."""
        if self._is_alone():
            return self._own.time_for(writes)
        return self._seen.wait_of(len(self._waiting) + writes - 1, self._clock.now()) if writes > 0 else 0.0

    async def acquire(
        self,
        *,
        priority: Priority = "interactive",
        max_wait: float | None = None,
        max_pause: float | None = None,
    ) -> Permit:
        """Wait for a place and take it; see `RateLimiter.acquire`.

        Raises:
            RateLimitError: When the wait, or a pause, would be longer than allowed.
            TransportError: When Redis does not answer, unless `on_unavailable="local"`.
            ConfigurationError: When Redis refuses the user or the command.
        """
        token = uuid4().hex
        try:
            if not self._is_alone():
                await self._stand_in_line(token, priority, max_wait, max_pause)
            mine = await self._own.acquire(priority=priority, max_wait=max_wait, max_pause=max_pause)
        except BaseException:
            self._owe(token, 0.0)  # it may have been given, and the answer lost
            raise
        return _Place(self, token, mine)

    async def look(self) -> LimitState:
        """Ask Redis how the limit is now, and take no place.

        Raises:
            TransportError: When Redis does not answer, unless `on_unavailable="local"`.
            ConfigurationError: When Redis refuses the user or the command.
        """
        if not self._is_alone():
            await self._ask("")
        return self.state

    async def pause(self, seconds: float | None) -> None:
        """Let nobody start for so many seconds (None: for one window), and space what comes after it."""
        await self._own.pause(seconds)
        self._tell_soon(pause=self._seen.gate.pause_of(seconds))

    def give_back(self, token: str, *, sent: bool) -> None:
        """Say that a request is over. Waits for nothing: what Redis can't be told now, it is told later."""
        self._owe(token, self._clock.now() + self.limit.per_seconds if sent else 0.0)
        self._tell_soon()

    async def aclose(self) -> None:
        """Tell Redis what it does not know yet, and close the connections that are ours."""
        if self._owed:
            await self._tell()
        line = self._lines.here()
        await asyncio.gather(*line.telling)
        await self._lines.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- waiting -----------------------------------------------------------------------------------------------

    async def _stand_in_line(
        self, token: str, priority: Priority, max_wait: float | None, max_pause: float | None
    ) -> None:
        """Wait until Redis gives the place; or until it is away, and this process goes on alone."""
        line = self._lines.here()
        patience = inf if max_wait is None else max_wait
        if (ahead := line.ahead_of(priority)) and (wait := self._wait_of(ahead)) > patience:
            raise too_long(wait)
        turn = asyncio.Event()
        line.queues[priority].append(turn)
        self._waiting.add(turn)
        try:
            while not self._is_alone():
                if line.first() is not turn:
                    await turn.wait()
                    turn.clear()
                elif await self._ask(token) or self._is_alone():
                    break
                elif (pause := self._seen.gate.delay(self._clock.now())) > (inf if max_pause is None else max_pause):
                    raise too_long(pause)
                elif (wait := self._wait_of(0)) > patience:
                    raise too_long(wait)
                else:
                    patience = inf  # who was let in may wait: a deadline is the caller's to keep
                    await sleep(self._clock, min(wait, LOOK_EVERY))
        finally:
            line.queues[priority].remove(turn)
            self._waiting.discard(turn)
            if (first := line.first()) is not None:
                first.set()

    def _wait_of(self, ahead: int) -> float:
        return self._seen.wait_of(ahead, self._clock.now())

    def _is_alone(self) -> bool:
        """Whether this process keeps the limit by itself for now."""
        return self._goes_on_alone and self._clock.now() < self._away_until

    # --- talking to Redis --------------------------------------------------------------------------------------

    def _owe(self, token: str, free_at: float) -> None:
        self._owed[token] = free_at
        while len(self._owed) > MOST_OWED:
            del self._owed[next(iter(self._owed))]

    def _tell_soon(self, *, pause: float | None = None) -> None:
        """Tell Redis in a task: who ends a request, or is cancelled, waits for the server and for nobody else."""
        line = self._lines.here()
        task = asyncio.create_task(self._tell(pause=pause))
        line.telling.add(task)
        task.add_done_callback(line.telling.discard)

    async def _tell(self, *, pause: float | None = None) -> None:
        """Ask for nothing; an answer that does not come does no harm."""
        if self._clock.now() >= self._away_until:
            with contextlib.suppress(SecodaError):  # logged; and told to whoever asks for a place next
                await self._ask("", pause=pause)

    async def _ask(self, token: str, *, pause: float | None = None) -> bool:
        """Tell Redis what it does not know yet, and ask for a place; whether it was given."""
        now = self._clock.now()
        if now < self._away_until:  # who waited behind one that failed need not find out again
            raise self._failure()
        owed = dict(self._owed)
        times = (self.limit.per_seconds, self._lease)
        arguments: list[str | int] = [
            "" if self._is_servers_clock else _micro(now),
            self.limit.places,
            *(_micro(seconds) for seconds in times),
            token,
            "" if pause is None else _micro(pause),
        ]
        for over, free_at in owed.items():
            arguments += [over, _micro(max(0.0, free_at - now))]
        try:
            answer = await self._lifetime.bounded(self._run(arguments), PATIENCE)
        except (RedisError, OSError, TimeUpError) as error:
            self._note_absence(error)
        else:
            self._learn(answer)
            for over in owed:
                self._owed.pop(over, None)
            return bool(answer[0])
        if not self._goes_on_alone:
            raise self._failure()
        return False

    async def _run(self, arguments: list[str | int]) -> list[int]:
        script = self._lines.here().redis.register_script(self._script)
        return cast("list[int]", await heeded(script(self._keys, arguments)))

    def _learn(self, answer: list[int]) -> None:
        opens, spaced, since_start, *free_in = (number / 1e6 for number in (*answer[1:4], *answer[5:]))
        self._seen = Window.seen(
            self.limit,
            self._clock.now(),
            opens_in=opens,
            spaced_for=spaced,
            since_start=None if since_start < 0 else since_start,
            in_flight=answer[4],
            free_in=free_in,
        )
        if self._away_until > -inf:
            self._away_until = -inf
            _log.info("the shared write limit %r is back", self._name)

    def _note_absence(self, error: Exception) -> None:
        """Remember that Redis is away, and say so once."""
        self._why = reason(error)
        self._is_refused = isinstance(error, REFUSALS)
        if self._away_until == -inf:
            what = "this process keeps the limit by itself" if self._goes_on_alone else "writes fail"
            _log.warning("the shared write limit %r is away: %s; until it is back, %s", self._name, self._why, what)
        self._away_until = self._clock.now() + AWAY_FOR

    def _failure(self) -> SecodaError:
        """The error for a Redis that is away."""
        if self._is_refused:
            return ConfigurationError(f"Redis refuses to keep the shared write limit {self._name!r}: {self._why}")
        failed = TransportError(f"the shared write limit {self._name!r} can't be reached: {self._why}")
        failed.maybe_sent = False
        return failed


def _line(url_or_client: "str | Redis", home: Home) -> _Line:
    """The line of the running event loop, and the connections to ask with."""
    redis, is_ours = connected(url_or_client, home)
    return _Line(redis, is_ours=is_ours)


def _micro(seconds: float) -> int:
    return round(seconds * 1e6)
