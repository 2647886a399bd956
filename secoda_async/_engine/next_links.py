"""Next links: the query of the following page, read from `links.next`.

Only `page` and `cursor` of the query are used. The link itself is never followed, because the key would go wherever it
points: to other paths and, behind a proxy, to other hosts (docs/api-facts.md).
"""

import logging
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

from secoda_async._engine.page_checks import pagination_error

_log: Final = logging.getLogger("secoda_async")

_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}
"""Names of this machine: an emulator may use another one than its client."""


def query_of_page(number: int) -> str:
    """Return the query of a numbered page."""
    return f"page={number}"


class NextLinks:
    """Reads the next links of one list."""

    def __init__(self, origin: str, collection: str) -> None:
        self.origin = origin
        self.collection = collection
        self._checked: set[str] = set()
        """Links, without their query, that were parsed before."""
        self._warned: set[str] = set()
        """Foreign hosts that were logged before."""

    def query_of(self, link: str | None, number: int) -> str | None:
        """Return the query of the page after page `number`, or None for a link that means the last page.

        Raises:
            PaginationError: When the link does not lead to the next page.
        """
        if link is None:
            return None
        expected = query_of_page(number + 1)
        base, _, query_string = link.partition("?")
        if base in self._checked and query_string == expected:
            return expected
        try:
            parts = urlsplit(link)
            self._warn_of_foreign_host(parts)
        except ValueError:
            raise pagination_error(number, "links.next is not a URL") from None
        query = parse_qs(parts.query)
        if cursor := query.get("cursor"):
            return urlencode({"cursor": cursor[0]})
        page = query.get("page", [""])[0]
        if page != str(number + 1):
            raise pagination_error(number, f"links.next leads to page {page!r}, not to page {number + 1}")
        self._checked.add(base)
        return expected

    def _warn_of_foreign_host(self, link: SplitResult) -> None:
        host, own = link.hostname, urlsplit(self.origin).hostname
        if host and host != own and not {host, own} <= _LOOPBACK and host not in self._warned:
            self._warned.add(host)
            _log.warning("%s: links.next points to %r; only its query is used", self.collection, host)
