"""The key is sent, and shows nowhere else."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from secoda_async import (
    AutojumpClock,
    ConfigurationError,
    RetryPolicy,
    SecodaClient,
    SecodaError,
)
from secoda_async.config import Secret
from secoda_async.emulator import Emulator
from tests.support.clients import Connect

CANARY = "c4n4ry-/+=.~key-that-must-not-show"
Call = Callable[[SecodaClient], Awaitable[object]]
Json = dict[str, Any]


@pytest.fixture(autouse=True)
def every_log_record(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    for name in ("asyncio", "aiohttp", "aiohttp.client", "secoda_async", "tenacity"):
        caplog.set_level(logging.DEBUG, name)
    return caplog


@pytest.fixture(autouse=True)
def canary(emulator: Emulator) -> None:
    emulator.api_key = CANARY


def rendered(error: BaseException) -> str:
    """All that a tool that reports errors may show of one, but for the frames of the test itself."""
    shown = [repr(error), str(error)]
    linked: BaseException | None = error
    while linked is not None:
        shown += [repr(linked), str(linked), repr(vars(linked))]
        linked = linked.__cause__ or linked.__context__
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    waiting = [report]
    while waiting:
        one = waiting.pop()
        one.stack = traceback.StackSummary.from_list([frame for frame in one.stack if "/tests/" not in frame.filename])
        shown += one.format()
        waiting += [linked for linked in (one.__cause__, one.__context__) if linked is not None]
    return "\n".join(shown)


def parts(value: object, depth: int = 6) -> str:
    """The repr, str and attributes of an object of ours and of its parts."""
    shown = f"{value!r} {value}" if not isinstance(value, str) else repr(value)
    if depth and type(value).__module__.startswith("secoda_async"):
        names = list(getattr(value, "__dict__", {})) + [
            name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()) if name != "__weakref__"
        ]
        shown += "".join(parts(getattr(value, name, None), depth - 1) for name in names)
        shown += repr(getattr(value, "__dict__", {}))
    return shown


def test_the_helpers_would_show_it() -> None:
    def fail(key: str) -> None:
        raise ValueError(key)

    with pytest.raises(ValueError, match="c4n4ry") as caught:
        fail(CANARY)
    assert CANARY in rendered(caught.value)
    assert CANARY in parts([CANARY])


@pytest.mark.requirement("ER-3")
async def test_a_client_and_its_parts_do_not_show_it(connect: Connect) -> None:
    async def provide() -> str:
        return CANARY

    for secoda in (connect(), connect(api_key=provide)):
        await secoda.groups.snapshot()
        pipeline: Any = vars(secoda)["_pipeline"]
        shown: list[Any] = [secoda, secoda.with_options(timeout=1), secoda.groups, secoda.users, pipeline]
        shown += [pipeline.transport, vars(pipeline)["_credentials"]]
        assert [part for part in shown if CANARY in parts(part)] == []


def call_create(secoda: SecodaClient) -> Awaitable[object]:
    return secoda.groups.create(name="A")


CALLS: list[Call] = [
    lambda secoda: secoda.groups.get("g"),
    call_create,
    lambda secoda: secoda.groups.update("g", name="A"),
    lambda secoda: secoda.groups.delete("g"),
    lambda secoda: secoda.groups.snapshot(),
    lambda secoda: secoda.request("PUT", "tag", json={}),
    lambda secoda: secoda.groups.create(name="A", on_unknown="reconcile"),
]
ECHO = {"X-Echo": f"Bearer {CANARY}", "X-Request-ID": CANARY, "WWW-Authenticate": f'Bearer error="{CANARY}"'}
FAULTS: dict[str, Json] = {
    "400": {"status": 400, "body": {"detail": f"bad {CANARY}", "name": [CANARY]}, "headers": ECHO},
    "401": {"status": 401, "body": {"detail": f"Invalid token {CANARY}"}, "headers": ECHO},
    "429": {"status": 429, "body": f"<html>{CANARY}", "headers": ECHO | {"Retry-After": "500"}},
    "500": {"status": 500, "body": f"Authorization: Bearer {CANARY}", "headers": ECHO},
    "302": {"redirect": f"https://evil.example/?token={CANARY}"},
    "html": {"body": f"<html>{CANARY}</html>", "headers": ECHO},
    "json": {"body": {"id": "g", "name": "A", "created_at": CANARY}},
    "list": {"body": {"results": [], "links": {"next": f"/?page={CANARY}"}}},
    "page": {"body": {"results": [{"id": 5, "name": CANARY, "created_at": CANARY}]}},
    "broken": {"body": f'{{"{CANARY}'.encode()},
    "dropped": {"drop": "after"},
    "cut": {"cut": 3},
    "rubbish": {"raw": f"{CANARY}\r\n\r\n".encode()},
    "large": {"raw": f"HTTP/1.1 200 OK\r\nX: {CANARY}{'a' * 100_000}\r\n\r\n".encode()},
    "stalled": {"stall": "after"},
}


@pytest.mark.requirement("ER-3")
@pytest.mark.parametrize("call", CALLS, ids=["get", "create", "update", "delete", "list", "request", "reconcile"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_no_error_and_no_log_shows_it_even_when_the_server_does(
    emulator: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture, fault: Json, call: Call
) -> None:
    emulator.faults.add(**fault, times=None)
    (outcome,) = await asyncio.gather(
        call(connect(api_key=f" {CANARY}\n", retry=RetryPolicy(attempts=2), deadline=70)), return_exceptions=True
    )
    if isinstance(outcome, BaseException):
        assert isinstance(outcome, SecodaError)
        assert "c4n4ry" not in rendered(outcome)
    assert emulator.requests[0].authorized
    assert CANARY not in caplog.text
    assert all(CANARY not in repr(vars(record)) for record in caplog.records)


@pytest.mark.requirement("ER-3", "SEC-1")
@pytest.mark.parametrize("item", [{"users": CANARY}, {"created_at": CANARY}, {"id": CANARY, "users": 5}], ids=list)
async def test_items_left_out_do_not_show_it(
    emulator: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture, item: Json
) -> None:
    emulator.faults.add(body={"results": [{"id": "g", "name": "A"} | item], "count": 1})
    (page,) = [page async for page in connect().groups.pages(on_invalid="skip")]
    assert len(page.invalid) == 1
    assert CANARY not in repr(page)
    assert CANARY not in repr(vars(page.invalid[0]))
    assert CANARY not in caplog.text


@pytest.mark.requirement("ER-3")
@pytest.mark.parametrize("refused", [False, True])
async def test_a_key_with_white_space_around_it_works(
    emulator: Emulator,
    connect: Connect,
    refused: bool,  # noqa: FBT001
) -> None:
    async def provide() -> str:
        return f"\t{CANARY}\r\n" if emulator.requests or not refused else "old"

    for key in (f" {CANARY}\n", provide):
        assert len(await connect(api_key=key).groups.snapshot()) == 120


@pytest.mark.requirement("ER-3")
@pytest.mark.parametrize(
    ("how", "middle"),
    [
        *((how, middle) for how in ("given", "environment", "callable") for middle in ("\n", " ", "ü", "\x7f")),
        *((how, middle) for how in ("given", "callable") for middle in ("\x00", "\r\nX-Evil: 1", "\ud800")),
    ],
    ids=ascii,
)
async def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, clock: AutojumpClock, how: str, middle: str
) -> None:
    key = f"c4n4ry{middle}c4n4ry"
    if how == "environment":
        monkeypatch.setenv("SECODA_API_KEY", key)

    async def provide() -> str:
        return key

    with pytest.raises(ConfigurationError) as caught:
        async with SecodaClient({"given": key, "environment": None, "callable": provide}[how], clock=clock) as secoda:
            await secoda.groups.get("g")
    assert "c4n4ry" not in rendered(caught.value)


@pytest.mark.requirement("ER-3")
def test_a_part_of_a_key_does_not_show_either() -> None:
    """Tracebacks of rich show the first characters of what is long."""
    assert repr(Secret("x" * 100)[:80]) == repr(Secret("x")[0]) == "'***'"
