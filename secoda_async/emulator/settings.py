"""The emulator's switches: what a test can set at the start and flip midway."""

import contextlib
import ipaddress
import math
import secrets
from typing import Any, Literal

import attrs

from secoda_async.emulator.history import KEPT


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


def _positive_or_none(instance: object, attribute: "attrs.Attribute[Any]", value: float | None) -> None:
    """Refuse what is not a finite number above 0."""
    if value is not None:
        positive(instance, attribute, value)


def _finite_or_none(_instance: object, attribute: "attrs.Attribute[Any]", value: float | None) -> None:
    """Refuse infinities and NaN."""
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{attribute.name} must be finite, or None, not {value}")


def _lag(_instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    """Refuse a lag that is longer than the history."""
    if not 0 <= value <= KEPT:
        raise ValueError(f"{attribute.name} must be seconds from 0 to {KEPT:g}, not {value}")


@attrs.define(kw_only=True, eq=False)
class Settings:
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
    """Response as the vendor's examples do: "None" and "False" as strings, and a next link to another path."""
    link_origin: str | None = None
    """The origin that links carry instead of the emulator's own, like the inner host behind a proxy."""
    visible_after: float = attrs.field(default=0.0, validator=not_negative)
    """Seconds of the emulator's clock until a created group shows in GETs and lists: a slow replica."""
    lists_lag: float = attrs.field(default=0.0, validator=_lag)
    """Seconds that lists are behind: they show writes of the API (creates, updates, deletes) so much later."""
    reads_lag: float = attrs.field(default=0.0, validator=_lag)
    """Seconds that a GET of one group is behind."""
    date_skew: float | None = attrs.field(default=0.0, validator=_finite_or_none)
    """Seconds by which the `Date` header is ahead of `created_at`; below 0: behind it; None: no `Date` at all."""
    created_at_shown: Literal["full", "null", "absent", "local"] = attrs.field(
        default="full", validator=attrs.validators.in_(("full", "null", "absent", "local"))
    )
    """How groups show `created_at`: with its zone, as null, not at all, or as the local time five hours west of
    UTC, without a zone."""
    hide_pending: bool = False
    """Leave users with a pending invitation out of the members that answers show; they are stored."""
    next_link: Literal["links", "top", "hidden"] = attrs.field(
        default="links", validator=attrs.validators.in_(("links", "top", "hidden"))
    )
    """Lists carry their links under `links`, at the top of the body instead, or say that there is no next page
    although there is ("hidden": `count`, `total_pages` and `meta` stay right)."""
    collapse_names: bool = False
    """Write one space for each run of white space inside a name."""
    idle_408: float | None = attrs.field(default=None, validator=_positive_or_none)
    """Seconds after an answer until a connection that is still idle is sent a 408 and closed; None: never."""
