"""A lock in Redis: one run of `apply` at a time in a workspace, on however many machines."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TypeVar
from uuid import uuid4

from secoda_async._engine.lifetime import Lifetime, TimeUpError
from secoda_async._engine.loops import Home
from secoda_async.clock import SYSTEM_CLOCK, Clock, sleep
from secoda_async.errors import ConfigurationError, LockedError, TransportError
from secoda_async.ext.redis_connection import (
    PATIENCE,
    REFUSALS,
    Lock,
    LockNotOwnedError,
    Redis,
    RedisError,
    check_address,
    check_name,
    check_seconds,
    connected,
    heeded,
    reason,
)

__all__ = ["RedisLock"]

T = TypeVar("T")

_log: Final = logging.getLogger("secoda_async")

LOOK_EVERY: Final = 0.5
"""Seconds between two looks whether the lock is free."""

LEASE: Final = 90.0
"""Seconds: three times what an attempt of a write may take by default."""

SHORTEST: Final = 1.0
"""Seconds: a shorter lease could not be renewed in time over a network."""


class RedisLock:
    """Hold a workspace, so that no other run that asks for the same `name` writes there meanwhile.

        async with RedisLock(url, name="acme") as lock:
            plan = await secoda.plan(desired)
            report = await secoda.apply(plan, stop=lock.lost)

    It is redis-py's own lock, with a lease that is renewed all along: a run that is killed holds it
    for a lease at most. When it can't be renewed, or somebody has taken it, `lost` is set, a third of the lease
    before it could be another's: `apply(stop=lock.lost)` then ends what is on the wire and writes nothing more.
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
                `timeout` of an attempt: a write that is on the wire when `lost` is set may take so long, and is to
                have ended when another run begins.
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
        self.lost = asyncio.Event()
        """Set when the lock is, or may soon be, another run's."""
        self._address, self._home = url_or_client, Home()
        self._max_wait = max_wait
        self._lease = lease
        self._clock = clock or SYSTEM_CLOCK
        self._lifetime = Lifetime(self._clock)
        self._key = f"secoda-async:{{{name}}}:lock"
        self._until = 0.0
        """When the lease ends, if it is not renewed."""
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
            held.callback(setattr, self, "_is_taken", False)  # noqa: FBT003 - setattr's value
            self._renew_event()
            redis = await self._connected(held)
            lock = redis.lock(self._key, timeout=self._lease, thread_local=False)
            token = f"{_this_run()}#{uuid4().hex}"
            held.push_async_callback(self._release, lock, token)  # though taking fails: it may have been given
            await self._take(redis, lock, token)
            held.push_async_callback(_cancelled, asyncio.create_task(self._renew(lock)))
            self._held = held.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the next one in."""
        await heeded(self._held.aclose())

    async def holder(self) -> str | None:
        """Who holds it just now: its process, its machine and since when; None when it is free.

        Raises:
            TransportError: When Redis does not answer.
            ConfigurationError: When Redis refuses the user or the command.
        """
        async with AsyncExitStack() as opened:
            redis = await self._connected(opened)
            return _named(await self._asked(redis.get(self._key)))

    def _renew_event(self) -> None:
        """Unset `lost`; on another event loop than before it must be another one."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            self.lost = asyncio.Event()
        self._loop = loop
        self.lost.clear()

    async def _connected(self, opened: AsyncExitStack) -> Redis:
        """The client to ask with; closed with the stack when it is ours."""
        redis, is_ours = connected(self._address, self._home)
        if is_ours:
            opened.push_async_callback(redis.aclose)
        return redis

    async def _take(self, redis: Redis, lock: Lock, token: str) -> None:
        began = self._clock.now()
        while True:
            asked = self._clock.now()
            given = await self._asked(lock.acquire(blocking=False, token=token))
            holder = token.encode() if given else await self._asked(redis.get(self._key))
            if holder in (token, token.encode()):  # not given, and ours: the first answer was lost on the way
                lock.local.token = token.encode()
                self._until = asked + self._lease
                return
            left = began + self._max_wait - self._clock.now()
            if left <= 0:
                raise self._locked(_named(holder))
            await sleep(self._clock, min(LOOK_EVERY, left))

    async def _renew(self, lock: Lock) -> None:
        """Keep it, for as long as that can be known; then say that it is lost."""
        why = "Redis does not answer"
        while (left := self._left()) > 0:
            await sleep(self._clock, min(self._lease / 4, left))
            asked, left = self._clock.now(), self._left()
            if left <= 0:  # at once: the machine may have slept
                break
            try:
                await self._asked(lock.reacquire(), min(PATIENCE, left))
            except LockNotOwnedError:
                why = "another run has it, or Redis has forgotten it"
                break
            except Exception as error:  # noqa: BLE001 - whatever it was, it is no answer; Redis may be back in time
                _log.warning("the lock of %r could not be renewed just now: %s", self.name, error)
            else:
                self._until = asked + self._lease
        _log.error("the lock of %r is lost (%s): nothing more is to be written", self.name, why)
        self.lost.set()

    def _left(self) -> float:
        """Seconds until a third of the lease is left: from then on nothing more is begun."""
        return self._until - self._lease / 3 - self._clock.now()

    async def _release(self, lock: Lock, token: str) -> None:
        with suppress(LockNotOwnedError, TransportError, ConfigurationError):  # then the lease lets it go
            await self._asked(lock.do_release(token.encode()))

    async def _asked(self, question: Awaitable[T], patience: float = PATIENCE) -> T:
        """Redis's answer, in time."""
        try:
            return await self._lifetime.bounded(heeded(question), patience)
        except LockNotOwnedError:
            raise
        except (RedisError, OSError, TimeUpError) as error:
            why = reason(error)
            if isinstance(error, REFUSALS):
                raise ConfigurationError(f"Redis refuses to keep the lock of {self.name!r}: {why}") from None
            failed = TransportError(f"the lock of {self.name!r} can't be reached in Redis: {why}")
        failed.maybe_sent = False
        raise failed

    def _locked(self, holder: str | None) -> LockedError:
        who = holder or "one that has just ended"
        error = LockedError(
            f"another run holds {self.name!r}: {who}. Try again when it has ended; one that was killed holds it for "
            f"{self._lease:g} s at most"
        )
        error.holder = who
        return error


def _named(holder: bytes | str | None) -> str | None:
    """Who a token is of."""
    text = holder.decode(errors="replace") if isinstance(holder, bytes) else holder
    return None if text is None else text.rpartition("#")[0] or "another program's"


def _this_run() -> str:
    """How another run names this one to its operator."""
    return f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait((task,))
