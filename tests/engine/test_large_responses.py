"""Large responses: read in a thread, so that other tasks of the event loop run meanwhile."""

import asyncio
import gzip
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import orjson
import pytest

from secoda_async import (
    AutojumpClock,
    ClientClosedError,
    Clock,
    DeadlineExceededError,
    ResponseError,
    RetryPolicy,
    SecodaClient,
    SystemClock,
)
from secoda_async._engine.wire import protocol
from secoda_async._engine.wire.decoding import LARGE
from secoda_async._engine.wire.protocol import Reply
from tests.support.clocks import ManualClock
from tests.support.raw_server import respond_once, sized
from tests.support.waiting import drain_loop, wait_until

KEY = "secret-key-of-a-test"
SMALL_BODY = orjson.dumps({"tag": "x"})
LARGE_BODY = orjson.dumps({"tag": "x" * LARGE})


@asynccontextmanager
async def client_of(response: bytes, clock: Clock | None = None) -> AsyncGenerator[SecodaClient, None]:
    """Connect a client to a server that sends one response."""
    async with (
        respond_once(response) as (port, _),
        SecodaClient(
            KEY,
            base_url=f"http://127.0.0.1:{port}/api/v1/",
            clock=clock or SystemClock(),
            retry=RetryPolicy(attempts=1),
            deadline=30,
        ) as secoda,
    ):
        yield secoda


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that read responses."""
    threads: list[int] = []
    read = protocol.json_of

    def note(reply: Reply) -> Any:
        threads.append(threading.get_ident())
        return read(reply)

    monkeypatch.setattr(protocol, "json_of", note)
    return threads


@contextmanager
def blocked_reading(monkeypatch: pytest.MonkeyPatch) -> Generator[threading.Event, None, None]:
    """Block the threads that read responses; yields an event that is set when one begins."""
    has_begun, may_end = threading.Event(), threading.Event()

    def block(_: Reply) -> None:
        has_begun.set()
        may_end.wait(30)
        raise ResponseError("nobody waits for this error")

    monkeypatch.setattr(protocol, "json_of", block)
    try:
        yield has_begun
    finally:
        may_end.set()


def zipped(body: bytes) -> bytes:
    return sized(gzip.compress(body, 1), b"Content-Encoding: gzip")


@pytest.mark.parametrize("encode", [sized, zipped])
async def test_large_response_to_a_read_is_read_in_another_thread(
    encode: Callable[[bytes], bytes], readers: list[int]
) -> None:
    async with client_of(encode(LARGE_BODY)) as secoda:
        assert await secoda.request("GET", "tag") == {"tag": "x" * LARGE}
    assert len(readers) == 1
    assert readers != [threading.get_ident()]


@pytest.mark.parametrize(
    ("method", "body", "clock"),
    [
        ("GET", SMALL_BODY, SystemClock()),
        ("PATCH", LARGE_BODY, SystemClock()),  # a cancellation must not lose the outcome of a write
        ("GET", LARGE_BODY, AutojumpClock()),  # this clock does not see threads
    ],
    ids=["small", "write", "clock that skips time"],
)
async def test_other_response_is_read_on_the_event_loop(
    method: str, body: bytes, clock: Clock, readers: list[int]
) -> None:
    async with client_of(sized(body), clock) as secoda:
        assert await secoda.request(method, "tag") == orjson.loads(body)
    assert readers == [threading.get_ident()]


async def test_large_response_that_is_not_json_has_the_usual_error_without_the_key() -> None:
    async with client_of(sized(f"{KEY} is your key".encode() + b" " * LARGE)) as secoda:
        with pytest.raises(ResponseError, match="broken JSON") as caught:
            await secoda.request("GET", "tag")
    assert (caught.value.status, caught.value.path) == (200, "/api/v1/tag")
    assert "is your key" in (caught.value.body or "")
    assert KEY not in f"{caught.value!r}{caught.value.body}"


async def test_large_page_is_read_into_models() -> None:
    users = [f"{number:036}" for number in range(LARGE // 36)]
    groups = [{"id": f"g-{number}", "name": "G", "users": users, "new": number} for number in range(2)]
    async with client_of(sized(orjson.dumps({"results": groups, "count": 2, "next": None}))) as secoda:
        read = await secoda.groups.snapshot()
    assert [(group.id, group.users, group.extra) for group in read] == [
        ("g-0", tuple(users), {"new": 0}),
        ("g-1", tuple(users), {"new": 1}),
    ]
    assert read[0].users[0] is read[1].users[0]


async def test_large_responses_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Reply] = []
    may_end = threading.Event()

    def block(reply: Reply) -> None:
        begun.append(reply)
        may_end.wait(30)

    monkeypatch.setattr(protocol, "json_of", block)
    async with (
        respond_once(sized(LARGE_BODY)) as (port, received),
        SecodaClient(KEY, base_url=f"http://127.0.0.1:{port}") as secoda,
    ):
        calls = [asyncio.create_task(secoda.request("GET", "tag")) for _ in range(3)]
        await wait_until(lambda: len(received) == len(calls) and bool(begun))
        await drain_loop()
        assert len(begun) == 1
        may_end.set()
        await asyncio.gather(*calls)
    assert len(begun) == len(calls)


@pytest.mark.requirement("SL-1")
async def test_large_response_is_read_although_another_event_loop_stopped_while_it_read_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def begin(secoda: SecodaClient, has_begun: threading.Event) -> asyncio.Task[object]:
        call = asyncio.create_task(secoda.request("GET", "tag"))
        await wait_until(has_begun.is_set)
        return call

    stopped = asyncio.new_event_loop()
    async with respond_once(sized(LARGE_BODY)) as (port, _):
        secoda = SecodaClient(KEY, base_url=f"http://127.0.0.1:{port}")
        with blocked_reading(monkeypatch) as has_begun:
            call = await asyncio.to_thread(stopped.run_until_complete, begin(secoda, has_begun))
            monkeypatch.setattr(protocol, "json_of", lambda _: "read")
            assert await asyncio.wait_for(secoda.request("GET", "tag"), 30) == "read"
        await secoda.close()
    call.cancel()
    await asyncio.to_thread(stopped.run_until_complete, asyncio.gather(call, return_exceptions=True))
    stopped.close()


@pytest.mark.requirement("RT-5")
async def test_deadline_ends_a_call_while_its_response_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    with blocked_reading(monkeypatch) as has_begun:
        async with client_of(sized(LARGE_BODY), clock) as secoda:
            call = asyncio.create_task(secoda.request("GET", "tag"))
            await wait_until(has_begun.is_set)
            clock.fire(31)
            with pytest.raises(DeadlineExceededError, match="within its deadline of 30 s"):
                await call


@pytest.mark.requirement("SL-2")
async def test_close_ends_a_call_while_its_response_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with blocked_reading(monkeypatch) as has_begun:
        async with client_of(sized(LARGE_BODY)) as secoda:
            call = asyncio.create_task(secoda.request("GET", "tag"))
            await wait_until(has_begun.is_set)
            await secoda.close()
            with pytest.raises(ClientClosedError):
                await call


async def test_cancellation_ends_a_call_while_its_response_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with blocked_reading(monkeypatch) as has_begun:
        async with client_of(sized(LARGE_BODY)) as secoda:
            call = asyncio.create_task(secoda.request("GET", "tag"))
            await wait_until(has_begun.is_set)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
