"""An `api_key` callable: when it is called, and what a 401 means."""

import asyncio
from typing import Any

import pytest

from secoda_async import (
    AuthenticationError,
    AutojumpClock,
    ConfigurationError,
    DeadlineExceededError,
    RequestTimeoutError,
    SecodaError,
    TransportError,
)
from secoda_async.emulator import Emulator
from tests.support.approx import approx
from tests.support.calls import (
    ONCE,
    error_of,
    get,
)
from tests.support.clients import Connect


@pytest.mark.requirement("ER-1")
async def test_key_callable_is_called_once_and_again_after_a_401(
    emulator: Emulator, connect: Connect, group_id: str
) -> None:
    keys = ["old", f" {emulator.api_key}\n"]
    asked: list[str] = []

    async def provide() -> str:
        asked.append(keys[len(asked)])
        await asyncio.sleep(0)
        return asked[-1]

    secoda = connect(api_key=provide)
    await asyncio.gather(*(secoda.groups.get(group_id) for _ in range(20)))
    assert len(asked) == 2
    assert [record.authorized for record in emulator.requests].count(True) == 20
    assert (await secoda.groups.create(name="A")).name == "A"
    assert len(asked) == 2


async def test_401_is_not_retried_with_the_same_key(emulator: Emulator, connect: Connect) -> None:
    asked = 0

    async def provide() -> str:
        nonlocal asked
        asked += 1
        return "wrong"

    secoda = connect(api_key=provide)
    assert isinstance(await error_of(get(secoda)), AuthenticationError)
    assert (asked, len(emulator.requests)) == (2, 1)


async def test_second_401_is_final(emulator: Emulator, connect: Connect) -> None:
    keys = iter(["one", "two", "three"])

    async def provide() -> str:
        return next(keys)

    error = await error_of(get(connect(api_key=provide)))
    assert isinstance(error, AuthenticationError)
    assert len(emulator.requests) == error.attempts == 2


async def test_401_for_a_fixed_key_is_not_retried(emulator: Emulator, connect: Connect) -> None:
    assert isinstance(await error_of(get(connect(api_key="wrong"))), AuthenticationError)
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("answer", [None, "", "a b", 5, LookupError("secret")], ids=repr)
async def test_invalid_key_from_the_callable_is_not_sent(emulator: Emulator, connect: Connect, answer: object) -> None:
    async def provide() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    error = await error_of(get(connect(api_key=provide)))
    assert isinstance(error, TransportError if isinstance(answer, Exception) else ConfigurationError)
    assert "secret" not in str(error)
    assert error.__cause__ is error.__context__ is None
    assert emulator.requests == []


@pytest.mark.requirement("RT-6")
@pytest.mark.parametrize(
    ("deadline", "kind"), [(None, RequestTimeoutError), (9.0, RequestTimeoutError), (2.0, DeadlineExceededError)]
)
async def test_key_callable_is_awaited_for_the_timeout_and_not_beyond_the_deadline(
    emulator: Emulator, connect: Connect, clock: AutojumpClock, deadline: float | None, kind: type[SecodaError]
) -> None:
    async def provide() -> str:
        await asyncio.Event().wait()
        raise AssertionError

    secoda = connect(api_key=provide, timeout=3, deadline=deadline, retry=ONCE)
    assert type(await error_of(get(secoda))) is kind
    assert clock.now() == approx(2 if deadline == 2 else 3)
    assert emulator.requests == []
