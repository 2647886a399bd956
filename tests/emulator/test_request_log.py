"""The log of requests."""

from secoda_async.emulator import Emulator
from tests.support.emulator_calls import GROUPS, Caller


async def test_request_log_numbers_requests_and_connections(emulator: Emulator, call: Caller) -> None:
    await call("GET", GROUPS)
    await call("GET", GROUPS)
    await call("GET", GROUPS, headers={"Connection": "close"})
    await call("GET", GROUPS)
    assert [record.connection for record in emulator.requests] == [1, 1, 1, 2]
    assert [record.number for record in emulator.requests] == [1, 2, 3, 4]


async def test_request_log_keeps_path_query_body_and_times(emulator: Emulator, call: Caller) -> None:
    await call("POST", f"{GROUPS}?a=1&b=%C3%A4", data=b"{", headers={"X-A": "1"})
    (record,) = emulator.requests
    assert (record.path, record.query) == (GROUPS, {"a": "1", "b": "ä"})
    assert (record.body, record.json) == (b"{", None)
    assert (record.at, record.answered_at) == (5_000.0, 5_000.0)
    await call("POST", GROUPS, json={"name": "a"})
    assert emulator.requests[1].json == {"name": "a"}


async def test_count_filters_by_method_path_and_status(emulator: Emulator, call: Caller) -> None:
    await call("GET", f"{GROUPS}/")
    await call("GET", f"{GROUPS}/x")
    await call("DELETE", f"{GROUPS}/x")
    await call("PATCH", f"{GROUPS}/x", json={})
    assert emulator.count() == 4
    assert (emulator.count("get"), emulator.count(path="/auth/group"), emulator.count(status=404)) == (2, 1, 3)
    assert emulator.count("GET", "/auth/group/x/", 404) == 1
    assert [record.method for record in emulator.writes] == ["DELETE", "PATCH"]
    assert (emulator.refused, emulator.requests[0].group_id, emulator.requests[0].fault) == (0, None, None)


async def test_request_log_omits_secret_headers(emulator: Emulator, call: Caller) -> None:
    await call("GET", GROUPS, headers={"Cookie": "a", "Proxy-Authorization": "b", "X-Trace": "c"})
    names = {name.lower() for name in emulator.requests[0].headers}
    assert "x-trace" in names
    assert not names & {"authorization", "cookie", "proxy-authorization"}
