"""The only module that imports redis-py: argument checks, connections and error messages, for limiter and lock."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from math import inf, nan
from typing import Any, Final, TypeVar, cast

from secoda_async._engine.concurrency.per_loop import LoopAffinity
from secoda_async._engine.concurrency.timeouts import CallScopes, TimedOutError
from secoda_async.errors import ConfigurationError, SecodaError, TransportError

try:
    from redis.asyncio import Redis
    from redis.asyncio.connection import Connection, parse_url
    from redis.asyncio.lock import Lock
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import (
        AskError,
        AuthenticationError,
        BusyLoadingError,
        ClusterCrossSlotError,
        LockNotOwnedError,
        MasterDownError,
        NoPermissionError,
        NoScriptError,
        ReadOnlyError,
        RedisError,
        ResponseError,
    )
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        f"{_missing.name} is missing: pip install 'secoda-async[redis]' to share a limit or a lock through Redis",
        name=_missing.name,
    ) from _missing

__all__ = [
    "CONNECT_TIMEOUT",
    "FAILURES",
    "REPLY_TIMEOUT",
    "Lock",
    "LockNotOwnedError",
    "NoScriptError",
    "Redis",
    "Session",
    "check_address",
    "check_name",
    "check_seconds",
    "client_factory",
    "failure",
    "is_permanent",
    "propagate_cancellation",
    "reason",
]

T = TypeVar("T")

CONNECT_TIMEOUT: Final = 10.0
"""Seconds that connecting may take: with TLS and redis-py's handshake it is about eight round trips."""

REPLY_TIMEOUT: Final = 1.0
"""Seconds that the reply to one command may take on an open connection."""

FAILURES: Final = (RedisError, OSError, TimedOutError)
"""The exceptions of a command that failed."""

CLUSTER_ERRORS: Final = (AskError, ClusterCrossSlotError)  # a MovedError is an AskError
PERMANENT_ERRORS: Final = (AuthenticationError, NoPermissionError, *CLUSTER_ERRORS)
"""Errors that waiting does not fix."""

# Some errors can only be recognized by their text. Redis reports an error inside a script without a code word, or with
# the code word in the middle of the text, and redis-py's asyncio parser knows MOVED, ASK and MASTERDOWN from version 6.
_CLUSTER_TEXTS: Final = (" MOVED ", " ASK ", "in a cluster node", "hash to the same slot")
_PERMISSION_TEXTS: Final = ("The user executing the script", "NOPERM")
_PERMANENT_TEXTS: Final = (*_CLUSTER_TEXTS, *_PERMISSION_TEXTS, "unknown command", "WRONGTYPE")

_EXPLANATIONS: Final[tuple[tuple[tuple[type[Exception], ...], tuple[str, ...], str], ...]] = (
    (
        CLUSTER_ERRORS,
        _CLUSTER_TEXTS,
        "this Redis is part of a Redis Cluster, which is not supported ({}); use a single primary",
    ),
    (
        (NoPermissionError,),
        _PERMISSION_TEXTS,
        "the Redis user lacks a permission ({}); docs/several-machines.md lists the permissions it needs",
    ),
    (
        (ReadOnlyError,),
        ("READONLY",),
        "this Redis is a read-only replica ({}); unless a failover is in progress, use the primary's URL",
    ),
)
"""For error classes, or texts of other errors: the message for the user."""

NOT_PRIMARY_ERRORS: Final = (ReadOnlyError, MasterDownError, BusyLoadingError)
_NOT_PRIMARY_TEXTS: Final = ("READONLY", "UNBLOCKED", "MASTERDOWN")


class ConnectTimeoutError(TimedOutError):
    """Connecting took too long."""


class Session:
    """A redis-py client on one event loop that runs one command at a time, each on an open connection.

    Connecting has a longer timeout than a reply. It runs in a task of its own: if a caller gives up or is cancelled,
    the connection is completed for the next command instead of being started again.
    """

    def __init__(self, client: tuple[Redis, bool], scopes: CallScopes) -> None:
        self._redis, self._is_ours = client
        self._scopes = scopes
        self._connecting: asyncio.Task[Redis] | None = None

    async def run(
        self,
        command: Callable[[Redis], Awaitable[T]],
        *,
        connect_timeout: float | None = None,
        reply_timeout: float | None = None,
    ) -> T:
        """Run `command` with a client that has a connection reserved. A timeout of None is this module's default.

        If the server is not the primary (any more), idle connections are closed and `command` runs once more: only a
        new connection leads to the new primary. No such reply comes after a write, so nothing is done twice.

        Raises:
            RedisError, OSError, TimedOutError: If the command fails; `reason` describes the error.
        """
        timeouts = (
            CONNECT_TIMEOUT if connect_timeout is None else connect_timeout,
            REPLY_TIMEOUT if reply_timeout is None else reply_timeout,
        )
        try:
            return await self._run_once(command, *timeouts)
        except RedisError as error:
            if not _is_not_primary(error):
                raise
        return await self._run_once(command, *timeouts)

    async def close(self) -> None:
        """Stop connecting, return the reserved connection, and close the client if it is ours."""
        if (connecting := self._connecting) is not None:
            connecting.cancel()
            await asyncio.wait((connecting,))
            if _has_result(connecting):
                await connecting.result().aclose()
        if self._is_ours:
            await self._redis.aclose()

    async def _run_once(
        self, command: Callable[[Redis], Awaitable[T]], connect_timeout: float, reply_timeout: float
    ) -> T:
        redis = await self._connected(connect_timeout)
        try:
            return await self._scopes.run_with_timeout(propagate_cancellation(command(redis)), reply_timeout)
        except LockNotOwnedError:
            raise
        except FAILURES:
            await redis.aclose()
            await self._close_idle_connections()
            raise
        finally:
            await redis.aclose()  # returns the connection to the pool

    async def _connected(self, seconds: float) -> Redis:
        """Return a client that has a connection reserved."""
        connecting = self._connecting
        if connecting is None or (connecting.done() and not _has_result(connecting)):
            connecting = self._connecting = asyncio.create_task(self._connect())
        try:
            redis = await self._scopes.run_with_timeout(asyncio.shield(connecting), seconds)
        except TimedOutError:
            raise ConnectTimeoutError(f"connecting to Redis took longer than {seconds:g} s") from None
        self._connecting = None
        return redis

    async def _connect(self) -> Redis:
        redis = self._redis.client()
        return await self._scopes.run_with_timeout(propagate_cancellation(redis.initialize()), CONNECT_TIMEOUT)

    async def _close_idle_connections(self) -> None:
        with contextlib.suppress(*FAILURES):
            closing = self._redis.connection_pool.disconnect(inuse_connections=False)
            await self._scopes.run_with_timeout(propagate_cancellation(closing), REPLY_TIMEOUT)


def client_factory(url_or_client: "str | Redis") -> Callable[[], tuple[Redis, bool]]:
    """Return a function that returns the client of the running event loop, and whether it is ours to close.

    The URL stays in the closure: an attribute would show its password in `vars()`, and pickle it.
    Ours reconnects once when a connection has become stale. The function raises `ConfigurationError` when the client
    is the caller's and was used on another event loop before.
    """
    affinity = LoopAffinity()

    def client() -> tuple[Redis, bool]:
        if isinstance(url_or_client, str):
            ours = Redis.from_url(url_or_client, retry=Retry(NoBackoff(), 1))  # pyright: ignore[reportUnknownMemberType]
            return ours, True
        if not affinity.is_current():
            raise ConfigurationError("the Redis client belongs to another event loop: give a URL instead")
        return url_or_client, False

    return client


async def propagate_cancellation(work: Awaitable[T]) -> T:
    """Await redis-py, and re-raise a cancellation that its `asyncio.wait_for` swallowed.

    `wait_for` may swallow one before Python 3.12: https://github.com/python/cpython/issues/86296
    """
    task = cast("asyncio.Task[object]", asyncio.current_task())
    cancelled = task.cancelling()
    try:
        return await work
    finally:
        if task.cancelling() > cancelled:
            raise asyncio.CancelledError


def _has_result(task: "asyncio.Task[Redis]") -> bool:
    return not task.cancelled() and task.exception() is None


def is_permanent(error: Exception) -> bool:
    """Return whether waiting does not fix the error, because it concerns settings or permissions."""
    return isinstance(error, PERMANENT_ERRORS) or _mentions(error, _PERMANENT_TEXTS)


def reason(error: Exception) -> str:
    """Describe why a command failed, and what to do about it."""
    if isinstance(error, TimedOutError):
        return str(error) or "no reply in time"
    text = str(error).removesuffix(".") or type(error).__name__  # it becomes a part of a sentence
    if isinstance(error, ResponseError):
        text = f"{type(error).__name__}: {error}"  # redis-py removes the code word, such as MOVED
    for classes, texts, explanation in _EXPLANATIONS:
        if isinstance(error, classes) or _mentions(error, texts):
            return explanation.format(text)
    return text


def failure(what: str, why: str, *, is_permanent: bool) -> SecodaError:
    """Make the error for `what` (such as "the lock of 'acme'") that Redis can't keep."""
    if is_permanent:
        return ConfigurationError(f"Redis refuses to keep {what}: {why}")
    return TransportError(f"{what} can't be reached in Redis: {why}", maybe_sent=False)


def _is_not_primary(error: Exception) -> bool:
    return isinstance(error, NOT_PRIMARY_ERRORS) or _mentions(error, _NOT_PRIMARY_TEXTS)


def _mentions(error: Exception, texts: tuple[str, ...]) -> bool:
    return isinstance(error, ResponseError) and any(text in f" {error}" for text in texts)


def check_address(url_or_client: object) -> None:
    """Raise if this is not an address of a Redis server. The error does not show it: it may hold a password."""
    if isinstance(url_or_client, str):
        try:
            settings: dict[str, Any] = {**parse_url(url_or_client)}
            connection_class = settings.pop("connection_class", Connection)
            connection_class(**settings)  # checks the options; nothing is opened
        except (ValueError, TypeError, RedisError):  # the text may show the password
            raise ConfigurationError(
                "the URL of Redis must be redis://host, rediss://host or unix:///path, with options that redis-py knows"
            ) from None
    elif not isinstance(url_or_client, Redis):
        kind = type(url_or_client).__name__
        raise ConfigurationError(
            f"give the URL of Redis or a redis.asyncio.Redis, not {kind}; Redis Cluster is not supported"
        )


def check_name(name: object) -> None:
    """Raise if this can't be part of a key in Redis."""
    if not isinstance(name, str) or not name or set(name) & set("{}"):
        raise ConfigurationError(f"name must be text without braces, such as 'acme', not {name!r}")


def check_seconds(setting: str, seconds: object, *, least: float | None = None) -> None:
    """Raise unless this is a number of at least `least`, or without it greater than 0."""
    number = seconds if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) else nan
    if not (number < inf and (number > 0 if least is None else number >= least)):
        bound = "greater than 0" if least is None else f"of at least {least:g}"
        raise ConfigurationError(f"{setting} must be a number {bound}, not {seconds!r}")
