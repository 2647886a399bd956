"""The emulator's switches for servers that lag, hide, reword or give up; and faults that execute late."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock
from secoda_async.emulator.history import HISTORY_SECONDS
from secoda_async.emulator.idle_timeouts import IdleTimeouts
from secoda_async.emulator.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

GROUPS = "/api/v1/auth/group"
PEOPLE: list[dict[str, Any]] = [
    {"id": "u1", "email": "u1@example.com"},
    {"id": "u2", "email": "u2@example.com", "pending": True},
]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(5_000.0)


@pytest.fixture
async def emulator(clock: ManualClock) -> "AsyncIterator[Emulator]":
    async with Emulator(users=PEOPLE, clock=clock, writes_per_window=None) as emulator:
        yield emulator


@pytest.fixture
async def session(emulator: Emulator) -> "AsyncIterator[aiohttp.ClientSession]":
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    async with aiohttp.ClientSession(emulator.url, headers=headers) as session:
        yield session


async def call(session: aiohttp.ClientSession, method: str, path: str = GROUPS, **fields: object) -> Any:  # noqa: ANN401
    """Return the JSON of an answer, None for an empty one, or the status of a failure."""
    async with session.request(method, path, json=fields or None) as answer:
        if not answer.ok:
            return answer.status
        return await answer.json() if await answer.read() else None


async def names(session: aiohttp.ClientSession) -> list[str]:
    return [group["name"] for group in (await call(session, "GET"))["results"]]


async def until(condition: "Callable[[], object]") -> None:
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("the condition never held")


async def connect(emulator: Emulator) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(emulator.url.rpartition(":")[2]))


def head(emulator: Emulator, method: str = "GET", path: str = GROUPS, headers: str = "") -> bytes:
    key = f"Authorization: Bearer {emulator.api_key}"
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{key}\r\n{headers}\r\n".encode()


class TestDate:
    @pytest.mark.parametrize("skew", [-3600.0, -3.5, 60.0])
    async def test_date_is_skewed_against_created_at(
        self, emulator: Emulator, session: aiohttp.ClientSession, skew: float
    ) -> None:
        emulator.date_skew = skew
        async with session.post(GROUPS, json={}) as answer:
            date = parsedate_to_datetime(answer.headers["Date"])
            created = datetime.fromisoformat((await answer.json())["created_at"])
        assert -1.1 < (date - created).total_seconds() - skew < 0.1

    async def test_no_date_header_is_sent(self, emulator: Emulator) -> None:
        emulator.date_skew = None
        reader, writer = await connect(emulator)
        writer.write(head(emulator, headers="Connection: close\r\n"))
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\ndate:" not in answer.lower()
        writer.close()

    async def test_no_date_header_is_sent_with_a_cut_answer(self, emulator: Emulator) -> None:
        emulator.date_skew = None
        emulator.faults.add(cut=5)
        reader, writer = await connect(emulator)
        writer.write(head(emulator))
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\ndate:" not in answer.lower()
        writer.close()

    async def test_a_fault_can_still_send_a_date(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        emulator.date_skew = None
        emulator.faults.add(headers={"Date": "Mon, 01 Jan 2024 00:00:00 GMT"})
        async with session.get(GROUPS) as answer:
            assert answer.headers["Date"] == "Mon, 01 Jan 2024 00:00:00 GMT"


class TestLag:
    async def test_lists_show_each_kind_of_write_late(
        self, emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
    ) -> None:
        ids = [(await call(session, "POST", name=name))["id"] for name in "abc"]
        clock.advance(100.0)
        emulator.lists_lag = 3.0
        await call(session, "POST", name="d")
        await call(session, "PATCH", f"{GROUPS}/{ids[0]}", name="A")
        await call(session, "DELETE", f"{GROUPS}/{ids[1]}")
        assert await names(session) == ["a", "b", "c"]
        assert (await call(session, "GET", f"{GROUPS}/{ids[0]}"))["name"] == "A"
        assert await call(session, "GET", f"{GROUPS}/{ids[1]}") == 404
        clock.advance(2.0)
        await call(session, "PATCH", f"{GROUPS}/{ids[0]}", name="AA")
        assert await names(session) == ["a", "b", "c"]
        clock.advance(1.0)
        assert await names(session) == ["A", "c", "d"]
        emulator.lists_lag = 0.0
        assert await names(session) == ["AA", "c", "d"]

    async def test_a_single_read_lags(
        self, emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
    ) -> None:
        emulator.reads_lag = 1.0
        group = await call(session, "POST", name="a")
        path = f"{GROUPS}/{group['id']}"
        assert await call(session, "GET", path) == 404
        assert await names(session) == ["a"]
        clock.advance(1.0)
        assert (await call(session, "PATCH", path, users=["u1"]))["users"] == ["u1"]
        assert (await call(session, "GET", path))["users"] == []
        assert (await call(session, "PATCH", path, users=["u2"]))["users"] == ["u2"]
        await call(session, "DELETE", path)
        assert (await call(session, "GET", path))["users"] == []
        clock.advance(1.0)
        assert await call(session, "GET", path) == 404

    async def test_old_writes_are_forgotten(
        self, emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
    ) -> None:
        history = emulator._application.store._history
        await call(session, "POST", name="a")
        clock.advance(HISTORY_SECONDS)
        await call(session, "POST", name="b")
        assert len(history._edits) == 1

    async def test_a_refused_update_is_no_write(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        group = await call(session, "POST", name="a")
        assert await call(session, "PATCH", f"{GROUPS}/{group['id']}", users=["nobody"]) == 400
        assert len(emulator._application.store._history._edits) == 1


class TestGroupsShown:
    @pytest.mark.parametrize("shown", ["full", "null", "absent", "local"])
    async def test_created_at_is_shown_as_asked_everywhere(
        self,
        emulator: Emulator,
        session: aiohttp.ClientSession,
        shown: Any,  # noqa: ANN401 - a literal
    ) -> None:
        emulator.created_at_shown = shown
        created = await call(session, "POST", name="a")
        path = f"{GROUPS}/{created['id']}"
        read, listed = await call(session, "GET", path), (await call(session, "GET"))["results"][0]
        patched = await call(session, "PATCH", path, name="b")
        stored = emulator.groups[created["id"]]["created_at"]
        local = (datetime.fromisoformat(stored) - timedelta(hours=5)).replace(tzinfo=None).isoformat()
        expected = {"full": stored, "null": None, "absent": "absent", "local": local}[shown]
        assert [group.get("created_at", "absent") for group in (created, read, listed, patched)] == [expected] * 4
        assert datetime.fromisoformat(stored).tzinfo == UTC

    async def test_pending_users_are_hidden_but_stored(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        emulator.hide_pending = True
        created = await call(session, "POST", name="a", users=["u1", "u2"])
        assert created["users"] == (await call(session, "GET"))["results"][0]["users"] == ["u1"]
        assert emulator.groups[created["id"]]["users"] == ["u1", "u2"]
        emulator.hide_pending = False
        assert (await call(session, "GET", f"{GROUPS}/{created['id']}"))["users"] == ["u1", "u2"]

    async def test_white_space_in_names_is_collapsed(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        emulator.collapse_names = True
        created = await call(session, "POST", name=" Data \t\u00a0 Stewards ", description="a  b")
        assert (created["name"], created["description"]) == ("Data Stewards", "a  b")
        path = f"{GROUPS}/{created['id']}"
        assert (await call(session, "PATCH", path, name="X  Y"))["name"] == "X Y"
        assert (await call(session, "PATCH", path, icon=None))["name"] == "X Y"


class TestNextLink:
    async def test_next_link_at_the_top(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        emulator.next_link, emulator.page_size = "top", 1
        page = await call(session, "GET", "/api/v1/user")
        assert "links" not in page
        assert (page["next"], page["previous"]) == (f"{emulator.url}/api/v1/user?page=2", None)

    async def test_hidden_next_link(self, emulator: Emulator, session: aiohttp.ClientSession) -> None:
        emulator.next_link, emulator.page_size = "hidden", 1
        page = await call(session, "GET", "/api/v1/user")
        assert page["links"] == {"next": None, "previous": None}
        assert (page["count"], page["total_pages"], page["meta"]["next_page"]) == (2, 2, 2)

    async def test_the_last_of_two_page_numbers_counts(
        self, emulator: Emulator, session: aiohttp.ClientSession
    ) -> None:
        emulator.page_size = 1
        assert (await call(session, "GET", "/api/v1/user?page=1&page=2"))["meta"]["page"] == 2


class TestIdle408:
    TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

    @staticmethod
    async def answer(reader: asyncio.StreamReader) -> bytes:
        """Read one answer with a short body."""
        sent = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in sent.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        return sent + await reader.readexactly(int(length.partition(b":")[2]))

    @pytest.mark.requirement("RT-14")
    async def test_an_idle_connection_gets_a_408_and_is_closed(self, emulator: Emulator, clock: ManualClock) -> None:
        emulator.idle_408 = 5.0
        reader, writer = await connect(emulator)
        for _ in range(2):  # another request in time starts the time anew
            writer.write(head(emulator, path="/healthcheck"))
            assert b"200 OK" in await self.answer(reader)
            clock.advance(4.0)
        clock.advance(1.0)
        assert await reader.read() == self.TIMEOUT
        assert emulator.count() == 2
        writer.close()

    @pytest.mark.requirement("RT-14")
    async def test_a_request_that_crosses_the_408_is_not_carried_out(
        self, emulator: Emulator, clock: ManualClock
    ) -> None:
        emulator.idle_408 = 5.0
        reader, writer = await connect(emulator)
        writer.write(head(emulator, path="/healthcheck"))
        await self.answer(reader)
        server = emulator._runner.server if emulator._runner else None
        assert server is not None
        (protocol,) = server.connections
        protocol.data_received(head(emulator, "POST", headers="Content-Length: 0\r\n"))
        clock.advance(5.0)
        assert await reader.read() == self.TIMEOUT
        assert emulator.groups == {}
        assert emulator.count("POST") == 0
        writer.close()

    @pytest.mark.requirement("RT-14")
    async def test_a_request_that_was_read_after_the_408_is_not_carried_out(
        self, emulator: Emulator, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        emulator.idle_408 = 5.0
        reader, writer = await connect(emulator)
        writer.write(head(emulator, path="/healthcheck"))
        await self.answer(reader)
        stop = IdleTimeouts.stop

        def stop_after_the_408(idle: IdleTimeouts, request: Any) -> bool:  # noqa: ANN401
            clock.advance(5.0)
            return stop(idle, request)

        monkeypatch.setattr(IdleTimeouts, "stop", stop_after_the_408)
        writer.write(head(emulator, "POST", headers="Content-Length: 0\r\n"))
        assert await reader.read() == self.TIMEOUT
        assert (emulator.groups, emulator.count()) == ({}, 1)
        writer.close()

    async def test_a_client_that_left_gets_nothing(self, emulator: Emulator, clock: ManualClock) -> None:
        emulator.idle_408 = 5.0
        reader, writer = await connect(emulator)
        writer.write(head(emulator, path="/healthcheck"))
        await self.answer(reader)
        writer.close()
        await until(lambda: not emulator.open_connections)
        clock.advance(5.0)

    async def test_closing_ends_the_timers(self, emulator: Emulator, clock: ManualClock) -> None:
        emulator.idle_408 = 5.0
        reader, writer = await connect(emulator)
        writer.write(head(emulator, path="/healthcheck"))
        await self.answer(reader)
        assert len(clock.timers) == 1
        await emulator.close()
        assert clock.timers == []
        assert await reader.read() == b""
        writer.close()


class TestLateExecution:
    @pytest.mark.requirement("RT-10")
    async def test_a_status_is_sent_and_the_write_is_executed_later(
        self, emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
    ) -> None:
        emulator.faults.add(504, method="POST", execute_after=8.0)
        assert await call(session, "POST", name="a") == 504
        (record,) = emulator.requests
        assert (record.applied, emulator.groups, emulator.busiest_window()) == (False, {}, 1)
        clock.advance(7.9)
        await asyncio.sleep(0)
        assert emulator.groups == {}
        clock.advance(0.1)
        await until(lambda: emulator.groups)
        assert (record.applied, [record.group_id]) == (True, list(emulator.groups))
        created = datetime.fromisoformat(emulator.groups[record.group_id or ""]["created_at"])
        assert (emulator._calendar.now() - created).total_seconds() == pytest.approx(0.0, abs=1e-3)

    @pytest.mark.requirement("RT-10")
    @pytest.mark.parametrize("fault", [{"drop": "after"}, {"stall": "before"}, {"stall": "after"}, {"raw": b"?"}])
    async def test_an_answer_is_lost_and_the_write_is_executed_later(
        self, emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession, fault: dict[str, Any]
    ) -> None:
        emulator.faults.add(**fault, execute_after=8.0)
        task = asyncio.create_task(call(session, "POST", name="a"))
        await until(lambda: clock.timers)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or isinstance(task.exception(), aiohttp.ClientError)
        await until(lambda: not emulator.open_connections)
        assert emulator.groups == {}
        clock.advance(8.0)
        await until(lambda: emulator.groups)
        assert emulator.requests[0].applied

    async def test_a_refused_request_is_not_executed_later(
        self, emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
    ) -> None:
        emulator.faults.add(504, execute_after=8.0, times=None)
        emulator.writes_per_window = 1
        assert [await call(session, "POST", name=name) for name in "ab"] == [504, 504]
        clock.advance(8.0)
        await until(lambda: emulator.groups)
        assert [group["name"] for group in emulator.groups.values()] == ["a"]

    async def test_closing_cancels_what_is_left(
        self, emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
    ) -> None:
        emulator.faults.add(504, execute_after=8.0)
        assert await call(session, "POST", name="a") == 504
        await emulator.close()
        clock.advance(8.0)
        assert (emulator.groups, clock.timers) == ({}, [])

    @pytest.mark.parametrize(
        "arguments",
        [
            {"execute_after": 1.0},
            {"execute_after": 1.0, "drop": "before"},
            {"execute_after": 1.0, "stall": "unread"},
            {"execute_after": 1.0, "status": 504, "carry_out": True},
            {"execute_after": -1.0, "status": 504},
            {"execute_after": float("inf"), "status": 504},
        ],
    )
    def test_contradictory_faults_are_refused(self, emulator: Emulator, arguments: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"^execute_after "):
            emulator.faults.add(**arguments)


class TestSwitches:
    @pytest.mark.parametrize(
        "switch",
        [
            *({"lists_lag": -1.0}, {"lists_lag": 301.0}, {"reads_lag": float("nan")}, {"date_skew": float("inf")}),
            *({"created_at_shown": "half"}, {"next_link": "bottom"}, {"idle_408": 0.0}),
        ],
    )
    def test_values_out_of_range_are_refused(self, emulator: Emulator, switch: dict[str, Any]) -> None:
        ((name, value),) = switch.items()
        with pytest.raises(ValueError, match=f"'?{name}'? must be"):
            Emulator(**switch)
        with pytest.raises(ValueError, match=f"'?{name}'? must be"):
            setattr(emulator, name, value)


@pytest.mark.requirement("RL-7")
def test_a_write_that_is_exactly_due_is_accepted() -> None:
    for number in range(20_000):
        start = number * 0.137 + 1 / (number + 3)
        throttle = Throttle()
        assert throttle.admit(start, limit=1, window=60.0) is None
        assert throttle.admit(start + 60.0, limit=1, window=60.0) is None, start
        assert throttle.used(start + 60.0, 60.0)[0] == 1
        assert throttle.busiest(60.0) == 1
