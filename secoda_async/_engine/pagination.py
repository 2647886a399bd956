"""Lists, page by page: what a page says of the next one, and how far that is believed.

Only `page` and `cursor` in the query of `links.next` are read; the link itself is never followed, because the key
would go wherever it points (FACTS: it points to other paths and, behind a proxy, to other hosts).
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from functools import partial
from typing import Final, Generic, Literal, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

from attrs import field, frozen

from secoda_async._engine.call import Scope
from secoda_async._engine.page_checks import (
    IncompleteListError,
    Walk,
    canonical_id,
    check_number,
    contradiction,
    doubt_of_end,
)
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.wire import codec, protocol
from secoda_async._engine.wire.protocol import Reply, Request
from secoda_async.config import CallOptions
from secoda_async.errors import InvalidArgumentError, NotFoundError, PaginationError
from secoda_async.models import Group, Page, User

T = TypeVar("T", Group, User)

OnInvalid = Literal["raise", "skip"]
"""What a list does with an item that can't be read: raise, or leave it out and report it in `Page.invalid`."""

_log: Final = logging.getLogger("secoda_async")

_SNAPSHOT_READS: Final = 5
"""The most reads of one snapshot; two are enough for a list that does not change."""

_SNAPSHOT_PAGES: Final = 100_000
"""Pages after which a snapshot fails: more groups than any workspace has."""

_SIGHTING_READS: Final = 3
"""Reads for `sightings`, at most, while none is complete."""

_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}
"""Names of this machine: an emulator may call itself by another than its client does."""


@frozen(eq=False, repr=False)
class _Raw(Generic[T]):
    """A page as it came."""

    page: Page[T]
    next_query: dict[str, str] | None
    """The query of the next page, or None on the last one."""
    doubt: str
    """On the last page: why the list can't end there; empty when it can."""


@frozen(eq=False, repr=False)
class Lister(Generic[T]):
    """One of the API's lists."""

    pipeline: Pipeline
    options: CallOptions
    collection: str
    model: type[T]
    needed: tuple[str, ...] = ()
    """Fields that every item of a snapshot must show: what is not shown is not to be taken for empty."""
    scope: Scope = Scope()  # noqa: RUF009 - immutable
    """The operation that the reads are part of, and when it began."""
    _warned: set[str] = field(factory=set[str], init=False)
    """Foreign hosts in links that were logged already."""
    _places: set[str] = field(factory=set[str], init=False)
    """Links without their query, of those that were looked at already: to take each apart would cost a tenth."""

    async def pages(
        self,
        *,
        concurrency: int = 1,
        on_invalid: OnInvalid = "raise",
        max_pages: int = 10_000,
        began: float | None = None,
    ) -> AsyncGenerator[Page[T], None]:
        """Yield the pages in order; see `Groups.pages`. The deadline is each page's own, or counts from `began`."""
        walk = Walk[T](self.collection, max_pages)
        began = self.scope.began if began is None else began
        async with aclosing(self._read_pages(walk, concurrency, on_invalid, began)) as pages:
            async for page in pages:
                yield page
        walk.log_surplus()

    async def items(
        self, *, concurrency: int, on_invalid: OnInvalid, max_pages: int, began: float | None = None
    ) -> AsyncGenerator[T, None]:
        """Yield the items of all pages, each once; see `Groups.list`."""
        pages = self.pages(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages, began=began)
        async with aclosing(pages):
            async for page in pages:
                for item in page.items:
                    yield item

    async def snapshot(self, *, concurrency: int = 4, began: float | None = None) -> list[T]:
        """Return everything, or raise; see `Groups.snapshot`. The deadline counts from `began`, or from now.

        A list of several pages is read at least twice: a delete can move an item from a page that is still to come to
        one that was read, and a create then makes the count right again. The second read proves that no item was
        missed. Its items were all seen in an earlier read, so they existed when the server answered its first page,
        and the count on that page says that there were no others. A list of one page is read once.
        """
        began = self.scope.began if began is None else began
        began = self.pipeline.clock.now() if began is None else began
        seen: set[str] = set()
        reason = ""
        for _ in range(_SNAPSHOT_READS):
            walk = Walk[T](self.collection, _SNAPSHOT_PAGES, needs_count=True)
            items: dict[str, T] = {}
            reason = await self._read_into(items, walk, concurrency, began)
            if not reason and (walk.pages == 1 or items.keys() <= seen):
                return list(items.values())
            seen |= items.keys()
        raise PaginationError(
            f"{self.collection}: the list changed during each of {_SNAPSHOT_READS} reads, and a part is not returned: "
            f"try again when fewer changes are made (the last read: {reason or 'items were created or deleted'})"
        )

    async def sightings(self) -> list[T]:
        """Return every item that a read shows; one can be missed while others change the list.

        That serves to find out what is new since a snapshot, when a snapshot would be disturbed by our own creates.

        Raises:
            PaginationError: When no read was complete.
        """
        seen: dict[str, T] = {}
        for _ in range(_SIGHTING_READS - 1):
            with suppress(IncompleteListError):
                await self._see(seen)
                return list(seen.values())
        await self._see(seen)
        return list(seen.values())

    async def _see(self, seen: dict[str, T]) -> None:
        """Read the list once, and add its items."""
        async with aclosing(self.items(concurrency=4, on_invalid="raise", max_pages=_SNAPSHOT_PAGES)) as items:
            async for item in items:
                seen[canonical_id(item.id)] = item

    async def _read_into(self, items: dict[str, T], walk: Walk[T], concurrency: int, began: float) -> str:
        """Read the list once, for a snapshot; return why it is certainly incomplete, or an empty string."""
        try:
            async with aclosing(self._read_pages(walk, concurrency, "raise", began, self.needed)) as pages:
                async for page in pages:
                    items.update((canonical_id(item.id), item) for item in page.items)
        except IncompleteListError as error:
            return error.message
        if walk.items == len(items) and walk.counts == {len(items)}:
            return ""
        counts = ", ".join(map(str, sorted(walk.counts)))
        return f"{walk.items} items came, {len(items)} of them different, and the server counted {counts}"

    async def _read_pages(
        self,
        walk: Walk[T],
        concurrency: int,
        on_invalid: OnInvalid,
        began: float | None,
        needed: tuple[str, ...] = (),
    ) -> AsyncGenerator[Page[T], None]:
        """Fetch the first page, learn how the list is paged, and go on; yield each page before it is checked.

        The deadline is each page's own, or with `began` that of all of them.
        """
        check_number("concurrency", concurrency)
        check_number("max_pages", walk.max_pages)
        if on_invalid not in ("raise", "skip"):
            raise InvalidArgumentError(f"on_invalid must be 'raise' or 'skip', not {on_invalid!r}")
        fetch = partial(self._fetch, on_invalid=on_invalid, began=began, needed=needed)
        raw = await fetch({}, 1)
        pages = min(raw.page.total_pages or 0, walk.max_pages)
        ahead: deque[asyncio.Task[_Raw[T]]] = deque()
        try:
            yield walk.take(raw.page)
            while (query := raw.next_query) is not None:
                walk.check_next(query)
                number = raw.page.number + 1
                if "page" in query and concurrency > 1:
                    while len(ahead) < concurrency and number + len(ahead) <= max(number, pages):
                        later = number + len(ahead)
                        ahead.append(asyncio.create_task(fetch({"page": str(later)}, later)))
                    raw = await ahead[0]
                    ahead.popleft()
                else:
                    raw = await fetch(query, number)
                yield walk.take(raw.page)
            walk.check_end(raw.doubt)
        except PaginationError as error:
            error.items_so_far = walk.items
            if error.method is None:
                error.method, error.path, error.attempts = "GET", self._request({}).path, 1
            raise
        finally:
            for task in ahead:
                task.cancel()
            await asyncio.gather(*ahead, return_exceptions=True)

    async def _fetch(
        self,
        query: dict[str, str],
        number: int,
        *,
        on_invalid: OnInvalid,
        began: float | None,
        needed: tuple[str, ...],
    ) -> _Raw[T]:
        try:
            call = self.pipeline.call(self._request(query), self.options, began=began, operation=self.scope.operation)
            raw = await self.pipeline.send(call, lambda reply: self._read(reply, number, on_invalid, needed))
        except NotFoundError as error:
            if number == 1:
                raise
            gone = IncompleteListError(f"page {number} is gone: the list shrank while it was read")
            gone.method, gone.path, gone.attempts, gone.waited = (
                error.method,
                error.path,
                error.attempts,
                error.waited,
            )
            gone.page, gone.status = number, error.status
        else:
            return raw
        raise gone

    def _request(self, query: dict[str, str]) -> Request:
        return protocol.request_to("GET", self.collection, query=urlencode(query))

    def _read(self, reply: Reply, number: int, on_invalid: OnInvalid, needed: tuple[str, ...]) -> _Raw[T]:
        envelope: codec.Envelope = codec.structure(protocol.json_of(reply), codec.Envelope)
        meta = envelope.meta
        if meta.page not in (None, number):
            raise contradiction(number, f"page {number} was asked for and page {meta.page} came")
        if meta.next_page not in (None, number + 1):
            raise contradiction(number, f"meta.next_page is {meta.next_page}")
        items, invalid = codec.structure_all(envelope.results, self.model, skip_invalid=on_invalid == "skip")
        codec.check_shown(envelope.results, needed)
        for error in invalid:
            error.status = reply.status
            _log.warning("%s, page %d: left out what can't be read: %s", self.collection, number, error)
        page = Page(number, tuple(items), envelope.count, envelope.total_pages, tuple(invalid))
        queries = [self._next_query(link, number) for link in envelope.next_links]
        if queries != queries[:1] * len(queries):
            raise contradiction(number, "links.next and next lead to different pages")
        next_query = queries[0] if queries else None
        return _Raw(page, next_query, "" if next_query else doubt_of_end(envelope, number))

    def _next_query(self, link: str | None, number: int) -> dict[str, str] | None:
        """What to ask for next, out of a link; the rest of the link is looked at only to warn."""
        if link is None:
            return None
        place, _, query_string = link.partition("?")
        if place in self._places and query_string == f"page={number + 1}":  # as a rule
            return {"page": str(number + 1)}
        try:
            parts = urlsplit(link)
            host = parts.hostname
        except ValueError:
            raise contradiction(number, "links.next is not a URL") from None
        ours = urlsplit(self.pipeline.transport.origin).hostname
        if host and host != ours and not {host, ours} <= _LOOPBACK and host not in self._warned:
            self._warned.add(host)
            _log.warning("%s: links.next points to %s; only its query is used", self.collection, host)
        query = parse_qs(parts.query)
        if cursor := query.get("cursor"):
            return {"cursor": cursor[0]}
        page = (query.get("page") or [""])[0]
        if page != str(number + 1):
            raise contradiction(number, f"links.next leads to page {page!r}, not to page {number + 1}")
        self._places.add(place)
        return {"page": page}
