"""The hints of lists that are awaited or read by a plain `for`, and everything else an async generator does."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from secoda_async import SecodaClient
from secoda_async.emulator import Emulator

LISTS: list[tuple[str, Callable[[SecodaClient], Any]]] = [
    ("async for group in secoda.groups.list()", lambda secoda: secoda.groups.list()),
    ("async for page in secoda.groups.pages()", lambda secoda: secoda.groups.pages()),
    ("async for user in secoda.users.list()", lambda secoda: secoda.users.list()),
    ("async for page in secoda.users.pages()", lambda secoda: secoda.users.pages()),
]


@pytest.mark.parametrize(("use", "listing"), LISTS, ids=[use for use, _ in LISTS])
async def test_awaiting_or_iterating_a_list_names_the_right_way(
    secoda: SecodaClient, emulator: Emulator, use: str, listing: Callable[[SecodaClient], Any]
) -> None:
    snapshot = "`await secoda.users.snapshot()`" if "users" in use else "`await secoda.groups.snapshot()`"
    with pytest.raises(TypeError, match="can't be awaited: use") as awaited:
        await listing(secoda)
    with pytest.raises(TypeError, match="`for` needs `async` here: use") as iterated:
        list(listing(secoda))
    for text in (str(awaited.value), str(iterated.value), repr(listing(secoda))):
        assert f"`{use}`" in text
        assert snapshot in text
    assert emulator.requests == []


async def test_a_list_is_a_whole_async_generator(secoda: SecodaClient, emulator: Emulator) -> None:
    listing = secoda.groups.list()
    assert isinstance(listing, AsyncGenerator)
    names = [(await anext(listing)).name, (await listing.asend(None)).name]
    async for group in listing:  # continues
        names.append(group.name)
        break
    assert names == ["Group 0", "Group 1", "Group 2"]
    with pytest.raises(LookupError):
        await listing.athrow(LookupError())
    async with aclosing(secoda.groups.list()) as closed:
        await anext(closed)
    assert [group async for group in closed] == []
    assert len(emulator.requests) == 2
