"""Read the contract of a list from its first page: envelope, links and fields, without any value of an item."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

from attrs import fields_dict, frozen

from secoda_async._engine.wire import codec
from secoda_async.models import Group, User

_MODELS: Final[Mapping[str, type[Group | User]]] = {"groups": Group, "users": User}

_FIELD_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,40}")

_LITERALS: Final = frozenset({"None", "True", "False"})
"""Strings that stand for JSON literals in the vendor's examples."""

_TEXT_FIELDS: Final = frozenset({"name", "description", "first_name", "last_name"})
"""Fields of free text, in which such a string is a value."""


@frozen(kw_only=True)
class ListContract:
    """The form of a list, as its first page shows it."""

    is_object: bool = True
    """Whether the page is an object with `results`."""
    items: int = 0
    """Number of items on the first page."""
    next_link: str = ""
    """The position of the next link: `links.next`, `next` or both; empty if the page has none."""
    has_next: bool = False
    """Whether there is a second page."""
    link_style: str = ""
    """`page` or `cursor`: the parameter of the next link."""
    link_hosts: tuple[str, ...] = ()
    """Hosts of next links other than the host of the request."""
    envelope: tuple[str, ...] = ()
    """Names around the items: `count`, `links`, `meta` and so on."""
    unknown_fields: tuple[str, ...] = ()
    """Names of fields of items that this version does not know."""
    missing_fields: tuple[str, ...] = ()
    """Names of known fields that an item lacks."""
    literal_fields: tuple[str, ...] = ()
    """Names of fields with a string such as "None" in place of a JSON literal."""

    def sentences(self, *, show_hosts: bool) -> Sequence[str]:
        """Return the contract as sentences; without hosts it says nothing about the workspace."""
        if not self.is_object:
            return ("the page is not an object with results",)
        hosts = ", ".join(self.link_hosts) if show_hosts else "a host that differs from that of the request"
        return (
            f"{', '.join(self.envelope)} around the items",
            self._pages(),
            *([f"next links lead to {hosts}; only their query is used"] if self.link_hosts else []),
            *_listing("unknown fields", self.unknown_fields),
            *_listing("missing fields", self.missing_fields),
            *_listing("strings in place of null or a boolean", self.literal_fields),
        )

    def to_document(self) -> Mapping[str, object]:
        """Return the contract as JSON."""
        return codec.to_dict(self)

    def _pages(self) -> str:
        where = f"next link in {self.next_link}" if self.next_link else "no next link"
        if not self.has_next:
            return f"{where}; one page of {self.items}"
        return f"{where} by {self.link_style or 'another parameter'}; {self.items} on a page"


def _listing(label: str, names: Sequence[str]) -> Sequence[str]:
    return [f"{label}: {', '.join(names)}"] if names else []


def read_contract(page: object, kind: str, origin: str) -> ListContract:
    """Return the contract of a list from its first page, as plain JSON; `kind` is `groups` or `users`."""
    envelope = cast("dict[str, Any]", page) if isinstance(page, dict) else {}
    if not isinstance(envelope.get("results"), list):
        return ListContract(is_object=False)
    items = [cast("dict[str, Any]", item) for item in envelope["results"] if isinstance(item, dict)]
    links = _find_next_links(envelope)
    urls = [link for link in links.values() if isinstance(link, str) and link not in ("", "None")]
    known = set(fields_dict(_MODELS[kind])) - {"extra"}
    return ListContract(
        items=len(envelope["results"]),
        next_link=" and ".join(sorted(links)),
        has_next=bool(urls),
        link_style=max(map(_style, urls), default=""),
        link_hosts=_find_foreign_hosts(urls, origin),
        envelope=_printable(envelope.keys() - {"results"}),
        unknown_fields=_printable(set[str]().union(*items) - known),
        missing_fields=tuple(sorted(set[str]().union(*(known - item.keys() for item in items)))),
        literal_fields=_printable(_find_literals(items) - _TEXT_FIELDS),
    )


def _find_next_links(envelope: Mapping[str, Any]) -> Mapping[str, object]:
    """Return each next link of a page by its position; a link may be null."""
    links = envelope.get("links")
    objects = {"next": envelope, "links.next": cast("dict[str, Any]", links) if isinstance(links, dict) else {}}
    return {position: fields["next"] for position, fields in objects.items() if "next" in fields}


def _style(url: str) -> str:
    query = parse_qs(url.partition("?")[2])
    return next((name for name in ("cursor", "page") if name in query), "")


def _find_foreign_hosts(urls: Iterable[str], origin: str) -> tuple[str, ...]:
    """Return the sorted hosts of links that differ from the host of the request."""
    return tuple(sorted({host for url in urls if (host := _foreign_host(url, origin))}))


def _foreign_host(url: str, origin: str) -> str | None:
    try:
        host = urlsplit(url).netloc
    except ValueError:
        return "(not a URL)"
    own = urlsplit(origin)
    return host.rpartition("@")[2] if host and host != own.netloc else None


def _find_literals(items: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the names of fields that have a string in place of a JSON literal in an item."""
    return {name for item in items for name, value in item.items() if isinstance(value, str) and value in _LITERALS}


def _printable(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of fields, sorted; a name that may be data is not shown."""
    return tuple(sorted({name if _FIELD_NAME.fullmatch(name) else "(an unusual name)" for name in names}))
