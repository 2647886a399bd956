"""The command `doctor`."""

from typing import Any

import pytest

from secoda_async.cli.exit_codes import Exit
from secoda_async.emulator import Emulator
from tests.support.shell import Shell


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
)
async def test_doctor_gives_advice_for_a_failed_check(
    shell: Shell, workspace: Emulator, fault: dict[str, Any], code: Exit, advice: str
) -> None:
    workspace.faults.add(**fault, path="/api/v1", times=None)
    ill = await shell.run("doctor")
    assert ill.code == code
    assert advice in ill.out


async def test_doctor_ignores_a_missing_health_check(shell: Shell, workspace: Emulator) -> None:
    workspace.faults.add(status=404, path="healthcheck", times=None)
    result = await shell.run("doctor", "--json")
    assert result.code == Exit.DONE
    assert (result.json["ok"], result.json["checks"]["service"]["ok"]) == (True, False)
    assert result.json["seconds_for_100_writes"] == 180
