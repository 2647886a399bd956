"""The command `doctor`."""

import asyncio
import os
import pty
import re
import signal
from typing import Any

import pytest

from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from tests.support.processes import ended, start
from tests.support.raw_server import serve_with, sized
from tests.support.shell import Shell
from tests.support.waiting import wait_until


async def test_doctor_shows_host_key_groups_and_users(shell: Shell, workspace: Emulator) -> None:
    healthy = await shell.run("doctor")
    assert healthy.code == Exit.DONE
    for text in (workspace.url, "OK", "accepted", "60 groups, list complete", "20 users, list complete", "3 min 00 s"):
        assert text in healthy.out
    assert not workspace.writes


@pytest.mark.parametrize(
    ("fault", "code", "advice"),
    [
        ({"status": 401, "body": {"detail": "Invalid token."}}, Exit.REFUSED, "Check the key"),
        ({"status": 403, "body": {"detail": "no"}}, Exit.REFUSED, "use a key that an admin created"),
        ({"body": "<html>", "status": 200}, Exit.UNAVAILABLE, "Secoda's web page"),
        ({"status": 418, "body": {"detail": "teapot"}}, Exit.ERROR, "The message above names the problem."),
    ],
    ids=["401", "403", "html", "418"],
)
async def test_doctor_gives_advice_for_a_failed_check(
    shell: Shell, workspace: Emulator, fault: dict[str, Any], code: Exit, advice: str
) -> None:
    workspace.faults.add(**fault, path="/api/v1", times=None)
    ill = await shell.run("doctor", "--probe", "--yes")
    assert ill.code == code
    assert advice in ill.out
    assert "may write" not in ill.out
    assert not workspace.writes


async def test_doctor_ignores_a_missing_health_check(shell: Shell, workspace: Emulator) -> None:
    workspace.faults.add(status=404, path="healthcheck", times=None)
    result = await shell.run("doctor", "--json")
    assert result.code == Exit.DONE
    assert (result.json["ok"], result.json["checks"]["service"]["ok"]) == (True, False)
    assert result.json["seconds_for_100_writes"] == 180


async def test_doctor_checks_the_host_first_and_without_the_key(
    shell: Shell, workspace: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shell.run("doctor")
    first, second = workspace.requests[:2]
    assert (first.path, first.authorized) == ("/healthcheck", False)
    assert second.authorized
    monkeypatch.delenv("SECODA_API_KEY")
    result = await shell.run("doctor")
    assert result.code == Exit.USAGE
    assert re.search(r"ok +service .* OK", result.out)
    assert re.search(r"failed +key .*no API key", result.out)


async def test_doctor_reports_the_contract_as_it_reads_it(shell: Shell, workspace: Emulator) -> None:
    workspace.next_link = "top"
    workspace.link_origin = "https://inner.example"
    workspace.faults.add(headers={"RateLimit-Remaining": "29"}, path="auth/group", times=None)
    workspace.faults.add(path="auth/group", times=None, transform=lambda page: page | {"extra": 1})
    text = (await shell.run("doctor")).out
    assert re.search(
        r"groups as sent .*next link in next by page; 50 on a page; next links lead to inner\.example", text
    )
    assert re.search(r"users as sent .*; one page of 20; unknown fields: .*bookmarks", text)
    assert re.search(r"may write .*no read shows the rights of the key", text)
    document = (await shell.run("doctor", "--json")).json
    assert document["contract"]["groups"]["link_hosts"] == ["inner.example"]
    assert document["limit_headers"] == {"ratelimit-remaining": "29"}
    assert document["may_write"] is None


async def test_probe_prints_a_sheet_without_anything_of_the_workspace(shell: Shell, workspace: Emulator) -> None:
    workspace.link_origin = "https://inner.example"
    known = set(workspace.groups)
    result = await shell.run("doctor", "--probe", "--yes")
    assert result.code == Exit.DONE
    assert result.out.startswith("### What this API does (secoda-async doctor --probe)\n")
    assert "- Are names unique? **no: a second one was created**\n" in result.out
    assert result.out.endswith("The groups of the probe were deleted.\n")
    assert set(workspace.groups) == known
    assert len(workspace.writes) == 7
    private = {workspace.api_key, workspace.url, "inner.example", *workspace.groups, *workspace.users}
    private |= {str(user["email"]) for user in workspace.users.values()}
    private |= {str(group["name"]) for group in workspace.groups.values()}
    assert [text for text in private if text in result.out] == []


async def test_probe_prints_json(shell: Shell, workspace: Emulator) -> None:
    result = await shell.run("doctor", "--probe", "--yes", "--json")
    assert result.json["probe"]["findings"]["may_write"] == "yes (201)"
    assert (result.json["probe"]["writes"], result.json["probe"]["groups_left"]) == (len(workspace.writes), 0)
    assert result.json["ok"]


async def test_probe_without_a_terminal_needs_consent(shell: Shell, workspace: Emulator) -> None:
    result = await shell.run("doctor", "--probe")
    assert (result.code, workspace.requests) == (Exit.USAGE, [])
    assert "without a terminal it needs --yes; nothing was written" in result.err


async def test_probe_names_the_groups_that_it_could_not_delete(shell: Shell, workspace: Emulator) -> None:
    known = set(workspace.groups)
    workspace.faults.add(status=403, body={}, method="DELETE", times=None)
    result = await shell.run("doctor", "--probe", "--yes")
    assert result.code == Exit.SOME_FAILED
    left = set(workspace.groups) - known
    assert len(left) == 2
    assert all(f"run `secoda-async groups delete {group_id}`" in result.err for group_id in left)
    assert "could not be deleted: 2." in result.out


async def test_probe_reports_a_create_whose_outcome_is_unknown(shell: Shell, workspace: Emulator) -> None:
    workspace.faults.add(drop="before", method="POST")
    result = await shell.run("doctor", "--probe", "--yes")
    assert result.code == Exit.SOME_FAILED
    assert "may exist or appear later" in result.err
    assert "The outcome of a create is not known" in result.out


@pytest.mark.parametrize("answer", [pytest.param("yes", marks=pytest.mark.slow), "no"])
async def test_probe_asks_on_a_terminal(workspace: Emulator, answer: str) -> None:
    controller, terminal = pty.openpty()
    process = await start("doctor", "--probe", stdin=terminal)
    assert process.stderr is not None
    told = await asyncio.wait_for(process.stderr.readuntil(b"[y/N] "), 120)
    os.write(controller, f"{answer}\n".encode())
    result = await ended(process)
    os.close(controller)
    os.close(terminal)
    assert b"at most 8 writes and touches no other group" in told
    code, writes = (Exit.DONE, 7) if answer == "yes" else (Exit.ERROR, 0)
    assert (result.code, len(workspace.writes)) == (code, writes)


async def test_interrupted_probe_deletes_its_groups(workspace: Emulator) -> None:
    known = set(workspace.groups)
    workspace.faults.add(delay=1.0, method="PATCH", times=None)
    process = await start("doctor", "--probe", "--yes")
    await wait_until(lambda: workspace.count("PATCH"))
    process.send_signal(signal.SIGINT)
    result = await ended(process)
    assert result.code == Exit.INTERRUPTED
    assert set(workspace.groups) == known
    assert "The groups of the probe were deleted." in result.out


async def test_aborted_probe_deletes_its_groups(workspace: Emulator) -> None:
    known = set(workspace.groups)
    workspace.faults.add(stall="after", method="PATCH", times=None)
    process = await start("doctor", "--probe", "--yes")
    await wait_until(lambda: workspace.count("PATCH"))
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    await asyncio.wait_for(process.stderr.readuntil(b"again to abort\n"), 120)
    process.send_signal(signal.SIGINT)
    result = await ended(process)
    assert result.code == Exit.INTERRUPTED
    assert set(workspace.groups) == known


async def test_doctor_survives_an_odd_server(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(sized(b'[{"\\u001b[31m": 1}]', b"Retry-After: \xff"))

    async with serve_with(respond) as url:
        monkeypatch.setenv("SECODA_BASE_URL", url)
        monkeypatch.setenv("SECODA_API_KEY", "key")
        result = await shell.run("doctor")
    assert result.code == Exit.UNAVAILABLE
    assert "\x1b" not in result.out
