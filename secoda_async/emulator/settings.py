"""The emulator's switches: what a test can set at the start and flip midway."""

import contextlib
import ipaddress
import math
import secrets
from typing import Any

import attrs


def _own_or_new_key(key: str | None) -> str:
    """Return the key, or a new one for None."""
    return f"emulated-{secrets.token_urlsafe(24)}" if key is None else key


def positive(_instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    """Refuse what is not a finite number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{attribute.name} must be finite and above 0, not {value}")


def not_negative(_instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    """Refuse what is not a finite number from 0."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{attribute.name} must be finite and not below 0, not {value}")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, and nobody else can reach it."""
    with contextlib.suppress(ValueError):
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    return False


def loopback(_instance: object, _attribute: "attrs.Attribute[str]", host: str) -> None:
    """Refuse a host that others could reach: the emulator is no server for a network."""
    if not is_loopback(host):
        raise ValueError(f"host must be a loopback address, not {host!r}")


def port_number(_instance: object, _attribute: "attrs.Attribute[int]", port: int) -> None:
    """Refuse what is no port."""
    if not 0 <= port <= 65_535:  # noqa: PLR2004 - the ports of TCP
        raise ValueError(f"port must be from 0 to 65535, not {port}")


def _some_or_none(_instance: object, attribute: "attrs.Attribute[Any]", value: int | None) -> None:
    """Refuse a number below 1."""
    if value is not None and value < 1:
        raise ValueError(f"{attribute.name} must be at least 1, or None, not {value}")


@attrs.define(kw_only=True, eq=False)
class Switches:
    """How the emulated API behaves. Every attribute can be changed while it runs."""

    api_key: str = attrs.field(default=None, converter=_own_or_new_key, repr=False)
    """The key that is let in; made up, another one for each emulator, unless given."""
    page_size: int = attrs.field(default=50, validator=attrs.validators.ge(1))
    """Items on a page of a list."""
    writes_per_window: int | None = attrs.field(default=30, validator=_some_or_none)
    """How many POST, PUT and PATCH are accepted within `window`; None: no limit."""
    window: float = attrs.field(default=60.0, validator=positive)
    """Length of the limit's window, in seconds of the emulator's clock."""
    latency: float = attrs.field(default=0.0, validator=not_negative)
    """Seconds of the emulator's clock between a request's being carried out and its answer."""
    trailing_slash: bool = False
    """Redirect (301) every path of the API that does not end in a slash, before it asks for the key."""
    cursor_lists: bool = False
    """Lists are linked with `?cursor=`; `?page=` is ignored, and `meta` has no page numbers."""
    docs_literals: bool = False
    """Answer as the vendor's examples do: "None" and "False" as strings, and a next link to another path."""
    link_origin: str | None = None
    """The origin that links carry instead of the emulator's own, like the inner host behind a proxy."""
    visible_after: float = attrs.field(default=0.0, validator=not_negative)
    """Seconds of the emulator's clock until a created group shows in GETs and lists: a slow replica."""
