"""Leaks: tasks, sockets, connections, permits and memory."""

import asyncio

import pytest
from attrs import evolve

from secoda_async import (
    LimitState,
)
from tests.soak.emulated.leaks import PERMITS, Footprint, Memory, grown, left_over
from tests.soak.emulated.samples import kinds

IDLE = LimitState(free=PERMITS, next_free=0.0, queued=0, in_flight=0, paused=0.0)


class TestLeaks:
    async def test_no_leak(self) -> None:
        assert left_over(Footprint.now(), Footprint.now(), IDLE, 0) == []

    async def test_task_is_a_leak(self) -> None:
        before = Footprint.now()
        task = asyncio.create_task(asyncio.sleep(0))
        assert kinds(left_over(before, Footprint.now(), IDLE, 0)) == ["left over"]
        await task

    def test_socket_and_connection_are_leaks(self) -> None:
        before, after = Footprint(frozenset(), 3), Footprint(frozenset(), 4)
        assert kinds(left_over(before, after, IDLE, 1)) == ["left over", "left over"]

    @pytest.mark.parametrize("field", [{"free": PERMITS - 1}, {"in_flight": 1}, {"queued": 1}])
    def test_permit_is_a_leak(self, field: dict[str, int]) -> None:
        nothing = Footprint(frozenset(), 0)
        assert kinds(left_over(nothing, nothing, evolve(IDLE, **field), 0)) == ["left over"]

    def test_memory_growth_is_a_leak(self) -> None:
        early = Memory(1000, 50.0)
        assert grown(early, Memory(30_000, 60.0), 10_000) == []
        assert kinds(grown(early, Memory(90_000, 60.0), 10_000)) == ["memory"]
        assert kinds(grown(early, Memory(30_000, 70.0), 10_000)) == ["memory"]
