"""The dashboard's requests. The page itself is tested in a browser."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import attrs
import pytest

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock
from secoda_async.emulator.controls import CONTROLS
from secoda_async.emulator.presets import PRESETS
from secoda_async.emulator.settings import Settings
from tests.support.emulator_calls import GROUPS, Caller

STATE = "/_emulator/state"
FAULTS = "/_emulator/faults"
STUBS = "/_emulator/stubs"
SETTINGS = "/_emulator/settings"
RESET = "/_emulator/reset"
OWN = {"X-Emulator": "page"}


@pytest.fixture
async def emulator(clock: ManualClock) -> AsyncIterator[Emulator]:
    async with Emulator(groups=[{"name": "A"}], users=2, clock=clock, page=True) as emulator:
        yield emulator


async def state(call: Caller, after: object = 0) -> Any:
    return (await call("GET", f"{STATE}?after={after}", key=None)).json


async def test_dashboard_page_is_served_with_a_strict_policy_and_all_presets(call: Caller) -> None:
    page = await call("GET", "/", key=None)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
        "img-src data:; frame-ancestors 'none'"
    )
    for preset in PRESETS:
        assert f'["{preset.name}","{preset.title}","{preset.description}"]' in page.body.decode()


async def test_dashboard_state_has_counts_groups_requests_and_faults(
    emulator: Emulator, clock: ManualClock, call: Caller
) -> None:
    clock.advance(2.0)
    await call("GET", "/healthcheck")
    reply = await call("GET", STATE, key=None)
    assert (reply.headers["Content-Type"], reply.headers["Cache-Control"]) == ("application/json", "no-store")
    assert reply.json == {
        "url": emulator.url,
        "key": emulator.api_key,
        "counts": {"groups-count": 1, "users-count": 2, "requests-count": 1, "refused": 0},
        "limit": {"of": 30, "window": 60.0, "used": 0, "refused": 0, "next": 0.0},
        "groups": [{"name": "A", "members": 0}],
        "requests": [
            {
                "number": 1,
                "at": 2.0,
                "method": "GET",
                "target": "/healthcheck",
                "status": 200,
                "ended": True,
                "ms": 0,
                "fault": False,
            }
        ],
        "faults": [{"name": preset.name, "left": 0, "used": 0} for preset in PRESETS],
        "other_faults": 0,
        "stubs": [],
        "settings": [control.describe(emulator) | {"choices": list(control.choices)} for control in CONTROLS],
    }


@pytest.mark.parametrize(
    ("after", "numbers"), [(0, [1, 2, 3]), (2, [3]), ("x", [1, 2, 3]), ("9" * 11, []), ("9" * 12, [1, 2, 3])]
)
async def test_dashboard_state_has_the_requests_after_a_number(call: Caller, after: object, numbers: list[int]) -> None:
    for _ in range(3):
        await call("GET", GROUPS)
    assert [row["number"] for row in (await state(call, after))["requests"]] == numbers


async def test_dashboard_state_has_at_most_200_requests(call: Caller) -> None:
    for _ in range(201):
        await call("GET", "/healthcheck")
    assert [row["number"] for row in (await state(call))["requests"]] == list(range(2, 202))


async def test_dashboard_adds_and_clears_faults(emulator: Emulator, call: Caller) -> None:
    for left in (1, 2):
        added = await call("POST", FAULTS, key=None, headers=OWN, json={"name": "lost"})
        assert (added.status, added.json) == (200, {"name": "lost", "left": left, "used": 0})
    assert (await call("GET", GROUPS)).status == 200
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await call("POST", GROUPS, json={})
    shown = await state(call)
    assert shown["faults"][0] == {"name": "lost", "left": 1, "used": 1}
    lost = shown["requests"][-1]
    assert (lost["status"], lost["ended"], lost["ms"], lost["fault"]) == (None, True, None, True)
    emulator.faults.add(500)
    assert (await state(call))["other_faults"] == 1
    assert (await call("DELETE", FAULTS, key=None, headers=OWN)).json == {}
    assert len(emulator.faults) == 0
    assert (await state(call))["faults"][0] == {"name": "lost", "left": 0, "used": 0}


@pytest.mark.parametrize(
    ("name", "method", "statuses"),
    [
        ("unavailable", "GET", [503] * 5 + [200]),
        ("limited", "POST", [429, 201]),
        ("gateway", "GET", [502, 502, 502, 200]),
    ],
)
async def test_dashboard_presets_apply_to_the_next_requests(
    call: Caller, name: str, method: str, statuses: list[int]
) -> None:
    await call("POST", FAULTS, key=None, headers=OWN, json={"name": name})
    replies = [await call(method, GROUPS, json={}) for _ in statuses]
    assert [reply.status for reply in replies] == statuses
    assert replies[0].headers.get("Retry-After") == ("5" if name == "limited" else None)
    assert (replies[0].body == b"<html><h1>Bad Gateway</h1></html>") is (name == "gateway")


async def test_dashboard_presets_delay_and_stall(emulator: Emulator, call: Caller) -> None:
    for name in ("slow", "hung"):
        await call("POST", FAULTS, key=None, headers=OWN, json={"name": name})
    slow, hung = emulator.faults._faults
    assert (slow.delay, slow.times, hung.stall, hung.times) == (2.0, 20, "before", 1)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("POST", FAULTS, {}, {"name": "lost"}, 403),
        ("DELETE", FAULTS, {}, None, 403),
        ("POST", STUBS, {}, {}, 403),
        ("DELETE", STUBS, {}, {}, 403),
        ("PATCH", SETTINGS, {}, {}, 403),
        ("POST", RESET, {}, {}, 403),
        ("GET", "/", {"Host": "192.0.2.1"}, None, 403),
        ("GET", "/", {"Host": "elsewhere.example"}, None, 403),
        ("GET", STATE, {"Host": "elsewhere.example"}, None, 403),
        ("GET", "/favicon.ico", {"Host": "elsewhere.example"}, None, 403),
        ("POST", FAULTS, OWN, {"name": "unknown"}, 400),
        ("POST", FAULTS, OWN, {"title": "lost"}, 400),
        ("POST", FAULTS, OWN, ["lost"], 400),
        ("PUT", FAULTS, OWN, None, 404),
        ("GET", "/_emulator/elsewhere", {}, None, 404),
        ("GET", "/favicon.ico", {}, None, 404),
    ],
)
async def test_dashboard_refuses_other_sites_and_unknown_requests(
    emulator: Emulator, call: Caller, method: str, path: str, headers: dict[str, str], body: object, status: int
) -> None:
    assert (await call(method, path, key=None, headers=headers, json=body)).status == status
    assert (len(emulator.faults), emulator.requests) == (0, [])


async def test_dashboard_refuses_a_body_that_is_not_json(call: Caller) -> None:
    reply = await call("POST", FAULTS, key=None, headers=OWN, data=b"{")
    assert (reply.status, reply.body) == (400, b"unknown fault")


def test_dashboard_has_a_control_for_every_setting_but_the_key() -> None:
    assert {control.name for control in CONTROLS} == {field.name for field in attrs.fields(Settings)} - {"api_key"}


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("page_size", 3, None),
        ("latency", 1, None),
        ("latency", 0.5, None),
        ("idle_408", None, None),
        ("trailing_slash", True, None),
        ("next_link", "top", None),
        ("link_origin", None, None),
        ("page_size", 0, "page_size must be at least 1, not 0"),
        ("page_size", 1.5, "page_size can't be 1.5"),
        ("page_size", True, "page_size can't be True"),
        ("page_size", None, "page_size can't be None"),
        ("trailing_slash", 1, "trailing_slash can't be 1"),
        ("next_link", "up", 'next_link must be one of "links", "top", "hidden", not \'up\''),
        ("api_key", "x", "unknown setting"),
        (None, "x", "unknown setting"),
    ],
)
async def test_dashboard_changes_settings(
    emulator: Emulator, call: Caller, name: str, value: object, error: str | None
) -> None:
    reply = await call("PATCH", SETTINGS, key=None, headers=OWN, json={"name": name, "value": value})
    assert (reply.status, reply.body.decode()) == ((200, "{}") if error is None else (400, error))
    assert error is not None or getattr(emulator, name) == value


@pytest.mark.parametrize(
    ("stub", "error"),
    [
        ({}, None),
        ({"body": ""}, None),
        ({"body": "{"}, "the body is not JSON"),
        ({"body": None}, "a stub needs method, path and body"),
        ({"status": "200"}, "the status must be a whole number"),
        ({"path": "tag"}, "path must be an absolute path, such as /api/v1/tag/{id}, not 'tag'"),
    ],
)
async def test_dashboard_adds_and_clears_stubs(
    emulator: Emulator, call: Caller, stub: dict[str, object], error: str | None
) -> None:
    fields = {"method": "GET", "path": "/api/v1/tag", "status": 200, "body": "[1]"} | stub
    reply = await call("POST", STUBS, key=None, headers=OWN, json=fields)
    assert (reply.status, reply.body.decode()) == ((200, "{}") if error is None else (400, error))
    if error is None:
        assert (await call("GET", "/api/v1/tag")).body == str(fields["body"]).encode()
        assert (await state(call))["stubs"] == [{"call": "GET /api/v1/tag", "used": 1}]
    assert (await call("DELETE", STUBS, key=None, headers=OWN)).status == 200
    assert len(emulator.stubs) == 0


async def test_dashboard_resets_the_workspace(emulator: Emulator, call: Caller) -> None:
    await call("POST", GROUPS, json={})
    await call("POST", FAULTS, key=None, headers=OWN, json={"name": "cut"})
    assert (await call("POST", RESET, key=None, headers=OWN)).status == 200
    assert [group["name"] for group in emulator.groups.values()] == ["A"]
    shown = await state(call)
    assert (shown["requests"], shown["other_faults"]) == ([], 0)
    assert {fault["left"] for fault in shown["faults"]} == {0}


async def test_dashboard_counts_the_429_responses_of_the_window(
    emulator: Emulator, clock: ManualClock, call: Caller
) -> None:
    emulator.writes_per_window = 1
    for _ in range(3):
        await call("POST", GROUPS, json={})
    assert (await state(call))["limit"] == {"of": 1, "window": 60.0, "used": 1, "refused": 2, "next": 60.0}
    clock.advance(60.0)
    assert (await state(call))["limit"] == {"of": 1, "window": 60.0, "used": 0, "refused": 0, "next": 0.0}


async def test_dashboard_of_all_addresses_is_served_at_addresses_but_not_at_names() -> None:
    async with Emulator(host="0.0.0.0", page=True) as emulator, aiohttp.ClientSession() as session:
        call = Caller(emulator, session)
        for host, status in (("192.0.2.1:8080", 200), ("[::1]", 200), ("elsewhere.example", 403)):
            assert (await call("GET", STATE, key=None, headers={"Host": host})).status == status
