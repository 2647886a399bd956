"""The dashboard's requests. The page itself is tested in a browser."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock
from secoda_async.emulator.dashboard import PRESETS
from tests.support.emulator_calls import GROUPS, Caller

STATE = "/_emulator/state"
FAULTS = "/_emulator/faults"
OWN = {"X-Emulator": "page"}


@pytest.fixture
async def emulator(clock: ManualClock) -> AsyncIterator[Emulator]:
    async with Emulator(groups=[{"name": "A"}], users=2, clock=clock, page=True) as emulator:
        yield emulator


async def state(call: Caller, after: object = 0) -> Any:  # noqa: ANN401 - JSON
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
        "limit": {"of": 30, "window": 60.0, "used": 0, "next": 0.0},
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
