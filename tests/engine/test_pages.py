"""Lists: they end, they are complete or raise, and their links are not believed further than their query."""

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

import pytest

from secoda_async import (
    AutojumpClock,
    DeadlineExceededError,
    Group,
    InvalidArgumentError,
    NotFoundError,
    PaginationError,
    ResponseError,
    RetryPolicy,
    SecodaClient,
    ServerError,
)
from secoda_async.clock import SYSTEM_CLOCK
from secoda_async.emulator import Emulator, RecordedRequest
from tests.support.approx import approx
from tests.support.clients import Connect
from tests.support.waiting import drain_loop, wait_until

Json = dict[str, Any]
GROUPS = "/auth/group"
NO_RETRY = RetryPolicy(attempts=1)


def pages_asked(emulator: Emulator) -> list[str]:
    return [record.query.get("page", record.query.get("cursor", "")) for record in emulator.requests]


def link(**change: object) -> Callable[[Json], Json]:
    """A change of the links and numbers of a page."""
    return lambda page: page | {"links": page["links"] | change}


def spoiled(index: int, **change: object) -> Callable[[Json], Json]:
    def change_one(page: Json) -> Json:
        page["results"][index] |= change
        return page

    return change_one


async def listed(pages: AsyncGenerator[Group, None]) -> list[str]:
    return [group.id async for group in pages]


async def collect(items: AsyncGenerator[Any, None], into: list[Any]) -> None:
    """Keep what a list yields before it raises."""
    async for item in items:
        into.append(item)  # noqa: PERF401 - the error comes in the middle


class TestReading:
    @pytest.mark.requirement("PG-1")
    @pytest.mark.parametrize("concurrency", [1, 2, 4, 100])
    async def test_a_list_yields_every_group_of_every_page_in_order(
        self, emulator: Emulator, secoda: SecodaClient, concurrency: int
    ) -> None:
        emulator.page_size = 13
        assert await listed(secoda.groups.list(concurrency=concurrency)) == list(emulator.groups)
        assert sorted(pages_asked(emulator), key=lambda page: int(page or 1)) == ["", *map(str, range(2, 11))]

    @pytest.mark.requirement("PG-1")
    async def test_pages_are_numbered_and_counted(self, secoda: SecodaClient) -> None:
        pages = [page async for page in secoda.groups.pages(concurrency=4)]
        assert [(page.number, page.count, page.total_pages, len(page.items)) for page in pages] == [
            (1, 120, 3, 50),
            (2, 120, 3, 50),
            (3, 120, 3, 20),
        ]
        assert all(isinstance(group, Group) for page in pages for group in page.items)

    async def test_pages_in_flight_are_as_many_as_asked_for(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        emulator.page_size, emulator.latency = 12, 1.0
        assert len(await secoda.groups.snapshot(concurrency=3)) == 120
        assert clock.now() == approx(8)  # twice the first page, and nine others three at a time

    @pytest.mark.requirement("PG-1")
    async def test_cursor_lists_are_read_one_by_one(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.cursor_lists = True
        pages = [page async for page in secoda.groups.pages(concurrency=4)]
        assert [page.number for page in pages] == [1, 2, 3]
        assert [group.id for page in pages for group in page.items] == list(emulator.groups)
        assert all("page" not in record.query for record in emulator.requests)

    async def test_an_empty_list_is_empty(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.groups.clear()
        assert await listed(secoda.groups.list()) == []
        assert await secoda.groups.snapshot() == []
        assert [page.items async for page in secoda.groups.pages()] == [()]

    @pytest.mark.parametrize("arguments", [{"concurrency": 0}, {"max_pages": 0}, {"on_invalid": "ignore"}], ids=repr)
    async def test_bad_arguments_are_refused_before_anything_is_sent(
        self, emulator: Emulator, secoda: SecodaClient, arguments: Json
    ) -> None:
        with pytest.raises(InvalidArgumentError):
            await listed(secoda.groups.list(**arguments))
        assert emulator.requests == []


class TestStopping:
    @pytest.mark.requirement("PG-1")
    @pytest.mark.parametrize("concurrency", [1, 4])
    async def test_a_break_after_the_first_item_asks_for_no_more(
        self, emulator: Emulator, secoda: SecodaClient, concurrency: int
    ) -> None:
        async for group in secoda.groups.list(concurrency=concurrency):
            assert group.id == next(iter(emulator.groups))
            break
        gc.collect()
        await drain_loop()
        assert len(emulator.requests) == 1
        assert len(asyncio.all_tasks()) == 1 + emulator.open_connections  # this one, and the server's

    @pytest.mark.requirement("PG-1")
    async def test_a_break_with_pages_in_flight_leaves_no_task(
        self, emulator: Emulator, secoda: SecodaClient, clock: AutojumpClock
    ) -> None:
        emulator.page_size = 5
        emulator.faults.add(delay=100, match=lambda record: record.query.get("page") in ("4", "5"), times=None)
        async with aclosing(secoda.groups.pages(concurrency=4)) as pages:
            async for page in pages:
                if page.number == 3:
                    break
        assert clock.now() == 0
        asked = len(emulator.requests)
        gc.collect()
        await drain_loop()
        assert [task.get_name() for task in asyncio.all_tasks() if "fetch" in repr(task)] == []
        assert len(emulator.requests) == asked
        await secoda.groups.get(next(iter(emulator.groups)))

    @pytest.mark.requirement("PG-1", "RT-7")
    @pytest.mark.parametrize("concurrency", [1, 4])
    async def test_a_list_that_is_cancelled_asks_for_no_more(
        self, emulator: Emulator, secoda: SecodaClient, concurrency: int
    ) -> None:
        emulator.page_size = 10
        emulator.faults.add(stall="before", match=lambda record: record.query.get("page") == "3")
        task = asyncio.create_task(listed(secoda.groups.list(concurrency=concurrency)))
        await wait_until(lambda: "3" in pages_asked(emulator))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        asked = len(emulator.requests)
        gc.collect()
        await drain_loop()
        assert len(emulator.requests) == asked

    async def test_an_error_ends_the_pages_that_were_fetched_ahead(self, emulator: Emulator, connect: Connect) -> None:
        emulator.page_size = 5
        emulator.faults.add(status=400, match=lambda record: record.query.get("page") == "2")
        emulator.faults.add(status=500, match=lambda record: record.query.get("page") == "3")
        emulator.faults.add(stall="before", match=lambda record: record.query.get("page") == "4")
        with pytest.raises(Exception, match="400"):
            await listed(connect(retry=NO_RETRY).groups.list(concurrency=4))


class TestEnding:
    @pytest.mark.requirement("PG-2")
    @pytest.mark.parametrize("end", [None, "", "None"])
    @pytest.mark.parametrize("concurrency", [1, 4])
    async def test_a_list_ends_where_next_has_no_target(
        self, emulator: Emulator, secoda: SecodaClient, end: str | None, concurrency: int
    ) -> None:
        emulator.faults.add(transform=link(next=end), skip=2)
        pages = [page.number async for page in secoda.groups.pages(concurrency=concurrency)]
        assert pages == [1, 2, 3]

    @pytest.mark.requirement("PG-2")
    @pytest.mark.parametrize("links", [{}, {"previous": None}])
    async def test_a_list_ends_where_next_is_missing_and_the_count_is_reached(
        self, emulator: Emulator, secoda: SecodaClient, links: Json
    ) -> None:
        emulator.faults.add(transform=lambda page: page | {"links": links}, skip=2)
        assert len(await listed(secoda.groups.list())) == 120

    @pytest.mark.requirement("PG-2")
    async def test_an_empty_page_with_a_next_goes_on(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(transform=lambda page: page | {"results": []}, skip=1)
        emulator.faults.add(transform=lambda page: page | {"count": 70}, skip=1)
        assert [len(page.items) async for page in secoda.groups.pages()] == [50, 0, 20]

    @pytest.mark.requirement("PG-2")
    @pytest.mark.parametrize("concurrency", [1, 4])
    @pytest.mark.parametrize(
        "query", ["?page=1", "?page=2", "?page=4", "?page=x", "?page=", "?offset=50", "", "?page=03"]
    )
    async def test_a_next_that_does_not_lead_on_raises(
        self, emulator: Emulator, secoda: SecodaClient, query: str, concurrency: int
    ) -> None:
        emulator.faults.add(
            transform=link(next=f"{emulator.url}/api/v1{GROUPS}{query}"),
            match=lambda record: record.query.get("page") == "2",
        )
        with pytest.raises(PaginationError, match="page 2") as caught:
            await listed(secoda.groups.list(concurrency=concurrency))
        assert (caught.value.page, caught.value.items_so_far) == (2, 50)
        assert (caught.value.method, caught.value.path) == ("GET", "/api/v1/auth/group")

    @pytest.mark.requirement("PG-2")
    async def test_next_link_that_is_not_a_url_raises(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(transform=link(next="http://[::1/?page=2"))
        with pytest.raises(PaginationError, match="not a URL"):
            await listed(secoda.groups.list())

    @pytest.mark.requirement("PG-2")
    @pytest.mark.parametrize("to", ["a", "b"], ids=["to itself", "to an earlier one"])
    async def test_cursor_that_repeats_raises(self, emulator: Emulator, secoda: SecodaClient, to: str) -> None:
        emulator.cursor_lists = True
        for cursor in ("b", "a", to):
            emulator.faults.add(transform=link(next=f"?{urlencode({'cursor': cursor})}"), match=first_page_whatever)
        emulator.faults.add(status=500, times=None)
        with pytest.raises(PaginationError, match="read already") as caught:
            await listed(secoda.groups.list())
        assert len(emulator.requests) == 3
        assert (caught.value.page, caught.value.items_so_far) == (3, 150)

    @pytest.mark.requirement("PG-2")
    @pytest.mark.parametrize("concurrency", [1, 4])
    async def test_a_list_longer_than_max_pages_raises_and_one_as_long_does_not(
        self, emulator: Emulator, secoda: SecodaClient, concurrency: int
    ) -> None:
        assert len(await listed(secoda.groups.list(concurrency=concurrency, max_pages=3))) == 120
        emulator.requests.clear()
        with pytest.raises(PaginationError, match="max_pages=2"):
            await listed(secoda.groups.list(concurrency=concurrency, max_pages=2))
        assert pages_asked(emulator) == ["", "2"]

    @pytest.mark.requirement("PG-2")
    async def test_a_server_that_ignores_the_page_is_found_out(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(
            transform=lambda page: page | {"meta": page["meta"] | {"page": 1}},
            match=lambda record: record.query.get("page") == "2",
        )
        with pytest.raises(PaginationError, match="page 2 was asked for and page 1 came"):
            await listed(secoda.groups.list())


def first_page_whatever(record: RecordedRequest) -> bool:
    """Answer any cursor with the first page."""
    record.query.clear()
    return True


CHANGES: list[Callable[[Json], Json]] = [
    lambda page: page | {"results": page["results"][1:]},
    lambda page: page | {"results": page["results"][:1] * 2 + page["results"][2:]},
    lambda page: page | {"count": 500},
]


def shrink(emulator: Emulator) -> None:
    for group_id in list(emulator.groups)[60:]:
        del emulator.groups[group_id]


class TestCompleteness:
    @pytest.mark.requirement("PG-3")
    @pytest.mark.parametrize("concurrency", [1, 4])
    async def test_a_failing_page_is_asked_for_again_and_no_other(
        self, emulator: Emulator, secoda: SecodaClient, concurrency: int
    ) -> None:
        emulator.faults.add(status=503, match=lambda record: record.query.get("page") == "3")
        assert await listed(secoda.groups.list(concurrency=concurrency)) == list(emulator.groups)
        assert sorted(pages_asked(emulator)) == ["", "2", "3", "3"]

    @pytest.mark.requirement("PG-3")
    async def test_a_page_that_keeps_failing_raises(self, emulator: Emulator, connect: Connect) -> None:
        emulator.faults.add(status=503, match=lambda record: record.query.get("page") == "3", times=None)
        secoda = connect(retry=RetryPolicy(attempts=2))
        for read in (secoda.groups.snapshot, lambda: listed(secoda.groups.list())):
            with pytest.raises(ServerError) as caught:
                await read()
            assert caught.value.attempts == 2

    @pytest.mark.requirement("PG-3")
    async def test_more_items_than_the_count_are_logged(
        self, emulator: Emulator, secoda: SecodaClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        emulator.faults.add(transform=lambda page: page | {"count": 119}, skip=2)
        assert len(await listed(secoda.groups.list())) == 120
        assert "120 items came and the server counts 119" in caplog.text

    async def test_an_item_left_out_is_not_taken_for_a_list_that_moved(
        self, emulator: Emulator, secoda: SecodaClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        emulator.faults.add(transform=spoiled(0, name=None))
        assert len(await listed(secoda.groups.list(on_invalid="skip"))) == 119
        assert "the server counts" not in caplog.text

    @pytest.mark.requirement("PG-4", "PG-6")
    async def test_an_item_on_two_pages_is_yielded_once_and_the_one_that_was_missed_is_an_error(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        def create_at_the_front(_: RecordedRequest) -> bool:
            if "new" not in emulator.groups:
                groups = {"new": emulator.groups["group-0"] | {"id": "new"}} | emulator.groups
                emulator.groups.clear()
                emulator.groups.update(groups)
            return False

        emulator.faults.add(status=500, match=create_at_the_front, path="page=2")
        groups: list[Group] = []
        with pytest.raises(PaginationError, match="120 different items came and the server counts 121"):
            await collect(secoda.groups.list(), groups)
        assert len(groups) == len({group.id for group in groups}) == 120

    @pytest.mark.requirement("PG-4", "PG-6")
    async def test_item_that_moves_many_pages_is_yielded_once(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.page_size = 10
        first = next(iter(emulator.groups.values()))
        emulator.faults.add(
            transform=lambda page: page | {"results": [*page["results"][:-1], first]},
            match=lambda record: record.query.get("page") == "9",
        )
        groups: list[Group] = []
        with pytest.raises(PaginationError, match="119 different items came") as caught:
            await collect(secoda.groups.list(), groups)
        assert len(groups) == len({group.id for group in groups}) == 119
        assert (caught.value.page, caught.value.items_so_far) == (12, 120)

    @pytest.mark.requirement("PG-4")
    async def test_everything_can_be_deleted_from_a_snapshot(self, emulator: Emulator, secoda: SecodaClient) -> None:
        for group in await secoda.groups.snapshot():
            await secoda.groups.delete(group.id)
        assert emulator.groups == {}

    @pytest.mark.requirement("PG-4")
    async def test_page_that_is_gone_is_a_pagination_error_and_not_a_missing_group(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        pages = secoda.groups.pages()
        assert [len((await anext(pages)).items) for _ in range(2)] == [50, 50]
        shrink(emulator)
        with pytest.raises(PaginationError, match="page 3 is gone") as caught:
            await anext(pages)
        assert not isinstance(caught.value, NotFoundError)
        assert (caught.value.page, caught.value.status, caught.value.items_so_far) == (3, 404, 100)
        assert (caught.value.method, caught.value.attempts) == ("GET", 1)
        assert caught.value.__cause__ is caught.value.__context__ is None

    async def test_a_missing_first_page_is_no_drift(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(status=404)
        with pytest.raises(NotFoundError):
            await secoda.groups.snapshot()
        assert len(emulator.requests) == 1

    @pytest.mark.requirement("PG-4")
    async def test_a_snapshot_reads_again_when_a_page_is_gone(self, emulator: Emulator, secoda: SecodaClient) -> None:
        def shrinking(record: RecordedRequest) -> bool:
            if record.query.get("page") == "2":
                shrink(emulator)
            return False

        emulator.faults.add(status=500, match=shrinking)
        assert [group.id for group in await secoda.groups.snapshot(concurrency=1)] == list(emulator.groups)
        assert pages_asked(emulator) == ["", "2", "", "2"]

    @pytest.mark.requirement("PG-3", "PG-7")
    @pytest.mark.parametrize("change", CHANGES, ids=["short", "repeated", "miscounted"])
    @pytest.mark.parametrize("times", [1, 2, 3, 4, 5])
    async def test_a_snapshot_is_complete_or_raises(
        self, emulator: Emulator, secoda: SecodaClient, change: Callable[[Json], Json], times: int
    ) -> None:
        emulator.faults.add(transform=change, match=lambda record: record.query.get("page") == "2", times=times)
        is_item_missing = change is not CHANGES[2]
        reads = times + (2 if is_item_missing else 1)  # the first read that shows an item proves nothing
        if reads <= 5:
            assert [group.id for group in await secoda.groups.snapshot()] == list(emulator.groups)
        else:
            with pytest.raises(PaginationError, match="the list changed during each of 5 reads"):
                await secoda.groups.snapshot()
        assert len(emulator.requests) == 3 * min(reads, 5)

    @pytest.mark.requirement("PG-6")
    async def test_a_snapshot_needs_a_count(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(transform=lambda page: page | {"count": None}, times=None)
        with pytest.raises(PaginationError, match="the page has no count"):
            await secoda.groups.snapshot()
        assert len(emulator.requests) == 1
        assert len(await listed(secoda.groups.list())) == 120

    @pytest.mark.requirement("RT-5")
    async def test_a_snapshot_has_one_deadline_for_all_its_pages(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        emulator.latency = 2
        with pytest.raises(DeadlineExceededError):
            await connect(deadline=5).groups.snapshot(concurrency=1)
        assert clock.now() == approx(5)


class TestMalformedItems:
    @pytest.mark.requirement("MD-1", "MD-4")
    async def test_malformed_item_fails_the_list_with_its_index_and_id(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.faults.add(transform=spoiled(7, users="abc"), match=lambda record: record.query.get("page") == "2")
        with pytest.raises(ResponseError) as caught:
            await listed(secoda.groups.list())
        assert caught.value.location == "results[7].users"
        assert caught.value.item_id == list(emulator.groups)[57]
        assert str(caught.value).startswith("results[7].users: expected a list of strings, got a string")

    @pytest.mark.requirement("MD-1")
    async def test_malformed_items_can_be_skipped_and_are_reported(
        self, emulator: Emulator, secoda: SecodaClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        emulator.faults.add(transform=lambda page: spoiled(9, id=5)(spoiled(7, users="abc")(page)))
        pages = [page async for page in secoda.groups.pages(on_invalid="skip")]
        assert [(error.location, error.item_id, error.status) for error in pages[0].invalid] == [
            ("results[7].users", list(emulator.groups)[7], 200),
            ("results[9].id", None, 200),
        ]
        assert [len(page.items) for page in pages] == [48, 50, 20]
        assert caplog.text.count("left out") == 2

    @pytest.mark.requirement("MD-1", "MD-2")
    @pytest.mark.parametrize(
        ("envelope", "location"),
        [
            ([], ""),
            ({}, "results"),
            ({"results": None}, "results"),
            ({"results": {}}, "results"),
            ({"results": [], "links": []}, "links"),
            ({"results": [], "links": {"next": 5}}, "links.next"),
            ({"results": [], "meta": {"page": "two"}}, "meta.page"),
            ({"results": [], "count": "3"}, "count"),
            ({"results": [None]}, "results[0]"),
        ],
    )
    async def test_malformed_envelope_is_an_error(
        self, emulator: Emulator, secoda: SecodaClient, envelope: object, location: str
    ) -> None:
        emulator.faults.add(body=envelope)
        with pytest.raises(ResponseError) as caught:
            await secoda.groups.snapshot()
        assert caught.value.location == location
        assert caught.value.body.startswith(("[", "{"))

    async def test_the_docs_own_literals_are_read_as_what_they_mean(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        emulator.docs_literals = True
        assert len(await secoda.groups.snapshot()) == 120


class TestLinks:
    @pytest.fixture
    async def elsewhere(self, clock: AutojumpClock, emulator: Emulator) -> AsyncGenerator[Emulator, None]:
        """A second server, with the same key, that must hear nothing."""
        async with Emulator(groups=120, api_key=emulator.api_key, clock=clock) as elsewhere:
            yield elsewhere
            assert elsewhere.requests == []

    @pytest.mark.requirement("PG-5")
    @pytest.mark.parametrize("concurrency", [1, 4])
    @pytest.mark.parametrize(
        "target",
        [
            "{elsewhere}/api/v1/auth/group",
            "http://evil.example/api/v1/auth/group",
            "https://127.0.0.1/api/v1/auth/group",
            "http://key@127.0.0.1:1/",
            "//evil.example/x",
            "/resource/all/",
            "/api/v1/../../etc",
            "",
            "ftp://x/",
            "javascript:alert(1)",
        ],
    )
    async def test_only_the_query_of_a_link_is_used(
        self, emulator: Emulator, elsewhere: Emulator, secoda: SecodaClient, target: str, concurrency: int
    ) -> None:
        def point_elsewhere(page: Json) -> Json:
            following = page["meta"]["next_page"]
            where = target.format(elsewhere=elsewhere.url)
            return link(next=following and f"{where}?page={following}&token=x")(page)

        emulator.faults.add(transform=point_elsewhere, times=None)
        assert await listed(secoda.groups.list(concurrency=concurrency)) == list(emulator.groups)
        assert {record.path for record in emulator.requests} == {"/api/v1/auth/group"}
        assert [record.query for record in emulator.requests[1:]] == [{"page": "2"}, {"page": "3"}]
        assert all(record.authorized for record in emulator.requests)

    @pytest.mark.requirement("PG-5")
    @pytest.mark.parametrize("host", ["evil.example", "0.0.1", "127", "p"], ids=repr)
    async def test_a_foreign_host_is_logged_once(
        self, emulator: Emulator, secoda: SecodaClient, caplog: pytest.LogCaptureFixture, host: str
    ) -> None:
        emulator.link_origin = f"https://{emulator.api_key}@{host}:8443"
        for _ in range(2):
            await secoda.groups.snapshot()
        (record,) = caplog.records
        assert (record.levelno, record.name) == (logging.WARNING, "secoda_async")
        assert f"points to {host!r};" in record.getMessage()
        assert emulator.api_key not in caplog.text

    @pytest.mark.requirement("PG-5")
    @pytest.mark.parametrize("origin", ["https://127.0.0.1", "http://127.0.0.1:9"])
    async def test_another_scheme_or_port_of_the_same_host_is_nothing_to_log(
        self, emulator: Emulator, secoda: SecodaClient, caplog: pytest.LogCaptureFixture, origin: str
    ) -> None:
        emulator.link_origin = origin
        assert len(await secoda.groups.snapshot()) == 120
        assert caplog.records == []


async def test_loopback_names_are_not_foreign_hosts(
    emulator: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    # The machine's clock: names are looked up in a thread, which an AutojumpClock does not see.
    secoda = connect(base_url=emulator.url.replace("127.0.0.1", "localhost"), clock=SYSTEM_CLOCK)
    await secoda.groups.snapshot()
    assert caplog.records == []


def hide_a_delete_by_a_create(emulator: Emulator, created_at: str | None) -> None:
    """While page 2 is on its way, delete a group of page 1 and create another: one moves over the edge, unseen."""

    def others(_: RecordedRequest) -> bool:
        if "new" not in emulator.groups:
            first = emulator.groups.pop("group-0")
            emulator.groups["new"] = first | {"id": "new", "created_at": created_at}
        return False

    emulator.faults.add(status=500, match=others, path="page=2")


class TestSnapshotProof:
    """The proof that a snapshot is complete rests on ids and counts, never on a clock."""

    @pytest.mark.requirement("PG-3", "PG-7", "BS-2")
    @pytest.mark.parametrize("created_at", ["1999-01-01T00:00:00Z", "2999-01-01T00:00:00Z", None], ids=repr)
    @pytest.mark.parametrize("concurrency", [1, 4])
    async def test_a_delete_that_a_create_hides_is_noticed(
        self, emulator: Emulator, secoda: SecodaClient, created_at: str | None, concurrency: int
    ) -> None:
        hide_a_delete_by_a_create(emulator, created_at)
        snapshot = await secoda.groups.snapshot(concurrency=concurrency)
        assert [group.id for group in snapshot] == list(emulator.groups)
        assert len(emulator.requests) == 9

    @pytest.mark.requirement("PG-7")
    async def test_a_list_of_one_page_is_read_once_and_one_of_several_twice(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        assert len(await secoda.groups.snapshot()) == 120
        assert sorted(pages_asked(emulator)) == ["", "", "2", "2", "3", "3"]
        emulator.requests.clear()
        emulator.page_size = 120
        assert len(await secoda.groups.snapshot()) == 120
        assert pages_asked(emulator) == [""]

    @pytest.mark.requirement("PG-7")
    async def test_a_snapshot_is_the_latest_read(self, emulator: Emulator, secoda: SecodaClient) -> None:
        def rename(_: RecordedRequest) -> bool:
            emulator.groups["group-0"]["name"] = "renamed"
            return False

        emulator.faults.add(status=500, match=rename, path="page=3")
        assert (await secoda.groups.snapshot())[0].name == "renamed"

    @pytest.mark.requirement("PG-7")
    async def test_a_delete_between_two_reads_costs_no_third(self, emulator: Emulator, secoda: SecodaClient) -> None:
        def delete_after_the_first_read(record: RecordedRequest) -> bool:
            if not record.query and len(emulator.requests) > 3:
                emulator.groups.pop("group-0", None)
            return False

        emulator.faults.add(status=500, match=delete_after_the_first_read)
        assert len(await secoda.groups.snapshot()) == 119
        assert len(emulator.requests) == 6

    @pytest.mark.requirement("PG-7")
    async def test_a_list_that_changes_during_each_read_raises(self, emulator: Emulator, secoda: SecodaClient) -> None:
        def replace_one(record: RecordedRequest) -> bool:
            if not record.query:
                oldest = emulator.groups.pop(next(iter(emulator.groups)))
                new_id = f"new-{len(emulator.requests)}"
                emulator.groups[new_id] = oldest | {"id": new_id}
            return False

        emulator.faults.add(status=500, match=replace_one)
        with pytest.raises(PaginationError, match=r"changed during each of 5 reads.*: items were created or deleted"):
            await secoda.groups.snapshot()
        assert len(emulator.requests) == 15

    @pytest.mark.requirement("PG-7", "BS-2")
    async def test_members_that_only_the_second_read_hides_are_an_error(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        def without_users(page: Json) -> Json:
            del page["results"][0]["users"]
            return page

        emulator.faults.add(transform=without_users, skip=3)
        with pytest.raises(ResponseError, match=r"results\[0\]\.users: missing"):
            await secoda.groups.snapshot()


def half(**change: object) -> Callable[[Json], Json]:
    """The first page, taken for the whole list, with these numbers and links."""
    return lambda page: {name: value for name, value in (page | change).items() if value != "left out"}


END: Json = {"next": None}
ALONE: Json = dict.fromkeys(("links", "meta", "count", "total_pages"), "left out")
CONTRADICTIONS: list[tuple[Callable[[Json], Json], str]] = [
    (half(links=END), "meta.next_page is 2"),
    (half(links={"next": "None"}), "meta.next_page is 2"),
    (half(links={"next": ""}), "meta.next_page is 2"),
    (half(links={}), "meta.next_page is 2"),
    (half(links=END, meta={"page": 1}), "total_pages is 3"),
    (half(links=END, meta={"page": 1}, count=None), "total_pages is 3"),
    (half(links=END, meta="left out", total_pages=None), "50 different items came and the server counts 120"),
    (half(links={}, meta={}, total_pages="left out"), "50 different items came and the server counts 120"),
    (half(links=END, next=None, count=50), "meta.next_page is 2"),
    (half(**ALONE), "nothing says that the list ends there"),
    (half(**ALONE, results=[]), "nothing says that the list ends there"),
    (half(**ALONE | {"total_pages": 2}, results=[]), "total_pages is 2"),
    (half(links=END, meta={"page": 1}, results=[], count=0, total_pages=2), "total_pages is 2"),
]
"""First pages of 50 groups out of 120 that have no next link, and what speaks against them."""


class TestContradictions:
    @pytest.mark.requirement("PG-6", "BS-2")
    @pytest.mark.parametrize(("change", "reason"), CONTRADICTIONS)
    async def test_a_list_that_ends_too_early_raises_after_its_items(
        self, emulator: Emulator, secoda: SecodaClient, change: Callable[[Json], Json], reason: str
    ) -> None:
        emulator.faults.add(transform=change, times=None)
        page = change({"results": [None] * 50})
        seen: list[object] = []
        with pytest.raises(PaginationError, match=reason) as caught:
            await collect(secoda.groups.list(), seen)
        assert len(seen) == caught.value.items_so_far == len(page["results"])
        assert (caught.value.page, len(emulator.requests)) == (1, 1)
        assert str(caught.value).endswith("[GET /api/v1/auth/group]")
        pages: list[object] = []
        with pytest.raises(PaginationError, match=reason):
            await collect(secoda.groups.pages(concurrency=4), pages)
        assert len(pages) == 1
        with pytest.raises(PaginationError):
            await secoda.groups.snapshot()

    @pytest.mark.requirement("PG-6")
    async def test_a_break_before_the_end_raises_nothing(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(transform=half(links=END), times=None)
        async for group in secoda.groups.list():
            if group.id == "group-49":
                break

    @pytest.mark.requirement("PG-6")
    @pytest.mark.parametrize("has_links", [True, False])
    @pytest.mark.parametrize("concurrency", [1, 4])
    async def test_a_next_link_outside_of_links_is_followed(
        self,
        emulator: Emulator,
        secoda: SecodaClient,
        has_links: bool,  # noqa: FBT001
        concurrency: int,
    ) -> None:
        def move_link(page: Json) -> Json:
            following = page["links"]["next"]
            return page | {"next": following, "links": {"next": following} if has_links else {}}

        emulator.faults.add(transform=move_link, times=None)
        assert await listed(secoda.groups.list(concurrency=concurrency)) == list(emulator.groups)
        assert len(await secoda.groups.snapshot()) == 120

    @pytest.mark.requirement("PG-6")
    @pytest.mark.parametrize("other", [None, "?page=3", "?cursor=a"], ids=repr)
    async def test_two_next_links_that_differ_raise(
        self, emulator: Emulator, secoda: SecodaClient, other: str | None
    ) -> None:
        emulator.faults.add(transform=lambda page: page | {"next": other}, times=None)
        for read in (secoda.groups.snapshot, lambda: listed(secoda.groups.list())):
            with pytest.raises(PaginationError, match="page 1"):
                await read()

    @pytest.mark.requirement("PG-6")
    async def test_a_next_page_other_than_the_next_raises(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(transform=lambda page: page | {"meta": {"page": 1, "next_page": 3}})
        with pytest.raises(PaginationError, match=r"meta\.next_page is 3"):
            await listed(secoda.groups.list())

    @pytest.mark.requirement("PG-6")
    async def test_the_last_known_count_is_the_one_that_counts(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(transform=lambda page: page | {"count": None, "results": page["results"][1:]}, skip=2)
        with pytest.raises(PaginationError, match="119 different items came and the server counts 120"):
            await listed(secoda.groups.list())

    @pytest.mark.requirement("PG-6")
    async def test_a_cursor_list_that_ends_too_early_raises(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.cursor_lists = True
        assert len(await secoda.groups.snapshot()) == 120
        emulator.faults.add(transform=lambda page: page | {"links": END, "total_pages": None}, skip=1)
        with pytest.raises(PaginationError, match="100 different items came and the server counts 120"):
            await listed(secoda.groups.list())

    @pytest.mark.requirement("PG-4", "SL-6")
    async def test_the_letter_case_of_a_uuid_makes_no_other_item(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        """The same UUID twice is one item; two ids that are no UUIDs are two."""
        emulator.groups.clear()
        group: Json = {"name": "A", "users": []}
        uuid = "F3BDD4F8-D6EA-4F9B-8384-E179FA8EB3DA"
        results = [group | {"id": item_id} for item_id in (uuid, uuid.lower(), "g-A", "g-a")]
        emulator.faults.add(transform=lambda page: page | {"results": results, "count": 3}, times=None)
        assert await listed(secoda.groups.list()) == [uuid, "g-A", "g-a"]
        with pytest.raises(PaginationError, match="4 items came, 3 of them different, and the server counted 3"):
            await secoda.groups.snapshot()


class TestEndlessLists:
    @pytest.mark.requirement("PG-2", "PG-7")
    @pytest.mark.parametrize("count", [None, 500])
    async def test_empty_pages_without_end_raise(
        self, emulator: Emulator, secoda: SecodaClient, count: int | None
    ) -> None:
        emulator.faults.add(transform=lambda _: endless(emulator, results=[], count=count), times=None)
        emulator.faults.add(match=first_page_whatever, status=500)
        with pytest.raises(PaginationError, match="100 empty pages came, and the list continues"):
            await listed(secoda.groups.list())
        assert len(emulator.requests) == 100
        with pytest.raises(PaginationError):
            await secoda.groups.snapshot()
        assert len(emulator.requests) == (101 if count is None else 200)

    @pytest.mark.requirement("PG-2", "PG-7")
    async def test_a_list_that_goes_on_far_beyond_its_count_raises(
        self, emulator: Emulator, secoda: SecodaClient
    ) -> None:
        def transform(page: Json) -> Json:
            new = [item | {"id": f"{item['id']}-{len(emulator.requests)}"} for item in page["results"]]
            return endless(emulator, results=new, count=120)

        emulator.cursor_lists = True
        emulator.faults.add(transform=transform, match=first_page_whatever, times=None)
        for read in (secoda.groups.snapshot, lambda: listed(secoda.groups.list())):
            emulator.requests.clear()
            with pytest.raises(PaginationError, match="200 items came, the server counted 120 at most"):
                await read()
            assert len(emulator.requests) == 4


def endless(emulator: Emulator, **change: object) -> Json:
    return {"links": {"next": f"?cursor={len(emulator.requests)}"}} | change


def of_more_items(page: Json) -> Json:
    """Return a page of a list that is said to be longer."""
    return page | {"count": 200}


class TestObservedItems:
    """The reads of an apply before its creates, while its own creates change the list."""

    @pytest.mark.requirement("PG-6")
    @pytest.mark.parametrize("incomplete", [0, 1, 2])
    async def test_observed_items_are_read_again_after_an_incomplete_read(
        self, emulator: Emulator, secoda: SecodaClient, incomplete: int
    ) -> None:
        for _ in range(incomplete):
            emulator.faults.add(method="GET", path="page=3", transform=of_more_items)
        assert len(await secoda.groups._store.observed_with_own_writes()) == 120
        assert emulator.count("GET") == 3 * (incomplete + 1)

    @pytest.mark.requirement("PG-6")
    async def test_observed_items_raise_without_a_complete_read(self, emulator: Emulator, secoda: SecodaClient) -> None:
        emulator.faults.add(method="GET", path="page=3", transform=of_more_items, times=None)
        with pytest.raises(PaginationError, match="incomplete"):
            await secoda.groups._store.observed_with_own_writes()
        assert emulator.count("GET") == 9
