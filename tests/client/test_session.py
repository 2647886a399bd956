"""Connections: one, reused, closed when they are ours, left alone when they are not; on one event loop or several."""

import asyncio
import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from secoda_async import (
    AutojumpClock,
    ClientClosedError,
    ConfigurationError,
    DesiredState,
    NotFoundError,
    OutcomeUnknownError,
    RateLimit,
    SecodaClient,
    SecodaError,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.clients import Connect
from tests.support.plans import plan_of
from tests.support.waiting import drain_loop


@contextmanager
def no_complaints() -> Generator[None, None, None]:
    """Fail when the loop or the garbage collector has something to say, such as "Unclosed client session"."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    yield
    gc.collect()
    loop.set_exception_handler(None)
    assert complaints == []


class TestOwn:
    @pytest.mark.requirement("SL-2")
    async def test_a_hundred_reads_take_one_connection(
        self, emulator: Emulator, secoda: SecodaClient, group_id: str
    ) -> None:
        groups, users = secoda.groups, secoda.users
        for _ in range(100):
            await secoda.groups.get(group_id)
        assert {record.connection for record in emulator.requests} == {1}
        assert secoda.groups is groups
        assert secoda.users is users

    @pytest.mark.requirement("RT-2")
    async def test_each_create_has_a_connection_of_its_own(self, emulator: Emulator, secoda: SecodaClient) -> None:
        for _ in range(5):
            await secoda.groups.create(name="A")
        assert {record.connection for record in emulator.requests} == {1, 2, 3, 4, 5}
        await drain_loop()
        assert emulator.open_connections == 0

    @pytest.mark.requirement("SL-2")
    async def test_nothing_is_opened_before_the_first_call(self, emulator: Emulator, connect: Connect) -> None:
        secoda = connect()
        async with secoda:
            assert emulator.open_connections == 0
        assert emulator.requests == []

    @pytest.mark.requirement("SL-2")
    async def test_closing_is_complete_and_can_be_repeated(
        self, emulator: Emulator, connect: Connect, group_id: str
    ) -> None:
        secoda = connect()
        with no_complaints():
            async with secoda:
                await asyncio.gather(*(secoda.groups.get(group_id) for _ in range(5)), secoda.groups.create())
                assert emulator.open_connections == 5
            await secoda.close()
            await secoda.close()
            await drain_loop()
            assert emulator.open_connections == 0

    @pytest.mark.requirement("SL-2")
    async def test_an_error_inside_closes_too(self, emulator: Emulator, connect: Connect, group_id: str) -> None:
        secoda = connect()
        with pytest.raises(NotFoundError):
            async with secoda:
                await secoda.groups.get("nothing")
        with pytest.raises(ClientClosedError):
            await secoda.groups.get(group_id)
        assert len(emulator.requests) == 1

    @pytest.mark.requirement("SL-2")
    async def test_a_client_that_is_forgotten_leaves_no_complaint(
        self, emulator: Emulator, clock: AutojumpClock, group_id: str
    ) -> None:
        with no_complaints():
            secoda = SecodaClient(emulator.api_key, base_url=emulator.url, clock=clock)
            await secoda.groups.get(group_id)
            del secoda
            gc.collect()
            await drain_loop()
        assert emulator.open_connections == 0

    @pytest.mark.requirement("SL-2")
    async def test_client_works_in_a_cleanup_context_of_aiohttp(self, emulator: Emulator, clock: AutojumpClock) -> None:
        key = web.AppKey("secoda", SecodaClient)

        async def client(app: web.Application) -> AsyncIterator[None]:
            async with SecodaClient(emulator.api_key, base_url=emulator.url, clock=clock) as app[key]:
                yield

        async def count(request: web.Request) -> web.Response:
            return web.json_response(len(await request.app[key].groups.snapshot()))

        app = web.Application()
        app.cleanup_ctx.append(client)
        app.router.add_get("/", count)
        runner = web.AppRunner(app)
        with no_complaints():
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/") as answer:
                assert await answer.json() == 120
            await runner.cleanup()
        with pytest.raises(ClientClosedError):
            await app[key].groups.snapshot()

    @pytest.mark.requirement("SL-3")
    async def test_more_calls_than_connections_take_turns(
        self, emulator: Emulator, connect: Connect, group_id: str
    ) -> None:
        secoda = connect(max_connections=3)
        await asyncio.gather(*(secoda.groups.get(group_id) for _ in range(40)))
        assert {record.connection for record in emulator.requests} == {1, 2, 3}


class TestBorrowed:
    @pytest.mark.requirement("SL-2")
    async def test_borrowed_session_is_used_and_left_open(
        self, emulator: Emulator, connect: Connect, group_id: str
    ) -> None:
        with no_complaints():
            async with aiohttp.ClientSession() as session:
                async with connect(session=session) as secoda:
                    await secoda.groups.get(group_id)
                    await secoda.groups.create(name="A")
                assert not session.closed
                async with session.get(f"{emulator.url}/healthcheck") as answer:
                    assert answer.status == 200
        assert {record.connection for record in emulator.requests} == {1}

    async def test_its_own_settings_do_not_get_in_the_way(self, emulator: Emulator, connect: Connect) -> None:
        async with aiohttp.ClientSession(
            base_url="http://evil.example/",
            raise_for_status=True,
            headers={"Authorization": "Bearer theirs", "Accept": "text/html", "X-Team": "data"},
            timeout=aiohttp.ClientTimeout(total=0.000001),
        ) as session:
            secoda = connect(session=session)
            with pytest.raises(NotFoundError):
                await secoda.groups.get("nothing")
            assert len(await secoda.groups.snapshot()) == 120
        assert all(record.authorized for record in emulator.requests)
        assert {record.headers["Accept"] for record in emulator.requests} == {"application/json"}
        assert {record.headers["X-Team"] for record in emulator.requests} == {"data"}

    @pytest.mark.requirement("RL-1")
    async def test_its_connections_are_waited_for_before_the_timeout_runs(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock, group_id: str
    ) -> None:
        emulator.latency = 3
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=2)) as session:
            secoda = connect(session=session, timeout=5)
            await asyncio.gather(*(secoda.groups.get(group_id) for _ in range(8)))
        assert clock.now() == approx(12)

    @pytest.mark.requirement("RT-3")
    async def test_its_connections_re_send_nothing_unseen(
        self, emulator: Emulator, connect: Connect, group_id: str
    ) -> None:
        async with aiohttp.ClientSession() as session:
            secoda = connect(session=session)
            await secoda.groups.get(group_id)
            emulator.faults.add(drop="before")
            with pytest.raises(OutcomeUnknownError):
                await secoda.groups.create(name="A")
            emulator.faults.add(drop="before", times=None)
            with pytest.raises(SecodaError) as caught:
                await secoda.groups.get(group_id)
        assert caught.value.attempts == len(emulator.requests) - 2 == 5

    @pytest.mark.requirement("SL-2")
    async def test_closed_by_its_owner_it_ends_calls_with_a_named_error(
        self, emulator: Emulator, connect: Connect
    ) -> None:
        session = aiohttp.ClientSession()
        secoda = connect(session=session)
        await session.close()
        for call in (secoda.groups.get("g"), secoda.groups.create(name="A"), secoda.groups.delete("g")):
            with pytest.raises(ClientClosedError, match="session that was passed to the client"):
                await call
        assert emulator.requests == []

    @pytest.mark.requirement("ER-1")
    @pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
    async def test_borrowed_session_with_credentials_is_refused(self, emulator: Emulator, connect: Connect) -> None:
        async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("a", "b")) as session:
            with pytest.raises(ConfigurationError, match="credentials of its own"):
                await connect(session=session).groups.get("g")
        assert emulator.requests == []


class TestSeveralLoops:
    @pytest.fixture
    def served(self) -> Iterator[Emulator]:
        """An emulator on a loop, and in a thread, of its own."""
        emulator = Emulator(groups=3, users=1)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(emulator.start())
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        yield emulator
        asyncio.run_coroutine_threadsafe(emulator.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    @pytest.mark.requirement("SL-1")
    def test_a_client_serves_one_asyncio_run_after_the_other(self, served: Emulator) -> None:
        secoda = SecodaClient(served.api_key, base_url=served.url)
        loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

        async def calls() -> int:
            loops.add(asyncio.get_running_loop())
            with no_complaints():
                await secoda.groups.create(name="A")
                return len(await secoda.groups.snapshot())

        assert [asyncio.run(calls()) for _ in range(3)] == [4, 5, 6]
        assert secoda.limiter.state.free == 27
        gc.collect()
        assert len(loops) == 1

    @pytest.mark.requirement("SL-1")
    def test_closed_in_one_it_is_closed_in_all(self, served: Emulator) -> None:
        secoda = SecodaClient(served.api_key, base_url=served.url)

        async def calls() -> None:
            async with secoda:
                await secoda.groups.snapshot()

        asyncio.run(calls())
        with pytest.raises(ClientClosedError):
            asyncio.run(calls())

    @pytest.mark.requirement("SL-6")
    def test_nothing_is_opened_after_closing(self, served: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        secoda = SecodaClient(served.api_key, base_url=served.url)
        asyncio.run(secoda.close())
        monkeypatch.setattr(aiohttp, "ClientSession", None)

        async def calls() -> None:
            for call in (secoda.groups.get("g"), secoda.groups.create(name="A"), secoda.groups.snapshot()):
                with pytest.raises(ClientClosedError, match="the client is closed"):
                    await call
            await secoda.close()

        asyncio.run(calls())
        assert served.requests == []

    @pytest.mark.requirement("SL-6")
    async def test_a_session_of_ours_that_is_closed_means_that_the_client_is(
        self, emulator: Emulator, secoda: SecodaClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(aiohttp.ClientSession, "closed", property(lambda _: True))
        for call in (secoda.groups.get("g"), secoda.groups.create(name="A")):
            with pytest.raises(ClientClosedError, match="the client is closed"):
                await call
        assert emulator.requests == []

    @pytest.mark.requirement("SL-6")
    async def test_own_session_that_closes_while_a_request_begins_raises_client_closed_error(
        self, emulator: Emulator, secoda: SecodaClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin = aiohttp.ClientSession._request

        async def close_and_begin(session: aiohttp.ClientSession, *arguments: Any, **options: Any) -> Any:
            await session.close()
            return await begin(session, *arguments, **options)

        monkeypatch.setattr(aiohttp.ClientSession, "_request", close_and_begin)
        for call in (secoda.groups.get("g"), secoda.groups.create(name="A")):
            with pytest.raises(ClientClosedError, match="the client is closed"):
                await call
        assert emulator.requests == []

    @pytest.mark.requirement("SL-6")
    async def test_own_connector_that_closes_while_a_request_connects_raises_client_closed_error(
        self, emulator: Emulator, secoda: SecodaClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect = aiohttp.TCPConnector.connect

        async def close_and_connect(connector: aiohttp.TCPConnector, *arguments: Any, **options: Any) -> Any:
            await connector.close()
            return await connect(connector, *arguments, **options)

        monkeypatch.setattr(aiohttp.TCPConnector, "connect", close_and_connect)
        for call in (secoda.groups.get("g"), secoda.groups.create(name="A")):
            with pytest.raises(ClientClosedError, match="the client is closed"):
                await call
        assert emulator.requests == []

    @pytest.mark.requirement("SL-6")
    def test_a_client_serves_many_threads_whose_event_loops_come_and_go(self, served: Emulator) -> None:
        secoda = SecodaClient(served.api_key, base_url=served.url, write_limit=RateLimit(1000, per_seconds=60))
        served.writes_per_window = 1000
        failed: list[BaseException] = []

        async def call() -> None:
            await secoda.groups.create(name="A")

        def serve() -> None:
            for _ in range(3):
                try:
                    asyncio.run(call())
                except BaseException as error:  # noqa: BLE001 - none is expected
                    failed.append(error)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            threads = [threading.Thread(target=serve) for _ in range(24)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
        assert failed == []
        assert len(served.groups) == 3 + 24 * 3

    @pytest.mark.requirement("SL-1")
    def test_threads_with_loops_of_their_own_can_share_a_client(self, served: Emulator) -> None:
        secoda = SecodaClient(served.api_key, base_url=served.url)
        counts: list[int] = []

        async def calls() -> None:
            counts.append(len(await secoda.groups.snapshot()))

        threads = [threading.Thread(target=asyncio.run, args=(calls(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [3, 3, 3]
        gc.collect()

    @pytest.mark.requirement("SL-1", "RL-1", "RL-4")
    def test_threads_share_the_write_limit(self, served: Emulator) -> None:
        secoda = SecodaClient(served.api_key, base_url=served.url, write_limit=RateLimit(10, per_seconds=0.05))
        served.writes_per_window, served.window = 10, 0.05

        async def calls() -> None:
            await asyncio.gather(*(secoda.groups.create(name="A") for _ in range(10)))

        threads = [threading.Thread(target=asyncio.run, args=(calls(),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(served.groups) == 33
        assert served.refused == 0
        assert (secoda.limiter.state.in_flight, secoda.limiter.state.queued) == (0, 0)

    @pytest.mark.requirement("SL-1", "SL-2")
    def test_closing_ends_what_other_threads_wait_for(self, served: Emulator) -> None:
        served.faults.add(stall="before", times=None)
        secoda = SecodaClient(served.api_key, base_url=served.url)
        caught: list[SecodaError] = []

        async def call() -> None:
            with no_complaints():
                try:
                    await secoda.groups.get("g")
                except SecodaError as error:
                    caught.append(error)
                await drain_loop()

        thread = threading.Thread(target=asyncio.run, args=(call(),))
        thread.start()
        while not served.requests:
            time.sleep(0.001)
        asyncio.run(secoda.close())
        thread.join()
        assert [type(error) for error in caught] == [ClientClosedError]

    @pytest.mark.requirement("SL-1")
    def test_a_session_stays_on_its_event_loop(self, served: Emulator) -> None:
        clients: list[SecodaClient] = []

        async def first() -> None:
            async with aiohttp.ClientSession() as session:
                clients.append(SecodaClient(served.api_key, base_url=served.url, session=session))
                await clients[0].groups.create(name="A")

        async def second() -> None:
            with pytest.raises(ConfigurationError, match="belongs to another event loop"):
                await clients[0].groups.create(name="B")

        asyncio.run(first())
        asyncio.run(second())
        assert len(served.requests) == 1


FORKS = """
import asyncio, os, sys
from secoda_async import SecodaClient

loop = asyncio.new_event_loop()
secoda = SecodaClient("key", base_url=sys.argv[1])

def ask(path):
    return loop.run_until_complete(secoda.request("GET", path))["path"]

answers = [ask("parent/1")]
asyncio.run(secoda.request("GET", "closed/1"))  # leaves the entry of a closed event loop
child = os.fork()
if child == 0:
    assert [ask("child/1"), ask("child/2")] == ["child/1", "child/2"]
    loop.run_until_complete(secoda.close())
    loop.run_until_complete(loop.shutdown_asyncgens())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert answers + [ask("parent/2")] == ["parent/1", "parent/2"]
loop.run_until_complete(secoda.close())
loop.close()
"""


@pytest.mark.requirement("RT-14")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_a_forked_process_opens_connections_of_its_own_and_leaves_the_parents_alone() -> None:
    connections: list[list[str]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        paths: list[str] = []
        connections.append(paths)
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                paths.append(head.split()[1].decode().removeprefix("/api/v1/"))
                body = b'{"path": "%s"}' % paths[-1].encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", FORKS, url, stderr=asyncio.subprocess.PIPE)
        _, complaints = await process.communicate()
    assert (process.returncode, complaints) == (0, b"")
    assert connections == [["parent/1", "parent/2"], ["closed/1"], ["child/1", "child/2"]]


@pytest.mark.requirement("RT-14")
async def test_a_session_stays_in_its_process(
    emulator: Emulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aiohttp.ClientSession() as session:
        secoda = connect(session=session)
        await secoda.groups.get("group-0")
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 0)
            with pytest.raises(ConfigurationError, match="another event loop or process"):
                await secoda.groups.get("group-0")
    assert len(emulator.requests) == 1


BEGINNINGS: list[Callable[[SecodaClient], Awaitable[object]]] = [
    lambda secoda: secoda.groups.get("g"),
    lambda secoda: secoda.groups.create(name="A"),
    lambda secoda: secoda.groups.create(name="A", on_unknown="reconcile"),
    lambda secoda: secoda.groups.add_users("g", ["u"]),
    lambda secoda: secoda.groups.snapshot(),
    lambda secoda: secoda.groups.pages(concurrency=3).__anext__(),
    lambda secoda: secoda.health(),
    lambda secoda: secoda.plan(DesiredState(())),
    lambda secoda: secoda.apply(plan_of([], [])),
    lambda secoda: secoda.__aenter__(),
    lambda secoda: secoda.close(),
    lambda secoda: secoda.aclose(),
]


def test_with_in_place_of_async_with_says_so() -> None:
    secoda: Any = SecodaClient("key")
    with (
        pytest.raises(TypeError, match=r"use `async with SecodaClient\(...\) as secoda:` inside an async function"),
        secoda,
    ):
        pass


async def test_aclose_closes(connect: Connect) -> None:
    secoda = connect()
    async with aclosing(secoda):
        await secoda.groups.snapshot()
    with pytest.raises(ClientClosedError):
        await secoda.groups.snapshot()


@pytest.mark.requirement("SL-1", "SEC-3")
@pytest.mark.parametrize("key", ["string", "callable"])
@pytest.mark.parametrize(
    "begin",
    BEGINNINGS,
)
def test_without_asyncio_a_call_says_what_it_needs(
    begin: Callable[[SecodaClient], Awaitable[object]], key: str
) -> None:
    async def provide() -> str:
        raise AssertionError

    secoda = SecodaClient("key" if key == "string" else provide)
    with pytest.raises(ConfigurationError, match="needs a running asyncio event loop; trio is not supported"):
        next(begin(secoda).__await__())  # as trio does
