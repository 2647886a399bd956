"""A lock in Redis: one run of `apply` at a time in a workspace, on however many machines."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from math import inf
from types import TracebackType
from typing import Final, Self, TypeVar
from uuid import uuid4

from secoda_async._engine.concurrency.timeouts import CallScopes
from secoda_async.clock import Clock, SystemClock, sleep
from secoda_async.errors import ConfigurationError, LockedError, TransportError
from secoda_async.ext.redis_connection import (
    FAILURES,
    REPLY_TIMEOUT,
    Lock,
    LockNotOwnedError,
    Redis,
    Session,
    check_address,
    check_name,
    check_seconds,
    client_factory,
    failure,
    is_permanent,
    propagate_cancellation,
    reason,
)

__all__ = ["RedisLock"]

T = TypeVar("T")

_log: Final = logging.getLogger("secoda_async")

POLL_INTERVAL: Final = 0.5
"""Seconds between two attempts to take the lock, and between two checks of the lease."""

SCRIPT_TIMEOUT: Final = 3 * REPLY_TIMEOUT
"""Seconds: redis-py needs three round trips if the server does not know a script of its lock."""

LEASE: Final = 90.0
"""Seconds: three times the default timeout of an attempt."""

MIN_LEASE: Final = 1.0
"""Seconds: a shorter lease could not be renewed in time over a network."""

_boottime: Final[Callable[[], float]] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)


class _LeaseClock(SystemClock):
    """A clock that includes the time for which the machine is suspended, if the system counts it: leases run on."""

    def now(self) -> float:
        return _boottime()


class _LostEvent(asyncio.Event):
    """An event that also reads as set when the lease is nearly over, before the renewal task could run.

    After the process was stopped or the machine suspended, `is_set()` is right immediately.
    """

    def __init__(self, seconds_left: Callable[[], float]) -> None:
        super().__init__()
        self._renew_margin = seconds_left

    def is_set(self) -> bool:
        return super().is_set() or self._renew_margin() <= 0


class RedisLock:
    """A lock on a workspace: no other run that uses the same `name` writes there meanwhile.

        async with RedisLock(url, name="acme") as lock:
            plan = await secoda.plan(desired)
            report = await secoda.apply(plan, stop=lock.lost)

    The lock is redis-py's own, with a lease that is renewed while the lock is held: a run that is killed keeps others
    out for at most one lease. `lost` is set when another run has taken the lock. It is also set when the lease
    can't be renewed, a third of the lease before its end: `apply(stop=lock.lost)` then finishes the requests in flight
    and starts no others. Without this margin, two runs could write at the same time (`lease_seconds=90`)::

        time   run A                                        run B
         0 s   acquires the lock until 90 s
        22 s   renews it until 112 s
        45 s   Redis can't be reached; retries              waits for the lock
        82 s   `lost` is set; a write in flight may take
               until its timeout, at most 30 s later
       112 s   the lease ends; nothing is in flight         acquires the lock, writes

    A process that was stopped, or a machine that was suspended, can wake up after the end of its lease. No task has run
    then, so read `lost.is_set()` right before a write: it compares the lease with the clock on each call.
    """

    def __init__(
        self,
        url_or_client: "str | Redis",
        *,
        name: str,
        max_wait: float = 0.0,
        lease_seconds: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Check the settings; nothing is sent.

        Args:
            url_or_client: The URL of Redis (`redis://`, `rediss://` or `unix://`), or a client of redis-py's asyncio
                kind, which stays yours to close.
            name: The name of the lock: one for each workspace.
            max_wait: Seconds to wait for a lock that another run holds. A value of at least the lease also covers a
                run that was killed.
            lease_seconds: Seconds for which the lock outlives a run that died; None: 90 s. At least three times the
                longest `timeout` of an attempt: a write that is in flight when `lost` is set must have ended before
                another run starts.
            clock: The source of time; for tests.

        Raises:
            ConfigurationError: If a setting can't work.
        """
        check_address(url_or_client)
        check_name(name)
        check_seconds("max_wait", max_wait, least=0)
        lease = LEASE if lease_seconds is None else lease_seconds
        check_seconds("lease_seconds", lease, least=MIN_LEASE)
        self.name = name
        self.lost: asyncio.Event = _LostEvent(self._renew_margin)
        """Set when another run has the lock, or may soon have it."""
        self._client = client_factory(url_or_client)
        self._max_wait = max_wait
        self._lease = lease
        self._clock = clock or _LeaseClock()
        self._scopes = CallScopes(self._clock)
        self._key = f"secoda-async:{{{name}}}:lock"
        self._expires_at = inf
        """When the lease ends unless it is renewed; infinity while the lock is not held."""
        self._is_in_use = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._held = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Take the lock.

        Raises:
            LockedError: If another run holds the lock; `holder` describes that run.
            TransportError: If Redis does not reply.
            ConfigurationError: If Redis refuses the user or the command, or this object holds the lock already.
        """
        if self._is_in_use:
            raise ConfigurationError(f"this lock of {self.name!r} is held or being taken: make one for each run")
        self._is_in_use = True
        async with AsyncExitStack() as held:
            held.callback(self._mark_released)
            self._reset_lost()
            session = self._open_session(held)
            token = f"{_this_run()}#{uuid4().hex}"
            held.push_async_callback(self._release, session, token)  # also if acquiring fails: the reply may be lost
            await self._acquire(session, token)
            held.push_async_callback(_cancel, asyncio.create_task(self._renew(session, token)))
            self._held = held.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release the lock."""
        await propagate_cancellation(self._held.aclose())

    async def holder(self) -> str | None:
        """Describe the run that holds the lock (its process, its machine and the start); None if the lock is free.

        Raises:
            TransportError: If Redis does not reply.
            ConfigurationError: If Redis refuses the user or the command.
        """
        async with AsyncExitStack() as opened:
            session = self._open_session(opened)
            return _holder_of(await self._run(session, lambda redis: redis.get(self._key)))

    def _reset_lost(self) -> None:
        """Clear `lost`. An event belongs to one event loop, so on another loop it is replaced."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            self.lost = _LostEvent(self._renew_margin)
        self._loop = loop
        self.lost.clear()

    def _mark_released(self) -> None:
        if self._renew_margin() <= 0:
            self.lost.set()
        self._expires_at = inf
        self._is_in_use = False

    def _open_session(self, opened: AsyncExitStack) -> Session:
        session = Session(self._client(), self._scopes)
        opened.push_async_callback(session.close)
        return session

    def _lock_on(self, redis: Redis, token: str) -> Lock:
        lock = redis.lock(self._key, timeout=self._lease, thread_local=False)
        lock.local.token = token.encode()
        return lock

    async def _acquire(self, session: Session, token: str) -> None:
        began = self._clock.now()
        while True:
            sent_at = self._clock.now()
            acquired = await self._run(
                session, lambda redis: self._lock_on(redis, token).acquire(blocking=False, token=token)
            )
            holder = token if acquired else await self._run(session, lambda redis: redis.get(self._key))
            if holder in (token, token.encode()):  # redis-py sent the command twice, because the first reply was lost
                self._expires_at = sent_at + self._lease
                return
            remaining = began + self._max_wait - self._clock.now()
            if remaining <= 0:
                raise self._locked(_holder_of(holder))
            await sleep(self._clock, min(POLL_INTERVAL, remaining))

    async def _renew(self, session: Session, token: str) -> None:
        """Renew the lease until the lock is lost, or may be."""
        why = "Redis does not reply"
        while await self._sleep_until_renewal():
            sent_at, margin = self._clock.now(), self._renew_margin()
            renewal = self._run(session, lambda redis: self._lock_on(redis, token).reacquire(), SCRIPT_TIMEOUT)
            try:
                await self._scopes.run_with_timeout(renewal, margin)
            except LockNotOwnedError:
                why = "another run has it, or Redis has forgotten it"
                break
            except Exception as error:  # noqa: BLE001 - redis-py may raise anything, and the next renewal may succeed
                _log.warning("the lock of %r could not be renewed: %s", self.name, error)
            else:
                self._expires_at = sent_at + self._lease
        _log.error("the lock of %r is lost (%s): no write may start", self.name, why)
        self.lost.set()

    async def _sleep_until_renewal(self) -> bool:
        """Sleep for a quarter of the lease, in short steps that notice a suspend. False if the lock may be lost."""
        due = self._clock.now() + self._lease / 4
        while (pause := min(due - self._clock.now(), self._renew_margin())) > 0:
            await sleep(self._clock, min(pause, POLL_INTERVAL))
        return self._renew_margin() > 0

    def _renew_margin(self) -> float:
        """Return the seconds until only a third of the lease remains. From then on no write may start."""
        return self._expires_at - self._lease / 3 - self._clock.now()

    async def _release(self, session: Session, token: str) -> None:
        with suppress(LockNotOwnedError, TransportError, ConfigurationError):  # the lease ends without it
            await self._run(session, lambda redis: self._lock_on(redis, token).release(), SCRIPT_TIMEOUT)

    async def _run(
        self, session: Session, command: Callable[[Redis], Awaitable[T]], reply_timeout: float | None = None
    ) -> T:
        """Run a command in Redis, and translate its failures."""
        try:
            return await session.run(command, reply_timeout=reply_timeout)
        except LockNotOwnedError:
            raise
        except FAILURES as error:
            failed = failure(f"the lock of {self.name!r}", reason(error), is_permanent=is_permanent(error))
        raise failed

    def _locked(self, holder: str | None) -> LockedError:
        who = holder or "a run that has just ended"
        return LockedError(
            f"another run holds {self.name!r}: {who}. Retry when that run has ended; the lock of a killed run ends "
            f"after {self._lease:g} s at most",
            holder=who,
        )


def _holder_of(token: bytes | str | None) -> str | None:
    text = token.decode(errors="replace") if isinstance(token, bytes) else token
    return None if text is None else text.rpartition("#")[0] or "another program's"


def _this_run() -> str:
    """Describe this run to the operator of another one."""
    return f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait((task,))
