"""Where redis-py is imported, and what its users here share: the checks of their arguments, a connection."""

from math import inf
from typing import Final, cast

from secoda_async.errors import ConfigurationError

try:
    from redis.asyncio import Redis
    from redis.asyncio.connection import parse_url
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
    "own_connection",
]

PATIENCE: Final = 1.0
"""Seconds that Redis may take for an answer."""

REFUSALS: Final = (AuthenticationError, NoPermissionError)
"""What no waiting mends."""


def own_connection(url: str) -> Redis:
    """A client that is ours to close, with one more try for a connection that has gone stale."""
    return Redis.from_url(url, retry=Retry(NoBackoff(), 1))  # pyright: ignore[reportUnknownMemberType]


def check_address(url_or_client: object) -> None:
    """Refuse what leads to no Redis, without showing it: it may hold a password."""
    if isinstance(url_or_client, str):
        try:
            parse_url(url_or_client)
        except ValueError:  # its text may show the password
            raise ConfigurationError("the URL of Redis must be redis://host, rediss://host or unix:///path") from None
    elif not isinstance(url_or_client, Redis):
        kind = type(url_or_client).__name__
        raise ConfigurationError(f"give the URL of Redis or a redis.asyncio.Redis, not {kind}")


def check_name(name: object) -> None:
    """Refuse what can't be part of a key in Redis."""
    if not isinstance(name, str) or not name or set(name) & set("{}"):
        raise ConfigurationError(f"name must be text without braces, such as 'acme', not {name!r}")


def check_seconds(setting: str, seconds: object, *, or_none: bool = False) -> None:
    """Refuse what is no time."""
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not (is_number and 0 <= cast("float", seconds) < inf and (or_none or seconds)):
        least = "0 or more" if or_none else "greater than 0"
        raise ConfigurationError(f"{setting} must be a number {least}, not {seconds!r}")
