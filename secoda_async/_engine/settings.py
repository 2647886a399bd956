"""Check the arguments of a client and the environment variables that replace them, before any I/O."""

import logging
import re
import ssl as ssl_module
from collections.abc import Mapping
from inspect import iscoroutinefunction
from typing import Final, cast

from secoda_async.config import ApiKeyProvider, RateLimit, Secret, key_problem, read_environment, safe_repr
from secoda_async.errors import ConfigurationError, InvalidArgumentError

_HEADER_NAME: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
"""Matches a token (RFC 9110, 5.6.2)."""

_HEADER_VALUE: Final = r"[ -~]*[!-~]"

_OWN: Final = "accept accept-encoding cache-control connection content-encoding content-length content-type expect host"
_OWN_HEADERS: Final = {
    **dict.fromkeys([*_OWN.split(), "te", "trailer", "transfer-encoding", "upgrade"], "the client sets it itself"),
    "authorization": "it carries the API key, so pass the key as api_key",
    "proxy-authorization": "write the proxy's user and password into HTTPS_PROXY",
}
"""The headers that can't be set, each with the reason or the way."""

_LOG_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


def key_source(api_key: object) -> Secret | ApiKeyProvider | ConfigurationError:
    """Return the checked key or its callable; or an error, for the caller to raise from a frame without the key."""
    if callable(api_key):
        return cast("ApiKeyProvider", api_key)
    if api_key is None:
        api_key = read_environment("SECODA_API_KEY")
    if api_key is None:
        return ConfigurationError("no API key: pass api_key, or set SECODA_API_KEY (made in Secoda, Settings > API)")
    problem = key_problem(api_key)
    return Secret(str(api_key).strip()) if problem is None else ConfigurationError(problem)


def extra_headers(headers: object) -> Mapping[str, Secret] | ConfigurationError:
    """Return the checked extra headers; or an error without a value, for the caller to raise as in `key_source`."""
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        return ConfigurationError(f"headers must map names to values, not {_kind(headers)}")
    checked: dict[str, Secret] = {}
    for name, value in cast("Mapping[object, object]", headers).items():
        if (problem := _header_problem(name, value)) is not None:
            return ConfigurationError(problem)
        if str(name).lower() in {known.lower() for known in checked}:
            return ConfigurationError(f"headers has {safe_repr(name)} twice, in different letter cases")
        checked[str(name)] = Secret(value)
    return checked


def _header_problem(name: object, value: object) -> str | None:
    if not isinstance(name, str) or not re.fullmatch(_HEADER_NAME, name):
        return f"headers has a name that is not the name of a header: {safe_repr(name)}"
    if (reason := _OWN_HEADERS.get(name.lower())) is not None:
        return f"headers can't set {name}: {reason}"
    if not isinstance(value, str):
        return f"the value of the header {name} must be a string, not {type(value).__name__}"
    if not re.fullmatch(_HEADER_VALUE, value):
        return f"the value of the header {name} is empty, or has a control character, a trailing space or non-ASCII"
    return None


def check_limits_and_connections(
    write_limit: object, limiter: object, max_connections: object, session: object, ssl: object
) -> None:
    """Check the limiters and the connection settings of a client.

    Raises:
        ConfigurationError: When one is of the wrong kind.
    """
    if not isinstance(write_limit, RateLimit):
        raise ConfigurationError(f"write_limit must be a RateLimit, not {_kind(write_limit)}: RateLimit(30)")
    if limiter is not None and not _has(limiter, "acquire", "pause", "time_for"):
        raise ConfigurationError(
            f"limiter must be a RateLimiter, not {_kind(limiter)}: it needs acquire, pause, time_for"
        )
    if type(max_connections) is not int or max_connections < 1:
        raise ConfigurationError(
            f"max_connections must be a whole number of at least 1, not {safe_repr(max_connections)}"
        )
    if ssl is not None and not isinstance(ssl, ssl_module.SSLContext):
        raise ConfigurationError(f"ssl must be an ssl.SSLContext, not {type(ssl).__name__}")
    if ssl is not None and session is not None:
        raise ConfigurationError("ssl belongs to the connections, and those are the session's: set it there")


def check_kind(name: str, value: object, kind: type, hint: str = "") -> None:
    """Check an argument of a call; the hint says where a right one comes from.

    Raises:
        InvalidArgumentError: When it is something else.
    """
    if not isinstance(value, kind):
        raise InvalidArgumentError(f"{name} must be of the type {kind.__name__}, not {_kind(value)}{hint}")


def check_callbacks(on_event: object, clock: object) -> None:
    """Check the callbacks of a client.

    Raises:
        ConfigurationError: When the client could not call one.
    """
    if on_event is not None and not callable(on_event):
        raise ConfigurationError(f"on_event must be a function, not {_kind(on_event)}")
    if iscoroutinefunction(on_event) or iscoroutinefunction(getattr(on_event, "__call__", None)):  # noqa: B004
        raise ConfigurationError("on_event must be a plain function, not an async one: nothing awaits it")
    if clock is not None and not _has(clock, "now", "call_later"):
        raise ConfigurationError(f"clock must be a Clock, with now and call_later, not {_kind(clock)}")


def set_up_logging() -> None:
    """Log to standard error at the level in `SECODA_LOG`, if it is set.

    A program that configures logging, before or after, keeps its handlers: then only the level of the logger changes.

    Raises:
        ConfigurationError: When the variable is not debug, info or warning.
    """
    name = read_environment("SECODA_LOG")
    if name is None:
        return
    level = _LOG_LEVELS.get(name.lower())
    if level is None:
        raise ConfigurationError(f"SECODA_LOG must be debug, info or warning, not {safe_repr(name)}")
    log = logging.getLogger("secoda_async")
    log.setLevel(level)
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        handler.addFilter(lambda _: not (log.propagate and logging.root.handlers))  # each line once
        log.addHandler(handler)


def _has(thing: object, *methods: str) -> bool:
    return not isinstance(thing, type) and all(callable(getattr(thing, name, None)) for name in methods)


def _kind(thing: object) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else type(thing).__name__
