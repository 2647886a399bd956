"""The write limit: an exact sliding window, first come, first served, that no failure wears out."""

import asyncio
from functools import partial
from itertools import pairwise
from typing import Literal

import pytest
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import LimitState, Permit, RateLimit, RateLimiter, RateLimitError, SlidingWindowLimiter
from secoda_async._engine.limits.window import Cooldown
from secoda_async.clock import sleep
from secoda_async.config import Priority
from tests.support.clocks import ManualClock, settle

SPACING = 2.0
"""Seconds of the window for each place, in the simulations: all times there are eighths, so sums are exact."""


def limiter(clock: ManualClock, places: int = 3, window: float | None = None) -> SlidingWindowLimiter:
    return SlidingWindowLimiter(RateLimit(places, per_seconds=window or places * SPACING), clock=clock)


async def started(waiting: RateLimiter, *, priority: Priority = "interactive") -> "asyncio.Task[Permit]":
    task = asyncio.create_task(waiting.acquire(priority=priority))
    await settle()
    return task


# --- any schedule at all ---------------------------------------------------------------------------------------


@frozen
class Write:
    """A write as a schedule has it; all times in eighths of a second."""

    arrives: int
    priority: Priority
    travels: int
    """Until the server sees it."""
    returns: int
    """From then until its answer is here."""
    fate: Literal["answered", "never sent", "refused"]
    gives_up: int | None
    """When it is cancelled, counted from its arrival."""


@define
class Simulation:
    """What came of a schedule, as the server and the callers saw it."""

    limiter: SlidingWindowLimiter
    clock: ManualClock
    seen: list[float] = field(factory=list[float])
    """When the server saw each request that it counted."""
    arrived: dict[Priority, list[int]] = field(factory=lambda: {"interactive": [], "background": []})
    starts: list[tuple[float, int]] = field(factory=list[tuple[float, int]])
    pauses: list[tuple[float, float]] = field(factory=list[tuple[float, float]])

    async def write(self, number: int, write: Write) -> None:
        await sleep(self.clock, write.arrives / 8)
        self.arrived[write.priority].append(number)
        permit = await self.limiter.acquire(priority=write.priority)
        self.starts.append((self.clock.now(), number))
        try:
            await sleep(self.clock, write.travels / 8)
            if write.fate == "answered":
                self.seen.append(self.clock.now())
            await sleep(self.clock, write.returns / 8)
            if write.fate == "refused":
                await self.pause(None)
        finally:
            await permit.release(sent=write.fate != "never sent")

    async def pause(self, seconds: float | None) -> None:
        await self.limiter.pause(seconds)
        length = self.limiter.limit.per_seconds if seconds is None else seconds
        self.pauses.append((self.clock.now(), self.clock.now() + length))

    async def run(self, writes: list[Write], pauses: list[tuple[int, int | None]]) -> None:
        tasks = [asyncio.create_task(self.write(number, write)) for number, write in enumerate(writes)]
        await settle()
        for task, write in zip(tasks, writes, strict=True):
            if write.gives_up is not None:
                self.clock.call_later((write.arrives + write.gives_up) / 8, task.cancel)

        def closing(seconds: float | None) -> None:
            tasks.append(asyncio.create_task(self.pause(seconds)))

        for at, length in pauses:
            seconds = None if length is None else length / 8
            self.clock.call_later(at / 8, partial(closing, seconds))
        await self.clock.advance()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError)


eighths = st.integers(0, 120)
writes = st.builds(
    Write,
    arrives=eighths,
    priority=st.sampled_from(["interactive", "background"]),
    travels=st.integers(0, 40),
    returns=st.integers(0, 40),
    fate=st.sampled_from(["answered", "answered", "answered", "never sent", "refused"]),
    gives_up=st.none() | st.integers(0, 80),
)


@pytest.mark.requirement("RL-1", "RL-2", "RL-4")
@given(
    st.integers(1, 5),
    st.lists(writes, max_size=25),
    st.lists(st.tuples(eighths, st.none() | st.integers(0, 100)), max_size=3),
)
def test_whatever_happens_the_window_holds(
    places: int, schedule: list[Write], pauses: list[tuple[int, int | None]]
) -> None:
    async def simulate() -> Simulation:
        clock = ManualClock()
        simulation = Simulation(limiter(clock, places), clock)
        await simulation.run(schedule, pauses)
        await clock.advance(places * SPACING)
        return simulation

    simulation = asyncio.run(simulate())
    window = places * SPACING

    # Never more than `places` in any rolling window, at the server.
    seen = sorted(simulation.seen)
    assert all(later - earlier >= window for earlier, later in zip(seen, seen[places:], strict=False))

    # First come, first served within a priority.
    for arrived in simulation.arrived.values():
        order = [number for _, number in simulation.starts if number in arrived]
        assert order == [number for number in arrived if number in order]

    # Nothing starts in a pause, and what starts in the window after it is evenly spaced.
    starts = [start for start, _ in simulation.starts]
    for closed, opened in simulation.pauses:
        assert not [start for start in starts if closed < start < opened]
        after = [start for start in starts if opened <= start < opened + window and start > closed]
        assert all(later - earlier >= SPACING for earlier, later in pairwise(after))

    # Who stays until served is served; who is cancelled leaves no trace; all places come back.
    waiting = {number for number, write in enumerate(schedule) if write.gives_up is None}
    assert waiting <= {number for _, number in simulation.starts}
    state = simulation.limiter.state
    assert (state.free, state.queued, state.in_flight) == (places, 0, 0)
    assert simulation.clock.pending == 0


@pytest.mark.requirement("RL-6")
@given(
    st.integers(1, 5),
    st.lists(st.integers(0, 100), max_size=12),
    st.lists(st.tuples(st.integers(0, 100), st.none() | st.integers(0, 60)), max_size=2),
    st.integers(0, 130),
    st.integers(0, 6),
    st.integers(1, 12),
)
def test_the_time_for_writes_is_an_upper_bound_while_answers_are_prompt(
    places: int, before: list[int], pauses: list[tuple[int, int | None]], at: int, queued: int, more: int
) -> None:
    async def simulate() -> tuple[float, float, bool]:
        clock = ManualClock()
        simulation = Simulation(limiter(clock, places), clock)
        prompt = [Write(arrives, "interactive", 0, 0, "answered", None) for arrives in before]
        running = asyncio.create_task(simulation.run(prompt, pauses))
        await settle()
        last = [0.0]

        async def one() -> None:
            permit = await simulation.limiter.acquire(priority="background")
            last[0] = clock.now()
            await permit.release(sent=True)

        def ask() -> None:
            tasks.extend(asyncio.create_task(one()) for _ in range(queued))

        def promise() -> None:
            promised.append(clock.now() + simulation.limiter.time_for(more))
            tasks.extend(asyncio.create_task(one()) for _ in range(more))

        tasks: list[asyncio.Task[None]] = []
        promised: list[float] = []
        late = max([*before, *(moment for moment, _ in pauses), at])
        clock.call_later(late / 8, ask)
        clock.call_later((late + 1) / 8, promise)
        await running
        await asyncio.gather(*tasks)
        return last[0], promised[0], not pauses

    last, promised, is_exact = asyncio.run(simulate())
    assert last <= promised
    assert not is_exact or last == promised


# --- one thing after the other ---------------------------------------------------------------------------------


class TestWindow:
    @pytest.mark.requirement("RL-1")
    async def test_ninety_writes_at_once_start_thirty_a_minute(self) -> None:
        clock = ManualClock(start=0.0)
        limit = SlidingWindowLimiter(clock=clock)
        starts: list[float] = []

        async def write() -> None:
            permit = await limit.acquire()
            starts.append(clock.now())
            await permit.release(sent=True)

        assert limit.time_for(90) == 120.0
        tasks = [asyncio.create_task(write()) for _ in range(90)]
        await clock.advance()
        await asyncio.gather(*tasks)
        assert starts == [0.0] * 30 + [60.0] * 30 + [120.0] * 30

    async def test_a_place_is_free_again_a_window_after_its_answer(self) -> None:
        clock = ManualClock()
        limit = limiter(clock, 1, window=60.0)
        permit = await limit.acquire()
        waiting = await started(limit)
        await clock.advance(100.0)
        assert not waiting.done()
        await permit.release(sent=True)
        await clock.advance(59.875)
        assert not waiting.done()
        await clock.advance(0.125)
        assert waiting.done()

    @pytest.mark.requirement("RT-7")
    async def test_a_request_that_was_never_sent_gives_its_place_back_at_once(self) -> None:
        limit = limiter(ManualClock(), 1)
        permit = await limit.acquire()
        waiting = await started(limit)
        await permit.release(sent=False)
        await permit.release(sent=False)  # twice is once
        await settle()
        assert waiting.done()
        assert limit.state.in_flight == 1

    @pytest.mark.requirement("RL-5")
    async def test_a_share_leaves_places_to_others(self) -> None:
        limit = SlidingWindowLimiter(RateLimit(30, per_seconds=60, share=0.5), clock=ManualClock())
        assert limit.state.free == 15
        assert limit.time_for(15) == 0.0
        assert limit.time_for(16) == 60.0

    async def test_without_settings_it_is_the_documented_limit_on_the_machines_clock(self) -> None:
        limit = SlidingWindowLimiter()
        await (await limit.acquire()).release(sent=False)
        assert limit.state == LimitState(free=30, next_free=0.0, queued=0, in_flight=0, paused=0.0)

    @pytest.mark.parametrize("writes", [0, -1])
    def test_no_writes_take_no_time(self, writes: int) -> None:
        assert limiter(ManualClock()).time_for(writes) == 0.0


class TestQueue:
    @pytest.mark.requirement("RL-4")
    async def test_interactive_writes_go_first_and_each_kind_in_turn(self) -> None:
        clock = ManualClock()
        limit = limiter(clock, 1)
        await (await limit.acquire()).release(sent=True)
        order: list[str] = []

        async def write(name: str, priority: Priority) -> None:
            permit = await limit.acquire(priority=priority)
            order.append(name)
            await permit.release(sent=True)

        names: list[tuple[str, Priority]] = [
            ("b1", "background"), ("i1", "interactive"), ("b2", "background"), ("i2", "interactive"),
        ]  # fmt: skip
        tasks = [asyncio.create_task(write(name, priority)) for name, priority in names]
        await clock.advance()
        await asyncio.gather(*tasks)
        assert order == ["i1", "i2", "b1", "b2"]

    @pytest.mark.requirement("RL-4", "RT-7")
    async def test_cancelled_waiters_leave_no_trace(self) -> None:
        clock = ManualClock(start=0.0)
        limit = SlidingWindowLimiter(clock=clock)
        starts: list[float] = []

        async def write() -> None:
            permit = await limit.acquire()
            starts.append(clock.now())
            await permit.release(sent=True)

        tasks = [asyncio.create_task(write()) for _ in range(90)]
        await settle()
        for task in tasks[30:70:2]:
            task.cancel()
        await settle()
        assert limit.state.queued == 40
        await clock.advance()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert starts == [0.0] * 30 + [60.0] * 30 + [120.0] * 10

    async def test_a_waiter_cancelled_in_the_moment_it_is_served_passes_its_place_on(self) -> None:
        clock = ManualClock()
        limit = limiter(clock, 1)
        permit = await limit.acquire()
        first, second = await started(limit), await started(limit)
        await permit.release(sent=False)  # serves the first, which has not run yet
        first.cancel()
        await settle()
        assert first.cancelled()
        assert second.done()
        assert limit.state.in_flight == 1

    async def test_a_waiter_cancelled_in_the_moment_it_is_refused_leaves_no_trace(self) -> None:
        limit = limiter(ManualClock(), 1)
        await limit.acquire()
        waiting = asyncio.create_task(limit.acquire(max_pause=5.0))
        await settle()
        await limit.pause(10.0)
        waiting.cancel()
        await settle()
        assert waiting.cancelled()
        assert (limit.state.queued, limit.state.in_flight) == (0, 1)

    async def test_a_cancelled_waiter_that_has_not_noticed_yet_is_passed_over(self) -> None:
        limit = limiter(ManualClock(), 1)
        permit = await limit.acquire()
        first, second = await started(limit), await started(limit)
        first.cancel()
        await permit.release(sent=False)
        await settle()
        assert first.cancelled()
        assert second.done()

    async def test_a_cancelled_waiter_that_has_not_noticed_yet_is_not_refused(self) -> None:
        limit = limiter(ManualClock(), 1)
        await limit.acquire()
        waiting = asyncio.create_task(limit.acquire(max_pause=5.0))
        await settle()
        waiting.cancel()
        await limit.pause(10.0)
        await settle()
        assert waiting.cancelled()

    async def test_however_many_wait_there_is_one_timer(self) -> None:
        clock = ManualClock()
        limit = limiter(clock, 2)
        for _ in range(2):
            await (await limit.acquire()).release(sent=True)
        waiting = [await started(limit) for _ in range(5)]
        await limit.pause(9.0)
        assert clock.pending == 1
        for task in waiting:
            task.cancel()

    async def test_a_newcomer_does_not_overtake_when_the_loop_is_late(self) -> None:
        clock = ManualClock()
        limit = limiter(clock, 1, window=60.0)
        await (await limit.acquire()).release(sent=True)
        waiting = await started(limit)
        clock.jump(60.0)  # the place is free, and the timer has not run
        newcomer = await started(limit)
        assert waiting.done()
        assert not newcomer.done()
        newcomer.cancel()


@pytest.mark.requirement("RL-6")
class TestMaxWait:
    async def test_a_wait_that_would_be_too_long_is_refused_at_once(self) -> None:
        clock = ManualClock()
        limit = limiter(clock, 2, window=60.0)
        for _ in range(2):
            await (await limit.acquire(max_wait=0)).release(sent=True)
        await clock.advance(10.0)
        with pytest.raises(RateLimitError, match=r"has no free permit for about 50\.0 s") as caught:
            await limit.acquire(max_wait=49.0)
        assert (caught.value.retry_after, caught.value.status) == (50.0, 0)
        state = limit.state
        assert (state.free, state.queued, state.in_flight) == (0, 0, 0)
        await clock.advance(50.0)
        await limit.acquire(max_wait=0)

    async def test_a_wait_that_is_short_enough_is_waited(self) -> None:
        clock = ManualClock()
        limit = limiter(clock, 1, window=60.0)
        await (await limit.acquire()).release(sent=True)
        waiting = asyncio.create_task(limit.acquire(max_wait=60.0))
        await clock.advance(60.0)
        assert waiting.done()

    async def test_who_waits_behind_others_is_told_their_time_too(self) -> None:
        clock = ManualClock()
        limit = limiter(clock, 1, window=60.0)
        await (await limit.acquire()).release(sent=True)
        waiting = [await started(limit), await started(limit, priority="background")]
        for priority, wait in (("interactive", 120.0), ("background", 180.0)):
            with pytest.raises(RateLimitError) as caught:
                await limit.acquire(priority="interactive" if priority == "interactive" else "background", max_wait=0)
            assert caught.value.retry_after == wait
        for task in waiting:
            task.cancel()

    async def test_places_whose_answers_are_due_count_a_window(self) -> None:
        limit = limiter(ManualClock(), 1, window=60.0)
        await limit.acquire()
        assert limit.state.next_free == 60.0
        with pytest.raises(RateLimitError) as caught:
            await limit.acquire(max_wait=59.0)
        assert caught.value.retry_after == 60.0


@pytest.mark.requirement("RL-2")
class TestPause:
    async def test_nothing_starts_in_a_pause_and_then_one_after_the_other(self) -> None:
        clock = ManualClock(start=0.0)
        limit = SlidingWindowLimiter(RateLimit(30, per_seconds=60), clock=clock)
        starts: list[float] = []

        async def write() -> None:
            permit = await limit.acquire()
            starts.append(clock.now())
            await permit.release(sent=True)

        await limit.pause(10.0)
        assert limit.state == LimitState(free=30, next_free=10.0, queued=0, in_flight=0, paused=10.0)
        assert limit.time_for(3) == 14.0
        tasks = [asyncio.create_task(write()) for _ in range(40)]
        await clock.advance()
        await asyncio.gather(*tasks)
        assert starts[:5] == [10.0, 12.0, 14.0, 16.0, 18.0]
        assert starts[29:32] == [68.0, 70.0, 72.0]

    @pytest.mark.requirement("RT-4")
    @pytest.mark.parametrize(("seconds", "paused"), [(None, 60.0), (0, 0.0), (5.5, 5.5), (61.0, 61.0)])
    async def test_a_429_without_a_time_pauses_for_a_window(self, seconds: float | None, paused: float) -> None:
        limit = limiter(ManualClock(), 1, window=60.0)
        await limit.pause(seconds)
        assert limit.state.paused == paused

    async def test_a_second_429_never_shortens_the_pause(self) -> None:
        clock = ManualClock()
        limit = limiter(clock)
        await limit.pause(30.0)
        await clock.advance(1.0)
        await limit.pause(5.0)
        assert limit.state.paused == 29.0

    async def test_full_speed_returns_after_a_window_without_another(self) -> None:
        clock = ManualClock()
        limit = limiter(clock, 2, window=60.0)
        await limit.pause(10.0)
        assert limit.time_for(2) == 40.0
        await clock.advance(70.0)
        assert limit.time_for(2) == 0.0

    async def test_who_will_not_wait_so_long_is_told_at_once(self) -> None:
        clock = ManualClock()
        limit = limiter(clock, 1)
        await limit.acquire()
        patient = asyncio.create_task(limit.acquire(max_pause=99.5, priority="background"))
        careless = await started(limit)
        impatient = asyncio.create_task(limit.acquire(max_pause=99.0))
        await settle()
        await limit.pause(99.5)
        with pytest.raises(RateLimitError) as caught:
            await impatient
        assert caught.value.retry_after == 99.5
        assert not patient.done()
        assert not careless.done()
        with pytest.raises(RateLimitError, match=r"about 99\.5 s"):
            await limit.acquire(max_pause=99.0)
        for task in (patient, careless):
            task.cancel()

    async def test_a_late_place_delays_those_after_it_in_the_estimate(self) -> None:
        clock = ManualClock()
        limit = limiter(clock, 3, window=60.0)
        for _ in range(3):
            await (await limit.acquire()).release(sent=True)
        await clock.advance(10.0)
        await limit.pause(0.0)
        assert limit.time_for(1) == 50.0
        assert limit.time_for(2) == 70.0


@pytest.mark.requirement("RL-7")
class TestSlowStart:
    """While nobody knows what other processes have used in the last window."""

    async def test_few_calls_are_in_flight_until_a_window_has_passed(self) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(clock=clock)
        tasks = [await started(limit) for _ in range(10)]
        assert [task.done() for task in tasks] == [True] * 4 + [False] * 6
        assert limit.state == LimitState(free=26, next_free=60.0, queued=6, in_flight=4, paused=0.0)
        await clock.advance(59.0)
        assert limit.state.queued == 6
        await clock.advance(1.0)
        assert limit.state.queued == 0

    async def test_each_response_lets_one_more_call_start(self) -> None:
        limit = SlidingWindowLimiter(clock=ManualClock())
        tasks = [await started(limit) for _ in range(6)]
        for count, task in enumerate(tasks[:2], 5):
            await task.result().release(sent=True)
            await settle()
            assert sum(task.done() for task in tasks) == count

    async def test_a_429_stops_the_calls_that_the_slow_start_kept_back(self) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(clock=clock)
        tasks = [await started(limit) for _ in range(10)]
        await limit.pause(30.0)
        for task in tasks[:4]:
            await task.result().release(sent=True)
        await clock.advance(29.0)
        assert limit.state.queued == 6
        await clock.advance(3.0)
        assert limit.state.queued == 4  # evenly spaced

    async def test_the_first_window_is_the_only_slow_one(self) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(clock=clock)
        await (await limit.acquire()).release(sent=True)
        await clock.advance(60.0)
        for _ in range(30):
            await limit.acquire()

    async def test_a_large_limit_starts_with_an_eighth(self) -> None:
        limit = SlidingWindowLimiter(RateLimit(800), clock=ManualClock())
        for _ in range(100):
            await limit.acquire()
        waiting = await started(limit)
        assert not waiting.done()
        waiting.cancel()

    @pytest.mark.requirement("RL-6")
    async def test_max_wait_0_is_exempt_as_long_as_there_are_permits(self) -> None:
        limit = SlidingWindowLimiter(RateLimit(10), clock=ManualClock())
        tasks = [await started(limit) for _ in range(6)]
        assert not tasks[-1].done()
        for _ in range(4):
            await limit.acquire(max_wait=0)
        with pytest.raises(RateLimitError):
            await limit.acquire(max_wait=0)  # the last permits are for those who wait
        for task in tasks:
            task.cancel()

    async def test_a_longer_window_takes_longer_to_know(self) -> None:
        clock = ManualClock()
        limit = SlidingWindowLimiter(RateLimit(30, per_seconds=60), clock=clock)
        for _ in range(4):
            await limit.acquire()
        limit.tighten(RateLimit(30, per_seconds=100))
        waiting = await started(limit)
        await clock.advance(99.0)
        assert not waiting.done()
        await clock.advance(1.0)
        assert waiting.done()


def test_a_gate_is_open_until_it_is_closed_and_opens_by_itself() -> None:
    cooldown = Cooldown(60.0)
    assert cooldown.remaining(1000.0) == 0.0
    assert cooldown.start(None, 1000.0) == 60.0
    assert cooldown.start(5.0, 1000.0) == 60.0
    assert cooldown.remaining(1061.0) == 0.0


@pytest.mark.requirement("RL-7")
def test_after_a_capped_cooldown_one_call_probes() -> None:
    cooldown = Cooldown(60.0)
    assert cooldown.try_pass(1000.0)
    cooldown.start(300.0, 1000.0, is_capped=True)
    assert not cooldown.try_pass(1299.0)
    assert cooldown.try_pass(1300.0)
    assert not cooldown.try_pass(1300.5)
    assert cooldown.try_pass(1301.0)
    assert cooldown.try_pass(1301.0)
