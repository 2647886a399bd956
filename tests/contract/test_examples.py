"""The services in docs/examples, as real processes: many callers at once, and some of them hang up."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from secoda_async import ClientClosedError, SecodaClient
from secoda_async.emulator import Emulator
from tests.support.examples import EXAMPLES, load_example
from tests.support.ports import reserved_port
from tests.support.waiting import wait_until

CALLERS = 200
JSON = {"Content-Type": "application/json"}
PATIENCE = 120
"""Seconds for each caller, and for each call to Secoda: on a busy machine 200 callers take longer."""
LATENCY = 0.02
"""Seconds for an answer of the emulator: time enough to hang up before it comes."""


class Service:
    """A service under test, and what it says: read all along, or a full pipe would stop it."""

    def __init__(self, url: str, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self.process = process
        self.said = ""
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said += line.decode()

    async def runs(self) -> None:
        await wait_until(lambda: "running on" in self.said.lower() or self._listening.done())
        assert not self._listening.done(), self.said

    async def ended(self) -> None:
        """Ask it to end, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        await self.gone()

    async def gone(self) -> None:
        await self._listening
        await self.process.wait()


@asynccontextmanager
async def running(program: str, workspace: Emulator, *options: str) -> AsyncGenerator[Service, None]:
    with reserved_port() as port:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-u", "-X", "dev", "-W", "default::ResourceWarning", str(EXAMPLES / program),
            "--port", str(port), *options,
            env={**os.environ, "SECODA_BASE_URL": workspace.url, "SECODA_API_KEY": workspace.api_key},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        service = Service(f"http://127.0.0.1:{port}", process)
        try:
            await service.runs()
            yield service
        finally:
            if process.returncode is None:
                process.kill()
            await service.gone()


SERVICES = pytest.mark.parametrize("program", ["aiohttp_service.py", "fastapi_service.py"])


async def call(session: aiohttp.ClientSession, base: str, number: int, group_id: str) -> int | None:
    """One caller: one in four creates, one in five hangs up early; the status, or None for who hung up."""
    timeout = aiohttp.ClientTimeout(total=LATENCY / 2 if number % 5 == 0 else PATIENCE)
    create = number % 4 == 0
    method, path = ("POST", "/groups") if create else ("GET", f"/groups/{group_id}")
    try:
        async with session.request(
            method, base + path, json={"name": f"Team {number}"} if create else None, timeout=timeout
        ) as answer:
            await answer.read()
            if answer.status == 429:
                assert 0 < int(answer.headers["Retry-After"]) <= 61
            return answer.status
    except TimeoutError:
        return None


def clean(said: str) -> bool:
    """Whether a service has ended without a word of something that went wrong unforeseen."""
    words = ("Traceback", "Unclosed", "ResourceWarning", "never retrieved", "never awaited", "was destroyed")
    return not any(word in said for word in words)


@pytest.mark.slow
@SERVICES
@pytest.mark.requirement("SL-2", "SL-3", "RL-3", "RL-6")
async def test_service_answers_two_hundred_callers_and_leaks_nothing(program: str) -> None:
    async with (
        Emulator(groups=1, users=1, latency=LATENCY) as workspace,
        running(program, workspace, "--deadline", str(PATIENCE)) as service,
    ):
        (group_id,) = workspace.groups
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            statuses = await asyncio.gather(
                *(call(session, service.url, number, group_id) for number in range(CALLERS))
            )
            again = await asyncio.gather(*(call(session, service.url, number, group_id) for number in (1, 2, 3)))
        assert workspace.open_connections <= 100
        await service.ended()
        await wait_until(lambda: workspace.open_connections == 0)
        answered = Counter(statuses)
        assert set(answered) <= {200, 201, 429, None}
        assert answered[200] == sum(number % 4 != 0 and number % 5 != 0 for number in range(CALLERS))
        assert answered[201] <= 30
        assert answered[429] >= 50 - 10 - 30  # of fifty, ten hung up
        assert again == [200, 200, 200]
        assert workspace.refused == 0
        assert workspace.busiest_window() <= 30
    assert service.process.returncode in (0, -signal.SIGTERM)  # uvicorn raises it again when all is closed
    assert clean(service.said), service.said


@pytest.mark.slow
@SERVICES
@pytest.mark.requirement("SL-2", "SL-3", "RL-3")
async def test_service_reads_pass_queued_writes_and_a_disconnect_leaves_the_queue(program: str) -> None:
    async with (
        Emulator(groups=1, users=1) as workspace,
        running(program, workspace, "--deadline", str(PATIENCE), "--max-wait", str(PATIENCE)) as service,
    ):
        (group_id,) = workspace.groups
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            creates = [asyncio.create_task(call(session, service.url, 20 * number + 4, "")) for number in range(50)]
            await wait_until(lambda: sum(create.done() for create in creates) == 30)
            reads = await asyncio.gather(*(call(session, service.url, 1, group_id) for _ in range(CALLERS)))
            waiting = [create for create in creates if not create.done()]
            for create in waiting:
                create.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        assert reads == [200] * CALLERS
        assert len(waiting) == 20  # all of the reads were answered, and none of these
        await service.ended()  # at once: nobody waits for a place any more
        assert workspace.count(method="POST") == 30
    assert clean(service.said), service.said


@pytest.mark.slow
@SERVICES
@pytest.mark.requirement("RL-6")
async def test_service_answers_errors_with_advice(program: str) -> None:
    async with Emulator(users=1) as workspace, running(program, workspace, "--deadline", "50") as service:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{service.url}/groups/missing") as answer:
                assert answer.status == 404
            for body in (b"", b"{}", b'{"name": " "}'):
                async with session.post(f"{service.url}/groups", data=body, headers=JSON) as answer:
                    assert answer.status == 422
                    assert (await answer.json())["error"]
            async with session.get(URL(service.url + "/groups/a%2Fb", encoded=True)) as answer:
                assert answer.status == 422  # an id that can't be one: not sent
            workspace.faults.add(drop="after", method="POST")
            async with session.post(f"{service.url}/groups", json={"name": "Analysts"}) as answer:
                assert answer.status == 502
                assert "check" in (await answer.json())["advice"]
            workspace.faults.add(status=503, headers={"Retry-After": "60"}, method="GET")
            async with session.get(f"{service.url}/groups/missing") as answer:
                assert answer.status == 504
                assert int(answer.headers["Retry-After"]) <= 61
        await service.ended()
        assert workspace.count(method="POST") == 1
    assert clean(service.said), service.said


@pytest.mark.requirement("SL-2")
async def test_service_closes_its_client_at_shutdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Emulator() as workspace:
        monkeypatch.setenv("SECODA_BASE_URL", workspace.url)
        monkeypatch.setenv("SECODA_API_KEY", workspace.api_key)
        on_aiohttp = load_example("aiohttp_service")
        runner = web.AppRunner(on_aiohttp.service())
        await runner.setup()
        secoda: SecodaClient = runner.app[on_aiohttp.SECODA]
        assert await secoda.groups.snapshot() == []
        await runner.cleanup()
        with pytest.raises(ClientClosedError):
            await secoda.groups.snapshot()

        app = load_example("fastapi_service").app
        app.state.deadline, app.state.max_wait = 5, 2
        async with app.router.lifespan_context(app):
            secoda = app.state.secoda
            assert await secoda.groups.snapshot() == []
        with pytest.raises(ClientClosedError):
            await secoda.groups.snapshot()


@pytest.mark.slow
@SERVICES
async def test_service_takes_the_deadline_of_the_caller(program: str) -> None:
    async with Emulator(users=1, latency=1) as workspace, running(program, workspace) as service:
        async with aiohttp.ClientSession() as session:
            url = f"{service.url}/groups/any"
            async with session.get(url, headers={"X-Deadline": "0.005"}) as answer:
                assert answer.status == 504
                assert "deadline of 0.005 s" in (await answer.json())["error"]
            for wrong in ("0", "-1", "soon", "nan"):
                async with session.get(url, headers={"X-Deadline": wrong}) as answer:
                    assert answer.status == 422, wrong
                    assert "deadline" in (await answer.json())["error"].lower()
        await service.ended()
