"""Lists: pages, items, and snapshots that are proved complete.

Theory of operation
-------------------
The server may create, delete and reorder items between two pages, and its lists have no version. An item can therefore
come twice, or move to a page that was read already and be missed. `PageSequence` checks each read:

1. A page must lead to a later page: its number, or a cursor that did not come before. Otherwise the read fails.
2. An item that an earlier page had is left out of the later page.
3. At the end, fewer different items than the server counts mean an incomplete list: `IncompleteListError`.

`pages` and `items` yield what one read shows and raise after the last page. They can miss an item that moves to an
earlier page after a deletion, because the count falls as well. `snapshot` excludes that:

1. A list of one page is complete if the count equals the number of items.
2. A longer list is complete if two reads agree: an earlier read showed every item of the latest read, and the count on
   each page equals the number of different items. All these items then existed when the server sent the first page of
   the latest read, and the count on that page says that there were no others.
3. Otherwise the list is read again, five times at most. No clock is compared.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final, Generic, Literal, NamedTuple, TypeVar

from secoda_async._engine.call import Scope
from secoda_async._engine.next_links import NextLinks, query_of_page
from secoda_async._engine.page_checks import (
    IncompleteListError,
    PageSequence,
    canonical_ids,
    check_number,
    pagination_error,
    reason_for_more_pages,
)
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.responses import page_of
from secoda_async._engine.wire import protocol
from secoda_async._engine.wire.protocol import RedactedReply, Reply, Request
from secoda_async.config import CallOptions
from secoda_async.errors import InvalidArgumentError, NotFoundError, PaginationError
from secoda_async.models import Group, Page, User

T = TypeVar("T", Group, User)

OnInvalid = Literal["raise", "skip"]
"""Effect of an item that can't be read: an error, or the item is left out and reported in `Page.invalid`."""

_log: Final = logging.getLogger("secoda_async")

_SNAPSHOT_READS: Final = 5
"""Maximum reads of one snapshot. A list that does not change takes two."""

_SNAPSHOT_PAGES: Final = 100_000
"""Maximum pages of a snapshot: more than any workspace has."""

_OBSERVING_READS: Final = 3
"""Maximum reads of `observed_items`. The first complete read is the last one."""


class _FetchedPage(NamedTuple, Generic[T]):
    """A page as the server sent it."""

    page: Page[T]
    next_query: str | None
    """The query of the next page, or None on the last one."""
    reason_for_more: str
    """On the last page: why the list can't end there; empty if it can."""


class _PageOptions(NamedTuple):
    """The way in which the pages of one read are decoded."""

    on_invalid: OnInvalid
    scope: Scope
    """The scope of the requests. Unless it has a start, each page has a deadline of its own."""
    needed: tuple[str, ...] = ()
    """Fields that every item must have."""
    strings: dict[str, str] | None = None
    """Strings that came before: equal strings are one object, which saves most of a snapshot's memory."""


class Lister(Generic[T]):
    """One of the API's lists.

    Args:
        pipeline: Sends the requests.
        options: The options of the requests.
        collection: The path of the list.
        model: The class of the items.
        needed: Fields that every item of a snapshot must have: a field that is not shown must not count as empty.
        scope: The operation that the reads belong to, and its start.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        options: CallOptions,
        collection: str,
        model: type[T],
        *,
        needed: tuple[str, ...] = (),
        scope: Scope,
    ) -> None:
        self.pipeline = pipeline
        self.options = options
        self.collection = collection
        self.model: type[T] = model
        self.needed = needed
        self.scope = scope
        self._links = NextLinks(pipeline.transport.origin, collection)

    async def pages(self, *, concurrency: int, on_invalid: OnInvalid, max_pages: int) -> AsyncGenerator[Page[T], None]:
        """Yield the pages in order; see `Groups.pages`. Unless the scope has a start, each page has a deadline."""
        sequence = PageSequence[T](self.collection, max_pages)
        async with aclosing(self._read_pages(sequence, concurrency, _PageOptions(on_invalid, self.scope))) as pages:
            async for page in pages:
                yield page
        sequence.log_surplus()

    async def items(self, *, concurrency: int, on_invalid: OnInvalid, max_pages: int) -> AsyncGenerator[T, None]:
        """Yield the items of all pages, each once; see `Groups.list`."""
        async with aclosing(self.pages(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)) as pages:
            async for page in pages:
                for item in page.items:
                    yield item

    async def snapshot(self, *, concurrency: int = 4, began: float | None = None) -> list[T]:
        """Return every item once, or raise; see `Groups.snapshot`. The deadline counts from `began`, or from now."""
        began = self.scope.began if began is None else began
        began = self.pipeline.clock.now() if began is None else began
        options = _PageOptions("raise", self.scope._replace(began=began), self.needed, strings={})
        seen: set[str] = set()
        reason = ""
        for _ in range(_SNAPSHOT_READS):
            sequence = PageSequence[T](self.collection, _SNAPSHOT_PAGES, needs_count=True)
            items: dict[str, T] = {}
            reason = await self._read_into(items, sequence, concurrency, options)
            if not reason and (sequence.pages == 1 or items.keys() <= seen):
                return list(items.values())
            seen |= items.keys()
        raise PaginationError(
            f"{self.collection}: the list changed during each of {_SNAPSHOT_READS} reads, and none was complete: try "
            f"again when fewer changes are made (the last read: {reason or 'items were created or deleted'})"
        )

    async def observed_items(self) -> list[T]:
        """Return every item that some read showed. Concurrent changes by others can hide an item.

        `apply` uses it to find new groups since its snapshot: its own creates would disturb a second snapshot.

        Raises:
            PaginationError: When no read was complete.
        """
        observed: dict[str, T] = {}
        for _ in range(_OBSERVING_READS - 1):
            with suppress(IncompleteListError):
                await self._observe_into(observed)
                return list(observed.values())
        await self._observe_into(observed)
        return list(observed.values())

    async def _observe_into(self, observed: dict[str, T]) -> None:
        """Read the list once, and add its items."""
        async for page in self.pages(concurrency=4, on_invalid="raise", max_pages=_SNAPSHOT_PAGES):
            observed.update(zip(canonical_ids(page.items), page.items, strict=True))

    async def _read_into(
        self, items: dict[str, T], sequence: PageSequence[T], concurrency: int, options: _PageOptions
    ) -> str:
        """Read the list once, for a snapshot; return why the read is incomplete, or an empty string."""
        try:
            async with aclosing(self._read_pages(sequence, concurrency, options)) as pages:
                async for page in pages:
                    items.update(zip(canonical_ids(page.items), page.items, strict=True))
        except IncompleteListError as error:
            return error.message
        if sequence.items == len(items) and sequence.counts == {len(items)}:
            return ""
        counts = ", ".join(map(str, sorted(sequence.counts)))
        return f"{sequence.items} items came, {len(items)} of them different, and the server counted {counts}"

    async def _read_pages(
        self,
        sequence: PageSequence[T],
        concurrency: int,
        options: _PageOptions,
    ) -> AsyncGenerator[Page[T], None]:
        """Yield the pages in order, each before its next link is checked. Numbered pages are fetched ahead.

        The deadline applies to each page, or with `options.scope.began` to all of them together.
        """
        check_number("concurrency", concurrency)
        check_number("max_pages", sequence.max_pages)
        if options.on_invalid not in ("raise", "skip"):
            raise InvalidArgumentError(f"on_invalid must be 'raise' or 'skip', not {options.on_invalid!r}")
        fetched = await self._fetch("", 1, options)
        last = min(fetched.page.total_pages or 0, sequence.max_pages)
        ahead: deque[asyncio.Task[_FetchedPage[T]]] = deque()
        try:
            yield sequence.advance(fetched.page)
            while (query := fetched.next_query) is not None:
                sequence.check_next(query)
                number = fetched.page.number + 1
                if query == query_of_page(number) and concurrency > 1:
                    furthest = min(number + concurrency - 1, max(number, last))
                    for later in range(number + len(ahead), furthest + 1):
                        ahead.append(asyncio.create_task(self._fetch(query_of_page(later), later, options)))
                    fetched = await ahead[0]
                    ahead.popleft()
                else:
                    fetched = await self._fetch(query, number, options)
                yield sequence.advance(fetched.page)
            sequence.check_end(fetched.reason_for_more)
        except PaginationError as error:
            error.items_so_far = sequence.items
            if error.method is None:
                error.method, error.path, error.attempts = "GET", self._request("").path, 1
            raise
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def _fetch(self, query: str, number: int, options: _PageOptions) -> _FetchedPage[T]:
        """Fetch one page. A later page that is gone is an incomplete list, not a missing object."""
        try:
            call = self.pipeline.call(self._request(query), self.options, options.scope)
            return await self.pipeline.send(call, lambda reply: self._read(reply, number, options))
        except NotFoundError as error:
            if number == 1:
                raise
            gone = IncompleteListError(f"page {number} is gone: the list shrank while it was read")
            gone.method, gone.path, gone.attempts, gone.waited = error.method, error.path, error.attempts, error.waited
            gone.page, gone.status = number, error.status
        raise gone

    def _request(self, query: str) -> Request:
        return protocol.request_to("GET", self.collection, query=query)

    def _read(self, reply: Reply, number: int, options: _PageOptions) -> _FetchedPage[T]:
        # The error of an item quotes the response. So the first read raises it, and the second one is without secrets.
        skip_invalid = options.on_invalid == "skip" and isinstance(reply, RedactedReply)
        envelope, items, invalid = page_of(
            reply, self.model, skip_invalid=skip_invalid, needed=options.needed, strings=options.strings
        )
        meta = envelope.meta
        if meta.page not in (None, number):
            raise pagination_error(number, f"page {number} was asked for and page {meta.page} came")
        if meta.next_page not in (None, number + 1):
            raise pagination_error(number, f"meta.next_page is {meta.next_page}")
        for error in invalid:
            error.status = reply.status
            _log.warning("%s, page %d: left out an item that can't be read: %s", self.collection, number, error)
        page = Page(number, tuple(items), envelope.count, envelope.total_pages, tuple(invalid))
        queries = {self._links.query_of(link, number) for link in envelope.next_links}
        if len(queries) > 1:
            raise pagination_error(number, "links.next and next lead to different pages")
        next_query = queries.pop() if queries else None
        return _FetchedPage(page, next_query, "" if next_query else reason_for_more_pages(envelope, number))
