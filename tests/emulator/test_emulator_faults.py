"""What the faults do to the wire, the store and the log, over a real socket."""

import asyncio
import gc
import logging
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
import orjson
import pytest
from aiohttp.test_utils import make_mocked_request

from secoda_async.emulator import Emulator, RecordedRequest
from secoda_async.emulator.clock import ManualClock, Waits
from secoda_async.emulator.handler import hang_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

PATH = "/api/v1/auth/group"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> "Iterator[None]":
    """Nothing that is done to the wire may show up on stderr."""
    yield
    gc.collect(1)  # an exception that nobody retrieved is told of when its task goes
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def emulator(clock: ManualClock) -> "AsyncIterator[Emulator]":
    async with Emulator(clock=clock) as emulator:
        yield emulator


@pytest.fixture
async def session(emulator: Emulator) -> "AsyncIterator[aiohttp.ClientSession]":
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    async with aiohttp.ClientSession(emulator.url, headers=headers) as session:
        yield session


async def post(session: aiohttp.ClientSession, name: str = "a") -> tuple[int, str, bytes]:
    async with session.post(PATH, json={"name": name}, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Content-Type", ""), await answer.read()


async def until(condition: "Callable[[], object]") -> None:
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("it never came")


async def exchange(emulator: Emulator, body: bytes = b"{}", length: int | None = None) -> bytes:
    """Send a POST byte by byte as given, and return every byte that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(emulator.url.rpartition(":")[2]))
    writer.write(request_bytes(emulator, body, length))
    try:
        return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


def request_bytes(emulator: Emulator, body: bytes, length: int | None = None) -> bytes:
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {emulator.api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body


class TestAnswers:
    @pytest.mark.parametrize(
        ("body", "content_type", "sent"),
        [
            ("<h1>502</h1>", "text/html; charset=utf-8", b"<h1>502</h1>"),
            ("ä", "text/plain; charset=utf-8", "ä".encode()),
            (b"\xff", "application/json", b"\xff"),
            ({"detail": "x"}, "application/json", b'{"detail":"x"}'),
            ([], "application/json", b"[]"),
            (False, "application/json", b"false"),
        ],
    )
    async def test_a_status_takes_the_place_of_the_call(
        self, emulator: Emulator, session: aiohttp.ClientSession, body: object, content_type: str, sent: bytes
    ) -> None:
        fault = emulator.faults.add(502, body=body)
        assert await post(session) == (502, content_type, sent)
        assert (fault.used, emulator.groups, emulator.busiest_window()) == (1, {}, 0)
        (record,) = emulator.requests
        assert (record.fault, record.status, record.applied) == (fault, 502, False)
        assert (await post(session))[0] == 201

    async def test_a_status_can_follow_upon_the_deed(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        emulator.faults.add(504, carry_out=True)
        assert (await post(session))[::2] == (504, b"")
        assert len(emulator.groups) == 1
        assert emulator.requests[0].applied

    async def test_headers_can_repeat(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        pairs = (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Type", "application/x"))
        emulator.faults.add(headers=pairs)
        async with session.get(PATH) as answer:
            assert answer.status == 200
            assert answer.headers.getall("Set-Cookie") == ["a=1", "b=2"]
            assert answer.headers.getall("Content-Type") == ["application/x"]
        emulator.faults.add(429, headers={"Retry-After": "3", "Date": "never"})
        async with session.get(PATH) as answer:
            assert (answer.headers["Retry-After"], answer.headers["Date"]) == ("3", "never")
        assert emulator.refused == 1

    async def test_a_body_can_take_the_place_of_the_real_one(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        emulator.faults.add(body="<html>login</html>")
        assert await post(session) == (201, "text/html; charset=utf-8", b"<html>login</html>")
        assert len(emulator.groups) == 1

    async def test_a_transform_changes_the_real_answer(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        emulator.faults.add(transform=lambda payload: [payload["name"]], times=None)
        assert await post(session, "ä") == (201, "application/json", '["ä"]'.encode())
        emulator.faults.clear()
        assert len(emulator.faults) == 0
        emulator.faults.add(transform=lambda payload: {"was": payload})
        async with session.get("/healthcheck", params={"x": "1"}) as answer:
            assert await answer.json() == {"was": {"status": "OK"}}
        emulator.trailing_slash = True
        emulator.faults.add(transform=lambda payload: {"was": payload})
        assert (await post(session))[2] == b'{"was":null}'

    async def test_a_redirect_elsewhere(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        emulator.faults.add(redirect="https://elsewhere.example/api")
        emulator.faults.add(308, redirect="/x")
        for status, location in ((302, "https://elsewhere.example/api"), (308, "/x")):
            async with session.post(PATH, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (status, location)
        assert emulator.groups == {}


class TestWire:
    async def test_dropped_before(self, emulator: Emulator) -> None:
        emulator.faults.add(drop="before")
        assert await exchange(emulator) in {b"", b"reset"}
        (record,) = emulator.requests
        assert (record.applied, record.status, record.answered_at, record.body) == (False, None, None, b"")
        assert (emulator.groups, emulator.busiest_window()) == ({}, 0)

    async def test_dropped_after_the_lost_answer(self, emulator: Emulator) -> None:
        emulator.faults.add(drop="after")
        assert await exchange(emulator) in {b"", b"reset"}
        (record,) = emulator.requests
        assert (record.applied, record.status, record.body) == (True, None, b"{}")
        assert [record.group_id] == list(emulator.groups)
        assert emulator.busiest_window() == 1

    @pytest.mark.parametrize("cut", [0, 7])
    async def test_cut_short(self, emulator: Emulator, cut: int) -> None:
        emulator.faults.add(cut=cut)
        head, _, body = (await exchange(emulator)).partition(b"\r\n\r\n")
        (group,) = emulator.groups.values()
        whole = orjson.dumps(group)
        assert head.startswith(b"HTTP/1.1 201 Created\r\nDate: ")
        assert f"Content-Length: {len(whole)}".encode() in head
        assert body == whole[:cut]
        assert emulator.requests[0].status == 201

    async def test_cut_short_is_a_payload_error_to_a_client(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        emulator.faults.add(200, body="x" * 100, cut=50)
        with pytest.raises(aiohttp.ClientPayloadError):
            await post(session)
        assert emulator.groups == {}

    @pytest.mark.parametrize("carry_out", [None, False])
    async def test_raw_bytes(self, emulator: Emulator, carry_out: bool | None) -> None:  # noqa: FBT001 - parametrized
        raw = b"HTTQ/9 what?\r\nX-Long: " + b"x" * 200_000
        emulator.faults.add(raw=raw, carry_out=carry_out)
        assert await exchange(emulator) == raw
        assert len(emulator.groups) == (0 if carry_out is False else 1)
        assert emulator.requests[0].status is None
        assert emulator.requests[0].answered_at is not None

    async def test_nothing_is_written_to_a_client_that_is_gone(self) -> None:
        request = make_mocked_request("GET", "/")
        request.protocol.transport = None
        assert request.transport is None
        assert hang_up(request, b"x").status == 200


class TestTime:
    async def test_a_delay_comes_before_the_deed(
        self, emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
    ) -> None:
        emulator.faults.add(delay=3.0)
        task = asyncio.create_task(post(session))
        await until(lambda: clock.timers)
        assert emulator.groups == {}
        clock.advance(3.0)
        assert (await task)[0] == 201

    @pytest.mark.parametrize("status", [None, 503])
    async def test_a_client_that_loses_patience_does_not_call_its_write_back(
        self, emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession, status: int | None
    ) -> None:
        emulator.faults.add(status, delay=3.0)
        task = asyncio.create_task(post(session))
        await until(lambda: clock.timers)
        task.cancel()
        await until(lambda: not emulator.open_connections)
        clock.advance(3.0)
        await until(lambda: not clock.timers)
        await asyncio.sleep(0)
        (record,) = emulator.requests
        assert (record.applied, record.status) == (status is None, None)
        assert len(emulator.groups) == (1 if status is None else 0)

    async def test_a_delayed_drop(self, emulator: Emulator, clock: ManualClock) -> None:
        emulator.faults.add(drop="before", delay=3.0)
        task = asyncio.create_task(exchange(emulator))
        await until(lambda: clock.timers)
        assert emulator.open_connections == 1
        clock.advance(3.0)
        assert await task in {b"", b"reset"}
        assert emulator.groups == {}

    @pytest.mark.parametrize(
        ("stall", "applied", "body"),
        [("unread", False, b""), ("before", False, b'{"name":"a"}'), ("after", True, b'{"name":"a"}')],
    )
    async def test_a_stalled_request_ends_with_its_client(
        self,
        emulator: Emulator,
        session: aiohttp.ClientSession,
        stall: Literal["unread", "before", "after"],
        applied: bool,  # noqa: FBT001 - parametrized
        body: bytes,
    ) -> None:
        emulator.faults.add(stall=stall)
        task = asyncio.create_task(post(session))
        await until(lambda: emulator._handler.waits._futures)
        task.cancel()
        await until(lambda: not emulator._handler.waits._futures)
        (record,) = emulator.requests
        assert (record.applied, record.status) == (applied, None)
        assert record.body.replace(b" ", b"") == body
        await until(lambda: not emulator.open_connections)

    async def test_an_unread_body_holds_the_sender_up(self, emulator: Emulator) -> None:
        emulator.faults.add(stall="unread")
        _, writer = await asyncio.open_connection("127.0.0.1", int(emulator.url.rpartition(":")[2]))
        writer.write(request_bytes(emulator, b" " * 64_000_000))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await writer.drain()
        writer.transport.abort()

    async def test_a_clock_that_strikes_late_does_no_harm(self, clock: ManualClock) -> None:
        waits = Waits(clock)
        task = asyncio.create_task(waits.sleep(1.0))
        await until(lambda: clock.timers)
        waits.cancel_all()
        clock.advance(1.0)  # before the cancelled wait could take its timer back
        with pytest.raises(asyncio.CancelledError):
            await task
        await waits.sleep(0.0)


class TestClose:
    @pytest.mark.parametrize("fault", [{"stall": "before"}, {"stall": "after"}, {"stall": "unread"}, {"delay": 9.0}])
    async def test_ends_what_is_under_way_at_once(
        self, emulator: Emulator, session: aiohttp.ClientSession, fault: dict[str, Any]
    ) -> None:
        emulator.faults.add(**fault)
        task = asyncio.create_task(post(session))
        await until(lambda: emulator._handler.waits._futures)
        await emulator.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await task
        assert emulator.requests[0].status is None

    async def test_ends_idle_and_half_sent_connections(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        await post(session)
        half = asyncio.create_task(exchange(emulator, b"{", 10))
        await until(lambda: len(emulator.requests) == 2)
        await emulator.close()
        assert await half in {b"", b"reset"}

    async def test_ends_a_delay_that_begins_while_it_closes(
        self,
        emulator: Emulator,
        clock: ManualClock,
        session: aiohttp.ClientSession,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        emulator.faults.add(delay=9.0)
        monkeypatch.setattr(Waits, "cancel_all", lambda _: None)  # as if the wait began too late
        task = asyncio.create_task(post(session))
        await until(lambda: clock.timers)
        await emulator.close()
        assert clock.timers == []
        with pytest.raises(aiohttp.ClientConnectionError):
            await task


class TestClientsThatLeave:
    async def test_in_the_middle_of_the_body(self, emulator: Emulator) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(emulator.url.rpartition(":")[2]))
        writer.write(request_bytes(emulator, b"{", 10))
        await until(lambda: emulator.requests)
        writer.transport.abort()
        await until(lambda: not emulator.open_connections)
        assert (emulator.requests[0].status, emulator.requests[0].applied) == (None, False)
        assert await reader.read() == b""

    async def test_with_a_bad_gzip_body(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.post(PATH, data=b"no gzip at all", headers=headers)
        assert emulator.requests[0].applied is False


class TestChoice:
    @staticmethod
    def record(method: str = "GET", target: str = PATH) -> RecordedRequest:
        return RecordedRequest(
            number=1,
            method=method,
            path=target.partition("?")[0],
            query={},
            headers={},
            authorized=True,
            connection=1,
            at=0.0,
            target=target,
        )

    def test_by_method_path_and_query(self, emulator: Emulator) -> None:
        fault = emulator.faults.add(500, method="post", path="?page=2", times=None)
        choose = emulator.faults.choose
        assert choose(self.record("GET", f"{PATH}?page=2")) is None
        assert choose(self.record("POST", PATH)) is None
        assert choose(self.record("POST", f"{PATH}?page=2")) is fault
        assert not emulator.faults.need_bodies

    def test_skips_then_strikes_so_many_times(self, emulator: Emulator) -> None:
        first = emulator.faults.add(500, skip=2, times=2)
        second = emulator.faults.add(501, times=None)
        chosen = [emulator.faults.choose(self.record()) for _ in range(6)]
        assert chosen == [second, second, first, first, second, second]
        assert (first.used, second.used) == (2, 4)

    async def test_by_the_body(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        emulator.faults.add(drop="before", match=lambda record: record.json["name"] == "b")
        assert (await post(session, "a"))[0] == 201
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await post(session, "b")
        assert (await post(session, "b"))[0] == 201
        assert [record.applied for record in emulator.requests] == [True, False, True]
        assert emulator.requests[1].body == b'{"name": "b"}'

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"status": 99}, "status must be from 200 to 599, not 99"),
            ({"status": 200, "redirect": "/x"}, "a redirect needs a status from 300 to 399, not 200"),
            ({"delay": -1.0}, "delay must be finite and not below 0"),
            ({"delay": float("nan")}, "delay must be finite and not below 0"),
            ({"cut": -1}, "cut must be finite and not below 0"),
            ({"skip": -1}, "skip must be finite and not below 0"),
            ({"times": -1}, "times must be finite and not below 0"),
            ({"drop": "later"}, 'drop must be one of "before", "after"'),
            ({"stall": "later"}, 'stall must be one of "unread", "before", "after"'),
            ({"drop": "after", "status": 500}, "drop sends no response of the API: .* with status"),
            ({"drop": "after", "headers": {"a": "b"}}, "drop sends no response .* with headers"),
            ({"stall": "after", "raw": b"x"}, "stall sends no response .* with raw"),
            ({"raw": b"x", "body": False}, "raw sends no response .* with body"),
            ({"transform": list, "status": 200}, "transform changes the API's response"),
            ({"transform": list, "body": {}}, "transform changes the API's response"),
            ({"drop": "before", "carry_out": True}, "carry_out needs status or raw"),
            ({"body": {1, 2}}, "body can't be encoded as JSON"),
            ({"headers": {"a": "b\r\nc: d"}}, "headers can't contain line breaks"),
        ],
    )
    def test_what_cannot_go_together_is_refused(
        self, emulator: Emulator, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            emulator.faults.add(**arguments)
        assert len(emulator.faults) == 0
