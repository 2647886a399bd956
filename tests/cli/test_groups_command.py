"""The commands `groups` and `users`."""

import io
import sys

import pytest

from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from tests.support.shell import Shell


@pytest.mark.requirement("CL-1")
async def test_lists_are_tables_or_one_json_document(shell: Shell, workspace: Emulator) -> None:
    first = next(iter(workspace.groups.values()))
    table = await shell.run("groups", "list")
    assert table.code == Exit.DONE
    assert table.out.startswith("60 groups")
    assert first["name"] in table.out
    assert first["id"] in table.out
    document = await shell.run("groups", "list", "--json")
    assert document.json[0] == first
    users = await shell.run("users", "list")
    assert users.out.startswith("20 users")
    assert {user["id"] for user in (await shell.run("users", "list", "--json")).json} == set(workspace.users)


async def test_group_name_is_not_read_as_markup(shell: Shell, workspace: Emulator) -> None:
    group = next(iter(workspace.groups.values()))
    group["name"] = "[bold]not bold[/bold]"
    shown = await shell.run("groups", "get", group["id"])
    assert shown.out.count("[bold]not bold[/bold]") == 2
    group["created_at"] = None
    assert "(unknown)" in (await shell.run("groups", "get", group["id"])).out


async def test_group_is_created_updated_and_deleted(shell: Shell, workspace: Emulator) -> None:
    ana, ben = list(workspace.users.values())[:2]
    made = await shell.run(
        "groups", "create", "--name", "Stewards", "--icon", "🧪", "--user", ana["email"].upper(), "--json"
    )
    group_id = made.json["id"]
    assert workspace.groups[group_id]["users"] == [ana["id"]]

    assert (await shell.run("groups", "add-users", group_id, ben["id"], ana["email"])).code == Exit.DONE
    assert set(workspace.groups[group_id]["users"]) == {ana["id"], ben["id"]}
    assert (await shell.run("groups", "remove-users", group_id, ana["email"])).code == Exit.DONE
    assert workspace.groups[group_id]["users"] == [ben["id"]]

    changed = await shell.run("groups", "update", group_id, "--name", "Keepers", "--clear", "icon", "--json")
    assert (changed.json["name"], changed.json["icon"]) == ("Keepers", None)
    assert workspace.requests[-1].json == {"name": "Keepers", "icon": None}
    await shell.run("groups", "update", group_id, "--user", ana["id"])
    assert workspace.writes[-1].json == {"users": [ana["id"]]}
    await shell.run("groups", "update", group_id, "--clear", "users", "--clear", "description")
    assert workspace.writes[-1].json == {"users": [], "description": None}

    deleted = await shell.run("groups", "delete", group_id, "--yes")
    assert (deleted.code, deleted.out.strip()) == (Exit.DONE, f"deleted Keepers ({group_id})")
    assert group_id not in workspace.groups


async def test_create_without_members_sends_the_name_only(shell: Shell, workspace: Emulator) -> None:
    assert (await shell.run("groups", "create", "--name", "Empty")).code == Exit.DONE
    assert workspace.requests[-1].json == {"name": "Empty"}


@pytest.mark.requirement("CL-1")
async def test_delete_without_a_terminal_needs_yes(shell: Shell, workspace: Emulator) -> None:
    refused = await shell.run("groups", "delete", next(iter(workspace.groups)))
    assert refused.code == Exit.USAGE
    assert "needs --yes" in refused.err
    assert not workspace.requests


@pytest.mark.parametrize(("answer", "code"), [("yes\n", Exit.DONE), ("no\n", Exit.ERROR), ("", Exit.ERROR)])
async def test_delete_on_a_terminal_asks(
    shell: Shell, workspace: Emulator, monkeypatch: pytest.MonkeyPatch, answer: str, code: Exit
) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    group_id, group = next(iter(workspace.groups.items()))
    result = await shell.run("groups", "delete", group_id, "--json")
    assert result.code == code
    assert repr(group["name"]) in result.err
    assert (group_id not in workspace.groups) is (code == Exit.DONE)
    expected = {"deleted": group_id} if code == Exit.DONE else "not deleted"
    assert (result.json if code == Exit.DONE else result.json["error"]["message"]) == expected


async def test_unknown_address_or_contradicting_options_write_nothing(shell: Shell, workspace: Emulator) -> None:
    group_id = next(iter(workspace.groups))
    stranger = await shell.run("groups", "add-users", group_id, "nobody@example.com")
    assert stranger.code == Exit.BAD_INPUT
    assert "no user has the address nobody@example.com" in stranger.err
    both = await shell.run("groups", "update", group_id, "--icon", "x", "--clear", "icon")
    assert both.code == Exit.USAGE
    nothing = await shell.run("groups", "update", group_id)
    assert nothing.code == Exit.USAGE
    assert not workspace.writes


@pytest.mark.parametrize("command", [("create",), ("update", "g")])
async def test_empty_group_name_is_refused(shell: Shell, workspace: Emulator, command: tuple[str, ...]) -> None:
    result = await shell.run("groups", *command, "--name", "  ")
    assert (result.code, result.err) == (64, "secoda-async: the name is empty: nothing was written\n")
    assert workspace.requests == []
