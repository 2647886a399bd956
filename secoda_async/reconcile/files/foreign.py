"""Recognize documents that are not files of groups: saved plans, and lists as APIs return them."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from secoda_async.reconcile.files.nodes import Node

__all__ = ["describe_foreign"]

_SHAPE: Final = 'write the groups as {"groups": [{"name": "...", "members": ["..."]}]}'

_ITEMS: Final = ("Resources", "results", "value", "values", "data", "items", "entries", "usergroups", "teams", "Groups")
"""Keys of the items in a page of an API's list."""

_NEXT: Final = (
    "@odata.nextLink", "links/next", "_links/next", "meta/next_page", "response_metadata/next_cursor",
    "next", "next_page", "nextPage", "nextPageToken", "next_page_token", "nextCursor", "next_cursor", "NextToken",
    "has_more", "hasMore", "IsTruncated",
)  # fmt: skip
"""Paths of a link to the next page, or of a sign that there is one."""

_TOTALS: Final = ("totalResults", "count", "total", "total_count", "totalCount", "@odata.count", "totalSize")
"""Keys of the number of items in all pages."""


def describe_foreign(document: Node) -> str | None:
    """Return why a document is not a file of groups, and what to do; None if it may be one."""
    if document.kind == "an empty file":
        return "is empty: write `groups:` and the groups below it"
    if document.kind == "a list":
        return "is a list, without the key 'groups': write `groups:` above it; in JSON, {\"groups\": [...]}"
    keys = {key.text: value for key, value in document.pairs if key.text is not None}
    if {"changes", "digest"} <= keys.keys():
        return "is a saved plan, not a file of groups: pass it alone to `apply` or `show`"
    return _describe_page(keys)


def _describe_page(keys: Mapping[str, Node]) -> str | None:
    """Describe a page of an API's list. A page that is not the last lacks groups, and `prune` would delete them."""
    name = _find_list(keys)
    found = None if name is None else len(keys[name].items)
    total = _find_total(keys)
    if _has_next(keys) or (total is not None and found is not None and total > found):
        part = "" if total is None or found is None else f" ({found} of {total})"
        return f"is a page of a longer list{part}, which is never a desired state: get all pages, and {_SHAPE}"
    if name is not None and "groups" not in keys:
        return f"has the list {name!r} of another program, and no groups: {_SHAPE}"
    return None


def _find_list(keys: Mapping[str, Node]) -> str | None:
    """Return the key of the list of groups, or of a page's items."""
    return next((key for key in ("groups", *_ITEMS) if key in keys and keys[key].kind == "a list"), None)


def _find_total(keys: Mapping[str, Node]) -> int | None:
    """Return the number of items in all pages; None if the page doesn't contain it."""
    return next((int(count) for key in _TOTALS if key in keys and (count := _digits(keys[key]))), None)


def _digits(node: Node) -> str | None:
    """Return a count; None for other values."""
    is_count = node.kind == "a number" and re.fullmatch(r"[0-9]{1,9}", node.literal or "")
    return node.literal if is_count else None


def _has_next(keys: Mapping[str, Node]) -> bool:
    return any(_is_set(_at(keys, path.split("/"))) for path in _NEXT)


def _at(keys: Mapping[str, Node], path: Sequence[str]) -> Node | None:
    node = keys.get(path[0])
    for part in path[1:]:
        node = None if node is None else next((value for key, value in node.pairs if key.text == part), None)
    return node


def _is_set(node: Node | None) -> bool:
    """Return whether a value is a link, a number, or true."""
    return node is not None and bool(node.text or (node.literal and node.literal.lower() != "false"))
