"""The key comes from a string or an async callable, and is never shown."""

import asyncio
import traceback
from typing import Any

import pytest
from clocks import settle

from secoda_async import ConfigurationError
from secoda_async._engine.credentials import Credentials
from secoda_async.config import Secret

CANARY = "c4n4ry-5ecret"


class Vault:
    """An async callable that gives one key after the other, and the last for ever."""

    def __init__(self, *keys: object) -> None:
        self._keys = iter(keys)
        self._last: object = None
        self.asked = 0

    async def __call__(self) -> Any:  # noqa: ANN401 - what a user's callable may return
        self.asked += 1
        self._last = next(self._keys, self._last)
        await asyncio.sleep(0)
        if isinstance(self._last, Exception):
            raise self._last
        return self._last


async def test_a_string_is_the_key_and_there_is_no_other() -> None:
    credentials = Credentials(Secret("one"))
    assert credentials.known == await credentials.key() == "one"
    assert not await credentials.renew(Secret("one"))


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
    assert all(await asyncio.gather(*(credentials.renew(Secret("one")) for _ in range(50))))
    assert credentials.known == "two"
    assert vault.asked == 2


async def test_who_gives_up_waiting_leaves_the_others_to_ask() -> None:
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
    assert await credentials.renew(refused)
    assert await credentials.key() == "two"
    assert await credentials.renew(refused)  # of an older answer: the new key is there already
    assert vault.asked == 2


async def test_the_same_key_once_more_is_no_renewal() -> None:
    vault = Vault("one")
    credentials = Credentials(vault)
    assert not await credentials.renew(await credentials.key())
    assert vault.asked == 2


@pytest.mark.requirement("ER-3")
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (LookupError(f"no such secret: {CANARY}"), "the api_key callable raised LookupError"),
        (f"{CANARY} {CANARY}", "white space"),
        (f"{CANARY}\r\nX: 1", "control character"),
        (CANARY.encode(), "not bytes"),
        (None, "not NoneType"),
        ("", "is empty"),
    ],
)
async def test_what_is_no_key_is_an_error_that_does_not_show_it(answer: object, told: str) -> None:
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
    with pytest.raises(ConfigurationError):
        await credentials.key()
    assert await credentials.key() == "one"
