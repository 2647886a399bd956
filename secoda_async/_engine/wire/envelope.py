"""A page of a list as JSON: the items and the links and numbers around the items."""

from typing import Any, Final

from attrs import define, field

_NO_MORE: Final = (None, "", "None")
"""Values of a next link on the last page. The API's own example has the string (docs/api-facts.md)."""

_NOT_SENT: Final = "<not sent>"
"""Value of a next link that the response does not have. It is compared by identity: no response can contain it."""


@define(eq=False, repr=False)
class Links:
    next: str | None = _NOT_SENT


@define(eq=False, repr=False)
class Meta:
    page: int | None = None
    next_page: int | None = None


@define(eq=False, repr=False)
class Envelope:
    """A page of a list, with its items as plain JSON."""

    results: list[Any]
    links: Links = field(factory=Links)
    meta: Meta = field(factory=Meta)
    count: int | None = None
    total_pages: int | None = None
    next: str | None = _NOT_SENT
    """Some endpoints send the next link here (docs/api-facts.md)."""

    @property
    def next_links(self) -> list[str | None]:
        """Return the next links that were sent, with None for a link that means the last page."""
        links = (self.links.next, self.next)
        return [None if link in _NO_MORE else link for link in links if link is not _NOT_SENT]
