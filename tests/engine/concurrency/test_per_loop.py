"""`PerLoop`: one value per event loop, closed with its loop, and abandoned after a fork; and `LoopAffinity`."""

import asyncio
import gc
import os
import threading
from collections.abc import Callable

import pytest
from attrs import define, field

from secoda_async import ConfigurationError
from secoda_async._engine.concurrency import per_loop
from secoda_async._engine.concurrency.per_loop import LoopAffinity, PerLoop, running_loop


@define(eq=False)
class Value:
    """A value that knows on which event loop it was closed."""

    closed_on: list[asyncio.AbstractEventLoop] = field(factory=list[asyncio.AbstractEventLoop])

    async def close(self) -> None:
        self.closed_on.append(asyncio.get_running_loop())


def new_owner(closed_error: Callable[[], Exception] | None = None) -> PerLoop[Value]:
    return PerLoop(Value, Value.close, closed_error)


async def test_current_returns_the_same_value_on_one_loop() -> None:
    owner = new_owner()
    assert owner.current() is owner.current()


def test_each_loop_has_its_own_value_which_is_closed_with_the_loop() -> None:
    owner = new_owner()

    async def current() -> tuple[Value, asyncio.AbstractEventLoop]:
        return owner.current(), asyncio.get_running_loop()

    (one, loop), (two, other) = asyncio.run(current()), asyncio.run(current())
    assert one is not two
    assert (one.closed_on, two.closed_on) == ([loop], [other])


def test_entries_of_closed_loops_are_dropped() -> None:
    owner = new_owner()

    async def count() -> int:
        owner.current()
        return len(owner._entries)

    assert [asyncio.run(count()) for _ in range(3)] == [1, 1, 1]


async def test_close_closes_the_value_once_and_a_new_one_is_made() -> None:
    owner = new_owner()
    value = owner.current()
    await owner.close()
    await owner.close()
    assert value.closed_on == [asyncio.get_running_loop()]
    assert owner.current() is not value


async def test_current_raises_after_close_if_there_is_an_error() -> None:
    owner = new_owner(lambda: LookupError("closed"))
    owner.current()
    await owner.close()
    with pytest.raises(LookupError, match="closed"):
        owner.current()


async def test_close_on_one_loop_closes_the_values_of_others_on_their_own_loops() -> None:
    owner = new_owner()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def current() -> Value:
        return owner.current()

    async def drain() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    value = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(current(), loop))
    await owner.close()
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(drain(), loop))
    assert value.closed_on == [loop]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def test_close_ignores_loops_that_are_closed() -> None:
    owner = new_owner()
    loop = asyncio.new_event_loop()

    async def current() -> Value:
        return owner.current()

    value = await asyncio.to_thread(loop.run_until_complete, current())
    await asyncio.to_thread(loop.run_until_complete, loop.shutdown_asyncgens())
    loop.close()
    await owner.close()
    assert value.closed_on == [loop]


async def test_forked_process_abandons_inherited_values(monkeypatch: pytest.MonkeyPatch) -> None:
    inherited: list[object] = []
    monkeypatch.setattr(per_loop, "_INHERITED", inherited)
    owner = PerLoop(Value, Value.close, abandon=lambda value: ("abandoned", value))
    value = owner.current()
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert owner.current() is not value
    assert [kept for _, kept in inherited] == [("abandoned", value)]  # type: ignore[misc, has-type]
    await owner.close()
    inherited.clear()
    gc.collect()
    assert value.closed_on == []


async def test_close_in_a_forked_process_does_not_close_the_values_of_the_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inherited: list[object] = []
    monkeypatch.setattr(per_loop, "_INHERITED", inherited)
    owner = new_owner()
    value = owner.current()
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    await owner.close()
    assert len(inherited) == 1
    assert value.closed_on == []


async def test_loop_affinity_is_the_first_loop_and_process(monkeypatch: pytest.MonkeyPatch) -> None:
    affinity = LoopAffinity()
    assert affinity.is_current()
    assert affinity.is_current()

    async def elsewhere() -> bool:
        return affinity.is_current()

    assert not await asyncio.to_thread(asyncio.run, elsewhere())
    assert affinity.is_current()
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert not affinity.is_current()


def test_running_loop_needs_asyncio() -> None:
    with pytest.raises(ConfigurationError, match="needs a running asyncio event loop"):
        running_loop()


async def test_running_loop_accepts_asyncio() -> None:
    assert running_loop() is asyncio.get_running_loop()
