"""Lists as the API shows them: the paginate, by page number or by cursor."""

import binascii
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

import attrs

# What the vendor's own example shows as the next link of a list of groups.
DOCS_LINK = "https://api.secoda.co/resource/all/"
LONGEST_NUMBER = 9


@attrs.define
class PageNotFoundError(Exception):
    """A page or a cursor that the list does not have: answered with 404."""

    detail: str


@attrs.frozen(kw_only=True)
class PageStyle:
    """How a list is cut up and linked."""

    size: int
    """Items on a page."""
    url: str
    """The full address of the list, without a query."""
    cursor: bool
    """Links carry a cursor, and page numbers mean nothing."""
    literals: bool
    """The vendor's example: "None" for null, and a link to another path."""
    next_link: Literal["links", "top", "hidden"] = "links"
    """The next link's position, or "hidden": null although pages are left."""


def paginate(items: Sequence[Any], query: Mapping[str, str], style: PageStyle) -> dict[str, Any]:
    """Return the page that the query asks for.

    Raises:
        PageNotFoundError: There is no such page.
    """
    total = max(1, math.ceil(len(items) / style.size))
    start = _cursor_start(query, len(items)) if style.cursor else _page_start(query, total, style.size)
    page = start // style.size + 1
    more = start + style.size < len(items)
    meta = {
        "page": page,
        "previous_page": page - 1 if start else None,
        "next_page": page + 1 if more else None,
    }
    links = {
        "next": _link(start + style.size, query, style) if more else None,
        "previous": _link(max(0, start - style.size), query, style) if start else None,
    }
    if style.cursor:
        meta = dict.fromkeys(meta)
    if style.next_link == "hidden":
        links["next"] = None
    links = _literal(links) if style.literals else links
    return {
        **(links if style.next_link == "top" else {"links": links}),
        "meta": _literal(meta) if style.literals else meta,
        "count": len(items),
        "total_pages": total,
        "results": items[start : start + style.size],
    }


def _page_start(query: Mapping[str, str], total: int, size: int) -> int:
    """Return the place in the list at which the page begins."""
    text = query.get("page") or "1"
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER and 1 <= int(text) <= total):
        raise PageNotFoundError("Invalid page.")
    return (int(text) - 1) * size


def _cursor_start(query: Mapping[str, str], count: int) -> int:
    """Return the place in the list that the cursor means; without a cursor the first, whatever the page."""
    text = query.get("cursor")
    if not text:
        return 0
    try:
        key, _, number = urlsafe_b64decode(text.encode()).decode().partition("=")
    except (binascii.Error, UnicodeError):
        raise PageNotFoundError("Invalid cursor") from None
    if key != "o" or not (number.isascii() and number.isdigit() and len(number) <= LONGEST_NUMBER):
        raise PageNotFoundError("Invalid cursor")
    return min(int(number), count)


def _link(start: int, query: Mapping[str, str], style: PageStyle) -> str:
    """Return the address of the page that begins at `start`, with the rest of the query kept."""
    kept = {name: value for name, value in query.items() if name not in {"page", "cursor"}}
    if style.cursor:
        kept["cursor"] = urlsafe_b64encode(f"o={start}".encode()).decode()
    elif start:  # the framework leaves the number of the first page out
        kept["page"] = str(start // style.size + 1)
    url = DOCS_LINK if style.literals else style.url
    return f"{url}?{urlencode(kept)}" if kept else url


def _literal(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with the word "None" for null."""
    return {name: "None" if value is None else value for name, value in values.items()}
