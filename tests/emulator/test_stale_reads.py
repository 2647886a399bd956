"""Reads that are behind the store: `visible_after`, `lists_lag` and `reads_lag`."""

import aiohttp

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock
from secoda_async.emulator.history import HISTORY_SECONDS
from tests.support.emulator_calls import GROUPS, Caller, call_json, group_names


async def test_visible_after_hides_a_new_group_from_reads_but_not_from_writes(
    emulator: Emulator, clock: ManualClock, call: Caller
) -> None:
    emulator.visible_after = 5.0
    group = (await call("POST", GROUPS, json={})).json
    path = f"{GROUPS}/{group['id']}"
    assert (await call("GET", GROUPS)).json["count"] == 0
    assert (await call("GET", path)).status == 404
    assert (await call("PATCH", path, json={"name": "a"})).status == 200
    clock.advance(5.0)
    assert (await call("GET", GROUPS)).json["results"][0]["name"] == "a"
    assert (await call("GET", path)).status == 200


async def test_lists_lag_delays_creates_updates_and_deletes(
    emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
) -> None:
    ids = [(await call_json(session, "POST", name=name))["id"] for name in "abc"]
    clock.advance(100.0)
    emulator.lists_lag = 3.0
    await call_json(session, "POST", name="d")
    await call_json(session, "PATCH", f"{GROUPS}/{ids[0]}", name="A")
    await call_json(session, "DELETE", f"{GROUPS}/{ids[1]}")
    assert await group_names(session) == ["a", "b", "c"]
    assert (await call_json(session, "GET", f"{GROUPS}/{ids[0]}"))["name"] == "A"
    assert await call_json(session, "GET", f"{GROUPS}/{ids[1]}") == 404
    clock.advance(2.0)
    await call_json(session, "PATCH", f"{GROUPS}/{ids[0]}", name="AA")
    assert await group_names(session) == ["a", "b", "c"]
    clock.advance(1.0)
    assert await group_names(session) == ["A", "c", "d"]
    emulator.lists_lag = 0.0
    assert await group_names(session) == ["AA", "c", "d"]


async def test_reads_lag_delays_a_get_of_one_group(
    emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession
) -> None:
    emulator.reads_lag = 1.0
    group = await call_json(session, "POST", name="a")
    path = f"{GROUPS}/{group['id']}"
    assert await call_json(session, "GET", path) == 404
    assert await group_names(session) == ["a"]
    clock.advance(1.0)
    assert (await call_json(session, "PATCH", path, users=["u1"]))["users"] == ["u1"]
    assert (await call_json(session, "GET", path))["users"] == []
    assert (await call_json(session, "PATCH", path, users=["u2"]))["users"] == ["u2"]
    await call_json(session, "DELETE", path)
    assert (await call_json(session, "GET", path))["users"] == []
    clock.advance(1.0)
    assert await call_json(session, "GET", path) == 404


async def test_history_drops_old_edits(emulator: Emulator, clock: ManualClock, session: aiohttp.ClientSession) -> None:
    history = emulator._application.store._history
    await call_json(session, "POST", name="a")
    clock.advance(HISTORY_SECONDS)
    await call_json(session, "POST", name="b")
    assert len(history._edits) == 1


async def test_refused_update_is_not_in_the_history(emulator: Emulator, session: aiohttp.ClientSession) -> None:
    group = await call_json(session, "POST", name="a")
    assert await call_json(session, "PATCH", f"{GROUPS}/{group['id']}", users=["nobody"]) == 400
    assert len(emulator._application.store._history._edits) == 1
