"""The choice of a fault, the checks of its arguments, and faults that change the response."""

from typing import Any

import aiohttp
import pytest

from secoda_async.emulator import Emulator, Fault, RecordedRequest
from tests.support.emulator_calls import GROUPS, post


def record(method: str = "GET", target: str = GROUPS) -> RecordedRequest:
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


def test_fault_matches_method_path_and_query(emulator: Emulator) -> None:
    fault = emulator.faults.add(500, method="post", path="?page=2", times=None)
    choose = emulator.faults.choose
    assert choose(record("GET", f"{GROUPS}?page=2")) is None
    assert choose(record("POST", GROUPS)) is None
    assert choose(record("POST", f"{GROUPS}?page=2")) is fault
    assert not emulator.faults.need_bodies


def test_fault_skips_requests_then_applies_times(emulator: Emulator) -> None:
    first = emulator.faults.add(500, skip=2, times=2)
    second = emulator.faults.add(501, times=None)
    chosen = [emulator.faults.choose(record()) for _ in range(6)]
    assert chosen == [second, second, first, first, second, second]
    assert (first.used, second.used) == (2, 4)


async def test_fault_matches_the_body(emulator: Emulator, session: aiohttp.ClientSession) -> None:
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
def test_contradictory_fault_arguments_are_refused(emulator: Emulator, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        emulator.faults.add(**arguments)
    assert len(emulator.faults) == 0


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
def test_contradictory_execute_after_is_refused(emulator: Emulator, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^execute_after "):
        emulator.faults.add(**arguments)


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
async def test_status_fault_responds_without_executing(
    emulator: Emulator, session: aiohttp.ClientSession, body: object, content_type: str, sent: bytes
) -> None:
    fault = emulator.faults.add(502, body=body)
    assert await post(session) == (502, content_type, sent)
    assert (fault.used, emulator.groups, emulator.busiest_window()) == (1, {}, 0)
    (record,) = emulator.requests
    assert (record.fault, record.status, record.applied) == (fault, 502, False)
    assert (await post(session))[0] == 201


async def test_status_fault_with_carry_out_executes_first(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.faults.add(504, carry_out=True)
    assert (await post(session))[::2] == (504, b"")
    assert len(emulator.groups) == 1
    assert emulator.requests[0].applied


async def test_fault_headers_can_repeat(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    pairs = (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Type", "application/x"))
    emulator.faults.add(headers=pairs)
    async with session.get(GROUPS) as response:
        assert response.status == 200
        assert response.headers.getall("Set-Cookie") == ["a=1", "b=2"]
        assert response.headers.getall("Content-Type") == ["application/x"]
    emulator.faults.add(429, headers={"Retry-After": "3", "Date": "never"})
    async with session.get(GROUPS) as response:
        assert (response.headers["Retry-After"], response.headers["Date"]) == ("3", "never")
    assert emulator.refused == 1


async def test_body_fault_replaces_the_body_of_an_executed_request(
    emulator: Emulator, session: aiohttp.ClientSession
) -> None:
    emulator.faults.add(body="<html>login</html>")
    assert await post(session) == (201, "text/html; charset=utf-8", b"<html>login</html>")
    assert len(emulator.groups) == 1


async def test_transform_fault_changes_the_real_response(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.faults.add(transform=lambda payload: [payload["name"]], times=None)
    assert await post(session, "ä") == (201, "application/json", '["ä"]'.encode())
    emulator.faults.clear()
    assert len(emulator.faults) == 0
    emulator.faults.add(transform=lambda payload: {"was": payload})
    async with session.get("/healthcheck", params={"x": "1"}) as response:
        assert await response.json() == {"was": {"status": "OK"}}
    emulator.trailing_slash = True
    emulator.faults.add(transform=lambda payload: {"was": payload})
    assert (await post(session))[2] == b'{"was":null}'


async def test_redirect_fault_sends_location(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    emulator.faults.add(redirect="https://elsewhere.example/api")
    emulator.faults.add(308, redirect="/x")
    for status, location in ((302, "https://elsewhere.example/api"), (308, "/x")):
        async with session.post(GROUPS, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (status, location)
    assert emulator.groups == {}


@pytest.mark.parametrize(
    "arguments",
    [
        *({"status": 200}, {"status": 599}, {"status": 300, "redirect": "/x"}, {"status": 399, "redirect": "/x"}),
        *({"raw": b"x", "carry_out": True}, {"status": 500, "carry_out": False}),
        {"status": 504, "execute_after": 0.0},
        {"raw": b"x", "execute_after": 1.0},
        {"drop": "after", "execute_after": 1.0},
        {"stall": "before", "execute_after": 1.0},
        {"stall": "after", "execute_after": 1.0},
        *({"cut": 0}, {"skip": 0}, {"times": 0}, {"delay": 0.0}),
    ],
)
def test_fault_arguments_at_their_limits_are_accepted(emulator: Emulator, arguments: dict[str, Any]) -> None:
    fault = emulator.faults.add(**arguments)
    assert {name: getattr(fault, name) for name in arguments} == arguments


@pytest.mark.parametrize(
    "arguments",
    [
        *({"status": 199}, {"status": 600}, {"status": 299, "redirect": "/x"}, {"status": 400, "redirect": "/x"}),
        *({"headers": {"a": "b\r"}}, {"headers": {"a\n": "b"}}, {"headers": {"a": "\0"}}),
    ],
)
def test_fault_arguments_just_out_of_range_are_refused(emulator: Emulator, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"status|line breaks"):
        emulator.faults.add(**arguments)


def test_faults_are_compared_by_identity_and_made_by_keyword(emulator: Emulator) -> None:
    assert emulator.faults.add(500) != emulator.faults.add(500)
    assert Emulator().faults != Emulator().faults
    with pytest.raises(TypeError):
        Fault(500)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_fault_with_zero_times_matches_nothing(emulator: Emulator) -> None:
    emulator.faults.add(500, times=0)
    assert emulator.faults.choose(record()) is None
    assert len(emulator.faults) == 1
