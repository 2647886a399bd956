"""Mistakes that people make with each call: the error says what to write instead, and nothing is sent."""

from collections.abc import Callable
from typing import Any

import pytest

from secoda_async import CreateGroup, DesiredGroup, DesiredState, Group, SecodaClient, User
from secoda_async.emulator import Emulator

USER = User(id="u-1", email="ana@example.com")
NO_GROUPS = DesiredState(())


async def apply_with(secoda: SecodaClient, **wrong: Any) -> object:
    return await secoda.apply(await secoda.plan(NO_GROUPS), **wrong)


MISTAKES: list[tuple[str, Callable[[Any], Any]]] = [
    ("a user id must be a string, not User: pass user.id", lambda s: s.groups.create(name="A", users=[USER])),
    ("'ana@example.com' is an e-mail address, not a user id: users.find(email=...) finds it",
     lambda s: s.groups.create(name="A", users=["ana@example.com"])),
    ("is an e-mail address, not a user id", lambda s: s.groups.add_users("g", ["u-1", "ana@example.com"])),
    ("is an e-mail address, not a user id", lambda s: s.users.get("ana@example.com")),
    ("not str: put one id in a list", lambda s: s.groups.add_users("g", "u-1")),
    ("not NoneType: [] means no members", lambda s: s.groups.update("g", users=None)),
    ("a group id must be a string, not Group: pass group.id", lambda s: s.groups.delete(Group("g", "G"))),
    ("'Data Stewards' is not a group id: find the group with groups.find(name=...)",
     lambda s: s.groups.get("Data Stewards")),
    ("is not a group id: find the group with", lambda s: s.groups.update("Data Stewards", icon="x")),
    ("not str: put one address in a list", lambda s: s.users.resolve("ana@example.com")),
    ("users must be a list of ids and addresses, not NoneType", lambda s: s.users.resolve(None)),
    ("each user must be text that is not empty, not User: pass its id", lambda s: s.users.resolve([USER])),
    ("email must be text that is not empty, not NoneType", lambda s: s.users.find(email=None)),
    ("desired must be of the type DesiredState, not str: DesiredState.load(path) or .from_groups([...]) makes one",
     lambda s: s.plan("groups.yaml")),
    ("of the type DesiredState, not list", lambda s: s.plan([DesiredGroup(name="A")])),
    ("prune must be True or False, not 'no'", lambda s: s.plan(NO_GROUPS, prune="no")),
    ("additive must be True or False, not 1", lambda s: s.plan(NO_GROUPS, additive=1)),
    ("plan must be of the type Plan, not DesiredState: `await secoda.plan(desired)` or Plan.load(path) makes one",
     lambda s: s.apply(NO_GROUPS)),
    ("this can't be awaited: use `async for outcome in secoda.bulk(...)`",
     lambda s: s.bulk([CreateGroup(name="A")])),
]  # fmt: skip


@pytest.mark.parametrize(("words", "mistake"), MISTAKES, ids=range(len(MISTAKES)))
async def test_a_mistake_is_explained_and_nothing_is_sent(
    secoda: SecodaClient, emulator: Emulator, words: str, mistake: Callable[[Any], Any]
) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        await mistake(secoda)
    assert words in str(caught.value)
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"on_progress": 3}, "on_progress must be a function, not int"),
        ({"log": 3.5}, "log must be a path or an open text file, not float"),
        ({"stop": True}, "stop must be of the type Event, not bool: make one with asyncio.Event()"),
    ],
    ids=["on_progress", "log", "stop"],
)
async def test_wrong_arguments_of_apply_are_refused(secoda: SecodaClient, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        await apply_with(secoda, **wrong)


def test_for_over_a_bulk_names_async_for(secoda: SecodaClient) -> None:
    outcomes: Any = secoda.bulk([])
    with pytest.raises(TypeError, match="`for` needs `async` here: use `async for outcome in"):
        list(outcomes)
