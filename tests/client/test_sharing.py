"""Clients of one key share one write limit, in one process; and the event loops of that process share it too."""

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Generator

import pytest
from attrs import define

from secoda_async import AutojumpClock, RateLimit, SecodaClient, SlidingWindowLimiter
from secoda_async._engine.limits.window import SlidingWindow
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.clients import Connect
from tests.support.clocks import ManualClock, ManualTimer, settle

ORIGIN = "https://secoda.example"


def client(key: object = "key", origin: str = ORIGIN, limit: RateLimit | None = None) -> SecodaClient:
    return SecodaClient(key, base_url=origin, write_limit=limit or RateLimit(30, per_seconds=60))  # type: ignore[arg-type]


class TestWhoShares:
    @pytest.mark.requirement("RL-4")
    def test_clients_of_one_key_and_origin_do(self) -> None:
        one = client()
        assert client().limiter is one.limiter
        assert client(" key ").limiter is one.limiter
        assert client(origin=f"{ORIGIN}/api/v1/").limiter is one.limiter
        assert client("other").limiter is not one.limiter
        assert client(origin="https://other.example").limiter is not one.limiter

    @pytest.mark.requirement("RL-4")
    def test_clients_of_one_callable_do(self) -> None:
        async def provide() -> str:
            return "key"

        async def other() -> str:
            return "key"

        one = client(provide)
        assert client(provide).limiter is one.limiter
        assert client(other).limiter is not one.limiter

    def test_clients_of_a_callable_that_cannot_be_hashed_do_not(self) -> None:
        @define  # equal by value: no hash
        class Provider:
            async def __call__(self) -> str:
                return "key"

        provider = Provider()
        assert client(provider).limiter is not client(provider).limiter

    @pytest.mark.requirement("SEC-3")
    def test_a_client_whose_clock_fails_harms_no_other(self) -> None:
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

    def test_a_limiter_of_ones_own_is_used(self) -> None:
        mine = SlidingWindowLimiter()
        assert SecodaClient("key", base_url=ORIGIN, limiter=mine).limiter is mine
        assert client().limiter is not mine

    def test_a_limit_goes_with_its_last_client(self) -> None:
        one = client(limit=RateLimit(2, per_seconds=60))
        assert client().limiter.state.free == 2
        del one
        gc.collect()
        assert client().limiter.state.free == 30

    @pytest.mark.requirement("RL-4", "RL-5")
    async def test_the_strictest_setting_holds_for_all(
        self, emulator: Emulator, connect: Connect, clock: AutojumpClock
    ) -> None:
        one, two = connect(), connect(write_limit=RateLimit(30, per_seconds=60, share=0.5))
        await asyncio.gather(*(secoda.groups.create(name="A") for secoda in (one, two) for _ in range(20)))
        assert emulator.busiest_window() == 15
        assert clock.now() == approx(120)
        connect()
        assert one.limiter.time_for(15) == 60.0


class TestTightening:
    def test_it_never_loosens(self) -> None:
        window = SlidingWindow(RateLimit(10, per_seconds=60))
        window.tighten(RateLimit(20, per_seconds=30))
        assert (window.limit.places, window.limit.per_seconds) == (10, 60)

    def test_fewer_calls_hold_for_those_under_way_too(self) -> None:
        window = SlidingWindow(RateLimit(3, per_seconds=60))
        for now in (0.0, 1.0, 2.0):
            window.acquire(now)
            window.release(now, sent=True)
        window.tighten(RateLimit(1, per_seconds=60))
        assert window.free(2.0) == 0
        assert window.time_until_available(2.0) == 60.0
        assert window.time_until_available(62.0) == 0.0

    def test_a_longer_window_holds_for_those_that_are_over_too(self) -> None:
        window = SlidingWindow(RateLimit(1, per_seconds=60))
        window.acquire(0.0)
        window.release(0.0, sent=True)
        window.tighten(RateLimit(5, per_seconds=100))
        assert window.time_until_available(0.0) == 100.0
        assert window.start_cooldown(None, 0.0) == 100.0


class TestLoops:
    """A limiter that several event loops wait for."""

    @pytest.fixture
    def loops(self) -> Generator[list[asyncio.AbstractEventLoop], None, None]:
        loops = [asyncio.new_event_loop() for _ in range(2)]
        yield loops
        for loop in loops:
            loop.close()

    @pytest.mark.requirement("SL-1", "RL-4")
    def test_who_gives_back_in_one_serves_who_waits_in_another(self) -> None:
        limit = SlidingWindowLimiter(RateLimit(1), clock=ManualClock())
        has_taken, is_waiting = threading.Event(), threading.Event()

        async def holder() -> None:
            permit = await limit.acquire()
            has_taken.set()
            await asyncio.to_thread(is_waiting.wait)
            while not limit.state.queued:  # noqa: ASYNC110 - an asyncio.Event is of one event loop
                await asyncio.sleep(0)
            await permit.release(sent=False)

        async def waiter() -> None:
            is_waiting.set()
            await (await limit.acquire()).release(sent=False)

        thread = threading.Thread(target=asyncio.run, args=(holder(),))
        thread.start()
        has_taken.wait()
        asyncio.run(waiter())
        thread.join()
        assert (limit.state.free, limit.state.queued) == (1, 0)

    @pytest.mark.requirement("SL-1")
    def test_a_loop_that_stands_still_is_passed_over_and_served_later(
        self, loops: list[asyncio.AbstractEventLoop]
    ) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(RateLimit(1), clock=clock)
        permit = loops[0].run_until_complete(limit.acquire())
        asleep = loops[0].create_task(limit.acquire())
        loops[0].run_until_complete(settle())

        async def others() -> None:
            await permit.release(sent=False)
            assert not asleep.done()
            await (await limit.acquire(max_wait=60)).release(sent=False)

        loops[1].run_until_complete(others())
        assert not asleep.done()
        loops[0].run_until_complete(clock.advance(60))
        assert asleep.done()

    @pytest.mark.requirement("SL-1", "SL-3")
    def test_a_loop_that_is_thrown_away_leaves_no_trace(self, loops: list[asyncio.AbstractEventLoop]) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(RateLimit(1), clock=clock)
        permit = loops[0].run_until_complete(limit.acquire())

        async def abandoned() -> None:
            await limit.acquire()

        waiting = abandoned()
        task = loops[0].create_task(waiting)
        loops[0].run_until_complete(settle())
        assert limit.state.queued == 1
        loops[0].close()
        del task
        loops[1].run_until_complete(permit.release(sent=False))
        waiting.close()
        assert (limit.state.free, limit.state.queued) == (1, 0)
        assert limit._timers == {}


def test_serving_is_not_entered_twice() -> None:
    """As when the garbage collector, while somebody is served, throws a task away that holds a place."""
    collected: list[Callable[[], object]] = []

    class Clock(ManualClock):
        def call_later(self, delay: float, callback: Callable[[], object]) -> ManualTimer:
            while collected:
                collected.pop()()
            return super().call_later(delay, callback)

    async def calls() -> None:
        limit = SlidingWindowLimiter(RateLimit(2), clock=Clock())
        first, second = await limit.acquire(), await limit.acquire()
        waiting = [asyncio.create_task(limit.acquire()) for _ in range(3)]
        await settle()

        def collect() -> None:
            with pytest.raises(StopIteration):
                second.release(sent=False).send(None)

        collected.append(collect)
        await first.release(sent=True)
        await settle()
        assert sum(task.done() for task in waiting) == 1  # not only once the window is over
        assert limit.state.in_flight == 1
        for task in waiting:
            task.cancel()
        await settle()

    asyncio.run(calls())


class TestOutliving:
    """What the server remembers, this process does too."""

    @pytest.mark.requirement("RL-1", "RL-4", "SL-1")
    async def test_clients_one_after_the_other_share_it(self, emulator: Emulator, clock: AutojumpClock) -> None:
        for index in range(3):
            async with SecodaClient(emulator.api_key, base_url=emulator.url, clock=clock) as secoda:
                await asyncio.gather(*(secoda.groups.create(name=f"{index}") for _ in range(30)))
            del secoda
            gc.collect()
        assert emulator.busiest_window() == 30
        assert emulator.refused == 0

    def test_a_loop_that_has_ended_leaves_nobody_in_the_queue(self) -> None:
        limit = SlidingWindowLimiter(RateLimit(1), clock=ManualClock())
        ended = asyncio.new_event_loop()
        permit = ended.run_until_complete(limit.acquire())
        waiting = ended.create_task(limit.acquire())
        ended.run_until_complete(settle())
        ended.close()
        assert limit.state.queued == 0

        async def now() -> None:
            await permit.release(sent=False)
            await (await limit.acquire(max_wait=0)).release(sent=False)

        asyncio.run(now())
        del waiting
        gc.collect()
        assert (limit.state.free, limit.state.queued) == (1, 0)

    def test_a_forked_process_takes_what_is_under_way_for_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        limit = SlidingWindowLimiter(RateLimit(2), clock=ManualClock())

        async def calls() -> None:
            await limit.acquire()
            await limit.acquire()
            waiting = asyncio.create_task(limit.acquire())
            await settle()
            assert limit.state.queued == 1
            waiting.cancel()
            await settle()

        asyncio.run(calls())
        monkeypatch.setattr(os, "getpid", lambda: 0)  # as in a child
        assert (limit.state.in_flight, limit.state.queued, limit.state.next_free) == (0, 0, 60)
