"""The write limit: the sliding window alone, and over a real socket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secoda_async.emulator import Emulator
from secoda_async.emulator.clock import ManualClock
from secoda_async.emulator.throttle import Throttle
from tests.support.emulator_calls import GROUPS, Caller


def test_throttle_window_slides() -> None:
    throttle = Throttle()
    for now in (0.0, 10.0, 20.0):
        assert throttle.admit(now, limit=3, window=60.0) is None
    assert throttle.admit(20.0, limit=3, window=60.0) == 40
    assert throttle.admit(59.5, limit=3, window=60.0) == 1
    assert throttle.admit(60.0, limit=3, window=60.0) is None
    assert throttle.admit(60.0, limit=3, window=60.0) == 10


def test_refused_writes_do_not_count_for_the_limit() -> None:
    throttle = Throttle()
    throttle.admit(0.0, limit=1, window=60.0)
    for second in range(1, 60):
        assert throttle.admit(float(second), limit=1, window=60.0) == 60 - second
    assert throttle.admit(60.0, limit=1, window=60.0) is None


def test_unlimited_throttle_still_counts_writes() -> None:
    throttle = Throttle()
    assert [throttle.admit(0.0, limit=None, window=60.0) for _ in range(100)] == [None] * 100
    assert throttle.admit(1.0, limit=30, window=60.0) == 59


def test_busiest_window_counts_refused_writes() -> None:
    throttle = Throttle()
    assert throttle.busiest(60.0) == 0
    for now in (0.0, 30.0, 59.0, 60.0, 200.0):
        throttle.admit(now, limit=1, window=60.0)
    assert throttle.busiest(60.0) == 3
    assert throttle.busiest(1_000.0) == 5


@given(st.lists(st.floats(0, 100), max_size=60), st.integers(1, 5))
def test_throttle_never_accepts_more_than_the_limit_in_any_window(times: list[float], limit: int) -> None:
    throttle = Throttle()
    accepted = [now for now in sorted(times) if throttle.admit(now, limit=limit, window=10.0) is None]
    for first in accepted:
        assert sum(first <= now < first + 10.0 for now in accepted) <= limit


@pytest.mark.requirement("RL-7")
def test_throttle_accepts_a_write_that_is_exactly_due() -> None:
    for number in range(20_000):
        start = number * 0.137 + 1 / (number + 3)
        throttle = Throttle()
        assert throttle.admit(start, limit=1, window=60.0) is None
        assert throttle.admit(start + 60.0, limit=1, window=60.0) is None, start
        assert throttle.used(start + 60.0, 60.0)[0] == 1
        assert throttle.busiest(60.0) == 1


@pytest.fixture
def emulator(emulator: Emulator) -> Emulator:
    """The emulator with a limit of three writes."""
    emulator.writes_per_window = 3
    return emulator


async def test_write_above_the_limit_is_a_429_with_retry_after(
    emulator: Emulator, clock: ManualClock, call: Caller
) -> None:
    assert [(await call("POST", GROUPS, json={})).status for _ in range(3)] == [201] * 3
    clock.advance(59.5)
    refused = await call("PATCH", f"{GROUPS}/x", data=b"not even JSON")
    assert refused.status == 429
    assert refused.headers["Retry-After"] == "1"
    assert refused.json == {"detail": "Request was throttled. Expected available in 1 second."}
    clock.advance(0.5)
    assert [(await call("POST", GROUPS, json={})).status for _ in range(4)] == [201, 201, 201, 429]
    assert emulator.requests[-1].applied is False
    assert (emulator.refused, emulator.busiest_window()) == (2, 5)
    assert emulator.count("post", GROUPS, 201) == emulator.count(status=201) == 6
    assert emulator.count(path="/auth/group/") == emulator.count("POST") == 7


async def test_reads_and_deletes_are_not_throttled(emulator: Emulator, call: Caller) -> None:
    for _ in range(9):
        assert (await call("GET", GROUPS)).status == 200
        assert (await call("DELETE", f"{GROUPS}/x")).status == 404
    assert emulator.busiest_window() == 0


async def test_400_404_and_405_count_for_the_limit_but_401_does_not(call: Caller) -> None:
    assert (await call("POST", GROUPS, key="wrong", json={})).status == 401
    assert (await call("POST", "/nowhere", json={})).status == 404
    statuses = [
        (await call("POST", GROUPS, json={"name": None})).status,
        (await call("PATCH", f"{GROUPS}/x", json={})).status,
        (await call("PUT", GROUPS, json={})).status,
        (await call("POST", GROUPS, data=b"x")).status,
    ]
    assert statuses == [400, 404, 405, 429]


async def test_retry_after_counts_down_in_whole_seconds(clock: ManualClock, call: Caller) -> None:
    for _ in range(3):
        await call("POST", GROUPS, json={})
    clock.advance(0.25)
    response = await call("POST", GROUPS, json={})
    assert response.headers["Retry-After"] == "60"
    assert response.json["detail"].endswith("in 60 seconds.")


def test_throttle_retry_after_is_at_least_one_second() -> None:
    throttle = Throttle()
    throttle.admit(0.0, limit=1, window=60.0)
    assert throttle.admit(59.99, limit=1, window=60.0) == 1


def test_throttle_counts_from_the_newest_write_after_the_limit_was_lowered() -> None:
    throttle = Throttle()
    for now in (0.0, 10.0, 20.0):
        throttle.admit(now, limit=3, window=60.0)
    assert throttle.admit(20.0, limit=1, window=60.0) == 60
    assert throttle.used(20.0, 60.0) == (3, 40.0)
    assert throttle.used(65.0, 60.0) == (2, 5.0)
    assert throttle.used(80.0, 60.0) == (0, 0.0)


async def test_limit_state_has_the_used_writes_and_the_wait(
    emulator: Emulator, clock: ManualClock, call: Caller
) -> None:
    for number in range(3):
        assert emulator.limit_state() == {"of": 3, "window": 60.0, "used": number, "refused": 0, "next": 0.0}
        await call("POST", GROUPS, json={})
    clock.advance(20.0)
    assert emulator.limit_state() == {"of": 3, "window": 60.0, "used": 3, "refused": 0, "next": 40.0}
    emulator.writes_per_window = None
    assert emulator.limit_state() == {"of": None, "window": 60.0, "used": 3, "refused": 0, "next": 0.0}
