"""List pages as the API returns them, by page number or by cursor."""

import binascii
import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlencode

import attrs

from secoda_async.emulator.exceptions import NotFoundError

# The next link of a list of groups in the vendor's own example.
DOCS_LINK = "https://api.secoda.co/resource/all/"
MAX_DIGITS = 9


@attrs.frozen(kw_only=True)
class PageStyle:
    """The size of the pages, and the form of their links."""

    size: int
    """Items on a page."""
    url: str
    """The full URL of the list, without a query."""
    cursor: bool
    """Links carry a cursor, and page numbers are ignored."""
    literals: bool
    """Use "None" for null and a link to another path, like the vendor's example."""
    next_link: Literal["links", "top", "hidden"] = "links"
    """The position of the next link, or "hidden": null although pages are left."""


def paginate(items: Sequence[Any], query: Mapping[str, str], style: PageStyle) -> dict[str, Any]:
    """Return the page that a query asks for.

    Raises:
        NotFoundError: There is no such page.
    """
    total = max(1, math.ceil(len(items) / style.size))
    start = _cursor_start(query, len(items)) if style.cursor else _page_start(query, total, style.size)
    has_next = start + style.size < len(items)
    links = _links(start, query, style, has_next=has_next)
    meta = _meta(start, style, has_next=has_next)
    if style.literals:
        links, meta = _with_literal_none(links), _with_literal_none(meta)
    return {
        **(links if style.next_link == "top" else {"links": links}),
        "meta": meta,
        "count": len(items),
        "total_pages": total,
        "results": items[start : start + style.size],
    }


def _page_start(query: Mapping[str, str], total: int, size: int) -> int:
    text = query.get("page") or "1"
    try:
        page = total if text == "last" else int(text)  # other digits and blanks too, as in the framework
    except ValueError:
        page = 0
    if not 1 <= page <= total:
        raise NotFoundError({"detail": "Invalid page."})
    return (page - 1) * size


def _cursor_start(query: Mapping[str, str], count: int) -> int:
    """Return the index of the first item after a cursor; 0 without a cursor, whatever the page number."""
    text = query.get("cursor")
    if not text:
        return 0
    try:
        key, _, number = urlsafe_b64decode(text.encode()).decode().partition("=")
    except (binascii.Error, UnicodeError):
        key = number = ""
    if key != "o" or not _is_number(number):
        raise NotFoundError({"detail": "Invalid cursor"})
    return min(int(number), count)


def _is_number(text: str) -> bool:
    """Return whether a text is a short number in ASCII digits."""
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def _links(start: int, query: Mapping[str, str], style: PageStyle, *, has_next: bool) -> dict[str, Any]:
    is_shown = has_next and style.next_link != "hidden"
    return {
        "next": _link(start + style.size, query, style) if is_shown else None,
        "previous": _link(max(0, start - style.size), query, style) if start else None,
    }


def _meta(start: int, style: PageStyle, *, has_next: bool) -> dict[str, Any]:
    """Return the page numbers of the page that begins at `start`; all null with cursors."""
    page = start // style.size + 1
    meta = {
        "page": page,
        "previous_page": page - 1 if start else None,
        "next_page": page + 1 if has_next else None,
    }
    return dict.fromkeys(meta) if style.cursor else meta


def _link(start: int, query: Mapping[str, str], style: PageStyle) -> str:
    """Return the URL of the page that begins at `start`, with the other parameters of the query."""
    kept = {name: value for name, value in query.items() if name not in {"page", "cursor"}}
    if style.cursor:
        kept["cursor"] = urlsafe_b64encode(f"o={start}".encode()).decode()
    elif start:  # the framework omits the number of the first page
        kept["page"] = str(start // style.size + 1)
    url = DOCS_LINK if style.literals else style.url
    return f"{url}?{urlencode(kept)}" if kept else url


def _with_literal_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: "None" if value is None else value for name, value in values.items()}
