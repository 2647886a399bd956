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
