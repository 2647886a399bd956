"""The emulator's settings. A test can set each of them at the start and change it while the emulator runs."""

import secrets
from typing import Literal

import attrs

from secoda_async.emulator.history import HISTORY_SECONDS
from secoda_async.emulator.validators import at_least, between, finite, not_negative, one_of, optional, positive


class GeneratedKey(str):
    """An API key that nobody has chosen."""

    __slots__ = ()


def _given_or_new_key(key: str | None) -> str:
    return GeneratedKey(f"emulated-{secrets.token_urlsafe(24)}") if key is None else key


@attrs.define(kw_only=True, eq=False)
class Settings:
    """The behavior of the emulated API. Seconds are seconds of the emulator's clock."""

    api_key: str = attrs.field(default=None, converter=_given_or_new_key, repr=False)
    """The key that requests must carry; by default a new random key for each emulator."""
    page_size: int = attrs.field(default=50, validator=at_least(1))
    """Items on a page of a list."""
    writes_per_window: int | None = attrs.field(default=30, validator=optional(at_least(1)))
    """The number of POST, PUT and PATCH requests that are accepted within `window`; None: no limit."""
    window: float = attrs.field(default=60.0, validator=positive)
    """Length of the write limit's window in seconds."""
    latency: float = attrs.field(default=0.0, validator=not_negative)
    """Seconds between the execution of a request and its response."""
    trailing_slash: bool = False
    """Redirect (301) every path of the API that does not end in a slash, before the key is checked."""
    cursor_lists: bool = False
    """Link lists with `?cursor=`; `?page=` is ignored, and `meta` has no page numbers."""
    docs_literals: bool = False
    """Respond as in the vendor's examples: "None" and "False" as strings, and a next link to another path."""
    link_origin: str | None = None
    """The origin of links, instead of the emulator's own, such as the inner host behind a proxy."""
    visible_after: float = attrs.field(default=0.0, validator=not_negative)
    """Seconds until GETs and lists show a created group, as with a slow replica."""
    lists_lag: float = attrs.field(default=0.0, validator=between(0, HISTORY_SECONDS))
    """Seconds after which lists show creates, updates and deletes that came through the API."""
    reads_lag: float = attrs.field(default=0.0, validator=between(0, HISTORY_SECONDS))
    """The same for a GET of one group."""
    date_skew: float | None = attrs.field(default=0.0, validator=optional(finite))
    """Seconds by which the `Date` header is ahead of `created_at` (negative: behind); None: no `Date` header."""
    created_at_shown: Literal["full", "null", "absent", "local"] = attrs.field(
        default="full", validator=one_of("full", "null", "absent", "local")
    )
    """The form of `created_at` in groups: with its zone, null, absent, or the local time five hours west of UTC without
    a zone."""
    hide_pending: bool = False
    """Omit users with a pending invitation from the members in responses; the store keeps them."""
    next_link: Literal["links", "top", "hidden"] = attrs.field(
        default="links", validator=one_of("links", "top", "hidden")
    )
    """The position of the next link: under `links`, at the top of the body, or "hidden": null although there is a next
    page (`count`, `total_pages` and `meta` stay right)."""
    collapse_names: bool = False
    """Replace each run of white space inside a name by one space."""
    idle_408: float | None = attrs.field(default=None, validator=optional(positive))
    """Seconds after a response until an idle connection is sent a 408 and closed; None: never."""
