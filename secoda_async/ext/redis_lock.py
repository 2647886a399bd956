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
"""Seconds between two attempts to take the lock, and between two checks whether the lease is over."""

SCRIPT_TIMEOUT: Final = 3 * REPLY_TIMEOUT
"""Seconds: redis-py needs three round trips when the server does not know a script of its lock."""

LEASE: Final = 90.0
"""Seconds: three times what an attempt of a write may take by default."""

SHORTEST: Final = 1.0
"""Seconds: a shorter lease could not be renewed in time over a network."""

_boottime: Final[Callable[[], float]] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)


class _LeaseClock(SystemClock):
    """A clock that counts the time for which the machine is suspended, where the system does: leases go on then."""

    def now(self) -> float:
        return _boottime()


class _LostEvent(asyncio.Event):
    """An event that also reads as set when the lease is nearly over, before the renewal task could run.

    After the process was stopped or the machine suspended, `is_set()` is right immediately.
    """

    def __init__(self, seconds_left: Callable[[], float]) -> None:
        super().__init__()
        self._seconds_left = seconds_left

    def is_set(self) -> bool:
        return super().is_set() or self._seconds_left() <= 0


class RedisLock:
    """Hold a workspace, so that no other run that asks for the same `name` writes there meanwhile.

        async with RedisLock(url, name="acme") as lock:
            plan = await secoda.plan(desired)
            report = await secoda.apply(plan, stop=lock.lost)

    It is redis-py's own lock, with a lease that is renewed while it is held: a run that is killed holds it for at most
    one lease. `lost` is set when another run has taken the lock, and when it can't be renewed, a third of the lease
    before it ends: `apply(stop=lock.lost)` then finishes the requests in flight and writes nothing more. Read
    `lost.is_set()` right before a write: it also considers time for which the process or the machine was suspended.
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
            url_or_client: Where Redis is (`redis://`, `rediss://` or `unix://`), or a client of redis-py's asyncio
                kind, which stays yours to close.
            name: What is locked: one for each workspace.
            max_wait: Seconds to wait for a lock that another run holds; with as many as the lease, one that was
                killed is waited for.
            lease_seconds: How long the lock outlives a run that died; None: 90 s. At least three times the longest
                `timeout` of an attempt: a write that is in flight when `lost` is set may take so long, and must
                have ended before another run begins.
            clock: Where time comes from; for tests.

        Raises:
            ConfigurationError: When a setting can't work.
        """
        check_address(url_or_client)
        check_name(name)
        check_seconds("max_wait", max_wait, least=0)
        lease = LEASE if lease_seconds is None else lease_seconds
        check_seconds("lease_seconds", lease, least=SHORTEST)
        self.name = name
        self.lost: asyncio.Event = _LostEvent(self._seconds_left)
        """Set when the lock is, or may soon be, another run's."""
        self._client = client_factory(url_or_client)
        self._max_wait = max_wait
        self._lease = lease
        self._clock = clock or _LeaseClock()
        self._scopes = CallScopes(self._clock)
        self._key = f"secoda-async:{{{name}}}:lock"
        self._expires_at = inf
        """When the lease ends if it is not renewed; infinite while the lock is not held."""
        self._is_taken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._held = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Take the lock.

        Raises:
            LockedError: When another run holds it; `holder` says which.
            TransportError: When Redis does not answer.
            ConfigurationError: When Redis refuses the user or the command, or this object holds the lock already.
        """
        if self._is_taken:
            raise ConfigurationError(f"this lock of {self.name!r} is held or being taken: make one for each run")
        self._is_taken = True
        async with AsyncExitStack() as held:
            held.callback(self._forget)
            self._renew_event()
            session = self._open_session(held)
            token = f"{_this_run()}#{uuid4().hex}"
            held.push_async_callback(self._release, session, token)  # also if taking fails: the reply may be lost
            await self._take(session, token)
            held.push_async_callback(_cancel, asyncio.create_task(self._renew(session, token)))
            self._held = held.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the next one in."""
        await propagate_cancellation(self._held.aclose())

    async def holder(self) -> str | None:
        """Who holds it just now: its process, its machine and since when; None when it is free.

        Raises:
            TransportError: When Redis does not answer.
            ConfigurationError: When Redis refuses the user or the command.
        """
        async with AsyncExitStack() as opened:
            session = self._open_session(opened)
            return _holder_of(await self._run(session, lambda redis: redis.get(self._key)))

    def _renew_event(self) -> None:
        """Unset `lost`; on another event loop than before it must be another one."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            self.lost = _LostEvent(self._seconds_left)
        self._loop = loop
        self.lost.clear()

    def _forget(self) -> None:
        """Note that the lock is not held any more."""
        if self._seconds_left() <= 0:
            self.lost.set()
        self._expires_at = inf
        self._is_taken = False

    def _open_session(self, opened: AsyncExitStack) -> Session:
        session = Session(self._client(), self._scopes)
        opened.push_async_callback(session.close)
        return session

    def _lock_on(self, redis: Redis, token: str) -> Lock:
        lock = redis.lock(self._key, timeout=self._lease, thread_local=False)
        lock.local.token = token.encode()
        return lock

    async def _take(self, session: Session, token: str) -> None:
        began = self._clock.now()
        while True:
            asked_at = self._clock.now()
            acquired = await self._run(
                session, lambda redis: self._lock_on(redis, token).acquire(blocking=False, token=token)
            )
            holder = token if acquired else await self._run(session, lambda redis: redis.get(self._key))
            if holder in (token, token.encode()):  # not acquired, and ours: the first reply was lost
                self._expires_at = asked_at + self._lease
                return
            left = began + self._max_wait - self._clock.now()
            if left <= 0:
                raise self._locked(_holder_of(holder))
            await sleep(self._clock, min(POLL_INTERVAL, left))

    async def _renew(self, session: Session, token: str) -> None:
        """Renew the lease until the lock is lost or may be."""
        why = "Redis does not answer"
        while await self._sleep_until_renewal():
            asked_at, left = self._clock.now(), self._seconds_left()
            renewal = self._run(session, lambda redis: self._lock_on(redis, token).reacquire(), SCRIPT_TIMEOUT)
            try:
                await self._scopes.run_with_timeout(renewal, left)
            except LockNotOwnedError:
                why = "another run has it, or Redis has forgotten it"
                break
            except Exception as error:  # noqa: BLE001 - whatever it was, Redis may be back in time
                _log.warning("the lock of %r could not be renewed just now: %s", self.name, error)
            else:
                self._expires_at = asked_at + self._lease
        _log.error("the lock of %r is lost (%s): nothing more is to be written", self.name, why)
        self.lost.set()

    async def _sleep_until_renewal(self) -> bool:
        """Sleep for a quarter of the lease, in short steps to notice a suspend; False when the lock may be lost."""
        due = self._clock.now() + self._lease / 4
        while (left := min(due - self._clock.now(), self._seconds_left())) > 0:
            await sleep(self._clock, min(left, POLL_INTERVAL))
        return self._seconds_left() > 0

    def _seconds_left(self) -> float:
        """Return the seconds until only a third of the lease is left: then no write may start any more."""
        return self._expires_at - self._lease / 3 - self._clock.now()

    async def _release(self, session: Session, token: str) -> None:
        with suppress(LockNotOwnedError, TransportError, ConfigurationError):  # the lease ends by itself
            await self._run(session, lambda redis: self._lock_on(redis, token).release(), SCRIPT_TIMEOUT)

    async def _run(
        self, session: Session, command: Callable[[Redis], Awaitable[T]], reply_timeout: float = REPLY_TIMEOUT
    ) -> T:
        """Run a command in Redis; its failures are errors of this package."""
        try:
            return await session.run(command, reply_timeout=reply_timeout)
        except LockNotOwnedError:
            raise
        except FAILURES as error:
            failed = failure(f"the lock of {self.name!r}", reason(error), is_permanent=is_permanent(error))
        raise failed

    def _locked(self, holder: str | None) -> LockedError:
        who = holder or "one that has just ended"
        error = LockedError(
            f"another run holds {self.name!r}: {who}. Try again when it has ended; one that was killed holds it for "
            f"{self._lease:g} s at most"
        )
        error.holder = who
        return error


def _holder_of(token: bytes | str | None) -> str | None:
    """Return the run that a token names."""
    text = token.decode(errors="replace") if isinstance(token, bytes) else token
    return None if text is None else text.rpartition("#")[0] or "another program's"


def _this_run() -> str:
    """Describe this run to the operator of another one."""
    return f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait((task,))
