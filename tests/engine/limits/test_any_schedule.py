"""The write limit under any schedule of calls, cancellations and cooldowns, with Hypothesis."""

import asyncio
from functools import partial
from itertools import pairwise
from typing import Literal

import pytest
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from secoda_async import SlidingWindowLimiter
from secoda_async.clock import sleep
from secoda_async.config import Priority
from tests.support.clocks import ManualClock, settle
from tests.support.limits import SPACING, make_limiter


@frozen
class Write:
    """A write of a schedule; all times are in eighths of a second."""

    arrives: int
    priority: Priority
    travels: int
    """Time until the server receives the request."""
    returns: int
    """Time from then until its response arrives."""
    fate: Literal["answered", "never sent", "refused"]
    gives_up: int | None
    """Time from its arrival until it is cancelled."""


@define
class Simulation:
    """The results of a schedule, as the server and the callers saw them."""

    limiter: SlidingWindowLimiter
    clock: ManualClock
    seen: list[float] = field(factory=list[float])
    """When the server received each request that it counted."""
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


@pytest.mark.slow
@pytest.mark.requirement("RL-1", "RL-2", "RL-4")
@given(
    st.integers(1, 5),
    st.lists(writes, max_size=25),
    st.lists(st.tuples(eighths, st.none() | st.integers(0, 100)), max_size=3),
)
def test_sliding_window_holds_for_any_schedule(
    places: int, schedule: list[Write], pauses: list[tuple[int, int | None]]
) -> None:
    async def simulate() -> Simulation:
        clock = ManualClock()
        simulation = Simulation(make_limiter(clock, places), clock)
        await simulation.run(schedule, pauses)
        await clock.advance(places * SPACING)
        return simulation

    simulation = asyncio.run(simulate())
    window = places * SPACING

    # The server counts at most `places` requests in any window.
    seen = sorted(simulation.seen)
    assert all(later - earlier >= window for earlier, later in zip(seen, seen[places:], strict=False))

    # Each priority is first in, first out.
    for arrived in simulation.arrived.values():
        order = [number for _, number in simulation.starts if number in arrived]
        assert order == [number for number in arrived if number in order]

    # No write starts in a cooldown, and writes in the window after it are evenly spaced.
    starts = [start for start, _ in simulation.starts]
    for closed, opened in simulation.pauses:
        assert not [start for start in starts if closed < start < opened]
        after = [start for start in starts if opened <= start < opened + window and start > closed]
        assert all(later - earlier >= SPACING for earlier, later in pairwise(after))

    # Every waiter that is not cancelled gets a permit; a cancelled one leaves no trace; all permits are released.
    waiting = {number for number, write in enumerate(schedule) if write.gives_up is None}
    assert waiting <= {number for _, number in simulation.starts}
    state = simulation.limiter.state
    assert (state.free, state.queued, state.in_flight) == (places, 0, 0)
    assert simulation.clock.pending == 0


@pytest.mark.slow
@pytest.mark.requirement("RL-6")
@given(
    st.integers(1, 5),
    st.lists(st.integers(0, 100), max_size=12),
    st.lists(st.tuples(st.integers(0, 100), st.none() | st.integers(0, 60)), max_size=2),
    st.integers(0, 130),
    st.integers(0, 6),
    st.integers(1, 12),
)
def test_time_for_is_an_upper_bound_while_responses_are_prompt(
    places: int, before: list[int], pauses: list[tuple[int, int | None]], at: int, queued: int, more: int
) -> None:
    async def simulate() -> tuple[float, float, bool]:
        clock = ManualClock()
        simulation = Simulation(make_limiter(clock, places), clock)
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
