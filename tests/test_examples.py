"""The services in docs/examples, as real processes: many callers at once, and some of them hang up."""

import asyncio
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from secoda_async.emulator import Emulator

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
CALLERS = 200
LATENCY = 0.02
"""Seconds for an answer of the emulator: time enough to hang up before it comes."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Service:
    """A service under test."""

    def __init__(self, url: str, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self.process = process
        self.said = ""

    async def ended(self) -> None:
        """Ask it to end, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        _, said = await self.process.communicate()
        self.said = said.decode()


@asynccontextmanager
async def running(program: str, workspace: Emulator) -> AsyncGenerator[Service, None]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "dev", "-W", "default::ResourceWarning", str(EXAMPLES / program), "--port", str(port),
        env={**os.environ, "SECODA_BASE_URL": workspace.url, "SECODA_API_KEY": workspace.api_key},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert b"Running on" in await process.stdout.readline()
        yield Service(f"http://127.0.0.1:{port}", process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def call(session: aiohttp.ClientSession, base: str, number: int, group_id: str) -> int | None:
    """One caller: one in four creates, one in five hangs up early; the status, or None for who hung up."""
    timeout = aiohttp.ClientTimeout(total=LATENCY / 2 if number % 5 == 0 else 30)
    create = number % 4 == 0
    method, path = ("POST", "/groups") if create else ("GET", f"/groups/{group_id}")
    try:
        async with session.request(
            method, base + path, data={"name": f"Team {number}"} if create else None, timeout=timeout
        ) as answer:
            await answer.read()
            if answer.status == 429:
                assert 0 < int(answer.headers["Retry-After"]) <= 61
            return answer.status
    except TimeoutError:
        return None


@pytest.mark.requirement("SL-2", "SL-3", "RL-3", "RL-6")
async def test_two_hundred_callers_get_the_designed_answers_and_leave_nothing_behind() -> None:
    async with (
        Emulator(groups=1, users=1, latency=LATENCY) as workspace,
        running("aiohttp_service.py", workspace) as service,
    ):
        (group_id,) = workspace.groups
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            statuses = await asyncio.gather(
                *(call(session, service.url, number, group_id) for number in range(CALLERS))
            )
            again = await asyncio.gather(*(call(session, service.url, number, group_id) for number in (1, 2, 3)))
        assert workspace.open_connections <= 20
        await service.ended()
        assert workspace.open_connections == 0
        answered = Counter(statuses)
        assert set(answered) <= {200, 201, 429, None}
        assert answered[200] == sum(number % 4 != 0 and number % 5 != 0 for number in range(CALLERS))
        assert answered[201] <= 30
        assert answered[429] >= 50 - 10 - 30  # of fifty, ten hung up
        assert again == [200, 200, 200]
        assert workspace.refused == 0
        assert workspace.busiest_window() <= 30
    assert service.process.returncode == 0
    for word in ("Traceback", "Unclosed", "ResourceWarning", "never retrieved", "was destroyed"):
        assert word not in service.said, service.said


async def test_what_goes_wrong_is_answered_with_what_to_do() -> None:
    async with Emulator(users=1) as workspace, running("aiohttp_service.py", workspace) as service:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{service.url}/groups/missing") as answer:
                assert answer.status == 404
            async with session.post(f"{service.url}/groups", data={}) as answer:
                assert answer.status == 422
            async with session.get(URL(service.url + "/groups/a%2Fb", encoded=True)) as answer:
                assert answer.status == 422  # an id that can't be one: not sent
            workspace.faults.add(drop="after", method="POST")
            async with session.post(f"{service.url}/groups", data={"name": "Analysts"}) as answer:
                assert answer.status == 502
                assert "look for it" in (await answer.json())["advice"]
            workspace.faults.add(status=503, headers={"Retry-After": "60"}, method="GET")
            async with session.get(f"{service.url}/groups/missing") as answer:
                assert answer.status == 504
                assert int(answer.headers["Retry-After"]) <= 61
        await service.ended()
        assert workspace.count(method="POST") == 1
    assert "Traceback" not in service.said, service.said
