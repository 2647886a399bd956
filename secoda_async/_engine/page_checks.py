"""Checks of a list while it is read: the pages go forward, the list ends, and the count agrees with the items."""

import logging
import re
from collections import deque
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from attrs import evolve

from secoda_async._engine.wire.envelope import Envelope
from secoda_async.errors import InvalidArgumentError, PaginationError
from secoda_async.models import Group, Page, User

T = TypeVar("T", Group, User)

_log: Final = logging.getLogger("secoda_async")

_UUID: Final = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

_EMPTY_PAGES: Final = 100
"""Consecutive pages without items after which a list is endless."""

_REMEMBERED_IDS: Final = 10_000
"""Maximum ids that a read remembers. An item that moves during the read of a list moves by a page or two."""


class IncompleteListError(PaginationError):
    """A list that ended before all its items came. Another read may succeed."""


def pagination_error(number: int, reason: str) -> PaginationError:
    """Return the error for a page after which the read can't continue."""
    return PaginationError(f"the list can't be read beyond page {number}: {reason}", page=number)


def canonical_ids(items: Sequence[Group | User]) -> list[str]:
    """Return the ids in the form in which ids are compared: the letter case of a UUID has no meaning."""
    ids = [item.id for item in items]
    text = "".join(ids)
    if text == text.lower():  # the usual case
        return ids
    return [item_id.lower() if re.fullmatch(_UUID, item_id) else item_id for item_id in ids]


def reason_for_more_pages(envelope: Envelope, number: int) -> str:
    """Return why a page without a next link can't be the last one; empty if it can."""
    if envelope.meta.next_page is not None:
        return f"the page has no next link, and meta.next_page is {envelope.meta.next_page}"
    if envelope.total_pages is not None and envelope.total_pages > number:
        return f"the page has no next link, and total_pages is {envelope.total_pages}"
    if not envelope.next_links and envelope.total_pages is None and envelope.count is None:
        return "the page has neither a next link nor a count, so nothing says that the list ends there"
    return ""


def check_number(name: str, number: object) -> None:
    """Check an argument that counts something.

    Raises:
        InvalidArgumentError: When it is not a whole number from 1.
    """
    if not isinstance(number, int) or number < 1:
        raise InvalidArgumentError(f"{name} must be a whole number from 1, not {number!r}")


class RecentIds:
    """The ids of the latest pages. The oldest pages are forgotten."""

    def __init__(self, most: int = _REMEMBERED_IDS) -> None:
        self._most = most
        self._ids: set[str] = set()
        self._pages: deque[list[str]] = deque()

    def add(self, ids: list[str]) -> list[str]:
        """Add the ids of a page; return those that are new, each once."""
        new = ids
        if len(set(ids)) < len(ids) or not self._ids.isdisjoint(ids):
            new = [item_id for item_id in dict.fromkeys(ids) if item_id not in self._ids]
        self._ids.update(new)
        self._pages.append(new)
        while len(self._ids) > self._most and len(self._pages) > 1:
            self._ids.difference_update(self._pages.popleft())
        return new


class PageSequence(Generic[T]):
    """The pages that one read of a list has returned so far."""

    def __init__(self, collection: str, max_pages: int, *, needs_count: bool = False) -> None:
        self.items = 0
        """Number of items, repeated and invalid ones included."""
        self.pages = 0
        self.counts: set[int] = set()
        """The different counts on the pages."""
        self.max_pages = max_pages
        self._collection = collection
        self._needs_count = needs_count
        self._seen = RecentIds()
        self._different = 0
        self._last_count: int | None = None
        self._largest_page = 0
        self._empty_pages = 0
        self._queries: set[str] = set()

    def advance(self, page: Page[T]) -> Page[T]:
        """Count a page, and return it without the items that earlier pages had.

        Raises:
            PaginationError: When the page has no count and the read needs one.
        """
        if self._needs_count and page.count is None:
            raise pagination_error(
                page.number,
                "the page has no count, and only a count proves a list complete; use list() to read it all the same",
            )
        came = len(page.items) + len(page.invalid)
        self.items += came
        self.pages += 1
        self._largest_page = max(self._largest_page, came)
        self._empty_pages = 0 if came else self._empty_pages + 1
        if page.count is not None:
            self.counts.add(page.count)
            self._last_count = page.count
        ids = canonical_ids(page.items)
        new = self._seen.add(ids)
        self._different += len(new) + len(page.invalid)
        if len(new) == len(ids):
            return page
        first: dict[str, T] = {}
        for item_id, item in zip(ids, page.items, strict=True):
            first.setdefault(item_id, item)
        return evolve(page, items=tuple(first[item_id] for item_id in new))

    def check_next(self, next_query: str) -> None:
        """Check that the next page may be requested.

        Raises:
            PaginationError: When that page was read already, or the list would never end.
        """
        if self.pages >= self.max_pages:
            raise pagination_error(self.pages, f"the list continues after max_pages={self.max_pages} pages")
        if next_query in self._queries:
            raise pagination_error(self.pages, "links.next leads back to a page that was read already")
        self._queries.add(next_query)
        if self._empty_pages >= _EMPTY_PAGES:
            raise pagination_error(self.pages, f"{_EMPTY_PAGES} empty pages came, and the list continues")
        most = max(self.counts, default=self.items)
        if self.items > most + self._largest_page:
            raise pagination_error(
                self.pages, f"{self.items} items came, the server counted {most} at most, and the list continues"
            )

    def check_end(self, reason_for_more: str) -> None:
        """Check that the list may end with the latest page.

        Raises:
            PaginationError: When there is a reason to expect more pages.
            IncompleteListError: When fewer items came than the server counts.
        """
        if reason_for_more:
            raise pagination_error(self.pages, reason_for_more)
        if self._last_count is not None and self._different < self._last_count:
            raise IncompleteListError(
                f"{self._different} different items came and the server counts {self._last_count}: the list changed "
                "while it was read, or is incomplete; snapshot() reads it again",
                page=self.pages,
            )

    def log_surplus(self) -> None:
        """Log that more items came than the server counts, because others changed the list during the read."""
        if self._last_count is not None and self._different > self._last_count:
            _log.warning(
                "%s: %d items came and the server counts %d: the list changed while it was read; use snapshot() for an "
                "exact list",
                self._collection,
                self._different,
                self._last_count,
            )
