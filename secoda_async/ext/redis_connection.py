"""Where redis-py is imported, and what its users here share: the checks of their arguments, a connection."""

from math import inf
from typing import Any, Final, cast

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
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    fits = is_number and cast("float", seconds) < inf and (seconds > 0 if least is None else seconds >= least)  # type: ignore[operator]
    if not fits:
        bound = "greater than 0" if least is None else f"of at least {least:g}"
        raise ConfigurationError(f"{setting} must be a number {bound}, not {seconds!r}")
