"""The write limit that all clients of one key share in a process."""

import asyncio
import gc

import pytest
from attrs import define

from secoda_async import AutojumpClock, RateLimit, SecodaClient, SlidingWindowLimiter
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.clients import Connect

ORIGIN = "https://secoda.example"


def client(key: object = "key", origin: str = ORIGIN, limit: RateLimit | None = None) -> SecodaClient:
    return SecodaClient(key, base_url=origin, write_limit=limit or RateLimit(30, per_seconds=60))  # type: ignore[arg-type]


class TestSharedLimiter:
    @pytest.mark.requirement("RL-4")
    def test_clients_of_one_key_and_origin_share_a_limiter(self) -> None:
        one = client()
        assert client().limiter is one.limiter
        assert client(" key ").limiter is one.limiter
        assert client(origin=f"{ORIGIN}/api/v1/").limiter is one.limiter
        assert client("other").limiter is not one.limiter
        assert client(origin="https://other.example").limiter is not one.limiter

    @pytest.mark.requirement("RL-4")
    def test_clients_of_one_api_key_callable_share_a_limiter(self) -> None:
        async def provide() -> str:
            return "key"

        async def other() -> str:
            return "key"

        one = client(provide)
        assert client(provide).limiter is one.limiter
        assert client(other).limiter is not one.limiter

    def test_clients_of_an_unhashable_api_key_callable_share_no_limiter(self) -> None:
        @define  # equal by value: no hash
        class Provider:
            async def __call__(self) -> str:
                return "key"

        provider = Provider()
        assert client(provider).limiter is not client(provider).limiter

    @pytest.mark.requirement("SEC-3")
    def test_failing_clock_of_a_client_does_not_affect_others(self) -> None:
        class Broken(AutojumpClock):
            is_broken = False

            def now(self) -> float:
                if self.is_broken:
                    raise OSError
                return super().now()

        clock = Broken()
        broken = SecodaClient("key-of-a-broken-clock", clock=clock)
        assert isinstance(broken.limiter, SlidingWindowLimiter)
        broken.limiter._window.acquire(0.0)  # so that the limiter is not idle, and has to look at its clock
        clock.is_broken = True
        assert SecodaClient("another-key").limiter is not broken.limiter

    def test_limiter_argument_is_not_shared(self) -> None:
        mine = SlidingWindowLimiter()
        assert SecodaClient("key", base_url=ORIGIN, limiter=mine).limiter is mine
        assert client().limiter is not mine

    def test_idle_limiter_is_dropped_with_its_last_client(self) -> None:
        one = client(limit=RateLimit(2, per_seconds=60))
        assert client().limiter.state.free == 2
        del one
        gc.collect()
        assert client().limiter.state.free == 30

    @pytest.mark.requirement("RL-4", "RL-5")
    async def test_strictest_write_limit_applies_to_all_clients(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        one, two = connect(), connect(write_limit=RateLimit(30, per_seconds=60, share=0.5))
        await asyncio.gather(*(secoda.groups.create(name="A") for secoda in (one, two) for _ in range(20)))
        assert emulator.busiest_window() == 15
        assert clock.now() == approx(120)
        connect()
        assert one.limiter.time_for(15) == 60.0


@pytest.mark.slow
@pytest.mark.requirement("RL-1", "RL-4", "SL-1")
async def test_sequential_clients_share_the_window(emulator: Emulator, clock: AutojumpClock) -> None:
    for index in range(3):
        async with SecodaClient(emulator.api_key, base_url=emulator.url, clock=clock) as secoda:
            await asyncio.gather(*(secoda.groups.create(name=f"{index}") for _ in range(30)))
        del secoda
        gc.collect()
    assert emulator.busiest_window() == 30
    assert emulator.refused == 0
