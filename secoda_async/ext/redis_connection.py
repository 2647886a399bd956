"""Where redis-py is imported, and what its users here share: checks of their arguments, connections, its answers."""

import asyncio
from collections.abc import Awaitable
from math import inf, nan
from typing import Any, Final, TypeVar, cast

from secoda_async._engine.lifetime import TimeUpError
from secoda_async._engine.loops import Home
from secoda_async.errors import ConfigurationError

try:
    from redis.asyncio import Redis
    from redis.asyncio.connection import Connection, parse_url
    from redis.asyncio.lock import Lock
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import AuthenticationError, LockNotOwnedError, NoPermissionError, RedisError
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error.name} is missing: pip install 'secoda-async[redis]' for what is shared through Redis", name=error.name
    ) from error

__all__ = [
    "PATIENCE",
    "REFUSALS",
    "Lock",
    "LockNotOwnedError",
    "Redis",
    "RedisError",
    "check_address",
    "check_name",
    "check_seconds",
    "connected",
    "heeded",
    "reason",
]

T = TypeVar("T")

PATIENCE: Final = 1.0
"""Seconds that Redis may take for an answer."""

REFUSALS: Final = (AuthenticationError, NoPermissionError)
"""What no waiting mends."""


def connected(url_or_client: "str | Redis", home: Home) -> tuple[Redis, bool]:
    """The client to ask with on the running event loop, and whether it is ours to close.

    Ours tries once more when a connection has gone stale.

    Raises:
        ConfigurationError: When it is the caller's, and was used on another event loop before.
    """
    if isinstance(url_or_client, str):
        ours = Redis.from_url(url_or_client, retry=Retry(NoBackoff(), 1))  # pyright: ignore[reportUnknownMemberType]
        return ours, True
    if not home.is_here():
        raise ConfigurationError(
            "the Redis client belongs to another event loop: give a URL, and there is one for each loop"
        )
    return url_or_client, False


async def heeded(work: Awaitable[T]) -> T:
    """What redis-py answers; and a cancellation, which its `wait_for` may swallow before Python 3.12."""
    task = cast("asyncio.Task[object]", asyncio.current_task())
    cancelled = task.cancelling()
    try:
        return await work
    finally:
        if task.cancelling() > cancelled:
            raise asyncio.CancelledError


def reason(error: Exception) -> str:
    """Why there was no answer, in words."""
    return "no answer in time" if isinstance(error, TimeUpError) else str(error) or type(error).__name__


def check_address(url_or_client: object) -> None:
    """Refuse what leads to no Redis, without showing it: it may hold a password."""
    if isinstance(url_or_client, str):
        try:
            settings: dict[str, Any] = {**parse_url(url_or_client)}
            settings.pop("connection_class", Connection)(**settings)  # as it is made later; nothing is opened
        except (ValueError, TypeError, RedisError):  # its text may show the password
            raise ConfigurationError(
                "the URL of Redis must be redis://host, rediss://host or unix:///path, with options that redis-py knows"
            ) from None
    elif not isinstance(url_or_client, Redis):
        kind = type(url_or_client).__name__
        raise ConfigurationError(f"give the URL of Redis or a redis.asyncio.Redis, not {kind}")


def check_name(name: object) -> None:
    """Refuse what can't be part of a key in Redis."""
    if not isinstance(name, str) or not name or set(name) & set("{}"):
        raise ConfigurationError(f"name must be text without braces, such as 'acme', not {name!r}")


def check_seconds(setting: str, seconds: object, *, least: float | None = None) -> None:
    """Refuse what is no time: a number from `least` up, or without it any greater than 0."""
    number = seconds if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) else nan
    if not (number < inf and (number > 0 if least is None else number >= least)):
        bound = "greater than 0" if least is None else f"of at least {least:g}"
        raise ConfigurationError(f"{setting} must be a number {bound}, not {seconds!r}")
