"""Users by e-mail address: one rule, in the index, in the client and in each command."""

from collections.abc import AsyncIterator

import pytest

from secoda_async import (
    AmbiguousNameError,
    DesiredState,
    DesiredStateError,
    InvalidArgumentError,
    SecodaClient,
    User,
)
from secoda_async.cli.exit_codes import Exit, as_document
from secoda_async.emulator import Emulator
from secoda_async.reconcile import DesiredGroup
from secoda_async.reconcile.diff import diff
from secoda_async.reconcile.safety import Rules
from secoda_async.user_index import UserIndex
from tests.support.clients import Connect
from tests.support.shell import Shell

pytestmark = pytest.mark.requirement("CL-3")

LOWER, UPPER, BEN = User("lower", "ana@x"), User("upper", "Ana@x"), User("ben", "ben@x")
GONE = User("gone", "ana@x", disabled=True)


@pytest.mark.parametrize(
    ("users", "address", "found"),
    [
        ([BEN], "ben@x", "ben"),
        ([BEN], " BEN@X ", "ben"),
        ([User("gone", "Ana@x", disabled=True)], "ana@x", "gone"),  # nobody else can be meant
        ([LOWER, UPPER], "ana@x", "lower"),
        ([LOWER, UPPER], "Ana@x", "upper"),
        ([LOWER, UPPER], "ANA@x", None),
        ([GONE, UPPER], "ana@x", None),  # the exact one is disabled, and the other one may be meant
        ([GONE, LOWER], "ana@x", "lower"),
        ([LOWER, User("twin", "ana@x")], "ana@x", None),
    ],
)
def test_address_of_several_users_is_found_only_in_its_letter_case(
    users: list[User], address: str, found: str | None
) -> None:
    index = UserIndex(users)
    if found is not None:
        assert index.id_of(address) == found
        return
    with pytest.raises(
        AmbiguousNameError, match=f"'{address}' is the address of 2 users .*: use one of these ids"
    ) as caught:
        index.id_of(address)
    assert caught.value.candidates == tuple(sorted(user.id for user in users))


def test_addresses_that_only_case_folding_makes_equal_are_different() -> None:
    assert UserIndex([User("1", "strasse@x")]).find("straße@x") is None


def test_known_id_is_never_read_as_an_address() -> None:
    index = UserIndex([User("a@x", "other@x"), User("2", "a@x")], ["member"])
    assert index.ids_of(["a@x", "member"]) == ["a@x", "member"]


def test_unknown_and_ambiguous_members_are_named_in_one_error() -> None:
    index = UserIndex([LOWER, UPPER, BEN])
    with pytest.raises(InvalidArgumentError) as caught:
        index.ids_of(["new@y", "ANA@x", "ben@x", "9", "z@y"])
    assert str(caught.value) == (
        "no user has the address new@y, z@y or the id 9; "
        "'ANA@x' is the address of 2 users (lower, upper): use one of these ids"
    )
    with pytest.raises(InvalidArgumentError, match=r"^no user has the id 9$"):
        index.ids_of(["9"])
    with pytest.raises(AmbiguousNameError, match=r"'ANA@x' is .*: use one of these ids; 'ana@X' is ") as ambiguous:
        index.ids_of(["ANA@x", "ana@X"])
    assert ambiguous.value.candidates == ("lower", "upper")
    assert as_document(ambiguous.value)["error"]["candidates"] == ["lower", "upper"]


# --- the client ------------------------------------------------------------------------------------------------


async def test_client_finds_users_by_address(emulator: Emulator, secoda: SecodaClient) -> None:
    user = await secoda.users.find(email="USER-3@example.com")
    assert user is not None
    assert user.id == "user-3"
    assert await secoda.users.find(email="nobody@example.com") is None
    emulator.users["user-4"]["email"] = "User-3@example.com"
    with pytest.raises(AmbiguousNameError):
        await secoda.users.find(email="USER-3@example.com")


async def test_client_resolves_ids_and_addresses_in_order(emulator: Emulator, secoda: SecodaClient) -> None:
    assert await secoda.users.resolve([]) == []
    assert emulator.requests == []
    assert await secoda.users.resolve(["user-2", "User-1@example.com", "user-2"]) == ["user-2", "user-1", "user-2"]
    with pytest.raises(InvalidArgumentError, match="no user has the address nobody@x or the id user-99"):
        await secoda.users.resolve(["user-1", "user-99", "nobody@x"])


@pytest.mark.parametrize("wrong", ["ana@x", [""], [None]])
async def test_invalid_members_are_refused_before_any_request(connect: Connect, wrong: list[str]) -> None:
    with pytest.raises(InvalidArgumentError):
        await connect(base_url="http://127.0.0.1:1").users.resolve(wrong)


async def test_empty_address_is_refused_before_any_request(connect: Connect) -> None:
    with pytest.raises(InvalidArgumentError, match="email must be text that is not empty, not ' '"):
        await connect(base_url="http://127.0.0.1:1").users.find(email=" ")


# --- the commands ----------------------------------------------------------------------------------------------


@pytest.fixture
async def twins(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    """A workspace in which two users have one address but for the case of its letters."""
    users = [{"id": user.id, "email": user.email} for user in (LOWER, UPPER, BEN)]
    async with Emulator(users=users, groups=[{"name": "Team", "users": ["lower", "upper"]}]) as workspace:
        monkeypatch.setenv("SECODA_BASE_URL", workspace.url)
        monkeypatch.setenv("SECODA_API_KEY", workspace.api_key)
        yield workspace


COMMANDS = {
    "add": ("groups", "add-users", "GROUP", "ADDRESS"),
    "remove": ("groups", "remove-users", "GROUP", "ADDRESS"),
    "update": ("groups", "update", "GROUP", "--user", "ADDRESS"),
    "create": ("groups", "create", "--name", "New", "--user", "ADDRESS"),
}


@pytest.mark.parametrize("command", COMMANDS)
async def test_each_command_refuses_an_address_of_several_users(shell: Shell, twins: Emulator, command: str) -> None:
    arguments = {"GROUP": next(iter(twins.groups)), "ADDRESS": "ANA@x"}
    result = await shell.run(*(arguments.get(part, part) for part in COMMANDS[command]), "--json")
    assert result.code == Exit.BAD_INPUT
    assert result.json["error"]["candidates"] == ["lower", "upper"]
    assert "'ANA@x' is the address of 2 users (lower, upper): use one of these ids" in result.err
    assert not twins.writes


async def test_each_command_takes_the_user_with_exactly_the_address(shell: Shell, twins: Emulator) -> None:
    group_id, group = next(iter(twins.groups.items()))
    for command, left in (("remove", ["upper"]), ("add", ["upper", "lower"]), ("update", ["lower"])):
        arguments = {"GROUP": group_id, "ADDRESS": "ana@x"}
        assert (await shell.run(*(arguments.get(part, part) for part in COMMANDS[command]))).code == Exit.DONE
        assert set(group["users"]) == set(left)
    made = await shell.run("groups", "create", "--name", "New", "--user", "ana@x", "--json")
    assert made.json["users"] == ["lower"]


async def test_id_beside_an_address_is_not_checked(shell: Shell, twins: Emulator) -> None:
    """A user who is not listed any more can still be a member."""
    group_id, group = next(iter(twins.groups.items()))
    group["users"].append("gone")
    assert (await shell.run("groups", "remove-users", group_id, "gone", "ana@x")).code == Exit.DONE
    assert group["users"] == ["upper"]


def test_plan_takes_the_same_user_as_the_commands() -> None:
    def planned(*users: User) -> tuple[str, ...]:
        desired = DesiredState((DesiredGroup(name="a", members=("ana@x",)),))
        (change,) = diff(desired, [], users, Rules()).changes
        return change.added

    assert planned(LOWER, UPPER) == ("lower",)
    assert planned(GONE, LOWER) == ("lower",)
    with pytest.raises(DesiredStateError, match="'ana@x', a member of 'a', is the address of 2 users"):
        planned(GONE, UPPER)
