"""The key comes from a string or an async callable, and is never shown."""

import asyncio
import traceback
from typing import Any

import pytest

from secoda_async import (
    AutojumpClock,
    ConfigurationError,
    DeadlineExceededError,
    RequestTimeoutError,
    RetryPolicy,
    SecodaClient,
    TransportError,
)
from secoda_async._engine.wire.credentials import Credentials
from secoda_async.config import Secret
from secoda_async.emulator import Emulator
from tests.support.clients import Connect
from tests.support.clocks import settle

CANARY = "c4n4ry-5ecret"


class Vault:
    """An async callable that gives one key after the other, and the last for ever."""

    def __init__(self, *keys: object) -> None:
        self._keys = iter(keys)
        self._last: object = None
        self.asked = 0

    async def __call__(self) -> Any:
        self.asked += 1
        self._last = next(self._keys, self._last)
        await asyncio.sleep(0)
        if isinstance(self._last, Exception):
            raise self._last
        return self._last


async def test_a_string_is_the_key_and_there_is_no_other() -> None:
    credentials = Credentials(Secret("one"))
    assert credentials.known == await credentials.key() == "one"
    assert not await credentials.refresh(Secret("one"))


async def test_a_callable_is_asked_when_a_key_is_first_needed_and_not_again() -> None:
    vault = Vault(" one\n", "two")
    credentials = Credentials(vault)
    assert credentials.known is None
    assert [await credentials.key(), await credentials.key()] == ["one", "one"]
    assert repr(credentials.known) == "'***'"
    assert vault.asked == 1


async def test_many_calls_at_once_ask_once() -> None:
    vault = Vault("one", "two", "three")
    credentials = Credentials(vault)
    assert set(await asyncio.gather(*(credentials.key() for _ in range(50)))) == {"one"}
    assert all(await asyncio.gather(*(credentials.refresh(Secret("one")) for _ in range(50))))
    assert credentials.known == "two"
    assert vault.asked == 2


async def test_key_is_requested_for_the_others_if_a_waiter_is_cancelled() -> None:
    vault = Vault("one")
    credentials = Credentials(vault)
    first, second = (asyncio.create_task(credentials.key()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await settle()
    assert first.cancelled()
    assert await second == "one"


async def test_after_a_refusal_the_callable_is_asked_again() -> None:
    vault = Vault("one", "two")
    credentials = Credentials(vault)
    refused = await credentials.key()
    assert await credentials.refresh(refused)
    assert await credentials.key() == "two"
    assert await credentials.refresh(refused)  # of an older answer: the new key is there already
    assert vault.asked == 2


async def test_the_same_key_once_more_is_no_renewal() -> None:
    vault = Vault("one")
    credentials = Credentials(vault)
    assert not await credentials.refresh(await credentials.key())
    assert vault.asked == 2


@pytest.mark.requirement("ER-3")
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (f"{CANARY} {CANARY}", "white space"),
        (f"{CANARY}\r\nX: 1", "control character"),
        (CANARY.encode(), "not bytes"),
        (None, "not NoneType"),
        ("", "is empty"),
    ],
)
async def test_invalid_key_of_a_callable_is_not_shown_in_the_error(answer: object, told: str) -> None:
    credentials = Credentials(Vault(answer))
    with pytest.raises(ConfigurationError, match=told) as caught:
        await credentials.key()
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    del frames.stack[0]  # this test, which knows the key
    assert CANARY not in "".join(frames.format())
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert credentials.known is None


@pytest.mark.requirement("ER-3")
async def test_a_callable_that_is_not_async_is_named_as_such() -> None:
    forgotten: Any = lambda: CANARY  # noqa: E731 - Any, because the type checkers refuse it already
    credentials = Credentials(forgotten)
    with pytest.raises(ConfigurationError, match="must be async: it returned str") as caught:
        await credentials.key()
    assert CANARY not in str(caught.value)


async def test_a_callable_that_failed_once_may_work_the_next_time() -> None:
    vault = Vault(OSError("vault sealed"), "one")
    credentials = Credentials(vault)
    with pytest.raises(TransportError):
        await credentials.key()
    assert await credentials.key() == "one"


@pytest.mark.requirement("RT-14", "SEC-1")
async def test_a_failure_is_named_by_its_type_and_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    credentials = Credentials(Vault(LookupError(f"no such secret: {CANARY}")))
    with pytest.raises(TransportError, match="the api_key callable raised LookupError") as caught:
        await credentials.key()
    assert caught.value.maybe_sent is False
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    del frames.stack[0]  # this test, which knows the key
    assert CANARY not in "".join(frames.format())
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert f"raised LookupError in {__file__}, line " in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.requirement("RT-14")
async def test_calls_that_wait_share_one_question_and_its_failure() -> None:
    vault = Vault(OSError("vault sealed"), "one")
    credentials = Credentials(vault)
    failures = await asyncio.gather(*(credentials.key() for _ in range(10)), return_exceptions=True)
    assert {type(failure) for failure in failures} == {TransportError}
    assert len({id(failure) for failure in failures}) == 10  # each call writes its own path on its error
    assert vault.asked == 1
    assert await asyncio.gather(*(credentials.key() for _ in range(10))) == ["one"] * 10
    assert vault.asked == 2


@pytest.mark.requirement("RT-14")
async def test_a_key_that_is_refused_while_others_wait_for_it_is_asked_for_again() -> None:
    vault = Vault("one", "two")
    credentials = Credentials(vault)
    first = asyncio.create_task(credentials.key())
    second = asyncio.create_task(credentials.key())
    assert await first == "one"
    credentials.known = None  # as `renew` does
    assert await second == "two"


@pytest.mark.requirement("RT-14")
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_callable_that_fails_once_delays_a_call(emulator: Emulator, connect: Connect, method: str) -> None:
    vault = Vault(OSError("vault sealed"), emulator.api_key)
    await connect(api_key=vault).request(method, "auth/group", json={"name": "A"} if method == "POST" else None)
    assert (vault.asked, len(emulator.requests)) == (2, 1)


@pytest.mark.requirement("RT-14")
async def test_a_callable_that_always_fails_is_named_in_the_end(emulator: Emulator, connect: Connect) -> None:
    vault = Vault(OSError("vault sealed"))
    with pytest.raises(TransportError, match="the api_key callable raised OSError"):
        await connect(api_key=vault, retry=RetryPolicy(attempts=3)).groups.create(name="A")
    assert (vault.asked, emulator.requests) == (3, [])


@pytest.mark.requirement("RT-14", "RT-5")
async def test_a_callable_that_hangs_is_left_after_the_timeout(
    emulator: Emulator, connect: Connect, clock: AutojumpClock
) -> None:
    asked = 0

    async def hang_once() -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.Event().wait()
        return emulator.api_key

    secoda = connect(api_key=hang_once, timeout=7)
    await asyncio.gather(*(secoda.groups.get("group-0") for _ in range(10)))
    assert 7 <= clock.now() < 9
    assert asked == 2

    async def hang() -> str:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(RequestTimeoutError, match="the api_key callable returned no key within 7 s") as caught:
        await connect(api_key=hang, timeout=7, retry=RetryPolicy(attempts=1)).groups.create(name="A")
    assert caught.value.maybe_sent is False
    with pytest.raises(DeadlineExceededError):
        await connect(api_key=hang, timeout=7, deadline=3).groups.create(name="A")


@pytest.mark.requirement("RT-14", "BS-11")
async def test_a_callable_may_use_a_client_of_its_own_but_not_the_one_that_asks(
    emulator: Emulator, connect: Connect
) -> None:
    clients: list[SecodaClient] = []

    async def read_from_a_group() -> str:
        await clients[0].groups.get("group-0")
        return emulator.api_key

    secoda = connect(api_key=read_from_a_group)
    clients.append(connect())
    await secoda.groups.get("group-1")
    secoda = connect(api_key=read_from_a_group)
    clients[0] = secoda
    emulator.requests.clear()
    with pytest.raises(ConfigurationError, match="give the callable a client of its own"):
        await secoda.groups.get("group-1")
    assert emulator.requests == []
