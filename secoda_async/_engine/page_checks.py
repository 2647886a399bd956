"""Checks on a list while it is read: each page leads on, the list ends, and its items add up to the server's count."""

import logging
import re
from typing import Final, Generic, TypeVar

from attrs import evolve

from secoda_async._engine.recent import RecentIds
from secoda_async._engine.wire.codec import Envelope
from secoda_async.errors import InvalidArgumentError, PaginationError
from secoda_async.models import Group, Page, User

T = TypeVar("T", Group, User)

_log: Final = logging.getLogger("secoda_async")

_UUID: Final = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_EMPTY_PAGES: Final = 100
"""Consecutive pages without items after which a list counts as endless."""


class IncompleteListError(PaginationError):
    """A list that ended before all its items came: another attempt to read it may succeed."""


def contradiction(number: int, reason: str) -> PaginationError:
    """Return the error for a page after which the list can't be read on."""
    error = PaginationError(f"the list can't be read on from page {number}: {reason}")
    error.page = number
    return error


def canonical_id(item_id: str) -> str:
    """Return the id in the form in which ids are compared: the letter case of a UUID means nothing."""
    return item_id if item_id.islower() or not _UUID.fullmatch(item_id) else item_id.lower()


def doubt_of_end(envelope: Envelope, number: int) -> str:
    """Return why a page without a next link is not believed to be the last one; empty when it is believed."""
    if envelope.meta.next_page is not None:
        return f"the page has no next link, and meta.next_page is {envelope.meta.next_page}"
    if envelope.total_pages is not None and envelope.total_pages > number:
        return f"the page has no next link, and total_pages is {envelope.total_pages}"
    if not envelope.next_links and envelope.total_pages is None and envelope.count is None:
        return "the page has neither a next link nor a count, so that nothing says that the list ends there"
    return ""


def check_number(name: str, number: object) -> None:
    """Check an argument that counts something.

    Raises:
        InvalidArgumentError: When it is not a whole number from 1.
    """
    if not isinstance(number, int) or number < 1:
        raise InvalidArgumentError(f"{name} must be a whole number from 1, not {number!r}")


class Walk(Generic[T]):
    """One reading of a list: what has come so far."""

    def __init__(self, collection: str, max_pages: int, *, needs_count: bool = False) -> None:
        self.items = 0
        """Items that came, the repeated and the invalid ones included."""
        self.pages = 0
        self.counts: set[int] = set()
        """The different counts that the pages had."""
        self.max_pages = max_pages
        self._collection = collection
        self._needs_count = needs_count
        self._seen = RecentIds()
        self._different = 0
        self._last_count: int | None = None
        self._largest_page = 0
        self._empty_pages = 0
        self._cursors: set[str] = set()

    def take(self, page: Page[T]) -> Page[T]:
        """Count a page, and return it without the items that came before.

        Raises:
            PaginationError: When it has no count, and needs one.
        """
        if self._needs_count and page.count is None:
            raise contradiction(
                page.number, "the page has no count, which proves a list complete; use list() if a part is enough"
            )
        came = len(page.items) + len(page.invalid)
        self.items += came
        self.pages += 1
        self._largest_page = max(self._largest_page, came)
        self._empty_pages = 0 if came else self._empty_pages + 1
        if page.count is not None:
            self.counts.add(page.count)
            self._last_count = page.count
        new = tuple(item for item in page.items if self._seen.add(canonical_id(item.id)))
        self._different += len(new) + len(page.invalid)
        return page if len(new) == len(page.items) else evolve(page, items=new)

    def check_next(self, next_query: dict[str, str]) -> None:
        """Check that the next page may be asked for.

        Raises:
            PaginationError: When it was read already, or the list would never end.
        """
        if self.pages >= self.max_pages:
            raise contradiction(self.pages, f"the list goes on after max_pages={self.max_pages} pages")
        cursor = next_query.get("cursor")
        if cursor is not None:
            if cursor in self._cursors:
                raise contradiction(self.pages, "links.next leads back to a page that was read already")
            self._cursors.add(cursor)
        if self._empty_pages >= _EMPTY_PAGES:
            raise contradiction(self.pages, f"{_EMPTY_PAGES} empty pages came, and the list goes on")
        most = max(self.counts, default=self.items)
        if self.items > most + self._largest_page:
            raise contradiction(
                self.pages, f"{self.items} items came, the server counted {most} at most, and the list goes on"
            )

    def check_end(self, doubt: str) -> None:
        """Check that the list may end with the page that came last.

        Raises:
            PaginationError: When there is a reason for `doubt`.
            IncompleteListError: When fewer items came than the server counts.
        """
        if doubt:
            raise contradiction(self.pages, doubt)
        if self._last_count is not None and self._different < self._last_count:
            error = IncompleteListError(
                f"{self._different} different items came and the server counts {self._last_count}: the list changed "
                "while it was read, or is incomplete; snapshot() reads it again"
            )
            error.page = self.pages
            raise error

    def log_surplus(self) -> None:
        """Log that more items came than the server counts: others created and deleted some meanwhile."""
        if self._last_count is not None and self._different > self._last_count:
            _log.warning(
                "%s: %d items came and the server counts %d: the list changed while it was read; use snapshot() for an "
                "exact list",
                self._collection,
                self._different,
                self._last_count,
            )
