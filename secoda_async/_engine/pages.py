"""Lists, page by page: what a page says of the next one, and how far that is believed.

Only `page` and `cursor` in the query of `links.next` are read; the link itself is never followed, because the key
would go wherever it points (FACTS: it points to other paths and, behind a proxy, to other hosts).
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Generic, Literal, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

from attrs import evolve, field, frozen

from secoda_async._engine import convert, protocol
from secoda_async._engine.journey import Scope
from secoda_async._engine.pipeline import Pipeline
from secoda_async._engine.protocol import Reply
from secoda_async._engine.recent import RecentIds
from secoda_async.config import CallOptions
from secoda_async.errors import InvalidArgumentError, NotFoundError, PaginationError
from secoda_async.models import Group, Page, User

T = TypeVar("T", Group, User)

OnInvalid = Literal["raise", "skip"]
"""What a list does with an item that can't be read: raise, or leave it out and report it in `Page.invalid`."""

_log: Final = logging.getLogger("secoda_async")

_SNAPSHOTS: Final = 4
"""How often a list is read for a snapshot, at most, when it moves."""

_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}
"""Names of this machine: an emulator may call itself by another than its client does."""

_NEIGHBOURS: Final = 3
"""Pages back that an item is remembered for: what moves while a list is read moves over the edge of a page or two."""

_CLOCK_STEP: Final = timedelta(seconds=2)
"""A `Date` header has whole seconds, and another machine may have written it."""


@frozen(eq=False, repr=False)
class _Raw(Generic[T]):
    """A page as it came, and the query of the next one."""

    page: Page[T]
    next_query: dict[str, str] | None
    reply: Reply
    """Where it was read from; without its body."""


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
        self, *, concurrency: int = 1, on_invalid: OnInvalid = "raise", max_pages: int = 10_000
    ) -> AsyncGenerator[Page[T], None]:
        """Yield the pages in order; see `Groups.pages`."""
        before: deque[set[str]] = deque(maxlen=_NEIGHBOURS)
        so_far, count = 0, None
        async with aclosing(self._raw_pages(concurrency, on_invalid, max_pages)) as raw_pages:
            async for raw in raw_pages:
                page = raw.page
                so_far, count = so_far + len(page.items) + len(page.invalid), page.count
                ids = {item.id for item in page.items}
                if len(ids) < len(page.items) or not all(ids.isdisjoint(others) for others in before):
                    others = set[str]().union(*before)
                    once = {item.id: item for item in page.items if item.id not in others}
                    page = evolve(page, items=tuple(once.values()))
                before.append(ids)
                yield page
        if count is not None and count != so_far:
            _log.warning(
                "%s: %d items came and the server counts %d: the list moved while it was read; snapshot() would notice",
                self.collection,
                so_far,
                count,
            )

    async def items(self, *, concurrency: int, on_invalid: OnInvalid, max_pages: int) -> AsyncGenerator[T, None]:
        """Yield the items of all pages, each once; see `Groups.list`."""
        seen = RecentIds()
        pages = self.pages(concurrency=concurrency, on_invalid=on_invalid, max_pages=max_pages)
        async with aclosing(pages):
            async for page in pages:
                for item in page.items:
                    if seen.add(item.id):
                        yield item

    async def snapshot(self, *, concurrency: int = 4, began: float | None = None) -> list[T]:
        """Return everything, or raise; see `Groups.snapshot`. The deadline counts from `began`, or from now."""
        reason = ""
        began = self.scope.began if began is None else began
        began = self.pipeline.clock.now() if began is None else began
        before: dict[str, T] = {}
        for _ in range(_SNAPSHOTS):
            items: dict[str, T] = {}
            repeated, counts, first = 0, set[int | None](), None
            try:
                async with aclosing(self._raw_pages(concurrency, "raise", 1_000_000, began, self.needed)) as raw_pages:
                    async for raw in raw_pages:
                        first = first or raw
                        so_far = len(items)
                        items.update((item.id, item) for item in raw.page.items)
                        repeated += so_far + len(raw.page.items) - len(items)
                        counts.add(raw.page.count)
            except PageGoneError:
                reason = "a page was gone before it was read"
                continue
            if repeated or counts not in ({len(items)}, {None}):
                shown = ", ".join(str(count) for count in sorted(counts, key=str))
                reason = f"{len(items)} different items came, {repeated} of them again, and the server counted {shown}"
            elif (before and before.keys() <= items.keys()) or not _may_hide(items, first):
                return list(items.values())
            else:
                before, reason = items, "items were added and taken away"
        raise PaginationError(
            f"{self.collection}: the list moved each of the {_SNAPSHOTS} times it was read ({reason}): "
            "a part is not returned; try again when fewer changes are made"
        )

    async def _raw_pages(
        self,
        concurrency: int,
        on_invalid: OnInvalid,
        max_pages: int,
        began: float | None = None,
        needed: tuple[str, ...] = (),
    ) -> AsyncGenerator[_Raw[T], None]:
        """Fetch the first page, learn how the list is paged, and go on.

        The deadline is each page's own, or with `began` that of all of them.
        """
        if concurrency < 1 or max_pages < 1:
            raise InvalidArgumentError("concurrency and max_pages must be at least 1")
        if on_invalid not in ("raise", "skip"):
            raise InvalidArgumentError(f"on_invalid must be 'raise' or 'skip', not {on_invalid!r}")
        fetch = partial(self._fetch, on_invalid=on_invalid, began=began, needed=needed)
        walk = _Walk(max_pages)
        raw = await fetch({}, 1)
        walk.note(raw.page, raw.next_query)
        yield raw
        pages = raw.page.total_pages or 0
        ahead: deque[asyncio.Task[_Raw[T]]] = deque()
        try:
            while (query := raw.next_query) is not None:
                number = raw.page.number + 1
                if "page" in query and concurrency > 1:
                    while len(ahead) < concurrency and number + len(ahead) <= max(number, min(pages, max_pages)):
                        later = number + len(ahead)
                        ahead.append(asyncio.create_task(fetch({"page": str(later)}, later)))
                    raw = await ahead[0]
                    ahead.popleft()
                else:
                    raw = await fetch(query, number)
                walk.note(raw.page, raw.next_query)
                yield raw
        except PaginationError as error:
            error.items_so_far = walk.items
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
        request = protocol.request_to("GET", self.collection, query=urlencode(query))
        try:
            call = self.pipeline.call(request, self.options, began=began, operation=self.scope.operation)
            raw = await self.pipeline.send(call, lambda reply: self._read(reply, number, on_invalid, needed))
        except NotFoundError as error:
            if number == 1:
                raise
            gone = PageGoneError(f"page {number} is gone: the list shrank while it was read")
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

    def _read(self, reply: Reply, number: int, on_invalid: OnInvalid, needed: tuple[str, ...]) -> _Raw[T]:
        envelope: convert.Envelope = convert.structure(protocol.json_of(reply), convert.Envelope)
        if envelope.meta.page not in (None, number):
            raise _contradiction(number, f"page {number} was asked for and page {envelope.meta.page} came")
        items, invalid = convert.structure_all(envelope.results, self.model, skip_invalid=on_invalid == "skip")
        convert.check_shown(envelope.results, needed)
        for error in invalid:
            error.status = reply.status
            _log.warning("%s, page %d: left out what can't be read: %s", self.collection, number, error)
        page = Page(number, tuple(items), envelope.count, envelope.total_pages, tuple(invalid))
        return _Raw(page, self._next_query(envelope.next, number), Reply(reply.status, reply.raw_headers, b""))

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
            raise _contradiction(number, "links.next is not a URL") from None
        ours = urlsplit(self.pipeline.transport.origin).hostname
        if host and host != ours and not {host, ours} <= _LOOPBACK and host not in self._warned:
            self._warned.add(host)
            _log.warning("%s: links.next points to %s; only its query is used", self.collection, host)
        query = parse_qs(parts.query)
        if cursor := query.get("cursor"):
            return {"cursor": cursor[0]}
        page = (query.get("page") or [""])[0]
        if page != str(number + 1):
            raise _contradiction(number, f"links.next leads to page {page!r}, not to page {number + 1}")
        self._places.add(place)
        return {"page": page}


def _may_hide(items: Mapping[str, T], first: _Raw[T] | None) -> bool:
    """Whether an item may have been missed although the count is right.

    While pages are read, a delete moves what comes after it up by one, so that an item slips from a page that is
    still to come to one that was read; a create makes up for the count. So one page hides nothing, nor do several
    when nothing among them is new.
    """
    if first is None or first.next_query is None:
        return False
    date = protocol.date_of(first.reply)
    if date is None:
        return True  # who knows
    since = date - _CLOCK_STEP
    times: Iterable[datetime | None] = (getattr(item, "created_at", None) for item in items.values())
    return any(time is None or time >= since for time in times)


class PageGoneError(PaginationError):
    """A page past the end of a list that was longer a moment ago."""


class _Walk:
    """The way through a list: it must lead on, and end."""

    def __init__(self, max_pages: int) -> None:
        self._max_pages = max_pages
        self._cursors: set[str] = set()
        self.items = 0

    def note(self, page: Page[T], next_query: dict[str, str] | None) -> None:
        """Take a page in.

        Raises:
            PaginationError: When the next one was read already, or is one too many.
        """
        self.items += len(page.items)
        if next_query is None:
            return
        if page.number >= self._max_pages:
            raise _contradiction(page.number, f"the list goes on after max_pages={self._max_pages} pages")
        cursor = next_query.get("cursor")
        if cursor is not None:
            if cursor in self._cursors:
                raise _contradiction(page.number, "links.next leads back to a page that was read already")
            self._cursors.add(cursor)


def _contradiction(number: int, reason: str) -> PaginationError:
    error = PaginationError(f"the list can't be read on from page {number}: {reason}")
    error.page = number
    return error
