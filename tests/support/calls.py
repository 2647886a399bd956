"""One call of each method on the groups of the default emulator, and the error that a call ends with."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from secoda_async import (
    RetryPolicy,
    SecodaClient,
    SecodaError,
)

Json = dict[str, Any]


Call = Callable[[SecodaClient], Awaitable[object]]


ONCE = RetryPolicy(attempts=1)


UNLIMITED = RetryPolicy(budget=None)


def get(secoda: SecodaClient) -> Awaitable[object]:
    return secoda.groups.get("g")


def create(secoda: SecodaClient, name: str = "A") -> Awaitable[object]:
    return secoda.groups.create(name=name)


def patch(secoda: SecodaClient) -> Awaitable[object]:
    return secoda.groups.update("g", name="A")


def delete(secoda: SecodaClient) -> Awaitable[object]:
    return secoda.groups.delete("g")


ALL: list[Call] = [get, create, patch, delete]


REPEATABLE: list[Call] = [get, patch, delete]


async def error_of(call: Awaitable[object]) -> SecodaError:
    with pytest.raises(SecodaError) as caught:
        await call
    return caught.value


async def error_or_none(call: Awaitable[object]) -> SecodaError | None:
    try:
        await call
    except SecodaError as error:
        return error
    return None
