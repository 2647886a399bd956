"""Groups and users that commands take by name, e-mail address or id, and e-mail addresses in their output."""

from collections.abc import AsyncIterator

import pytest

from secoda_async.cli import lookup
from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from tests.support.shell import Shell, emulated

UUID = "6c1e0b0e-1111-4222-8333-944455556666"
"""The id of the group Finance, in the form of the service's ids."""


@pytest.fixture
async def teams(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    users = [
        {"id": "u-ana", "email": "ana@example.com", "first_name": "Ana", "last_name": "Lopez"},
        {"id": "u-ben", "email": "ben@example.com", "first_name": "", "last_name": "", "pending": True},
        {"id": "u-eve", "email": "eve@example.com", "first_name": "Eve", "last_name": "", "disabled": True},
    ]
    groups: list[dict[str, object]] = [
        {"id": "g-stewards", "name": "Data Stewards", "users": ["u-ana", "u-ben", "u-eve"]},
        {"id": UUID, "name": "Finance", "users": ["u-ana"]},
        {"id": "g-1", "name": "Twin", "users": []},
        {"id": "g-2", "name": "Twin", "users": []},
        {"id": "g-3", "name": "g-1", "users": []},
    ]
    async with emulated(monkeypatch, users=users, groups=groups) as workspace:
        yield workspace


@pytest.mark.requirement("CL-1")
@pytest.mark.parametrize(
    ("given", "group_id"),
    [
        pytest.param("Data Stewards", "g-stewards", id="name"),
        pytest.param("  Data Stewards ", "g-stewards", id="name with outer spaces"),
        pytest.param("g-stewards", "g-stewards", id="id"),
        pytest.param(UUID, UUID, id="id in the service's form"),
        pytest.param("g-1", "g-1", id="id that is also another group's name"),
    ],
)
@pytest.mark.usefixtures("shell", "teams")
async def test_group_is_given_by_name_or_id(shell: Shell, given: str, group_id: str) -> None:
    assert (await shell.run("groups", "get", given, "--json")).json["id"] == group_id
    assert (await shell.run("groups", "update", given, "--icon", "x", "--json")).json["id"] == group_id
    assert (await shell.run("groups", "add-users", given, "eve@example.com", "--json")).json["id"] == group_id
    assert "u-eve" not in (await shell.run("groups", "remove-users", given, "u-eve", "--json")).json["users"]
    assert (await shell.run("groups", "delete", given, "--yes", "--json")).json == {"deleted": group_id}


@pytest.mark.parametrize("text", ["", "  "], ids=["empty", "spaces"])
async def test_empty_text_is_not_the_group_without_a_name(shell: Shell, teams: Emulator, text: str) -> None:
    teams.groups["g-3"]["name"] = ""
    refused = await shell.run("groups", "delete", text, "--yes")
    assert (refused.code, "name must be a string that is not empty" in refused.err) == (Exit.USAGE, True)
    assert teams.requests == []


async def test_id_in_the_form_of_the_service_reads_one_group(shell: Shell, teams: Emulator) -> None:
    await shell.run("groups", "get", UUID, "--json")
    assert [record.path for record in teams.requests] == [f"/api/v1/auth/group/{UUID}"]


async def test_name_in_the_form_of_an_id_is_found(shell: Shell, teams: Emulator) -> None:
    name = UUID.replace("6", "7")
    assert (await shell.run("groups", "get", name)).code == Exit.ERROR
    teams.groups["g-3"]["name"] = name
    assert (await shell.run("groups", "get", name, "--json")).json["id"] == "g-3"


async def test_missing_route_is_not_a_missing_group(shell: Shell, teams: Emulator) -> None:
    teams.faults.add(status=404, body="<html>no such page</html>", path=f"/auth/group/{UUID}")
    assert (await shell.run("groups", "get", UUID)).code == Exit.ERROR
    assert teams.count("GET") == 1


@pytest.mark.requirement("CL-3")
async def test_name_of_several_groups_is_refused_with_their_ids(shell: Shell, teams: Emulator) -> None:
    refused = await shell.run("groups", "delete", "Twin", "--yes", "--json")
    assert refused.code == Exit.BAD_INPUT
    assert refused.json["error"]["candidates"] == ["g-1", "g-2"]
    assert "2 groups are called 'Twin' (g-1, g-2): use one of these ids" in refused.err
    assert teams.writes == []


@pytest.mark.requirement("BS-13", "SEC-2")
@pytest.mark.parametrize(
    ("given", "proposal"),
    [
        pytest.param("finance", f"Did you mean 'Finance' ({UUID})?", id="case"),
        pytest.param("Data\xa0\xa0Stewards", "no group has the id or name 'Data\\xa0\\xa0Stewards'", id="spaces"),
        pytest.param("Data\u200bStewards", "Did you mean 'Data Stewards' (g-stewards)?", id="invisible character"),
        pytest.param("F\u0456nance", f"Did you mean 'Finance' ({UUID})?", id="letter of another script"),
        pytest.param("Fin\ufe0fance", "no group has the id or name 'Fin\\ufe0fance'", id="invisible mark"),
        pytest.param("Data Steward", "Did you mean 'Data Stewards' (g-stewards)?", id="misspelled"),
        pytest.param("twin", "Did you mean 'Twin' (g-1) or 'Twin' (g-2)?", id="several"),
        pytest.param("Nothing like it", "'Nothing like it': `groups list` shows all groups", id="nothing close"),
    ],
)
async def test_name_that_looks_alike_is_proposed_and_never_used(
    shell: Shell, teams: Emulator, given: str, proposal: str
) -> None:
    refused = await shell.run("groups", "delete", given, "--yes")
    assert refused.code == Exit.BAD_INPUT
    assert proposal in refused.err
    assert "--" not in refused.err
    assert teams.writes == []


@pytest.mark.requirement("BS-13", "BS-5")
@pytest.mark.parametrize(
    "name", ["Finance", "finance", " Fin\u200bance", "F\u0456nance"], ids=["equal", "case", "invisible", "script"]
)
async def test_name_that_is_taken_is_refused(shell: Shell, teams: Emulator, name: str) -> None:
    for command in (["create"], ["update", "g-1"]):
        refused = await shell.run("groups", *command, "--name", name, "--json")
        assert refused.code == Exit.BAD_INPUT
        assert refused.json["error"]["candidates"] == [UUID]
        assert f"'Finance' ({UUID}). Nothing was written." in refused.err
        assert "--" not in refused.err
    assert teams.writes == []
    assert (await shell.run("groups", "create", "--name", name, "--allow-duplicate")).code == Exit.DONE
    assert (await shell.run("groups", "update", "g-1", "--name", name, "--allow-duplicate")).code == Exit.DONE
    assert [record.json["name"] for record in teams.writes] == [name, name]


async def test_group_may_change_its_own_name_to_one_that_looks_alike(shell: Shell, teams: Emulator) -> None:
    assert (await shell.run("groups", "update", "Finance", "--name", "finance")).code == Exit.DONE
    assert teams.groups[UUID]["name"] == "finance"


async def test_members_are_shown_by_address_name_and_state(shell: Shell, teams: Emulator) -> None:
    teams.groups["g-stewards"]["users"].append("u-gone")
    shown = await shell.run("groups", "get", "Data Stewards")
    lines = [line.strip() for line in shown.out.splitlines()]
    assert "ana@example.com (Ana Lopez)" in lines
    assert "ben@example.com (invited)" in lines
    assert "eve@example.com (Eve, disabled)" in lines
    assert "u-gone" in lines
    listed = await shell.run("groups", "list", "--members")
    words = listed.out.split()
    assert words[4:10] == ["Data", "Stewards", "ana@example.com", "ben@example.com", "eve@example.com", "u-gone"]
    assert words[-2:] == ["g-1", "(nobody)"]
    document = await shell.run("groups", "list", "--members", "--json")
    assert document.json[1]["members"] == [{"id": "u-ana", "email": "ana@example.com"}]
    assert document.json[0]["members"][-1] == {"id": "u-gone", "email": None}


async def test_users_are_read_only_when_their_addresses_are_shown(shell: Shell, teams: Emulator) -> None:
    await shell.run("groups", "get", "Finance", "--json")
    await shell.run("groups", "get", "Twin g")
    await shell.run("groups", "get", "g-1")  # without members
    await shell.run("groups", "list")
    assert not [record for record in teams.requests if record.path.startswith("/api/v1/user")]


async def test_ids_are_shown_when_the_users_can_not_be_read(shell: Shell, teams: Emulator) -> None:
    teams.faults.add(status=403, path="/user", times=None)
    shown = await shell.run("groups", "add-users", "Finance", "u-ben")
    assert shown.code == Exit.DONE
    assert {"u-ana", "u-ben"} <= {line.strip() for line in shown.out.splitlines()} | set(shown.out.split())
    assert "the users can't be read, so ids are shown" in shown.err


@pytest.mark.usefixtures("shell", "teams")
async def test_ids_are_shown_when_the_users_take_too_long(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_DISPLAY_SECONDS", 0.0)
    shown = await shell.run("groups", "get", "Finance")
    assert (shown.code, "u-ana" in shown.out) == (Exit.DONE, True)
    assert "the read takes too long" in shown.err


@pytest.mark.parametrize("given", ["u-ben", "BEN@example.com"], ids=["id", "address"])
@pytest.mark.usefixtures("shell", "teams")
async def test_user_is_given_by_id_or_address(shell: Shell, given: str) -> None:
    shown = await shell.run("users", "get", given)
    assert shown.code == Exit.DONE
    assert "invited, has not signed in" in shown.out
    assert "Data Stewards" in shown.out
    assert (await shell.run("users", "get", given, "--json")).json["id"] == "u-ben"


@pytest.mark.requirement("CL-3")
async def test_unknown_or_ambiguous_user_is_an_error(shell: Shell, teams: Emulator) -> None:
    unknown = await shell.run("users", "get", "nobody@example.com")
    assert (unknown.code, "no user has the address nobody@example.com" in unknown.err) == (Exit.BAD_INPUT, True)
    absent = await shell.run("users", "get", "u-nobody")
    assert (absent.code, "no user has the id 'u-nobody': give an e-mail address" in absent.err) == (65, True)
    assert (await shell.run("users", "get", UUID)).code == Exit.ERROR
    teams.users["u-eve"]["email"] = "Ana@example.com"
    several = await shell.run("users", "get", "ANA@example.com", "--json")
    assert several.code == Exit.BAD_INPUT
    assert several.json["error"]["candidates"] == ["u-ana", "u-eve"]
