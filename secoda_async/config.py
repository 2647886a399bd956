"""The settings of a client: frozen, and checked once, before any I/O."""

import enum
import ipaddress
import math
import os
import re
import sys
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any, Final, Literal, SupportsIndex
from urllib.parse import SplitResult, urlsplit

from attrs import Attribute, field, frozen

from secoda_async.errors import ConfigurationError

__all__ = [
    "API_PREFIX",
    "CallOptions",
    "Priority",
    "RateLimit",
    "Region",
    "RetryPolicy",
    "Secret",
    "origin_of",
]

API_PREFIX: Final = "/api/v1"
"""The path of the API on every host (documented)."""

Priority = Literal["interactive", "background"]
"""Interactive writes go before background writes that wait for the same limit."""

ApiKeyProvider = Callable[[], Awaitable[str]]
"""An async callable that returns the key; it is called again once after a 401."""


class Region(enum.StrEnum):
    """The regions in which Secoda hosts workspaces (documented)."""

    US = "us"
    EU = "eu"
    APAC = "apac"

    @property
    def origin(self) -> str:
        """The scheme and host of the region's API."""
        return _ORIGINS[self]


_ORIGINS: Final = {
    Region.US: "https://api.secoda.co",
    Region.EU: "https://eapi.secoda.co",
    Region.APAC: "https://aapi.secoda.co",
}


class Secret(str):
    """A string whose repr is `***`: in logs of headers, in tracebacks with locals."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __getitem__(self, index: SupportsIndex | slice) -> "Secret":
        return Secret(super().__getitem__(index))  # rich shows slices of long strings


_SHOWN_UP_TO: Final = 16
"""Characters: every key is longer."""


def safe_repr(value: object) -> str:
    """Return a wrong argument for an error message; a long string may be a misplaced key, so it is not shown."""
    if value is None or isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < sys.maxsize):
        return repr(value)
    if isinstance(value, str):
        return repr(value) if len(value) <= _SHOWN_UP_TO else f"a string of {len(value)} characters"
    return f"a value of type {type(value).__name__}"


def _number(
    *, least: float = 0.0, exclusive: bool = False, whole: bool = False, optional: bool = False
) -> Callable[[Any, "Attribute[Any]", Any], None]:
    """Return a validator for a finite number (with `whole`, an integer) of at least `least`."""

    def check(owner: object, attribute: "Attribute[Any]", value: object) -> None:
        if value is None and optional:
            return
        kinds = (int,) if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not abs(value) <= sys.float_info.max:
            fits = False  # also nan, and integers above the range of floats
        else:
            fits = value > least if exclusive else value >= least
        if not fits:
            kind = "a whole number" if whole else "a number"
            bound = f"greater than {least:g}" if exclusive else f"of at least {least:g}"
            none = ", or None" if optional else ""
            name = "" if isinstance(owner, CallOptions) else f"{type(owner).__name__}: "
            raise ConfigurationError(f"{name}{attribute.name} must be {kind} {bound}{none}, not {safe_repr(value)}")

    return check


def _at_most_one(_: object, attribute: "Attribute[Any]", value: float) -> None:
    if value > 1:
        raise ConfigurationError(f"RateLimit: {attribute.name} must be at most 1, not {value!r}")


@frozen
class RetryPolicy:
    """The number of attempts of a call and the length of its backoffs. `attempts=1` turns retries off."""

    attempts: int = field(default=5, validator=_number(least=1, whole=True), kw_only=True)
    """The most requests of one call, the first included."""
    initial: float = field(default=0.5, validator=_number(), kw_only=True)
    """Seconds: the first backoff is random between 0 and this value, and the maximum doubles with each attempt."""
    maximum: float = field(default=30.0, validator=_number(), kw_only=True)
    """Seconds: the longest backoff, unless the server asks for a longer wait."""
    max_retry_after: float = field(default=120.0, validator=_number(), kw_only=True)
    """Seconds: if the server asks for a longer wait, the call raises immediately."""
    budget: int | None = field(default=100, validator=_number(whole=True, optional=True), kw_only=True)
    """The retry budget of a client: each retry (except after a 429) takes one, each success gives one back.

    With an empty budget, failures raise immediately, so that an outage causes no retry storm. None: no budget.
    """


@frozen(slots=False)  # a cached property needs no generated code then
class RateLimit:
    """A number of calls in any window of `per_seconds`. The API's documented limit for writes is 30 in 60."""

    calls: int = field(default=30, validator=_number(least=1, whole=True))
    """Calls that the server allows in one window."""
    per_seconds: float = field(default=60.0, validator=_number(exclusive=True), kw_only=True)
    """The length of the window in seconds."""
    share: float = field(default=1.0, validator=[_number(exclusive=True), _at_most_one], kw_only=True)
    """The fraction of the calls to use, above 0 and up to 1: 0.5 leaves half of them to other programs."""

    @cached_property
    def places(self) -> int:
        """The calls that this client may make in a window: at least one."""
        return max(1, math.floor(self.calls * self.share + 1e-9))  # 0.29 * 100 is 28.999...


def _policy(_: object, __: object, value: object) -> None:
    if not isinstance(value, RetryPolicy):
        raise ConfigurationError(f"retry must be a RetryPolicy, not {type(value).__name__}: RetryPolicy(attempts=3)")


def _priority(_: object, __: object, value: object) -> None:
    if value not in ("interactive", "background"):
        raise ConfigurationError(f"priority must be 'interactive' or 'background', not {safe_repr(value)}")


@frozen(eq=False, repr=False, kw_only=True)
class CallOptions:
    """The options of a call, which `SecodaClient.with_options` changes for a copy of the client."""

    timeout: float = field(default=30.0, validator=_number(exclusive=True))
    """Seconds for one attempt; waits in the client's own queues are not counted."""
    deadline: float | None = field(default=None, validator=_number(exclusive=True, optional=True))
    """Seconds for the whole call, with every wait."""
    max_wait: float | None = field(default=None, validator=_number(optional=True))
    """Seconds that a write may wait for the write limit; a longer wait raises immediately, with 0 any wait."""
    retry: RetryPolicy = field(factory=RetryPolicy, validator=_policy)
    """The retry policy."""
    priority: Priority = field(default="interactive", validator=_priority)
    """The order at the write limit: interactive before background."""


def read_environment(name: str) -> str | None:
    """Return an environment variable; None if it is unset or blank."""
    return os.environ.get(name, "").strip() or None


def key_problem(key: object) -> str | None:
    """Return what is wrong with an API key, without showing it; None for a key that can be sent."""
    if not isinstance(key, str):
        return f"the API key must be a string or an async callable, not {type(key).__name__}"
    if not key.strip():
        return "the API key is empty"
    if key.strip().lower().startswith("bearer "):
        return "the API key starts with 'Bearer': pass the key alone"
    if not all(" " < character < "\x7f" for character in key.strip()):
        return "the API key has a character inside that no key has (white space, a control character or non-ASCII)"
    return None


def origin_of(base_url: str | None, region: Region | str | None) -> str:
    """Return the scheme, host and port of the API, from the arguments or else from the environment.

    Raises:
        ConfigurationError: When the URL is not an http(s) origin (or one ending in `/api/v1`), is plain http to
            another machine, or the region has no such name.
    """
    source = "base_url"
    if base_url is None and region is None:
        source = "SECODA_BASE_URL"
        base_url, region = read_environment(source), read_environment("SECODA_REGION")
    elif base_url is not None and region is not None:
        raise ConfigurationError("give base_url or region, not both: a region is only a name for a URL")
    if base_url is not None:
        return _checked_origin(base_url, source)
    try:
        return Region("us" if region is None else str(region).lower()).origin
    except ValueError:
        names = ", ".join(repr(str(name)) for name in Region)
        raise ConfigurationError(f"there is no region {safe_repr(region)}: use one of {names}, or base_url") from None


def _checked_origin(base_url: object, source: str) -> str:
    # No message shows more than the origin: the key may have been put here by mistake.
    text = base_url.strip() if isinstance(base_url, str) else ""
    parts = _split_url(text, source)
    host, port = parts.hostname or "", parts.port
    netloc = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{netloc}" + (f":{port}" if port not in (None, _PORTS[parts.scheme]) else "")
    if parts.path.rstrip("/") not in ("", API_PREFIX) or parts.query or parts.fragment:
        raise ConfigurationError(f"{source} must be an origin, or one ending in {API_PREFIX}: {origin} and no more")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(
            f"{source} {origin} would send the key in clear text: use https (http is for loopback addresses only)"
        )
    return origin


def _split_url(text: str, source: str) -> SplitResult:
    """Split an http(s) URL without credentials."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port  # urllib checks the port when it is read
    except ValueError:
        raise ConfigurationError(f"{source} is not a URL: write it as https://host or https://host/api/v1") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{source} carries a user name or password; the API takes only a key: leave it out")
    if parts.scheme not in _PORTS or not text.isprintable() or not re.fullmatch(_HOST, host):
        raise ConfigurationError(f"{source} is not an http(s) URL: write it as https://host or https://host/api/v1")
    return parts


_HOST: Final = r"[a-z0-9._-]+|[0-9a-f:.]+(%\w+)?"
"""Matches a name (in its ASCII form), an IPv4 or an IPv6 address."""

_PORTS: Final = {"http": 80, "https": 443}
"""Default ports, which an origin leaves out."""


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its name or address alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
